/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/outbox.h"

#include <stdlib.h>
#include <string.h>

void muster_outbox_init(muster_outbox *outbox)
{
    memset(outbox, 0, sizeof *outbox);
}

void muster_outbox_clean_up(muster_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++) {
        muster_message_clean_up(&outbox->entries[i].message);
    }
    free(outbox->entries);
    muster_outbox_init(outbox);
}

static bool outbox_same(const muster_message *one, const muster_message *other)
{
    if (one->type != other->type) {
        return false;
    }
    if (one->type == MUSTER_MESSAGE_RESUMED) {
        return (one->u.resumed.returned_ns != 0) == (other->u.resumed.returned_ns != 0);
    }
    if (one->type != MUSTER_MESSAGE_EVIDENCE) {
        return true;
    }
    return one->u.evidence.evidence == other->u.evidence.evidence &&
           one->u.evidence.accused_slot == other->u.evidence.accused_slot &&
           one->u.evidence.accused_incarnation == other->u.evidence.accused_incarnation &&
           one->u.evidence.communicator == other->u.evidence.communicator &&
           one->u.evidence.sequence == other->u.evidence.sequence;
}

static void outbox_remove(muster_outbox *outbox, size_t index)
{
    muster_message_clean_up(&outbox->entries[index].message);
    outbox->count--;
    memmove(&outbox->entries[index], &outbox->entries[index + 1],
            (outbox->count - index) * sizeof outbox->entries[0]);
}

static bool outbox_reserve(muster_outbox *outbox)
{
    if (outbox->count < outbox->capacity) {
        return true;
    }
    size_t capacity = outbox->capacity ? 2 * outbox->capacity : 8;
    muster_outbox_entry *entries = realloc(outbox->entries, capacity * sizeof *entries);
    if (!entries) {
        return false;
    }
    outbox->entries = entries;
    outbox->capacity = capacity;
    return true;
}

bool muster_outbox_put(muster_outbox *outbox, muster_message *message)
{
    for (size_t i = 0; i < outbox->count; i++) {
        const muster_message *kept = &outbox->entries[i].message;
        if (!outbox_same(kept, message)) {
            continue;
        }
        if (message->type == MUSTER_MESSAGE_EVIDENCE) {
            /* A lost connection is said again while it lasts: a suspicion that stops has passed. */
            if (message->u.evidence.evidence == MUSTER_EVIDENCE_CONNECTION_LOST) {
                outbox->entries[i].sent = false;
            }
            muster_message_clean_up(message);
            memset(message, 0, sizeof *message);
            return true;
        }
        outbox_remove(outbox, i);
        break;
    }
    bool room = outbox_reserve(outbox);
    if (room) {
        outbox->entries[outbox->count++] = (muster_outbox_entry){.message = *message};
    } else {
        muster_message_clean_up(message);
    }
    memset(message, 0, sizeof *message);
    return room;
}

muster_outbox_entry *muster_outbox_next(muster_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++) {
        if (!outbox->entries[i].sent) {
            return &outbox->entries[i];
        }
    }
    return NULL;
}

muster_outbox_entry *muster_outbox_find(muster_outbox *outbox, uint32_t type)
{
    for (size_t i = 0; i < outbox->count; i++) {
        if (outbox->entries[i].message.type == type) {
            return &outbox->entries[i];
        }
    }
    return NULL;
}

void muster_outbox_send_again(muster_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++) {
        outbox->entries[i].sent = false;
    }
}

void muster_outbox_agreed(muster_outbox *outbox, uint64_t epoch)
{
    for (size_t i = outbox->count; i-- > 0;) {
        if (outbox->entries[i].message.epoch < epoch) {
            outbox_remove(outbox, i);
        }
    }
}

static bool outbox_names(const muster_death *deaths, int32_t death_count,
                         const muster_message *evidence)
{
    for (int32_t i = 0; i < death_count; i++) {
        if (deaths[i].slot == evidence->u.evidence.accused_slot &&
            deaths[i].incarnation >= evidence->u.evidence.accused_incarnation) {
            return true;
        }
    }
    return false;
}

void muster_outbox_revoked(muster_outbox *outbox, uint64_t epoch, const muster_death *deaths,
                           int32_t death_count)
{
    for (size_t i = outbox->count; i-- > 0;) {
        const muster_message *message = &outbox->entries[i].message;
        bool superseded = (message->type == MUSTER_MESSAGE_CONNECTED && message->epoch <= epoch) ||
                          (message->type == MUSTER_MESSAGE_EVIDENCE &&
                           outbox_names(deaths, death_count, message));
        if (superseded) {
            outbox_remove(outbox, i);
        }
    }
}
