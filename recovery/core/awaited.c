/* SPDX-License-Identifier: Apache-2.0 */
/* For whom does a job wait? In words, for a rank whose join or rebuild times out, for the text of a job
 * that is given up, and for whoever looks at its status. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "core/core_state.h"

/* So many are named; then a number says how many more there are. */
#define AWAITED_NAMED 8

typedef struct awaited_list {
    char *text;
    size_t text_bytes;
    size_t length;
    int32_t count;
} awaited_list;

static void awaited_name(awaited_list *list, int32_t slot)
{
    if (++list->count > AWAITED_NAMED) {
        return;
    }
    int written = snprintf(list->text + list->length, list->text_bytes - list->length, "%s%d",
                           list->count > 1 ? ", " : "slot ", slot);
    if (written > 0 && (size_t)written < list->text_bytes - list->length) {
        list->length += (size_t)written;
    }
}

/* False when nobody was named. */
static bool awaited_end(awaited_list *list, const char *what)
{
    if (list->count == 0) {
        return false;
    }
    char more[32] = "";
    if (list->count > AWAITED_NAMED) {
        snprintf(more, sizeof more, " and %d more", list->count - AWAITED_NAMED);
    }
    snprintf(list->text + list->length, list->text_bytes - list->length, "%s%s", more, what);
    return true;
}

static bool awaited_seats(const muster_core *core, char *text, size_t text_bytes)
{
    awaited_list list = {.text = text, .text_bytes = text_bytes};
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        if (core->slots[i].seat == MUSTER_CORE_SEAT_OPEN) {
            awaited_name(&list, i);
        }
    }
    return awaited_end(&list, " to join");
}

static bool awaited_members(const muster_core *core, bool to_connect, char *text, size_t text_bytes)
{
    awaited_list list = {.text = text, .text_bytes = text_bytes};
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        bool there = to_connect ? slot->process.connected : slot->process.quiet;
        if (slot->member && muster_core_members_live(slot) && !there) {
            awaited_name(&list, i);
        }
    }
    return awaited_end(&list, to_connect ? " to connect" : " to come to the rebuild");
}

static bool awaited_gone(const muster_core *core, char *text, size_t text_bytes)
{
    awaited_list list = {.text = text, .text_bytes = text_bytes};
    for (size_t i = 0; i < core->death_count; i++) {
        if (!core->deaths[i].death.proven_gone && !core->deaths[i].abandoned) {
            awaited_name(&list, core->deaths[i].death.slot);
        }
    }
    return awaited_end(&list, "'s lost process to be proven gone");
}

bool muster_core_awaited(const muster_core *core, char *text, size_t text_bytes)
{
    text[0] = '\0';
    if (core->adoption.epoch != 0) {
        snprintf(text, text_bytes,
                 "members of epoch %llu, which this coordinator has no journal of",
                 (unsigned long long)core->adoption.epoch);
        return true;
    }
    switch (core->state) {
    case MUSTER_CORE_FORMING:
        return awaited_seats(core, text, text_bytes);
    case MUSTER_CORE_CONNECTING:
        return awaited_members(core, true, text, text_bytes);
    case MUSTER_CORE_REVOKED:
        return awaited_members(core, false, text, text_bytes) ||
               awaited_gone(core, text, text_bytes) || awaited_seats(core, text, text_bytes);
    case MUSTER_CORE_RUNNING:
    case MUSTER_CORE_ENDED:
    case MUSTER_CORE_STATE_COUNT:
        return false;
    }
    return false;
}

/* How often a large job is looked through for the words, and one rank is told. While thousands come, the
 * words change with each of them, and each of them asks. Small jobs are looked through each time. */
#define AWAITED_LOOK_NS_A_SLOT ((int64_t)50000)
#define AWAITED_TELL_NS_A_SLOT ((int64_t)1000000)
#define AWAITED_SLOTS_SMALL 256

static const char awaited_late[] = "the next step that is committed, when late ranks are taken in";

/* False: nobody is waited for. */
static bool awaited_look(muster_core *core)
{
    int64_t old_ns = core->now_ns - core->awaited_ns;
    if (core->policy.slot_count > AWAITED_SLOTS_SMALL && core->awaited_state == core->state &&
        core->awaited_ns != 0 && old_ns < AWAITED_LOOK_NS_A_SLOT * core->policy.slot_count) {
        return core->awaited_words != 0;
    }
    core->awaited_state = core->state;
    core->awaited_ns = core->now_ns;
    core->awaited_words = muster_core_awaited(core, core->awaited, sizeof core->awaited)
                              ? muster_hash_text(core->awaited) | 1
                              : 0;
    return core->awaited_words != 0;
}

/* Not sooner after the last time. */
static int64_t awaited_pause_ns(const muster_core *core)
{
    int64_t pause_ns = AWAITED_TELL_NS_A_SLOT * core->policy.slot_count;
    return pause_ns > core->policy.deadlines.suspect_ns ? pause_ns
                                                        : core->policy.deadlines.suspect_ns;
}

void muster_core_awaited_tell(muster_core *core, muster_core_slot *slot)
{
    const muster_core_process *process = &slot->process;
    bool late = slot->late && !slot->member &&
                (core->state == MUSTER_CORE_RUNNING || core->state == MUSTER_CORE_CONNECTING);
    bool waits = late || core->state == MUSTER_CORE_FORMING ||
                 (core->state == MUSTER_CORE_REVOKED && (process->quiet || !slot->member)) ||
                 (core->state == MUSTER_CORE_CONNECTING && process->connected);
    if (!waits || core->now_ns - process->hinted_ns < awaited_pause_ns(core) ||
        (!late && !awaited_look(core))) {
        return;
    }
    const char *text = late ? awaited_late : core->awaited;
    uint64_t words = late ? muster_hash_text(awaited_late) : core->awaited_words;
    if (words == process->hint) {
        return;
    }
    slot->process.hinted_ns = core->now_ns;
    slot->process.hint = words;
    muster_message *hint = muster_core_send(core, process->connection, MUSTER_MESSAGE_NOTE);
    hint->slot = slot->slot;
    hint->incarnation = process->incarnation;
    hint->u.note.kind = MUSTER_NOTE_NONE;
    hint->u.note.time_ns = (uint64_t)core->now_ns;
    hint->u.note.epoch = core->epoch;
    hint->u.note.slot = slot->slot;
    hint->u.note.incarnation = process->incarnation;
    snprintf(hint->u.note.text, sizeof hint->u.note.text, "%s", text);
}
