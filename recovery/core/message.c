/* SPDX-License-Identifier: Apache-2.0 */
#include "core/message.h"

#include <stdlib.h>
#include <string.h>

const char *muster_evidence_text(muster_evidence evidence)
{
    switch (evidence) {
#define MUSTER_EVIDENCE_CASE(name, value, text) \
    case MUSTER_EVIDENCE_##name: \
        return text;
        MUSTER_EVIDENCE_LIST(MUSTER_EVIDENCE_CASE)
#undef MUSTER_EVIDENCE_CASE
    }
    return "unknown evidence";
}

const char *muster_note_text(muster_note_kind kind)
{
    switch (kind) {
#define MUSTER_NOTE_CASE(name, value, text) \
    case MUSTER_NOTE_##name: \
        return text;
        MUSTER_NOTE_LIST(MUSTER_NOTE_CASE)
#undef MUSTER_NOTE_CASE
    }
    return "unknown note";
}

const char *muster_message_type_text(uint32_t type)
{
    switch ((muster_message_type)type) {
#define MUSTER_TYPE_CASE(name) \
    case MUSTER_MESSAGE_##name: \
        return #name;
        MUSTER_TYPE_CASE(JOIN)
        MUSTER_TYPE_CASE(HEARTBEAT)
        MUSTER_TYPE_CASE(EVIDENCE)
        MUSTER_TYPE_CASE(QUIET)
        MUSTER_TYPE_CASE(CONNECTED)
        MUSTER_TYPE_CASE(RESUMED)
        MUSTER_TYPE_CASE(COMMITTED)
        MUSTER_TYPE_CASE(LEAVE)
        MUSTER_TYPE_CASE(PONG)
        MUSTER_TYPE_CASE(LAUNCHER_JOIN)
        MUSTER_TYPE_CASE(LAUNCHER_HEARTBEAT)
        MUSTER_TYPE_CASE(STARTED)
        MUSTER_TYPE_CASE(EXITED)
        MUSTER_TYPE_CASE(LAUNCHER_LEAVE)
        MUSTER_TYPE_CASE(WELCOME)
        MUSTER_TYPE_CASE(REFUSED)
        MUSTER_TYPE_CASE(REVOKE)
        MUSTER_TYPE_CASE(AGREED)
        MUSTER_TYPE_CASE(ESTABLISHED)
        MUSTER_TYPE_CASE(GAVE_UP)
        MUSTER_TYPE_CASE(CALLS_DIFFER)
        MUSTER_TYPE_CASE(PING)
        MUSTER_TYPE_CASE(GOODBYE)
        MUSTER_TYPE_CASE(REJOIN)
        MUSTER_TYPE_CASE(LAUNCHER_WELCOME)
        MUSTER_TYPE_CASE(START)
        MUSTER_TYPE_CASE(KILL)
        MUSTER_TYPE_CASE(ASSIGNED)
        MUSTER_TYPE_CASE(NOTE)
#undef MUSTER_TYPE_CASE
    }
    return "unknown message";
}

void muster_message_clean_up(muster_message *message)
{
    switch (message->type) {
    case MUSTER_MESSAGE_JOIN:
        free(message->u.join.members);
        free(message->u.join.restore_slots);
        free(message->u.join.deaths);
        break;
    case MUSTER_MESSAGE_QUIET:
        free(message->u.quiet.holdings);
        break;
    case MUSTER_MESSAGE_REVOKE:
        free(message->u.revoke.deaths);
        break;
    case MUSTER_MESSAGE_AGREED:
        free(message->u.agreed.members);
        free(message->u.agreed.deaths);
        free(message->u.agreed.restore_slots);
        free(message->u.agreed.without);
        break;
    default:
        break;
    }
    memset(message, 0, sizeof *message);
}

/* Replaces *array by a copy of its own; an empty array becomes NULL. */
static bool message_own_array(void **array, int32_t count, size_t item_bytes)
{
    void *copy = NULL;
    if (count > 0) {
        copy = malloc((size_t)count * item_bytes);
        if (!copy) {
            return false;
        }
        memcpy(copy, *array, (size_t)count * item_bytes);
    }
    *array = copy;
    return true;
}

#define MESSAGE_OWN(array, count) message_own_array((void **)&(array), (count), sizeof *(array))

static bool message_copy_join(muster_message *copy, const muster_message *message)
{
    muster_member *members = message->u.join.members;
    int32_t *slots = message->u.join.restore_slots;
    muster_death *deaths = message->u.join.deaths;
    /* All before the verdict on any, so that no pointer of the original stays behind. */
    bool has_members = MESSAGE_OWN(members, message->u.join.member_count);
    bool has_slots = MESSAGE_OWN(slots, message->u.join.restore.slot_count);
    bool has_deaths = MESSAGE_OWN(deaths, message->u.join.death_count);
    copy->u.join.members = has_members ? members : NULL;
    copy->u.join.restore_slots = has_slots ? slots : NULL;
    copy->u.join.deaths = has_deaths ? deaths : NULL;
    if (has_members && has_slots && has_deaths) {
        return true;
    }
    free(copy->u.join.members);
    free(copy->u.join.restore_slots);
    free(copy->u.join.deaths);
    return false;
}

static bool message_copy_agreed(muster_message *copy, const muster_message *message)
{
    muster_member *members = message->u.agreed.members;
    muster_death *deaths = message->u.agreed.deaths;
    int32_t *slots = message->u.agreed.restore_slots;
    bool has_members = MESSAGE_OWN(members, message->u.agreed.member_count);
    bool has_deaths = MESSAGE_OWN(deaths, message->u.agreed.death_count);
    int32_t *without = message->u.agreed.without;
    bool has_slots = MESSAGE_OWN(slots, message->u.agreed.restore.slot_count);
    bool has_without = MESSAGE_OWN(without, message->u.agreed.without_count);
    copy->u.agreed.members = has_members ? members : NULL;
    copy->u.agreed.deaths = has_deaths ? deaths : NULL;
    copy->u.agreed.restore_slots = has_slots ? slots : NULL;
    copy->u.agreed.without = has_without ? without : NULL;
    if (has_members && has_deaths && has_slots && has_without) {
        return true;
    }
    free(copy->u.agreed.members);
    free(copy->u.agreed.deaths);
    free(copy->u.agreed.restore_slots);
    free(copy->u.agreed.without);
    return false;
}

bool muster_message_copy(muster_message *copy, const muster_message *message)
{
    bool complete = true;
    *copy = *message;
    switch (message->type) {
    case MUSTER_MESSAGE_JOIN:
        complete = message_copy_join(copy, message);
        break;
    case MUSTER_MESSAGE_QUIET:
        complete = MESSAGE_OWN(copy->u.quiet.holdings, copy->u.quiet.holding_count);
        break;
    case MUSTER_MESSAGE_REVOKE:
        complete = MESSAGE_OWN(copy->u.revoke.deaths, copy->u.revoke.death_count);
        break;
    case MUSTER_MESSAGE_AGREED:
        complete = message_copy_agreed(copy, message);
        break;
    default:
        break;
    }
    if (!complete) {
        memset(copy, 0, sizeof *copy);
    }
    return complete;
}
