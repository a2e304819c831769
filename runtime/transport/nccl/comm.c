/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/comm.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/nccl/batch.h"
#include "transport/nccl/clock.h"
#include "transport/nccl/ending.h"
#include "transport/nccl/failure.h"

muster_status muster_nccl_comm_new(muster_device *device, bool must_not_be_revoked,
                                   ncclComm_t native, muster_device_comm **handle,
                                   muster_error *error)
{
    muster_device_comm *comm = calloc(1, sizeof(*comm));
    if (comm == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a communicator");
    comm->device = device;
    comm->native = native;
    comm->state = MUSTER_NCCL_COMM_LIVE;
    muster_nccl_bracket_init(&comm->bracket);
    atomic_init(&comm->failed, false);
    atomic_init(&comm->was_lent, false);
    atomic_init(&comm->was_shrunk, false);
    pthread_mutex_init(&comm->batches_lock, NULL);
    muster_error_init(&comm->failure);

    pthread_mutex_lock(&device->lock);
    const bool refused = device->revoked && must_not_be_revoked;
    muster_device_comm **end = &device->comms;
    while (*end != NULL)
        end = &(*end)->next;
    if (!refused)
        *end = comm;
    pthread_mutex_unlock(&device->lock);
    if (refused) {
        pthread_mutex_destroy(&comm->batches_lock);
        free(comm);
        return muster_nccl_failure_revoked(error);
    }
    *handle = comm;
    return MUSTER_OK;
}

void muster_nccl_comm_free(muster_device_comm *comm)
{
    muster_device *device = comm->device;
    pthread_mutex_lock(&device->lock);
    MUSTER_ASSERT(comm->state == MUSTER_NCCL_COMM_ENDED);
    muster_device_comm **place = &device->comms;
    while (*place != comm)
        place = &(*place)->next;
    *place = comm->next;
    pthread_mutex_unlock(&device->lock);
    muster_nccl_batch_drop_all(comm);
    muster_nccl_events_clean_up(&comm->events, device);
    pthread_mutex_destroy(&comm->batches_lock);
    free(comm);
}

muster_status muster_nccl_comm_fail(muster_device_comm *comm, const muster_error *failure,
                                    muster_error *error)
{
    if (!atomic_load(&comm->failed)) {
        comm->failure = *failure;
        atomic_store(&comm->failed, true);
    }
    return muster_nccl_comm_failure(comm, error);
}

muster_status muster_nccl_comm_failure(const muster_device_comm *comm, muster_error *error)
{
    const muster_error *failure = &comm->failure;
    if (!atomic_load(&comm->failed))
        return MUSTER_OK;
    muster_error_set(error, failure->status, failure->field, failure->expected, failure->came, "%s",
                     failure->message);
    if (error != NULL && error->struct_bytes >= sizeof(*error))
        error->native_code = failure->native_code;
    return failure->status;
}

muster_status muster_nccl_comm_check(const muster_device_comm *comm, muster_error *error)
{
    if (muster_nccl_bracket_is_refused(&comm->bracket))
        return muster_nccl_failure_revoked(error);
    return muster_nccl_comm_failure(comm, error);
}

muster_status muster_nccl_comm_poll(muster_device_comm *comm, bool *settled, muster_error *error)
{
    const muster_nccl_library *library = &comm->device->library;
    ncclResult_t state = ncclSuccess;
    if (!muster_nccl_bracket_enter(&comm->bracket))
        return muster_nccl_failure_revoked(error);
    const ncclResult_t result = library->ncclCommGetAsyncError(comm->native, &state);
    muster_nccl_bracket_leave(&comm->bracket);
    *settled = result == ncclSuccess && state == ncclSuccess;
    if (result == ncclSuccess && (state == ncclSuccess || state == ncclInProgress))
        return MUSTER_OK;

    muster_error failure;
    muster_error_init(&failure);
    if (result != ncclSuccess)
        (void)muster_nccl_failure(library, result, "ncclCommGetAsyncError", &failure);
    else
        (void)muster_nccl_failure(library, state, "asynchronous error of the communicator",
                                  &failure);
    return muster_nccl_comm_fail(comm, &failure, error);
}

bool muster_nccl_comm_is_healthy(muster_device_comm *comm)
{
    ncclResult_t state = ncclSuccess;
    if (comm->native == NULL || atomic_load(&comm->was_shrunk) || atomic_load(&comm->failed) ||
        atomic_load(&comm->was_lent) || !muster_nccl_batch_all_done(comm))
        return false;
    return comm->device->library.ncclCommGetAsyncError(comm->native, &state) == ncclSuccess &&
           state == ncclSuccess;
}

/* The half of its bound is for saying goodbye to the peers, which may be gone or late. True: destroy is
 * local now. */
static bool finalize(muster_device_comm *comm)
{
    const muster_nccl_library *library = &comm->device->library;
    const int64_t deadline_ns =
        muster_nccl_clock_after_ns(muster_nccl_clock_now_ns(), comm->device->abort_timeout_ns / 2);
    bool settled = false;
    int64_t nap_ns = 0;
    if (atomic_load(&comm->failed) || atomic_load(&comm->was_shrunk) || comm->native == NULL)
        return false;
    /* An operation of the job's own may be under way still: finalize would refuse. */
    while (muster_nccl_comm_poll(comm, &settled, NULL) == MUSTER_OK && !settled &&
           muster_nccl_clock_now_ns() < deadline_ns) {
        nap_ns = muster_nccl_clock_next_nap_ns(nap_ns);
        muster_nccl_clock_nap(nap_ns);
    }
    if (!settled || !muster_nccl_bracket_enter(&comm->bracket))
        return false;
    const ncclResult_t result = library->ncclCommFinalize(comm->native);
    muster_nccl_bracket_leave(&comm->bracket);
    if (result != ncclSuccess && result != ncclInProgress)
        return false;
    nap_ns = 0;
    while (muster_nccl_comm_poll(comm, &settled, NULL) == MUSTER_OK && !settled) {
        if (muster_nccl_clock_now_ns() >= deadline_ns)
            return false;
        nap_ns = muster_nccl_clock_next_nap_ns(nap_ns);
        muster_nccl_clock_nap(nap_ns);
    }
    return settled;
}

muster_status muster_nccl_comm_close(muster_device_comm *comm, muster_error *error)
{
    if (comm == NULL)
        return muster_error_set_ok(error);
    const int64_t deadline_ns =
        muster_nccl_clock_after_ns(muster_nccl_clock_now_ns(), comm->device->abort_timeout_ns);
    /* Who closes is the thread that borrowed: it is not inside NCCL. */
    if (comm->lent)
        (void)muster_nccl_comm_give_back(comm);
    const muster_nccl_comm_end end =
        finalize(comm) ? MUSTER_NCCL_END_DESTROY : MUSTER_NCCL_END_ABORT;
    const muster_status status = muster_nccl_ending_finish(comm, end, deadline_ns, error);
    return status == MUSTER_OK ? muster_error_set_ok(error) : status;
}

bool muster_nccl_comm_can_shrink(muster_device_comm *comm)
{
    muster_device *device = comm->device;
    pthread_mutex_lock(&device->lock);
    const muster_nccl_comm_state state = comm->state;
    pthread_mutex_unlock(&device->lock);
    if (state != MUSTER_NCCL_COMM_LIVE && state != MUSTER_NCCL_COMM_KEPT)
        return false;
    if (!muster_nccl_bracket_enter_revoked(&comm->bracket))
        return false;
    /* LIVE and revoked at this moment: the device's thread has not said yet whether it is kept. */
    const bool healthy = muster_nccl_comm_is_healthy(comm);
    muster_nccl_bracket_leave(&comm->bracket);
    return healthy;
}

muster_status muster_nccl_comm_borrow(muster_device_comm *comm, struct ncclComm **native,
                                      muster_error *error)
{
    if (comm->lent)
        return muster_error_set(error, MUSTER_ERR_BORROWED, MUSTER_FIELD_NONE, 0, 0,
                                "the NCCL communicator is lent out already: return it first");
    bool enqueued = false;
    muster_status status = muster_nccl_comm_check(comm, error);
    if (status == MUSTER_OK)
        status = muster_nccl_batch_all_enqueued(comm, &enqueued, error);
    if (status != MUSTER_OK)
        return status;
    if (!enqueued)
        return muster_error_set(error, MUSTER_ERR_IN_FLIGHT, MUSTER_FIELD_NONE, 0, 0,
                                "NCCL still enqueues a batch of this communicator, and would "
                                "refuse another call: wait for its request first");
    if (!muster_nccl_bracket_enter(&comm->bracket))
        return muster_nccl_failure_revoked(error);
    comm->lent = true;
    atomic_store(&comm->was_lent, true);
    *native = comm->native;
    return muster_error_set_ok(error);
}

muster_status muster_nccl_comm_give_back(muster_device_comm *comm)
{
    if (!comm->lent)
        return MUSTER_ERR_BORROWED;
    comm->lent = false;
    /* What the job began may be in progress still: the next batch asks first. */
    comm->settled = false;
    muster_nccl_bracket_leave(&comm->bracket);
    return muster_nccl_bracket_is_refused(&comm->bracket) ? MUSTER_ERR_RANK_LOST : MUSTER_OK;
}
