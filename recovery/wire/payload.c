/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/payload.h"

#include "core/stream_fields.h"

static void payload_activity(muster_stream *stream, muster_activity *activity)
{
    muster_stream_u64(stream, &activity->progress_mark);
    muster_stream_bool(stream, &activity->waiting);
    muster_stream_u64(stream, &activity->communicator);
    muster_stream_u64(stream, &activity->sequence);
    muster_stream_u32(stream, &activity->call);
    muster_stream_u64(stream, &activity->waiting_since_ns);
    muster_stream_u64(stream, &activity->committed_step);
    muster_stream_bool(stream, &activity->has_committed_step);
    muster_stream_u64(stream, &activity->completed_calls);
    muster_stream_u64(stream, &activity->last_communicator);
    muster_stream_u64(stream, &activity->last_sequence);
    muster_stream_u32(stream, &activity->last_call);
}

static void payload_restore(muster_stream *stream, muster_restore *restore, int32_t **slots)
{
    muster_stream_bool(stream, &restore->has_step);
    muster_stream_bool(stream, &restore->state_lost);
    muster_stream_u64(stream, &restore->step);
    muster_stream_u64(stream, &restore->epoch);
    muster_stream_slot_runs(stream, &restore->slot_count, slots);
}

static void payload_note(muster_stream *stream, muster_note *note)
{
    muster_stream_u32(stream, &note->kind);
    muster_stream_u64(stream, &note->time_ns);
    muster_stream_u64(stream, &note->epoch);
    muster_stream_slot(stream, &note->slot);
    muster_stream_u32(stream, &note->incarnation);
    muster_stream_u32(stream, &note->evidence);
    muster_stream_i64(stream, &note->value);
    muster_stream_text(stream, note->text, sizeof note->text);
}

void muster_payload_stream(muster_stream *stream, muster_message *message)
{
    switch ((muster_message_type)message->type) {
    case MUSTER_MESSAGE_JOIN:
        muster_stream_u32(stream, &message->u.join.library_version);
        muster_stream_i32(stream, &message->u.join.slot_count);
        muster_stream_i32(stream, &message->u.join.process_id);
        muster_stream_u64(stream, &message->u.join.host);
        muster_stream_blob(stream, &message->u.join.blob);
        muster_stream_bool(stream, &message->u.join.rejoin);
        muster_stream_bool(stream, &message->u.join.revoked);
        muster_stream_u64(stream, &message->u.join.epoch_term);
        muster_stream_members(stream, &message->u.join.member_count, &message->u.join.members);
        payload_restore(stream, &message->u.join.restore, &message->u.join.restore_slots);
        muster_stream_deaths(stream, &message->u.join.death_count, &message->u.join.deaths);
        return;
    case MUSTER_MESSAGE_HEARTBEAT:
        payload_activity(stream, &message->u.heartbeat.activity);
        return;
    case MUSTER_MESSAGE_EVIDENCE:
        muster_stream_u32(stream, &message->u.evidence.evidence);
        muster_stream_slot(stream, &message->u.evidence.accused_slot);
        muster_stream_u32(stream, &message->u.evidence.accused_incarnation);
        muster_stream_u64(stream, &message->u.evidence.communicator);
        muster_stream_u64(stream, &message->u.evidence.sequence);
        muster_stream_u32(stream, &message->u.evidence.call);
        return;
    case MUSTER_MESSAGE_QUIET:
        muster_stream_u64(stream, &message->u.quiet.released_ns);
        muster_stream_u64(stream, &message->u.quiet.members_epoch);
        muster_stream_blob(stream, &message->u.quiet.blob);
        muster_stream_holdings(stream, &message->u.quiet.holding_count, &message->u.quiet.holdings);
        return;
    case MUSTER_MESSAGE_RESUMED:
        muster_stream_u64(stream, &message->u.resumed.returned_ns);
        muster_stream_u64(stream, &message->u.resumed.first_batch_ns);
        return;
    case MUSTER_MESSAGE_COMMITTED:
        muster_stream_u64(stream, &message->u.committed.step);
        return;
    case MUSTER_MESSAGE_PING:
    case MUSTER_MESSAGE_PONG:
        muster_stream_u64(stream, &message->u.ping.ping_id);
        muster_stream_u64(stream, &message->u.ping.sent_ns);
        muster_stream_u64(stream, &message->u.ping.received_ns);
        muster_stream_u64(stream, &message->u.ping.answered_ns);
        return;
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        muster_stream_text(stream, message->u.launcher_join.job_name,
                           sizeof message->u.launcher_join.job_name);
        muster_stream_i32(stream, &message->u.launcher_join.process_id);
        muster_stream_u64(stream, &message->u.launcher_join.host);
        muster_stream_i32(stream, &message->u.launcher_join.first_slot);
        muster_stream_i32(stream, &message->u.launcher_join.slot_count);
        muster_stream_i32(stream, &message->u.launcher_join.spare_count);
        muster_stream_policy(stream, &message->u.launcher_join.policy);
        return;
    case MUSTER_MESSAGE_STARTED:
    case MUSTER_MESSAGE_EXITED:
    case MUSTER_MESSAGE_START:
    case MUSTER_MESSAGE_KILL:
    case MUSTER_MESSAGE_ASSIGNED:
        muster_stream_i32(stream, &message->u.process.process_id);
        muster_stream_i32(stream, &message->u.process.wait_status);
        muster_stream_u64(stream, &message->u.process.time_ns);
        muster_stream_bool(stream, &message->u.process.member);
        return;
    case MUSTER_MESSAGE_WELCOME:
    case MUSTER_MESSAGE_LAUNCHER_WELCOME:
        muster_stream_policy(stream, &message->u.welcome.policy);
        muster_stream_bool(stream, &message->u.welcome.begun);
        return;
    case MUSTER_MESSAGE_REFUSED:
    case MUSTER_MESSAGE_GAVE_UP:
        muster_stream_u32(stream, &message->u.refused.status);
        muster_stream_text(stream, message->u.refused.text, sizeof message->u.refused.text);
        return;
    case MUSTER_MESSAGE_REVOKE:
        muster_stream_deaths(stream, &message->u.revoke.death_count, &message->u.revoke.deaths);
        return;
    case MUSTER_MESSAGE_AGREED:
        muster_stream_u32(stream, &message->u.agreed.kind);
        muster_stream_u64(stream, &message->u.agreed.base_epoch);
        muster_stream_members(stream, &message->u.agreed.member_count, &message->u.agreed.members);
        muster_stream_slot_runs(stream, &message->u.agreed.without_count,
                                &message->u.agreed.without);
        muster_stream_u64(stream, &message->u.agreed.members_hash);
        muster_stream_deaths(stream, &message->u.agreed.death_count, &message->u.agreed.deaths);
        payload_restore(stream, &message->u.agreed.restore, &message->u.agreed.restore_slots);
        muster_stream_bool(stream, &message->u.agreed.abandon_memory);
        return;
    case MUSTER_MESSAGE_NOTE:
        payload_note(stream, &message->u.note);
        return;
    case MUSTER_MESSAGE_CONNECTED:
    case MUSTER_MESSAGE_LEAVE:
    case MUSTER_MESSAGE_LAUNCHER_HEARTBEAT:
    case MUSTER_MESSAGE_LAUNCHER_LEAVE:
    case MUSTER_MESSAGE_ESTABLISHED:
    case MUSTER_MESSAGE_CALLS_DIFFER:
    case MUSTER_MESSAGE_GOODBYE:
    case MUSTER_MESSAGE_REJOIN:
        return; /* the header says it all */
    }
    muster_stream_fail(stream, "its type is none");
}
