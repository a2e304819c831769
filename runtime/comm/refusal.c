/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/refusal.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "comm/clock.h"
#include "comm/recovery_trace.h"

bool muster_job_is_ours(const muster_job *job)
{
    return *job->not_forked != 0;
}

muster_status muster_comm_refusal(muster_comm *comm)
{
    if (comm->failed != MUSTER_OK)
        return comm->failed;
    muster_status standing = muster_agent_standing(comm->job->agent);
    if (standing != MUSTER_OK)
        return standing;
    return muster_agent_revoked(comm->job->agent, comm->epoch) ? MUSTER_ERR_RANK_LOST : MUSTER_OK;
}

muster_status muster_comm_describe_failure(const muster_comm *comm, muster_status status,
                                           muster_error *error)
{
    if (status == MUSTER_ERR_COMM_FAILED && comm->device.fault.status != MUSTER_OK) {
        muster_error_set(error, status, comm->device.fault.field, 0, 0, "%s: %.180s",
                         muster_status_text(status), comm->device.fault.message);
        if (error != NULL)
            error->native_code = comm->device.fault.native_code;
        return status;
    }
    if (status != MUSTER_ERR_RANK_LOST)
        return muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0, "%s; %s",
                                muster_status_text(status),
                                muster_advice_text(muster_status_advice(status)));
    muster_death deaths[4];
    int32_t count = muster_agent_deaths(comm->job->agent, comm->epoch, deaths, 4);
    char who[128] = "";
    size_t used = 0;
    for (int32_t i = 0; i < count && i < 4 && used < sizeof(who); i++) {
        int written =
            snprintf(who + used, sizeof(who) - used, "%sslot %d (%s)", i > 0 ? ", " : "",
                     deaths[i].slot, muster_evidence_text((muster_evidence)deaths[i].evidence));
        used += written > 0 ? (size_t)written : 0;
    }
    muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0,
                     "epoch %llu is revoked, lost: %s%s; call muster_comm_rebuild",
                     (unsigned long long)comm->epoch, count == 0 ? "nobody" : who,
                     count > 4 ? " and more" : "");
    if (error != NULL && count > 0)
        error->rank = muster_comm_rank_of_slot(comm, deaths[0].slot);
    return status;
}

muster_status muster_comm_check_usable(muster_comm *comm, muster_error *error)
{
    if (comm == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "comm is NULL; pass a communicator of a joined job");
    if (!muster_job_is_ours(comm->job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "a communicator of the parent process is used in a forked child; "
                                "join anew or exec");
    pthread_mutex_lock(&comm->lock);
    muster_status refusal = muster_comm_refusal(comm);
    pthread_mutex_unlock(&comm->lock);
    return refusal == MUSTER_OK ? muster_error_set_ok(error)
                                : muster_comm_describe_failure(comm, refusal, error);
}

void muster_comm_note_released(muster_comm *comm)
{
    /* The last one counts: "released" means that nothing of this rank is inside a call any more. */
    atomic_store_explicit(&comm->job->released_ns, (uint64_t)muster_clock_now_ns(),
                          memory_order_relaxed);
    muster_recovery_trace(comm->job, MUSTER_NOTE_RELEASED, comm->epoch);
}
