/* SPDX-License-Identifier: Apache-2.0 */
/* Who fills a lost slot: a waiting spare at once, else a fresh process of the slot's launcher, asked
 * for at the verdict so that it starts while the survivors become quiet, else whoever joins by itself
 * (a pod that is scheduled again). Nobody in time, or no replacement allowed: the slot is retired. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/core_state.h"

#define START_TRIES_MAX 2

void muster_core_replacement_retire(muster_core *core, muster_core_slot *slot, const char *format,
                                    ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(core->retired_text, sizeof core->retired_text, format, arguments);
    va_end(arguments);
    slot->seat = MUSTER_CORE_SEAT_RETIRED;
    slot->replacement = MUSTER_CORE_REPLACEMENT_NONE;
    core->changed = true;
    core->persist_due = true;
}

static muster_core_process *replacement_spare(muster_core *core)
{
    for (size_t i = 0; i < core->spare_count; i++) {
        if (!core->spares[i].connection_lost && !core->spares[i].suspected) {
            return &core->spares[i];
        }
    }
    return NULL;
}

void muster_core_replacement_forgo(muster_core_slot *slot)
{
    if (slot->replacement == MUSTER_CORE_REPLACEMENT_STARTED &&
        slot->start_incarnation >= slot->fence) {
        slot->fence = slot->start_incarnation + 1;
    }
}

static void replacement_assign(muster_core *core, muster_core_slot *slot,
                               muster_core_process *spare)
{
    muster_core_process process = *spare;
    spare->holdings = NULL;
    muster_core_spare_remove(core, spare);
    muster_core_replacement_forgo(slot);
    process.incarnation = slot->fence;
    muster_core_members_fill(core, slot, &process);
    muster_core_note(core, MUSTER_NOTE_STARTING, slot->slot, process.incarnation,
                     MUSTER_EVIDENCE_NONE, process.process_id,
                     "a spare takes slot %d (incarnation %u, process %d)", slot->slot,
                     process.incarnation, process.process_id);
    muster_core_launcher_assigned(core, slot);
}

bool muster_core_replacement_spare_takes(muster_core *core, muster_core_slot *slot)
{
    muster_core_process *spare = replacement_spare(core);
    if (spare) {
        replacement_assign(core, slot, spare);
    }
    return spare != NULL;
}

static void replacement_start(muster_core *core, muster_core_slot *slot)
{
    muster_core_launcher *launcher = muster_core_launcher_of(core, slot->slot);
    slot->replacement = MUSTER_CORE_REPLACEMENT_STARTED;
    slot->start_incarnation = slot->fence;
    slot->start_process_id = 0;
    slot->start_deadline_ns = core->now_ns + core->policy.deadlines.start_ns;
    slot->start_tries++;
    muster_core_deadline(core, slot->start_deadline_ns);
    muster_core_note(core, MUSTER_NOTE_STARTING, slot->slot, slot->start_incarnation,
                     MUSTER_EVIDENCE_NONE, slot->start_tries,
                     launcher ? "slot %d is started anew (incarnation %u)"
                              : "slot %d waits for a process to join it (incarnation %u)",
                     slot->slot, slot->start_incarnation);
    if (launcher) {
        muster_core_launcher_start(core, slot, launcher);
    }
}

void muster_core_replacement_fence_former(const muster_core *core, muster_core_slot *slot)
{
    muster_core_replacement_forgo(slot);
    if (slot->started && slot->started_incarnation >= slot->fence) {
        slot->fence = slot->started_incarnation + 1;
    }
    if (core->restored || core->met_before) {
        slot->fence++; /* nobody knows whether the last launcher started this one */
    }
}

void muster_core_replacement_anew(muster_core *core, muster_core_slot *slot)
{
    if (slot->seat != MUSTER_CORE_SEAT_OPEN) {
        return;
    }
    muster_core_replacement_fence_former(core, slot);
    slot->start_tries = 0;
    replacement_start(core, slot);
}

static void replacement_begin(muster_core *core, muster_core_slot *slot)
{
    const muster_policy *policy = &core->policy;
    if (policy->on_loss == MUSTER_ON_LOSS_SHRINK) {
        muster_core_replacement_retire(core, slot, "slot %d was lost and the job shrinks",
                                       slot->slot);
        return;
    }
    if (core->replacements_used >= policy->max_replacements) {
        muster_core_replacement_retire(core, slot,
                                       "slot %d was lost and the replacements allowed (%d) are "
                                       "used up",
                                       slot->slot, policy->max_replacements);
        return;
    }
    muster_core_process *spare = replacement_spare(core);
    if (!spare && core->state == MUSTER_CORE_FORMING &&
        !muster_core_launcher_of(core, slot->slot)) {
        return; /* the join deadline is enough */
    }
    core->replacements_used++;
    core->persist_due = true;
    slot->start_tries = 0;
    if (spare) {
        replacement_assign(core, slot, spare);
    } else {
        replacement_start(core, slot);
    }
}

static void replacement_wait(muster_core *core, muster_core_slot *slot)
{
    muster_core_launcher *launcher = muster_core_launcher_of(core, slot->slot);
    muster_core_process *spare = launcher ? NULL : replacement_spare(core);
    if (spare) {
        replacement_assign(core, slot, spare);
        return;
    }
    if (core->now_ns < slot->start_deadline_ns) {
        muster_core_deadline(core, slot->start_deadline_ns);
        return;
    }
    if (launcher && slot->start_tries < START_TRIES_MAX) {
        muster_core_launcher_kill(core, slot->slot, slot->start_incarnation, slot->start_process_id,
                                  false, launcher->host);
        slot->fence = slot->start_incarnation + 1;
        replacement_start(core, slot);
        return;
    }
    muster_core_replacement_retire(
        core, slot, "no process joined slot %d within the start deadline (%lld ms%s)", slot->slot,
        (long long)(core->policy.deadlines.start_ns / 1000000),
        slot->start_tries > 1 ? ", twice" : "");
}

void muster_core_replacement_turn(muster_core *core, muster_core_slot *slot)
{
    if (slot->seat != MUSTER_CORE_SEAT_OPEN) {
        return;
    }
    switch (slot->replacement) {
    case MUSTER_CORE_REPLACEMENT_NONE:
        if (core->state == MUSTER_CORE_FORMING) {
            return; /* it has yet to join for the first time */
        }
        replacement_begin(core, slot);
        return;
    case MUSTER_CORE_REPLACEMENT_WANTED:
        replacement_begin(core, slot);
        return;
    case MUSTER_CORE_REPLACEMENT_STARTED:
        replacement_wait(core, slot);
        return;
    }
}

void muster_core_replacement_died(muster_core *core, muster_core_slot *slot, uint32_t incarnation,
                                  int32_t wait_status)
{
    muster_core_note(core, MUSTER_NOTE_EVIDENCE, slot->slot, incarnation, MUSTER_EVIDENCE_EXITED,
                     wait_status, "slot %d, incarnation %u exited before it joined", slot->slot,
                     incarnation);
    slot->fence = incarnation + 1;
    slot->started = false;
    slot->replacement = MUSTER_CORE_REPLACEMENT_WANTED;
    core->changed = true;
    core->persist_due = true;
    muster_core_verdict_count(core, slot);
}
