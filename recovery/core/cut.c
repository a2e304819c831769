/* SPDX-License-Identifier: Apache-2.0 */
/* Two members that say they cannot reach each other. A suspicion: the process at the other end may have died, or its
 * host, or only the way between them may be cut.
 *
 *   one of them is lost for another reason    that verdict settles it
 *   one of them is silent                     the detector decides
 *   both live, the epoch runs                 after `reconnect` all connect anew, nobody is lost: a broken connection
 *                                             cannot be mended within an epoch, but the way may be open again
 *   both live, the epoch is connecting        it may heal until `silence`; then one side has to go: the host with fewer
 *                                             ranks, of two equal ones that of the higher slot
 *
 * Ranks say it again while it lasts; what was not said for a while is over. */
#include <string.h>

#include "core/core_state.h"

#define CUT_FRESH_NS ((int64_t)4000000000)

/* True when this is news. */
bool muster_core_cut_add(muster_core *core, const muster_core_slot *one,
                         const muster_core_slot *other)
{
    bool first_of_accused = true;
    for (size_t i = 0; i < core->cut_count; i++) {
        muster_core_cut *cut = &core->cuts[i];
        first_of_accused = first_of_accused && cut->accused != other->slot;
        if (cut->accuser == one->slot && cut->accused == other->slot) {
            cut->said_ns = core->now_ns;
            return false;
        }
    }
    muster_core_grow((void **)&core->cuts, core->cut_count, &core->cut_capacity,
                     sizeof *core->cuts);
    core->cuts[core->cut_count++] = (muster_core_cut){.accuser = one->slot,
                                                      .accused = other->slot,
                                                      .since_ns = core->now_ns,
                                                      .said_ns = core->now_ns};
    core->changed = true;
    return first_of_accused;
}

static bool cut_fresh(const muster_core *core, const muster_core_cut *cut)
{
    return core->now_ns - cut->said_ns < CUT_FRESH_NS;
}

static bool cut_lives(const muster_core_slot *slot)
{
    return slot->member && muster_core_members_live(slot) && !slot->process.suspected &&
           !slot->process.connection_lost;
}

static int32_t cut_ranks_of(const muster_core *core, uint64_t host)
{
    int32_t count = 0;
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        count += slot->member && muster_core_members_live(slot) && slot->process.host == host;
    }
    return count;
}

/* Whether the side of one has to go, and not that of the other. */
static bool cut_yields(const muster_core *core, const muster_core_slot *one,
                       const muster_core_slot *other)
{
    int32_t one_count = cut_ranks_of(core, one->process.host);
    int32_t other_count = cut_ranks_of(core, other->process.host);
    if (one->process.host == other->process.host || one_count == other_count) {
        return one->slot > other->slot;
    }
    return one_count < other_count;
}

/* Gives the verdict on everyone of a host who cannot reach the other one. */
static void cut_off(muster_core *core, uint64_t host, uint64_t from)
{
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        bool named = false;
        for (size_t k = 0; k < core->cut_count && !named; k++) {
            const muster_core_cut *cut = &core->cuts[k];
            const muster_core_slot *accuser = &core->slots[cut->accuser];
            const muster_core_slot *accused = &core->slots[cut->accused];
            named = cut_fresh(core, cut) && ((accuser == slot && accused->process.host == from) ||
                                             (accused == slot && accuser->process.host == from));
        }
        slot->cut_off = named && cut_lives(slot) && slot->process.host == host;
    }
    /* The first verdict ends the cuts of the epoch: they have been read by now. */
    for (int32_t i = 0; i < core->policy.slot_count && core->state != MUSTER_CORE_ENDED; i++) {
        if (core->slots[i].cut_off && muster_core_members_live(&core->slots[i])) {
            muster_core_verdict_give(core, &core->slots[i], MUSTER_EVIDENCE_CONNECTION_LOST, -1);
        }
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        core->slots[i].cut_off = false;
    }
}

/* True when something was decided: the cuts are gone. */
static bool cut_settle(muster_core *core, const muster_core_cut *cut)
{
    const muster_deadlines *deadlines = &core->policy.deadlines;
    muster_core_slot *accuser = &core->slots[cut->accuser];
    muster_core_slot *accused = &core->slots[cut->accused];
    bool running = core->state == MUSTER_CORE_RUNNING;
    if (!muster_core_passed(core, cut->since_ns,
                            running ? deadlines->reconnect_ns : deadlines->silence_ns)) {
        return false;
    }
    if (!cut_lives(accuser) || !cut_lives(accused)) {
        muster_core_deadline(core, core->now_ns + deadlines->suspect_ns);
        return false;
    }
    if (running) {
        muster_core_note(core, MUSTER_NOTE_EVIDENCE, accused->slot, accused->process.incarnation,
                         MUSTER_EVIDENCE_CONNECTION_LOST, accuser->slot,
                         "slots %d and %d live, but their connection is lost: all connect anew",
                         accuser->slot, accused->slot);
        muster_core_verdict_revoke(core);
        return true;
    }
    bool accuser_goes = cut_yields(core, accuser, accused);
    const muster_core_slot *goes = accuser_goes ? accuser : accused;
    const muster_core_slot *stays = accuser_goes ? accused : accuser;
    muster_core_note(core, MUSTER_NOTE_EVIDENCE, goes->slot, goes->process.incarnation,
                     MUSTER_EVIDENCE_CONNECTION_LOST, stays->slot,
                     "slots %d and %d live, but cannot connect: the side of slot %d goes",
                     accuser->slot, accused->slot, goes->slot);
    if (goes->process.host == stays->process.host) {
        muster_core_verdict_give(core, accuser_goes ? accuser : accused,
                                 MUSTER_EVIDENCE_CONNECTION_LOST, -1);
    } else {
        cut_off(core, goes->process.host, stays->process.host);
    }
    return true;
}

void muster_core_cut_turn(muster_core *core)
{
    if (core->state != MUSTER_CORE_RUNNING && core->state != MUSTER_CORE_CONNECTING) {
        core->cut_count = 0;
        return;
    }
    for (size_t i = 0; i < core->cut_count;) {
        const muster_core_slot *accuser = &core->slots[core->cuts[i].accuser];
        const muster_core_slot *accused = &core->slots[core->cuts[i].accused];
        bool over = !accuser->member || !accused->member || !muster_core_members_live(accuser) ||
                    !muster_core_members_live(accused) ||
                    (core->state == MUSTER_CORE_CONNECTING && !cut_fresh(core, &core->cuts[i]));
        if (over) {
            core->cut_count--;
            memmove(&core->cuts[i], &core->cuts[i + 1], (core->cut_count - i) * sizeof *core->cuts);
            continue;
        }
        muster_core_cut cut = core->cuts[i];
        if (cut_settle(core, &cut)) {
            return;
        }
        i++;
    }
}
