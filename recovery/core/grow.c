/* SPDX-License-Identifier: Apache-2.0 */
/* Slots that were shrunk away are filled again, where the policy says so: by a process that joins late, or
 * by a spare that waits. Taking one in costs all others a rebuild, and what they did since the last
 * committed step. So it waits for the next step that is committed, when that is nothing:
 *
 *   retired, not left     a late process joins it    filled, not a member: it waits
 *                         a spare waits              nothing yet
 *   a step is committed   somebody waits             the epoch is revoked without a loss; all say quiet, hold
 *                                                    that very step, and go on from it with one rank more
 *   it dies, or leaves    before that                retired, as before
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
        newcomers += grow_fill(core, &core->slots[i]);
    }
    if (newcomers == 0) {
        return;
    }
    muster_core_note(core, MUSTER_NOTE_STARTING, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                     newcomers, "the job grows by %d rank%s", newcomers, newcomers == 1 ? "" : "s");
    muster_core_verdict_revoke(core);
}
