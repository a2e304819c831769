/* SPDX-License-Identifier: Apache-2.0 */
/* Slots that were shrunk away are filled again, where the policy says so: by a process that joins late, or
 * by a spare that waits. Taking one in costs all others a rebuild, and what they did since the last
 * committed step. So it waits for the next step that is committed, when that is nothing:
 *
 *   retired, not left     a late process joins it    filled, not a member: it waits
 *                         a new launcher owns it     it is asked to start one
 *                         a spare waits              nothing yet
 *   a step is committed   somebody waits             the epoch is revoked without a loss; all say quiet, hold
 *                                                    that very step, and go on from it with one rank more
 *   it dies, or leaves    before that                retired, as before
 *
 * Where a launcher was asked for several, the others wait for the last of them, as long as `start` is.
 *
 * A loss takes in who waits, too: everyone goes back to a committed step then anyway. A slot whose rank left
 * on purpose stays empty. */
#include "core/core_state.h"

bool muster_core_grow_open(const muster_core *core, const muster_core_slot *slot)
{
    return core->policy.grow && slot->seat == MUSTER_CORE_SEAT_RETIRED && !slot->left_for_good &&
           core->adoption.epoch == 0 && core->epoch > 0;
}

void muster_core_grow_undo(muster_core *core, muster_core_slot *slot)
{
    slot->late = false;
    muster_core_replacement_retire(core, slot, "slot %d was lost before it was taken in",
                                   slot->slot);
}

/* A host that comes back brings a launcher, and ranks only where they are asked for. Asked for once: a slot
 * that ended its process before it joined stays empty until the next launcher. */
void muster_core_grow_launch(muster_core *core, muster_core_slot *slot)
{
    if (!muster_core_grow_open(core, slot)) {
        return;
    }
    muster_core_replacement_fence_former(core, slot);
    slot->replacement = MUSTER_CORE_REPLACEMENT_STARTED;
    slot->start_incarnation = slot->fence;
    slot->start_process_id = 0;
    slot->start_deadline_ns = core->now_ns + core->policy.deadlines.start_ns;
    muster_core_note(core, MUSTER_NOTE_STARTING, slot->slot, slot->start_incarnation,
                     MUSTER_EVIDENCE_NONE, 0,
                     "slot %d is started again (incarnation %u), for the next committed step",
                     slot->slot, slot->start_incarnation);
    muster_core_launcher_start(core, slot, muster_core_launcher_of(core, slot->slot));
}

bool muster_core_grow_launched(const muster_core *core, const muster_core_slot *slot)
{
    return muster_core_grow_open(core, slot) &&
           slot->replacement == MUSTER_CORE_REPLACEMENT_STARTED;
}

void muster_core_grow_died(muster_core *core, muster_core_slot *slot, int32_t wait_status)
{
    muster_core_note(core, MUSTER_NOTE_EVIDENCE, slot->slot, slot->start_incarnation,
                     MUSTER_EVIDENCE_EXITED, wait_status,
                     "slot %d, incarnation %u exited before it joined", slot->slot,
                     slot->start_incarnation);
    slot->fence = slot->start_incarnation + 1;
    slot->started = false;
    slot->replacement = MUSTER_CORE_REPLACEMENT_NONE;
    core->persist_due = true;
}

/* True when somebody is in the slot now and waits. */
static bool grow_fill(muster_core *core, muster_core_slot *slot)
{
    if (slot->seat == MUSTER_CORE_SEAT_FILLED) {
        return slot->late && !slot->member;
    }
    if (!muster_core_grow_open(core, slot)) {
        return false;
    }
    slot->seat = MUSTER_CORE_SEAT_OPEN;
    slot->late = muster_core_replacement_spare_takes(core, slot);
    if (!slot->late) {
        slot->seat = MUSTER_CORE_SEAT_RETIRED;
    }
    return slot->late;
}

void muster_core_grow_at_step(muster_core *core, uint64_t epoch)
{
    int32_t newcomers = 0;
    if (!core->policy.grow || core->state != MUSTER_CORE_RUNNING || epoch != core->epoch ||
        core->someone_left) {
        return;
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        /* The ranks of a host start one after the other: one rebuild for all of them. */
        if (muster_core_grow_launched(core, &core->slots[i]) &&
            core->now_ns < core->slots[i].start_deadline_ns) {
            return;
        }
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        newcomers += grow_fill(core, &core->slots[i]);
    }
    if (newcomers == 0) {
        return;
    }
    muster_core_note(core, MUSTER_NOTE_STARTING, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                     newcomers, "the job grows by %d rank%s", newcomers, newcomers == 1 ? "" : "s");
    muster_core_verdict_revoke(core);
}
