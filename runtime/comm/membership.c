/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/membership.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/clock.h"
#include "comm/recovery_trace.h"
#include "comm/refusal.h"
#include "scope/step_store.h"

enum { HOLDINGS_MAX = 4 };

void muster_membership_quiet(muster_job *job, uint64_t epoch)
{
    muster_transport_blob blob;
    job->table->endpoint_blob(job->endpoint, &blob);
    muster_blob wire_blob = {.bytes = blob.bytes};
    memcpy(wire_blob.data, blob.data, sizeof(wire_blob.data));
    muster_holding holdings[HOLDINGS_MAX];
    int32_t count = muster_step_store_holdings(job->steps, holdings, HOLDINGS_MAX);
    MUSTER_ASSERT(count <= HOLDINGS_MAX);
    muster_agent_quiet(job->agent, epoch, atomic_load(&job->released_ns), &wire_blob, holdings,
                       count);
    muster_recovery_trace(job, MUSTER_NOTE_QUIET, epoch);
}

static int32_t find_own_rank(const muster_job *job, const muster_message *agreed)
{
    int32_t slot = muster_agent_slot(job->agent);
    for (int32_t rank = 0; rank < agreed->u.agreed.member_count; rank++)
        if (agreed->u.agreed.members[rank].slot == slot)
            return rank;
    return MUSTER_RANK_NONE;
}

/* One try at one epoch. MUSTER_ERR_RANK_LOST: it was revoked, try the next. */
static muster_status enter_once(muster_job *job, const muster_membership *membership,
                                int64_t deadline_ns, muster_error *error)
{
    const muster_message *agreed = &membership->agreed;
    int32_t own_rank = find_own_rank(job, agreed);
    if (own_rank == MUSTER_RANK_NONE)
        return muster_error_set(
            error, MUSTER_ERR_FENCED, MUSTER_FIELD_EPOCH, (int64_t)membership->epoch, 0,
            "epoch %llu was formed without this rank", (unsigned long long)membership->epoch);
    if (!muster_step_store_set_restore(job->steps, &agreed->u.agreed.restore,
                                       agreed->u.agreed.restore_slots))
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the restore point");
    if (agreed->u.agreed.abandon_memory) {
        muster_status status = job->table->memory_abandon(job->endpoint, error);
        if (status != MUSTER_OK)
            return status;
    }
    /* A spare has learned its slot, and with it its device, only now. */
    muster_status status =
        muster_device_plane_open(&job->device, &job->options, muster_agent_slot(job->agent), error);
    if (status != MUSTER_OK)
        return status;
    status = muster_comm_connect(job->world, membership->epoch, agreed->u.agreed.members,
                                 agreed->u.agreed.member_count, own_rank, deadline_ns, error);
    if (status != MUSTER_OK)
        return status;
    atomic_store(&job->epoch, membership->epoch);
    job->tracer.who.epoch = membership->epoch;
    job->tracer.who.slot = muster_agent_slot(job->agent);
    job->tracer.who.incarnation = muster_agent_incarnation(job->agent);
    muster_recovery_trace(job, MUSTER_NOTE_CONNECTED, membership->epoch);
    return muster_agent_await_established(job->agent, membership->epoch, deadline_ns, error);
}

static void fill_result(const muster_membership *membership, int64_t began_ns, int64_t agreed_ns,
                        muster_rebuild_result *result)
{
    const muster_message *agreed = &membership->agreed;
    size_t struct_bytes = result->struct_bytes;
    *result = (muster_rebuild_result){
        .struct_bytes = struct_bytes,
        .epoch = {membership->epoch},
        .kind = (muster_rebuild_kind)agreed->u.agreed.kind,
        .lost_slot_count = agreed->u.agreed.death_count,
        .quiet_ns = agreed_ns - began_ns,
        .connect_ns = muster_clock_now_ns() - agreed_ns,
    };
}

muster_status muster_membership_enter(muster_job *job, uint64_t after_epoch, int64_t deadline_ns,
                                      muster_rebuild_result *result, muster_error *error)
{
    int64_t began_ns = muster_clock_now_ns();
    for (;;) {
        muster_membership membership = {0};
        muster_status status =
            muster_agent_await_agreed(job->agent, after_epoch, deadline_ns, &membership, error);
        if (status != MUSTER_OK)
            return status;
        int64_t agreed_ns = muster_clock_now_ns();
        after_epoch = membership.epoch;
        muster_recovery_trace(job, MUSTER_NOTE_AGREED, membership.epoch);
        /* A spare waits without end for its slot, but not for the ranks of its epoch. */
        if (deadline_ns == INT64_MAX)
            deadline_ns = muster_clock_deadline_ns(job->policy.deadlines.rebuild_ns);
        status = enter_once(job, &membership, deadline_ns, error);
        if (status == MUSTER_OK)
            muster_recovery_trace(job, MUSTER_NOTE_ESTABLISHED, membership.epoch);
        if (status == MUSTER_OK && result != NULL)
            fill_result(&membership, began_ns, agreed_ns, result);
        muster_membership_clean_up(&membership);
        if (status != MUSTER_OK &&
            muster_job_close_transports(job, MUSTER_ERR_RANK_LOST) == MUSTER_ERR_DEVICE_STUCK)
            return muster_comm_describe_failure(job->world, MUSTER_ERR_DEVICE_STUCK, error);
        if (status != MUSTER_ERR_RANK_LOST)
            return status;
        /* Lost a member before the epoch stood: the next one is formed from who is left. */
        muster_membership_quiet(job, after_epoch);
    }
}
