/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t all_types[] = {
    MUSTER_MESSAGE_JOIN,
    MUSTER_MESSAGE_HEARTBEAT,
    MUSTER_MESSAGE_EVIDENCE,
    MUSTER_MESSAGE_QUIET,
    MUSTER_MESSAGE_CONNECTED,
    MUSTER_MESSAGE_RESUMED,
    MUSTER_MESSAGE_COMMITTED,
    MUSTER_MESSAGE_LEAVE,
    MUSTER_MESSAGE_PONG,
    MUSTER_MESSAGE_LAUNCHER_JOIN,
    MUSTER_MESSAGE_LAUNCHER_HEARTBEAT,
    MUSTER_MESSAGE_STARTED,
    MUSTER_MESSAGE_EXITED,
    MUSTER_MESSAGE_LAUNCHER_LEAVE,
    MUSTER_MESSAGE_WELCOME,
    MUSTER_MESSAGE_REFUSED,
    MUSTER_MESSAGE_REVOKE,
    MUSTER_MESSAGE_AGREED,
    MUSTER_MESSAGE_ESTABLISHED,
    MUSTER_MESSAGE_GAVE_UP,
    MUSTER_MESSAGE_CALLS_DIFFER,
    MUSTER_MESSAGE_PING,
    MUSTER_MESSAGE_GOODBYE,
    MUSTER_MESSAGE_REJOIN,
    MUSTER_MESSAGE_LAUNCHER_WELCOME,
    MUSTER_MESSAGE_START,
    MUSTER_MESSAGE_KILL,
    MUSTER_MESSAGE_ASSIGNED,
    MUSTER_MESSAGE_NOTE,
};

int sample_types(const uint32_t **types)
{
    *types = all_types;
    return (int)(sizeof all_types / sizeof all_types[0]);
}

uint64_t sample_random(uint64_t *state)
{
    uint64_t mixed = (*state += 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static int32_t sample_slot(uint64_t *state)
{
    return (int32_t)(sample_random(state) % (MUSTER_SLOTS_MAX + 2)) - 2;
}

static bool sample_bool(uint64_t *state)
{
    return (sample_random(state) & 1) != 0;
}

static uint32_t sample_u32(uint64_t *state)
{
    return (uint32_t)sample_random(state);
}

static int32_t sample_i32(uint64_t *state)
{
    return (int32_t)(uint32_t)sample_random(state);
}

static void sample_blob(uint64_t *state, muster_blob *blob)
{
    blob->bytes = sample_u32(state) % (MUSTER_BLOB_BYTES + 1);
    for (uint32_t i = 0; i < blob->bytes; i++) {
        blob->data[i] = (uint8_t)sample_random(state);
    }
}

static void sample_text(uint64_t *state, char *text, size_t capacity)
{
    size_t length = sample_random(state) % capacity;
    for (size_t i = 0; i < length; i++) {
        text[i] = (char)('a' + sample_random(state) % 26);
    }
    text[length] = '\0';
}

static int32_t sample_count(uint64_t *state, void **items, size_t item_bytes)
{
    int32_t count = (int32_t)(sample_random(state) % 9);
    *items = count ? calloc((size_t)count, item_bytes) : NULL;
    return count;
}

static void sample_members(uint64_t *state, int32_t *count, muster_member **members)
{
    *count = sample_count(state, (void **)members, sizeof **members);
    for (int32_t i = 0; i < *count; i++) {
        (*members)[i].slot = sample_slot(state);
        (*members)[i].incarnation = sample_u32(state);
        (*members)[i].process_id = sample_i32(state);
        (*members)[i].host = sample_random(state);
        sample_blob(state, &(*members)[i].blob);
    }
}

static void sample_deaths(uint64_t *state, int32_t *count, muster_death **deaths)
{
    *count = sample_count(state, (void **)deaths, sizeof **deaths);
    for (int32_t i = 0; i < *count; i++) {
        (*deaths)[i].slot = sample_slot(state);
        (*deaths)[i].incarnation = sample_u32(state);
        (*deaths)[i].evidence = sample_u32(state) % 10;
        (*deaths)[i].wait_status = sample_i32(state);
        (*deaths)[i].proven_gone = sample_bool(state);
    }
}

static void sample_policy(uint64_t *state, muster_policy *policy)
{
    policy->slot_count = sample_i32(state);
    policy->on_loss = sample_u32(state);
    policy->min_ranks = sample_i32(state);
    policy->max_replacements = sample_i32(state);
    policy->crash_loop_deaths = sample_i32(state);
    policy->grow = sample_bool(state);
#define SAMPLE_DEADLINE(name, default_ms, sentence) \
    policy->deadlines.name##_ns = (int64_t)sample_random(state);
    MUSTER_DEADLINE_LIST(SAMPLE_DEADLINE)
#undef SAMPLE_DEADLINE
}

static void sample_restore(uint64_t *state, muster_restore *restore, int32_t **slots)
{
    restore->has_step = sample_bool(state);
    restore->state_lost = sample_bool(state);
    restore->step = sample_random(state);
    restore->epoch = sample_random(state);
    restore->slot_count = sample_count(state, (void **)slots, sizeof(int32_t));
    for (int32_t i = 0; i < restore->slot_count; i++) {
        (*slots)[i] = sample_slot(state);
    }
}

static void sample_join(uint64_t *state, muster_message *message)
{
    message->u.join.library_version = sample_u32(state);
    message->u.join.slot_count = sample_i32(state);
    message->u.join.process_id = sample_i32(state);
    message->u.join.host = sample_random(state);
    sample_blob(state, &message->u.join.blob);
    message->u.join.rejoin = sample_bool(state);
    message->u.join.revoked = sample_bool(state);
    message->u.join.epoch_term = sample_random(state);
    sample_members(state, &message->u.join.member_count, &message->u.join.members);
    sample_restore(state, &message->u.join.restore, &message->u.join.restore_slots);
    sample_deaths(state, &message->u.join.death_count, &message->u.join.deaths);
}

static void sample_heartbeat(uint64_t *state, muster_message *message)
{
    muster_activity *activity = &message->u.heartbeat.activity;
    activity->progress_mark = sample_random(state);
    activity->waiting = sample_bool(state);
    activity->communicator = sample_random(state);
    activity->sequence = sample_random(state);
    activity->call = sample_u32(state);
    activity->waiting_since_ns = sample_random(state);
    activity->committed_step = sample_random(state);
    activity->has_committed_step = sample_bool(state);
    activity->completed_calls = sample_random(state);
    activity->last_communicator = sample_random(state);
    activity->last_sequence = sample_random(state);
    activity->last_call = sample_u32(state);
}

static void sample_quiet(uint64_t *state, muster_message *message)
{
    message->u.quiet.released_ns = sample_random(state);
    message->u.quiet.members_epoch = sample_random(state);
    sample_blob(state, &message->u.quiet.blob);
    message->u.quiet.holding_count =
        sample_count(state, (void **)&message->u.quiet.holdings, sizeof *message->u.quiet.holdings);
    for (int32_t i = 0; i < message->u.quiet.holding_count; i++) {
        message->u.quiet.holdings[i].slot = sample_slot(state);
        message->u.quiet.holdings[i].epoch = sample_random(state);
        message->u.quiet.holdings[i].step = sample_random(state);
        message->u.quiet.holdings[i].mirror = sample_bool(state);
        message->u.quiet.holdings[i].committed = sample_bool(state);
    }
}

static void sample_agreed(uint64_t *state, muster_message *message)
{
    message->u.agreed.kind = sample_u32(state);
    message->u.agreed.base_epoch = sample_bool(state) ? sample_random(state) : 0;
    message->u.agreed.members_hash = sample_random(state);
    message->u.agreed.without_count =
        sample_count(state, (void **)&message->u.agreed.without, sizeof(int32_t));
    for (int32_t i = 0; i < message->u.agreed.without_count; i++) {
        bool follows = i > 0 && message->u.agreed.without[i - 1] < MUSTER_SLOTS_MAX - 1;
        message->u.agreed.without[i] = follows && sample_bool(state)
                                           ? message->u.agreed.without[i - 1] + 1
                                           : sample_slot(state);
    }
    sample_members(state, &message->u.agreed.member_count, &message->u.agreed.members);
    sample_deaths(state, &message->u.agreed.death_count, &message->u.agreed.deaths);
    sample_restore(state, &message->u.agreed.restore, &message->u.agreed.restore_slots);
    message->u.agreed.abandon_memory = sample_bool(state);
}

static void sample_note(uint64_t *state, muster_note *note)
{
    note->kind = sample_u32(state);
    note->time_ns = sample_random(state);
    note->epoch = sample_random(state);
    note->slot = sample_slot(state);
    note->incarnation = sample_u32(state);
    note->evidence = sample_u32(state);
    note->value = (int64_t)sample_random(state);
    sample_text(state, note->text, sizeof note->text);
}

void sample_message(uint64_t *state, uint32_t type, muster_message *message)
{
    memset(message, 0, sizeof *message);
    message->type = type;
    message->job = sample_random(state);
    message->term = sample_random(state);
    message->epoch = sample_random(state);
    message->slot = sample_slot(state);
    message->incarnation = sample_u32(state);
    switch ((muster_message_type)type) {
    case MUSTER_MESSAGE_JOIN:
        sample_join(state, message);
        return;
    case MUSTER_MESSAGE_HEARTBEAT:
        sample_heartbeat(state, message);
        return;
    case MUSTER_MESSAGE_EVIDENCE:
        message->u.evidence.evidence = sample_u32(state);
        message->u.evidence.accused_slot = sample_slot(state);
        message->u.evidence.accused_incarnation = sample_u32(state);
        message->u.evidence.communicator = sample_random(state);
        message->u.evidence.sequence = sample_random(state);
        message->u.evidence.call = sample_u32(state);
        return;
    case MUSTER_MESSAGE_QUIET:
        sample_quiet(state, message);
        return;
    case MUSTER_MESSAGE_RESUMED:
        message->u.resumed.returned_ns = sample_random(state);
        message->u.resumed.first_batch_ns = sample_random(state);
        return;
    case MUSTER_MESSAGE_COMMITTED:
        message->u.committed.step = sample_random(state);
        return;
    case MUSTER_MESSAGE_PING:
    case MUSTER_MESSAGE_PONG:
        message->u.ping.ping_id = sample_random(state);
        message->u.ping.sent_ns = sample_random(state);
        message->u.ping.received_ns = sample_random(state);
        message->u.ping.answered_ns = sample_random(state);
        return;
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        sample_text(state, message->u.launcher_join.job_name,
                    sizeof message->u.launcher_join.job_name);
        message->u.launcher_join.process_id = sample_i32(state);
        message->u.launcher_join.host = sample_random(state);
        message->u.launcher_join.first_slot = sample_i32(state);
        message->u.launcher_join.slot_count = sample_i32(state);
        message->u.launcher_join.spare_count = sample_i32(state);
        sample_policy(state, &message->u.launcher_join.policy);
        return;
    case MUSTER_MESSAGE_STARTED:
    case MUSTER_MESSAGE_EXITED:
    case MUSTER_MESSAGE_START:
    case MUSTER_MESSAGE_KILL:
    case MUSTER_MESSAGE_ASSIGNED:
        message->u.process.process_id = sample_i32(state);
        message->u.process.wait_status = sample_i32(state);
        message->u.process.time_ns = sample_random(state);
        message->u.process.member = sample_random(state) % 2 == 1;
        return;
    case MUSTER_MESSAGE_WELCOME:
    case MUSTER_MESSAGE_LAUNCHER_WELCOME:
        sample_policy(state, &message->u.welcome.policy);
        message->u.welcome.begun = sample_bool(state);
        return;
    case MUSTER_MESSAGE_REFUSED:
    case MUSTER_MESSAGE_GAVE_UP:
        message->u.refused.status = sample_u32(state);
        sample_text(state, message->u.refused.text, sizeof message->u.refused.text);
        return;
    case MUSTER_MESSAGE_REVOKE:
        sample_deaths(state, &message->u.revoke.death_count, &message->u.revoke.deaths);
        return;
    case MUSTER_MESSAGE_AGREED:
        sample_agreed(state, message);
        return;
    case MUSTER_MESSAGE_NOTE:
        sample_note(state, &message->u.note);
        return;
    case MUSTER_MESSAGE_CONNECTED:
    case MUSTER_MESSAGE_LEAVE:
    case MUSTER_MESSAGE_LAUNCHER_HEARTBEAT:
    case MUSTER_MESSAGE_LAUNCHER_LEAVE:
    case MUSTER_MESSAGE_ESTABLISHED:
    case MUSTER_MESSAGE_CALLS_DIFFER:
    case MUSTER_MESSAGE_GOODBYE:
    case MUSTER_MESSAGE_REJOIN:
        return;
    }
}
