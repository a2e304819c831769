/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/revoke.h"

#include "base/error.h"
#include "transport/nccl/abandoned.h"
#include "transport/nccl/clock.h"
#include "transport/nccl/comm.h"
#include "transport/nccl/ending.h"
#include "transport/nccl/stuck.h"

void muster_nccl_revoke(muster_device *device, bool keep_healthy)
{
    bool moved = false;
    pthread_mutex_lock(&device->lock);
    for (muster_device_comm *comm = device->comms; comm != NULL; comm = comm->next) {
        if (comm->state == MUSTER_NCCL_COMM_ENDED ||
            (comm->state == MUSTER_NCCL_COMM_KEPT && keep_healthy))
            continue;
        moved = moved || comm->state != MUSTER_NCCL_COMM_ENDING;
        muster_nccl_bracket_refuse(&comm->bracket, MUSTER_NCCL_REVOKED);
        muster_nccl_ending_want(comm, keep_healthy ? MUSTER_NCCL_END_KEEP_OR_ABORT
                                                   : MUSTER_NCCL_END_ABORT);
    }
    /* The bound counts from when there was something to do: a second revoke may have to end what the first
     * one had kept. */
    if (moved || !device->revoked)
        device->revoked_ns = muster_nccl_clock_now_ns();
    device->revoked = true;
    pthread_mutex_unlock(&device->lock);
}

/* Of the comms that are not closed yet: the one that is being ended, else the first that NCCL failed to
 * abort, else NULL. */
static const muster_device_comm *find_unfinished(const muster_device *device)
{
    const muster_device_comm *failed = NULL;
    for (const muster_device_comm *comm = device->comms; comm != NULL; comm = comm->next) {
        if (comm->state == MUSTER_NCCL_COMM_ENDING)
            return comm;
        if (failed == NULL && comm->state == MUSTER_NCCL_COMM_ENDED &&
            comm->end == MUSTER_NCCL_END_ABORT && comm->end_result != ncclSuccess)
            failed = comm;
    }
    return failed;
}

muster_status muster_nccl_revoke_await(muster_device *device, muster_error *error)
{
    pthread_mutex_lock(&device->lock);
    const int64_t deadline_ns =
        muster_nccl_clock_after_ns(device->revoked_ns, device->bracket_timeout_ns);
    const struct timespec deadline = muster_nccl_clock_timespec(
        muster_nccl_clock_after_ns(deadline_ns, device->abort_timeout_ns));
    const muster_device_comm *comm = device->revoked ? find_unfinished(device) : NULL;
    int code = 0;
    while (comm != NULL && comm->state == MUSTER_NCCL_COMM_ENDING && code == 0) {
        code = pthread_cond_timedwait(&device->changed, &device->lock, &deadline);
        comm = find_unfinished(device);
    }
    const bool stuck = comm != NULL && comm->state == MUSTER_NCCL_COMM_ENDING;
    const bool inside = stuck && !muster_nccl_bracket_is_empty(&comm->bracket);
    const ncclResult_t result = comm != NULL && !stuck ? comm->end_result : ncclSuccess;
    pthread_mutex_unlock(&device->lock);
    if (stuck)
        return muster_nccl_stuck_late(device, inside, error);
    if (result != ncclSuccess)
        return muster_nccl_stuck_failed(device, result, error);
    return muster_error_set_ok(error);
}

void muster_nccl_revoke_revive(muster_device *device)
{
    muster_nccl_bootstrap_end_all(device);
    muster_nccl_abandoned_remove(MUSTER_NCCL_ABANDONED_FOLDER, &device->opened);
    pthread_mutex_lock(&device->lock);
    device->revoked = false;
    pthread_mutex_unlock(&device->lock);
}
