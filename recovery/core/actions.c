/* SPDX-License-Identifier: Apache-2.0 */
/* What a turn asks its caller to do. A coordinator without memory cannot keep its promises: it stops,
 * and the one that is started in its place goes on from the journal. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core_state.h"

void muster_core_actions_init(muster_core_actions *actions)
{
    memset(actions, 0, sizeof *actions);
}

void muster_core_actions_clear(muster_core_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        muster_message *message = &actions->items[i].message;
        if (actions->items[i].shared) {
            message->u.agreed.members = NULL;
            message->u.agreed.restore_slots = NULL;
            message->u.agreed.without = NULL;
        }
        muster_message_clean_up(message);
    }
    actions->count = 0;
}

void muster_core_actions_clean_up(muster_core_actions *actions)
{
    muster_core_actions_clear(actions);
    free(actions->items);
    muster_core_actions_init(actions);
}

void *muster_core_memory(void *memory)
{
    MUSTER_ASSERT(memory != NULL);
    return memory;
}

void muster_core_grow(void **items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity) {
        return;
    }
    size_t grown = *capacity ? *capacity * 2 : 8;
    *items = muster_core_memory(realloc(*items, grown * item_bytes));
    *capacity = grown;
}

void muster_core_retire(muster_core *core, void *memory)
{
    if (memory == NULL) {
        return;
    }
    muster_core_grow((void **)&core->retired, core->retired_count, &core->retired_capacity,
                     sizeof *core->retired);
    core->retired[core->retired_count++] = memory;
}

void muster_core_retire_free(muster_core *core)
{
    while (core->retired_count > 0) {
        free(core->retired[--core->retired_count]);
    }
}

void muster_core_one_came(muster_core *core)
{
    if (core->missing > 1) {
        core->missing--;
    } else {
        core->changed = true;
    }
}

muster_core_action *muster_core_action_append(muster_core *core, muster_core_action_kind kind)
{
    muster_core_actions *actions = core->actions;
    muster_core_grow((void **)&actions->items, actions->count, &actions->capacity,
                     sizeof *actions->items);
    muster_core_action *action = &actions->items[actions->count++];
    memset(action, 0, sizeof *action);
    action->kind = kind;
    action->message.job = core->job;
    action->message.term = core->term;
    action->message.epoch = core->epoch;
    action->message.slot = MUSTER_SLOT_NONE;
    return action;
}

muster_message *muster_core_send(muster_core *core, muster_connection connection, uint32_t type)
{
    muster_core_action *action = muster_core_action_append(core, MUSTER_CORE_SEND);
    action->connection = connection;
    action->message.type = type;
    return &action->message;
}

void muster_core_send_to_slot(muster_core *core, const muster_core_slot *slot, uint32_t type)
{
    if (slot->process.connection == 0) {
        return;
    }
    muster_message *message = muster_core_send(core, slot->process.connection, type);
    message->slot = slot->slot;
    message->incarnation = slot->process.incarnation;
}

void muster_core_refuse(muster_core *core, muster_connection connection,
                        const muster_message *message, muster_status status, const char *format,
                        ...)
{
    muster_message *answer = muster_core_send(core, connection, MUSTER_MESSAGE_REFUSED);
    answer->slot = message->slot;
    answer->incarnation = message->incarnation;
    answer->u.refused.status = (uint32_t)status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(answer->u.refused.text, sizeof answer->u.refused.text, format, arguments);
    va_end(arguments);
}

/* What a rank does, or fails to do, by itself: all ranks do it at once. */
static bool note_is_of_many(uint32_t kind)
{
    switch ((muster_note_kind)kind) {
    case MUSTER_NOTE_JOINED:
    case MUSTER_NOTE_SUSPECTED:
    case MUSTER_NOTE_RELEASED:
    case MUSTER_NOTE_QUIET:
    case MUSTER_NOTE_CONNECTED:
    case MUSTER_NOTE_RESUMED:
    case MUSTER_NOTE_FIRST_BATCH:
    case MUSTER_NOTE_LEFT:
        return true;
    default:
        return false;
    }
}

void muster_core_note(muster_core *core, uint32_t kind, int32_t slot, uint32_t incarnation,
                      uint32_t evidence, int64_t value, const char *format, ...)
{
    muster_core_action *action = muster_core_action_append(core, MUSTER_CORE_NOTE);
    action->message.type = MUSTER_MESSAGE_NOTE;
    if (slot >= 0 && core->launcher_count > MUSTER_CORE_LAUNCHERS_OF_ALL && note_is_of_many(kind)) {
        action->connection = muster_core_launcher_watching(core, &core->slots[slot]);
    }
    muster_note *note = &action->message.u.note;
    note->kind = kind;
    note->time_ns = (uint64_t)core->now_ns;
    note->epoch = core->epoch;
    note->slot = slot;
    note->incarnation = incarnation;
    note->evidence = evidence;
    note->value = value;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(note->text, sizeof note->text, format, arguments);
    va_end(arguments);
}

void muster_core_persist(muster_core *core)
{
    core->persist_due = false;
    if (!core->persisted) {
        /* One a turn is enough: what is written is the state at the end of the turn. */
        core->persisted = true;
        muster_core_action_append(core, MUSTER_CORE_PERSIST);
    }
}

void muster_core_deadline(muster_core *core, int64_t at_ns)
{
    if (at_ns < core->next_ns) {
        core->next_ns = at_ns;
    }
}

bool muster_core_passed(muster_core *core, int64_t since_ns, int64_t length_ns)
{
    if (core->now_ns >= since_ns + length_ns) {
        return true;
    }
    muster_core_deadline(core, since_ns + length_ns);
    return false;
}
