/* SPDX-License-Identifier: Apache-2.0 */
/* Slots, and the processes that fill them. */
#include <stdlib.h>
#include <string.h>

#include "core/core_state.h"

bool muster_core_members_open(muster_core *core, int32_t slot_count)
{
    if (core->slots) {
        return core->policy.slot_count == slot_count;
    }
    if (slot_count < 1 || slot_count > MUSTER_SLOTS_MAX) {
        return false;
    }
    core->policy.slot_count = slot_count;
    core->slots = muster_core_memory(calloc((size_t)slot_count, sizeof *core->slots));
    for (int32_t i = 0; i < slot_count; i++) {
        core->slots[i].slot = i;
    }
    core->persist_due = true;
    return true;
}

muster_core_slot *muster_core_members_slot(muster_core *core, int32_t slot)
{
    if (!core->slots || slot < 0 || slot >= core->policy.slot_count) {
        return NULL;
    }
    return &core->slots[slot];
}

bool muster_core_members_live(const muster_core_slot *slot)
{
    return slot->seat == MUSTER_CORE_SEAT_FILLED && !slot->process.left;
}

int32_t muster_core_members_live_count(const muster_core *core)
{
    int32_t count = 0;
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        count += core->slots[i].member && muster_core_members_live(&core->slots[i]);
    }
    return count;
}

int32_t muster_core_members_minimum(const muster_core *core)
{
    if (core->policy.min_ranks > 0) {
        return core->policy.min_ranks;
    }
    return core->policy.on_loss == MUSTER_ON_LOSS_SHRINK ? 1 : core->policy.slot_count;
}

bool muster_core_members_fenced(const muster_core_slot *slot, uint32_t incarnation)
{
    return incarnation < slot->fence;
}

bool muster_core_members_same_process(const muster_core_process *process,
                                      const muster_message *join)
{
    /* The blob too: in containers many a process has the same number on one host. */
    return process->process_id == join->u.join.process_id && process->host == join->u.join.host &&
           process->blob.bytes == join->u.join.blob.bytes &&
           memcmp(process->blob.data, join->u.join.blob.data, process->blob.bytes) == 0;
}

void muster_core_members_fill(muster_core *core, muster_core_slot *slot,
                              const muster_core_process *process)
{
    MUSTER_ASSERT(slot->seat == MUSTER_CORE_SEAT_OPEN);
    MUSTER_ASSERT(!muster_core_members_fenced(slot, process->incarnation));
    slot->seat = MUSTER_CORE_SEAT_FILLED;
    slot->member = false;
    slot->process = *process;

    slot->fence = process->incarnation;
    slot->replacement = MUSTER_CORE_REPLACEMENT_NONE;
    slot->start_tries = 0;
    if (core->state != MUSTER_CORE_FORMING) {
        core->changed = true;
        core->persist_due = true; /* a job that has not formed yet can begin anew */
        return;
    }
    muster_core_one_came(core);
    /* There may be no look that begins to watch it. */
    const muster_deadlines *deadlines = &core->policy.deadlines;
    muster_core_deadline(core, core->now_ns + deadlines->suspect_ns);
    muster_core_deadline(core, core->now_ns + deadlines->silence_ns / 4);
}

void muster_core_process_clean_up(muster_core_process *process)
{
    free(process->holdings);
    memset(process, 0, sizeof *process);
}

void muster_core_members_empty(muster_core_slot *slot)
{
    muster_core_process_clean_up(&slot->process);
    slot->seat = MUSTER_CORE_SEAT_OPEN;
    slot->member = false;
}

muster_core_slot *muster_core_members_by_connection(muster_core *core, muster_connection connection)
{
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        if (core->slots[i].seat == MUSTER_CORE_SEAT_FILLED &&
            core->slots[i].process.connection == connection) {
            return &core->slots[i];
        }
    }
    return NULL;
}

void muster_core_members_welcome(muster_core *core, muster_connection connection, int32_t slot,
                                 uint32_t incarnation)
{
    muster_message *welcome = muster_core_send(core, connection, MUSTER_MESSAGE_WELCOME);
    welcome->slot = slot;
    welcome->incarnation = incarnation;
    welcome->u.welcome.policy = core->policy;
}

void muster_core_members_tell(muster_core *core, muster_core_slot *slot)
{
    if (!slot->member || slot->process.connection == 0) {
        return;
    }
    slot->process.told_ns = core->now_ns;
    switch (core->state) {
    case MUSTER_CORE_REVOKED:
        muster_core_verdict_message(core, slot->process.connection, slot);
        return;
    case MUSTER_CORE_CONNECTING:
        muster_core_rebuild_agreed_message(core, slot);
        return;
    case MUSTER_CORE_RUNNING:
        muster_core_send_to_slot(core, slot, MUSTER_MESSAGE_ESTABLISHED);
        return;
    case MUSTER_CORE_FORMING:
    case MUSTER_CORE_ENDED:
    case MUSTER_CORE_STATE_COUNT:
        return;
    }
}
