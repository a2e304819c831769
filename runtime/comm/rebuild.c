/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuild: from a revoked epoch to the next one. */
#include <string.h>

#include <muster/comm.h>

#include "base/error.h"
#include "comm/clock.h"
#include "comm/comm.h"
#include "comm/membership.h"
#include "comm/recovery_trace.h"
#include "comm/refusal.h"

muster_status muster_comm_rebuild(muster_comm *world, muster_rebuild_result *result,
                                  muster_error *error)
{
    if (world == NULL || !world->is_world)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "muster_comm_rebuild takes the job's world communicator, it got %s",
                                world == NULL ? "NULL" : "a split one");
    muster_job *job = world->job;
    if (!muster_job_is_ours(job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "a communicator of the parent process is used in a forked child");
    if (result != NULL && result->struct_bytes != sizeof(*result))
        return muster_error_set(error, MUSTER_ERR_STRUCT_SIZE, MUSTER_FIELD_STRUCT_BYTES,
                                (int64_t)sizeof(*result), (int64_t)result->struct_bytes,
                                "result->struct_bytes is not sizeof(muster_rebuild_result)");
    pthread_mutex_lock(&world->lock);
    bool usable = muster_comm_refusal(world) == MUSTER_OK;
    pthread_mutex_unlock(&world->lock);
    if (usable)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "epoch %llu stands; a rebuild follows a revoke or a failed "
                                "communicator",
                                (unsigned long long)world->epoch);
    uint64_t epoch = world->epoch;
    muster_recovery_trace(job, MUSTER_NOTE_REBUILD_BEGIN, epoch);
    if (muster_job_close_transports(job, MUSTER_ERR_RANK_LOST) == MUSTER_ERR_DEVICE_STUCK)
        return muster_comm_describe_failure(world, MUSTER_ERR_DEVICE_STUCK, error);
    muster_membership_quiet(job, epoch);
    int64_t deadline_ns = muster_clock_deadline_ns(job->policy.deadlines.rebuild_ns);
    atomic_store(&job->first_batch_seen, false);
    muster_status status = muster_membership_enter(job, epoch, deadline_ns, result, error);
    if (status != MUSTER_OK)
        return status;
    atomic_store(&job->released_ns, 0);
    muster_agent_report_resumed(job->agent, (uint64_t)muster_clock_now_ns(), 0);
    muster_recovery_trace(job, MUSTER_NOTE_RESUMED, world->epoch);
    return muster_error_set_ok(error);
}
