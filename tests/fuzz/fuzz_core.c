/* SPDX-License-Identifier: Apache-2.0 */
/* Any conversation: messages of any contents in any order, lost connections, time that passes, and a
 * coordinator that comes back from what it saved. Whatever is said, no assertion of the core fails.
 *
 * The input is a list of events: a byte that says what, a byte for the connection, then what it needs. The
 * head of a message is made here from a few small bytes, so that the fuzzer need not guess sixteen-byte
 * agreements; its payload is the input's own bytes, as the wire decodes them. */
#include <stdlib.h>
#include <string.h>

#include <muster/version.h>

#include "base/assert.h"
#include "core/core.h"
#include "wire/wire.h"

#define FUZZ_EVENTS_MAX 256
#define FUZZ_HEAD_BYTES 48
#define FUZZ_JOB 7
#define FUZZ_SLOTS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

typedef struct fuzz {
    const uint8_t *bytes;
    size_t left;
    muster_core *core;
    muster_core_actions actions;
    int64_t now_ns;
    int64_t next_ns;
    uint64_t term;
} fuzz;

static uint8_t fuzz_byte(fuzz *of)
{
    if (of->left == 0)
        return 0;
    of->left--;
    return *of->bytes++;
}

static void fuzz_put(uint8_t *at, uint64_t value, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void fuzz_step(fuzz *of, const muster_core_event *event)
{
    of->next_ns = muster_core_step(of->core, of->now_ns, event, &of->actions);
    muster_core_actions_clear(&of->actions);
}

/* Head: type, slot, incarnation, epoch, and how far the term is from ours; then length and payload. */
static bool fuzz_decode(fuzz *of, muster_message *message)
{
    uint8_t wire[FUZZ_HEAD_BYTES + 512];
    memset(wire, 0, FUZZ_HEAD_BYTES);
    memcpy(wire, "MSTR", 4);
    fuzz_put(wire + 4, MUSTER_WIRE_VERSION, 4);
    fuzz_put(wire + 8, fuzz_byte(of) % 104, 4);
    fuzz_put(wire + 16, FUZZ_JOB, 8);
    fuzz_put(wire + 40, (uint64_t)(int64_t)(fuzz_byte(of) % 12 - 2), 4);
    const uint8_t incarnation = fuzz_byte(of);
    fuzz_put(wire + 44, incarnation == 255 ? UINT32_MAX : incarnation % 5, 4);
    fuzz_put(wire + 32, fuzz_byte(of) % 8, 8);
    const uint8_t term = fuzz_byte(of);
    fuzz_put(wire + 24, term < 240 ? of->term : of->term + term - 248, 8);
    size_t payload_bytes = (size_t)fuzz_byte(of) * 2;
    if (payload_bytes > of->left)
        payload_bytes = of->left;
    fuzz_put(wire + 12, payload_bytes, 4);
    memcpy(wire + FUZZ_HEAD_BYTES, of->bytes, payload_bytes);
    of->bytes += payload_bytes;
    of->left -= payload_bytes;
    if (muster_wire_decode(wire, FUZZ_HEAD_BYTES + payload_bytes, message, NULL) != MUSTER_OK) {
        muster_message_clean_up(message);
        return false;
    }
    /* Or hardly any would get in. */
    if (message->type == MUSTER_MESSAGE_JOIN) {
        message->u.join.library_version = MUSTER_VERSION;
        message->u.join.slot_count &= FUZZ_SLOTS_MAX - 1;
        if (message->u.join.epoch_term % 2 == 0)
            message->u.join.epoch_term = of->term;
    }
    if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN) {
        message->u.launcher_join.policy.slot_count &= FUZZ_SLOTS_MAX - 1;
        message->u.launcher_join.first_slot &= FUZZ_SLOTS_MAX - 1;
        message->u.launcher_join.slot_count &= FUZZ_SLOTS_MAX - 1;
    }
    return true;
}

static void fuzz_message(fuzz *of)
{
    muster_message message;
    const uint8_t connection = fuzz_byte(of) % 16;
    memset(&message, 0, sizeof message);
    if (!fuzz_decode(of, &message))
        return;
    const muster_core_event event = {
        .kind = MUSTER_CORE_MESSAGE, .connection = 1u + connection, .message = &message};
    fuzz_step(of, &event);
    muster_message_clean_up(&message);
}

static void fuzz_restart(fuzz *of)
{
    void *saved = NULL;
    size_t saved_bytes = 0;
    MUSTER_ASSERT(muster_core_save(of->core, &saved, &saved_bytes) == MUSTER_OK);
    const bool ended = muster_core_ended(of->core, NULL);
    of->term = muster_core_term(of->core) + 1;
    muster_core *again = muster_core_restore(saved, saved_bytes, of->term, NULL);
    free(saved);
    /* What it saved itself it takes up; what is over need not be. */
    MUSTER_ASSERT(again != NULL || ended);
    if (again == NULL)
        return;
    muster_core_free(of->core);
    of->core = again;
}

static void fuzz_event(fuzz *of)
{
    const muster_core_event tick = {.kind = MUSTER_CORE_TICK};
    const uint8_t what = fuzz_byte(of);
    of->now_ns += 1000000;
    if (what < 200) {
        fuzz_message(of);
    } else if (what < 215) {
        const muster_core_event lost = {.kind = MUSTER_CORE_CONNECTION_LOST,
                                        .connection = 1u + fuzz_byte(of) % 16};
        fuzz_step(of, &lost);
    } else if (what < 245) {
        /* To the next deadline, or far. */
        if (of->next_ns != INT64_MAX && of->next_ns > of->now_ns && what < 240)
            of->now_ns = of->next_ns;
        else
            of->now_ns += (int64_t)fuzz_byte(of) * 500000000;
        fuzz_step(of, &tick);
    } else {
        fuzz_restart(of);
        fuzz_step(of, &tick);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    fuzz of = {.bytes = bytes, .left = byte_count, .term = 100, .next_ns = INT64_MAX};
    muster_policy policy;
    memset(&policy, 0, sizeof policy);
    policy.on_loss = fuzz_byte(&of) % 2 == 0 ? MUSTER_ON_LOSS_REPLACE : MUSTER_ON_LOSS_SHRINK;
    policy.max_replacements = fuzz_byte(&of) % 8;
    policy.crash_loop_deaths = 1 + fuzz_byte(&of) % 4;
    muster_deadlines_defaults(&policy.deadlines);
    of.core = muster_core_new(FUZZ_JOB, of.term, &policy);
    muster_core_actions_init(&of.actions);
    for (int i = 0; i < FUZZ_EVENTS_MAX && of.left > 0; i++)
        fuzz_event(&of);
    muster_core_actions_clean_up(&of.actions);
    muster_core_free(of.core);
    return 0;
}
