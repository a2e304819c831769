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

bool muster_message_copy(muster_message *copy, const muster_message *message)
{
    bool complete = true;
    *copy = *message;
    switch (message->type) {
    case MUSTER_MESSAGE_JOIN:
        copy->u.join.restore_slots = NULL;
        complete = MESSAGE_OWN(copy->u.join.members, copy->u.join.member_count);
        if (complete) {
            int32_t *slots = message->u.join.restore_slots;
            complete = MESSAGE_OWN(slots, copy->u.join.restore.slot_count);
            if (complete) {
                copy->u.join.restore_slots = slots;
            } else {
                free(copy->u.join.members);
            }
        }
        break;
    case MUSTER_MESSAGE_QUIET:
        complete = MESSAGE_OWN(copy->u.quiet.holdings, copy->u.quiet.holding_count);
        break;
    case MUSTER_MESSAGE_REVOKE:
        complete = MESSAGE_OWN(copy->u.revoke.deaths, copy->u.revoke.death_count);
        break;
    case MUSTER_MESSAGE_AGREED:
        /* All three before the verdict on any, so that no pointer of the original stays behind. */
        copy->u.agreed.members = NULL;
        copy->u.agreed.deaths = NULL;
        copy->u.agreed.restore_slots = NULL;
        {
            muster_member *members = message->u.agreed.members;
            muster_death *deaths = message->u.agreed.deaths;
            int32_t *slots = message->u.agreed.restore_slots;
            complete = MESSAGE_OWN(members, copy->u.agreed.member_count);
            if (complete) {
                copy->u.agreed.members = members;
                complete = MESSAGE_OWN(deaths, copy->u.agreed.death_count);
            }
            if (complete) {
                copy->u.agreed.deaths = deaths;
                complete = MESSAGE_OWN(slots, copy->u.agreed.restore.slot_count);
            }
            if (complete) {
                copy->u.agreed.restore_slots = slots;
            } else {
                free(copy->u.agreed.members);
                free(copy->u.agreed.deaths);
            }
        }
        break;
    default:
        break;
    }
    if (!complete) {
        memset(copy, 0, sizeof *copy);
    }
    return complete;
}
