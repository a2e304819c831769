/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/claims.h"

#include <stdlib.h>
#include <string.h>

#include "core/stream.h"

#define CLAIMS_SPARES_MAX 4096u
#define CLAIMS_LAUNCHERS_MAX MUSTER_SLOTS_MAX

void muster_claims_clean_up(muster_claims *claims)
{
    free(claims->slots);
    free(claims->launchers);
    free(claims->spares);
    memset(claims, 0, sizeof *claims);
}

/* ---- may it be said? ---- */

static const muster_claim *claims_slot(const muster_claims *claims, int32_t slot)
{
    if (slot < 0 || (size_t)slot >= claims->slot_count || claims->slots[slot].key.text[0] == '\0')
        return NULL;
    return &claims->slots[slot];
}

static bool claims_allow_join(const muster_claims *claims, const muster_key *key,
                              const muster_message *join)
{
    const muster_claim *claim = claims_slot(claims, join->slot);
    if (join->slot == MUSTER_SLOT_SPARE_WIRE) {
        for (size_t i = 0; i < claims->spare_count; i++) {
            if (claims->spares[i].process_id == join->u.join.process_id &&
                claims->spares[i].host == join->u.join.host &&
                !muster_key_same(&claims->spares[i].key, key))
                return false;
        }
        return true;
    }
    if (claim == NULL || muster_key_same(&claim->key, key))
        return true;
    /* A process that its launcher has started in place of this one may have a key of its own; the core
     * asks the launcher's word. Everybody else is another. */
    return !join->u.join.rejoin && join->incarnation != UINT32_MAX &&
           join->incarnation > claim->incarnation;
}

static bool claims_launcher_covers(const muster_launcher_claim *launcher, int32_t slot)
{
    return slot >= launcher->first_slot && slot < launcher->first_slot + launcher->slot_count;
}

static bool claims_allow_launcher_join(const muster_claims *claims, const muster_key *key,
                                       const muster_message *join)
{
    int32_t first = join->u.launcher_join.first_slot;
    int32_t count = join->u.launcher_join.slot_count;
    for (size_t i = 0; i < claims->launcher_count; i++) {
        const muster_launcher_claim *other = &claims->launchers[i];
        bool overlaps = first < other->first_slot + other->slot_count &&
                        other->first_slot < (int64_t)first + count;
        if (overlaps && !muster_key_same(&other->key, key))
            return false;
    }
    return true;
}

/* Of a process of theirs; where no launcher is known to own the slot, nobody's word counts. */
static bool claims_allow_process(const muster_claims *claims, const muster_key *key, int32_t slot)
{
    for (size_t i = 0; i < claims->launcher_count; i++) {
        const muster_launcher_claim *launcher = &claims->launchers[i];
        if ((slot < 0 || claims_launcher_covers(launcher, slot)) &&
            muster_key_same(&launcher->key, key))
            return true;
    }
    /* A launcher's spare may hold a slot of another launcher's; its key is the spare's. */
    const muster_claim *claim = claims_slot(claims, slot);
    return claim != NULL && muster_key_same(&claim->key, key);
}

bool muster_claims_allow(const muster_claims *claims, const muster_key *key,
                         const muster_message *message)
{
    switch ((muster_message_type)message->type) {
    case MUSTER_MESSAGE_JOIN:
        return claims_allow_join(claims, key, message);
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        return claims_allow_launcher_join(claims, key, message);
    case MUSTER_MESSAGE_STARTED:
    case MUSTER_MESSAGE_EXITED:
        return claims_allow_process(claims, key, message->slot);
    default:
        break;
    }
    const muster_claim *claim = claims_slot(claims, message->slot);
    return claim == NULL || claim->incarnation != message->incarnation ||
           muster_key_same(&claim->key, key);
}

bool muster_claims_has(const muster_claims *claims, const muster_key *key)
{
    for (size_t i = 0; i < claims->launcher_count; i++) {
        if (muster_key_same(&claims->launchers[i].key, key))
            return true;
    }
    for (size_t i = 0; i < claims->slot_count; i++) {
        if (muster_key_same(&claims->slots[i].key, key))
            return true;
    }
    return false;
}

/* ---- who holds what ---- */

static void claims_hear_spare(muster_claims *claims, const muster_key *key,
                              const muster_message *join)
{
    for (size_t i = 0; i < claims->spare_count; i++) {
        if (claims->spares[i].process_id == join->u.join.process_id &&
            claims->spares[i].host == join->u.join.host)
            return;
    }
    if (claims->spares == NULL)
        claims->spares = calloc(CLAIMS_SPARES_MAX, sizeof *claims->spares);
    if (claims->spares == NULL)
        return;
    claims->spares[claims->spare_next] =
        (muster_spare_claim){*key, join->u.join.process_id, join->u.join.host};
    claims->spare_next = (claims->spare_next + 1) % CLAIMS_SPARES_MAX;
    if (claims->spare_count < CLAIMS_SPARES_MAX)
        claims->spare_count++;
}

static void claims_remove_launcher(muster_claims *claims, size_t index)
{
    claims->launchers[index] = claims->launchers[--claims->launcher_count];
}

static void claims_hear_launcher(muster_claims *claims, const muster_key *key,
                                 const muster_message *join)
{
    int32_t first = join->u.launcher_join.first_slot;
    int32_t count = join->u.launcher_join.slot_count;
    if (first < 0 || count < 0 || first >= MUSTER_SLOTS_MAX || count > MUSTER_SLOTS_MAX - first)
        return; /* the core refuses it */
    for (size_t i = 0; i < claims->launcher_count; i++) {
        if (claims->launchers[i].first_slot == first && claims->launchers[i].slot_count == count) {
            claims->launchers[i].process_id = join->u.launcher_join.process_id;
            return;
        }
    }
    if (claims->launcher_count >= CLAIMS_LAUNCHERS_MAX)
        return;
    muster_launcher_claim *grown =
        realloc(claims->launchers, (claims->launcher_count + 1) * sizeof *claims->launchers);
    if (grown == NULL)
        return;
    claims->launchers = grown;
    claims->launchers[claims->launcher_count++] =
        (muster_launcher_claim){*key, join->u.launcher_join.process_id, first, count};
}

void muster_claims_hear(muster_claims *claims, const muster_key *key, const muster_message *message)
{
    if (message->type == MUSTER_MESSAGE_JOIN && message->slot == MUSTER_SLOT_SPARE_WIRE)
        claims_hear_spare(claims, key, message);
    if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN)
        claims_hear_launcher(claims, key, message);
    for (size_t i = 0;
         message->type == MUSTER_MESSAGE_LAUNCHER_LEAVE && i < claims->launcher_count;) {
        if (muster_key_same(&claims->launchers[i].key, key))
            claims_remove_launcher(claims, i);
        else
            i++;
    }
}

bool muster_claims_say(muster_claims *claims, const muster_key *key, const muster_message *message)
{
    if (message->slot < 0 ||
        (message->type != MUSTER_MESSAGE_WELCOME && message->type != MUSTER_MESSAGE_AGREED))
        return true;
    size_t slot = (size_t)message->slot;
    if (slot >= claims->slot_count) {
        size_t count = slot * 2 + 8;
        muster_claim *grown = realloc(claims->slots, count * sizeof *grown);
        if (grown == NULL)
            return true; /* unclaimed rather than unserved */
        memset(grown + claims->slot_count, 0, (count - claims->slot_count) * sizeof *grown);
        claims->slots = grown;
        claims->slot_count = count;
    }
    muster_claim *claim = &claims->slots[slot];
    if (claim->key.text[0] != '\0' && claim->incarnation == message->incarnation &&
        !muster_key_same(&claim->key, key))
        return false;
    *claim = (muster_claim){*key, message->incarnation};
    return true;
}

void muster_claims_note(muster_claims *claims, const muster_note *note)
{
    if (note->kind == MUSTER_NOTE_VERDICT || note->kind == MUSTER_NOTE_LEFT) {
        if (note->slot >= 0 && (size_t)note->slot < claims->slot_count &&
            claims->slots[note->slot].incarnation == note->incarnation)
            memset(&claims->slots[note->slot], 0, sizeof *claims->slots);
        return;
    }
    if (note->kind != MUSTER_NOTE_EVIDENCE || note->evidence != MUSTER_EVIDENCE_LAUNCHER_LOST)
        return;
    for (size_t i = 0; i < claims->launcher_count;) {
        if (claims->launchers[i].process_id == note->value)
            claims_remove_launcher(claims, i);
        else
            i++;
    }
}

/* ---- saved with the job ---- */

static void claims_stream(muster_stream *stream, muster_claims *claims)
{
    int32_t slot_count = (int32_t)claims->slot_count;
    int32_t launcher_count = (int32_t)claims->launcher_count;
    if (muster_stream_array(stream, &slot_count, (void **)&claims->slots, sizeof *claims->slots,
                            2 * MUSTER_SLOTS_MAX + 8, 8)) {
        claims->slot_count = (size_t)slot_count;
        for (size_t i = 0; i < claims->slot_count; i++) {
            muster_stream_text(stream, claims->slots[i].key.text, sizeof claims->slots[i].key.text);
            muster_stream_u32(stream, &claims->slots[i].incarnation);
        }
    }
    if (muster_stream_array(stream, &launcher_count, (void **)&claims->launchers,
                            sizeof *claims->launchers, CLAIMS_LAUNCHERS_MAX, 16)) {
        claims->launcher_count = (size_t)launcher_count;
        for (size_t i = 0; i < claims->launcher_count; i++) {
            muster_launcher_claim *launcher = &claims->launchers[i];
            muster_stream_text(stream, launcher->key.text, sizeof launcher->key.text);
            muster_stream_i32(stream, &launcher->process_id);
            muster_stream_i32(stream, &launcher->first_slot);
            muster_stream_i32(stream, &launcher->slot_count);
            if (launcher->first_slot < 0 || launcher->first_slot >= MUSTER_SLOTS_MAX ||
                launcher->slot_count < 0 || launcher->slot_count > MUSTER_SLOTS_MAX)
                muster_stream_fail(stream, "slots out of range");
        }
    }
}

muster_status muster_claims_save(const muster_claims *claims, void **bytes, size_t *byte_count)
{
    muster_claims view = *claims; /* a writer only reads */
    muster_stream stream;
    *bytes = NULL;
    *byte_count = 0;
    if (claims->slot_count == 0 && claims->launcher_count == 0)
        return MUSTER_OK;
    muster_stream_write_begin(&stream);
    claims_stream(&stream, &view);
    if (stream.failure != NULL) {
        free(stream.bytes);
        return MUSTER_ERR_NO_MEMORY;
    }
    *bytes = stream.bytes;
    *byte_count = stream.byte_count;
    return MUSTER_OK;
}

bool muster_claims_restore(muster_claims *claims, const void *bytes, size_t byte_count)
{
    memset(claims, 0, sizeof *claims);
    if (byte_count == 0)
        return true;
    muster_stream stream;
    muster_stream_read_begin(&stream, bytes, byte_count);
    claims_stream(&stream, claims);
    if (stream.failure == NULL && stream.position == stream.byte_count)
        return true;
    muster_claims_clean_up(claims);
    return false;
}
