/* SPDX-License-Identifier: Apache-2.0 */
/* From a revoked epoch (or none yet) to the next one that runs.
 *
 *   every survivor quiet   it touches nobody's memory any more, and has said what it holds
 *   every lost one gone    its launcher saw the exit; or the time for that is over: then what it could
 *                          still write is abandoned (new segments, remapped buffers)
 *   every seat decided     filled by its survivor or a replacement, or retired
 *   enough ranks           not fewer than the minimum
 *
 * Then the next epoch is agreed; its members connect; when all have, it is established. A death in
 * between revokes it like any other, and numbers are never used twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/comm.h>

#include "core/core_state.h"

/* ---- what members say ---- */

void muster_core_rebuild_quiet(muster_core *core, muster_core_slot *slot,
                               const muster_message *message)
{
    muster_core_process *process = &slot->process;
    if (!slot->member || message->epoch != core->epoch) {
        process->members_epoch = message->u.quiet.members_epoch;
        muster_core_members_tell(core, slot); /* it is behind: an AGREED was lost on the way */
        return;
    }
    if (core->state == MUSTER_CORE_RUNNING || core->state == MUSTER_CORE_CONNECTING) {
        /* Its communicator failed without a loss (a deadline passed): it asks for a rebuild. */
        muster_core_verdict_revoke(core);
    }
    if (core->state != MUSTER_CORE_REVOKED) {
        return;
    }
    bool again = process->quiet;
    free(process->holdings);
    process->holdings = NULL;
    process->holding_count = message->u.quiet.holding_count;
    if (process->holding_count > 0) {
        size_t bytes = (size_t)process->holding_count * sizeof *process->holdings;
        process->holdings = muster_core_memory(malloc(bytes));
        memcpy(process->holdings, message->u.quiet.holdings, bytes);
    }
    process->blob = message->u.quiet.blob;
    process->members_epoch = message->u.quiet.members_epoch;
    process->quiet = true;
    if (again) {
        core->changed = true;
        return;
    }
    muster_core_one_came(core);
    muster_core_note(core, MUSTER_NOTE_RELEASED, slot->slot, process->incarnation,
                     MUSTER_EVIDENCE_NONE, (int64_t)message->u.quiet.released_ns,
                     message->u.quiet.released_ns ? "slot %d returned from its call"
                                                  : "slot %d was in no call",
                     slot->slot);
    muster_core_note(core, MUSTER_NOTE_QUIET, slot->slot, process->incarnation,
                     MUSTER_EVIDENCE_NONE, 0, "slot %d is quiet and holds %d states", slot->slot,
                     process->holding_count);
}

void muster_core_rebuild_connected(muster_core *core, muster_core_slot *slot,
                                   const muster_message *message)
{
    if (message->epoch != core->epoch || core->state != MUSTER_CORE_CONNECTING) {
        muster_core_members_tell(core, slot);
        return;
    }
    if (!slot->process.connected) {
        slot->process.connected = true;
        muster_core_one_came(core);
        muster_core_note(core, MUSTER_NOTE_CONNECTED, slot->slot, slot->process.incarnation,
                         MUSTER_EVIDENCE_NONE, 0, "slot %d is connected", slot->slot);
    }
}

/* ---- agreeing ---- */

static void *rebuild_array_copy(const void *items, size_t count, size_t item_bytes)
{
    if (count == 0) {
        return NULL;
    }
    void *copy = muster_core_memory(malloc(count * item_bytes));
    memcpy(copy, items, count * item_bytes);
    return copy;
}

/* The members, or what is different. */
static void rebuild_fill_members(const muster_core *core, const muster_core_slot *slot,
                                 muster_message *agreed)
{
    const muster_difference *difference = &core->difference;
    if (difference->base_epoch == 0 || slot->process.members_epoch != difference->base_epoch) {
        agreed->u.agreed.member_count = core->member_count;
        agreed->u.agreed.members = core->members;
        return;
    }
    agreed->u.agreed.base_epoch = difference->base_epoch;
    agreed->u.agreed.member_count = difference->changed_count;
    agreed->u.agreed.members = difference->changed;
    agreed->u.agreed.without_count = difference->without_count;
    agreed->u.agreed.without = difference->without;
    agreed->u.agreed.members_hash = difference->members_hash;
}

void muster_core_rebuild_agreed_message(muster_core *core, const muster_core_slot *slot)
{
    muster_core_action *action = muster_core_action_append(core, MUSTER_CORE_SEND);
    muster_message *agreed = &action->message;
    action->connection = slot->process.connection;
    agreed->type = MUSTER_MESSAGE_AGREED;
    agreed->slot = slot->slot;
    agreed->incarnation = slot->process.incarnation;
    agreed->u.agreed.kind = core->kind;
    agreed->u.agreed.restore = core->restore;
    agreed->u.agreed.restore_slots = core->restore_slots;
    rebuild_fill_members(core, slot, agreed);
    /* A spare learns from its first AGREED which slot it fills: that one is its own. */
    action->shared = !slot->process.from_spare || agreed->u.agreed.base_epoch != 0;
    if (!action->shared) {
        agreed->u.agreed.members =
            rebuild_array_copy(core->members, (size_t)core->member_count, sizeof *core->members);
        agreed->u.agreed.restore_slots = rebuild_array_copy(
            core->restore_slots, (size_t)core->restore.slot_count, sizeof *core->restore_slots);
    }
    agreed->u.agreed.death_count = (int32_t)core->death_count;
    if (core->death_count > 0) {
        agreed->u.agreed.deaths =
            muster_core_memory(calloc(core->death_count, sizeof *agreed->u.agreed.deaths));
    }
    for (size_t i = 0; i < core->death_count; i++) {
        agreed->u.agreed.deaths[i] = core->deaths[i].death;
        if (!core->deaths[i].death.proven_gone) {
            agreed->u.agreed.abandon_memory = true;
        }
    }
}

/* From the membership of the epoch before, which is done with then. */
static void rebuild_difference(muster_core *core, uint64_t base_epoch, muster_member *base,
                               int32_t base_count)
{
    muster_core_retire(core, core->difference.changed);
    muster_core_retire(core, core->difference.without);
    bool made = muster_difference_make(base, base_count, core->members, core->member_count,
                                       &core->difference);
    MUSTER_ASSERT(made);
    core->difference.base_epoch = base_epoch;
    muster_core_retire(core, base);
}

static uint32_t rebuild_kind(const muster_core *core)
{
    if (core->epoch == 0) {
        return 0;
    }
    for (size_t i = 0; i < core->death_count; i++) {
        if (core->slots[core->deaths[i].death.slot].seat != MUSTER_CORE_SEAT_FILLED) {
            return MUSTER_REBUILD_SHRINK;
        }
    }
    for (int32_t i = 0; core->death_count == 0 && i < core->policy.slot_count; i++) {
        if (core->slots[i].seat == MUSTER_CORE_SEAT_FILLED && core->slots[i].late) {
            return MUSTER_REBUILD_GROW;
        }
    }
    return MUSTER_REBUILD_REPLACE;
}

static void rebuild_agree(muster_core *core)
{
    muster_core_restore_point_clear(core);
    if (core->epoch == 0) {
        core->began_term = core->term;
    }
    if (core->epoch > 0) {
        muster_core_restore_point_choose(core);
    } else if (core->epoch_floor > 0 || core->met_before) {
        core->restore.state_lost = true; /* it ran before; nobody is left who knows how far */
        core->has_committed = true;
    }
    core->has_run = false;
    if (core->met_before && core->epoch_floor < core->term) {
        /* Without a journal nobody knows the highest number used. Terms come from the wall clock: later
         * numbers than its own were not used before it began. */
        core->epoch_floor = core->term;
    }
    core->kind = rebuild_kind(core);
    const uint64_t base_epoch = core->epoch;
    muster_member *base = core->members;
    const int32_t base_count = core->member_count;
    core->epoch = 1 + (core->epoch > core->epoch_floor ? core->epoch : core->epoch_floor);
    core->member_count = 0;
    core->members =
        muster_core_memory(calloc((size_t)core->policy.slot_count, sizeof *core->members));
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        if (slot->seat != MUSTER_CORE_SEAT_FILLED) {
            continue;
        }
        slot->member = true;
        slot->late = false;
        slot->process.connected = false;
        slot->process.told_ns = core->now_ns;
        core->members[core->member_count++] = (muster_member){
            .slot = slot->slot,
            .incarnation = slot->process.incarnation,
            .process_id = slot->process.process_id,
            .host = slot->process.host,
            .blob = slot->process.blob,
        };
    }
    rebuild_difference(core, base_epoch, base, base_count);
    core->policy_open = false;
    core->someone_left = false;
    core->connecting_since_ns = core->now_ns;
    muster_core_past_add(core);
    muster_core_state_move(core, MUSTER_CORE_CONNECTING);
    muster_core_note(
        core, MUSTER_NOTE_AGREED, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE, core->member_count,
        "epoch %llu has %d rank%s%s%s", (unsigned long long)core->epoch, core->member_count,
        core->member_count == 1 ? "" : "s", core->restore.has_step ? ", restores a step" : "",
        core->restore.state_lost ? ", the step state is lost" : "");
    muster_core_persist(core); /* before anyone hears the number */
    for (size_t i = 0; i < core->death_count; i++) {
        const muster_core_slot *slot = &core->slots[core->deaths[i].death.slot];
        if (slot->seat == MUSTER_CORE_SEAT_RETIRED && !core->deaths[i].death.proven_gone) {
            muster_core_launcher_retired(core, slot);
        }
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        if (core->slots[i].member && core->slots[i].process.connection) {
            muster_core_rebuild_agreed_message(core, &core->slots[i]);
        }
    }
}

/* ---- the turns ---- */

static bool rebuild_enough(muster_core *core)
{
    int32_t remaining = 0;
    int32_t left = 0;
    /* seats that are filled, or that somebody can fill */
    int32_t hopeful = core->spare_count > 0 ? 1 : 0;
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        remaining += slot->seat != MUSTER_CORE_SEAT_RETIRED;
        left += slot->seat == MUSTER_CORE_SEAT_RETIRED && slot->left_for_good;
        hopeful += slot->seat == MUSTER_CORE_SEAT_FILLED ||
                   (slot->seat == MUSTER_CORE_SEAT_OPEN &&
                    muster_core_launcher_of(core, slot->slot) != NULL);
    }
    int32_t minimum = muster_core_members_minimum(core);
    if (remaining < minimum) {
        /* Those that left had ended their work, and perhaps all had: their exit codes say so. */
        core->others_left = remaining + left >= minimum;
        muster_core_give_up(core, MUSTER_ERR_GAVE_UP,
                            "%d of %d ranks remain, fewer than the minimum of %d: %s", remaining,
                            core->policy.slot_count, minimum, core->retired_text);
        return false;
    }
    if (core->state == MUSTER_CORE_REVOKED && hopeful == 0) {
        muster_core_give_up(core, MUSTER_ERR_GAVE_UP,
                            "every rank was lost, and no launcher is there to start new ones");
        return false;
    }
    return true;
}

/* True when every seat is filled or retired. */
static bool rebuild_seats_decided(muster_core *core)
{
    bool decided = true;
    for (int32_t i = 0; i < core->policy.slot_count && core->state != MUSTER_CORE_ENDED; i++) {
        muster_core_replacement_turn(core, &core->slots[i]);
        bool open = core->slots[i].seat == MUSTER_CORE_SEAT_OPEN;
        core->missing += open && core->state == MUSTER_CORE_FORMING;
        decided = decided && !open;
    }
    return decided;
}

/* Those that had left before this coordinator came without its journal; the others are replacements, or nobody. */
static int32_t rebuild_left_before(const muster_core *core)
{
    int32_t left = 0;
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        left += core->slots[i].process.left;
    }
    return left;
}

static void rebuild_turn_forming(muster_core *core)
{
    if (!core->slots || core->adoption.epoch != 0) {
        return;
    }
    bool decided = rebuild_seats_decided(core);
    if (core->state != MUSTER_CORE_FORMING || !rebuild_enough(core)) {
        return;
    }
    /* It is no new job: who knows of an epoch should have the time to come and say so. */
    bool heard = !core->met_before || muster_core_passed(core, core->forming_since_ns,
                                                         core->policy.deadlines.reconnect_ns);
    if (decided && !heard) {
        return;
    }
    int32_t left = decided ? rebuild_left_before(core) : 0;
    if (left > 0) {
        core->others_left = true;
        muster_core_give_up(core, MUSTER_ERR_GAVE_UP,
                            "%d of %d ranks had ended their work before this coordinator lost its "
                            "journal, and of the others nobody came back",
                            left, core->policy.slot_count);
        return;
    }
    if (decided) {
        rebuild_agree(core);
        return;
    }
    if (muster_core_passed(core, core->forming_since_ns, core->policy.deadlines.join_ns)) {
        char awaited[120];
        (void)muster_core_awaited(core, awaited, sizeof awaited);
        muster_core_give_up(core, MUSTER_ERR_TIMEOUT,
                            "the job did not form within %lld ms: it waited for %s",
                            (long long)(core->policy.deadlines.join_ns / 1000000), awaited);
    }
}

/* Nobody is there who could prove it gone. A coordinator that has just come back waits for its
 * launchers before it says so. */
static bool rebuild_nobody_proves(muster_core *core, const muster_core_death *death)
{
    return !muster_core_launcher_can_prove(core, death->death.slot, death->from_spare,
                                           death->host) &&
           (!core->returned ||
            muster_core_passed(core, core->returned_ns, core->policy.deadlines.reconnect_ns));
}

/* True when every lost process is proven gone or abandoned. */
static bool rebuild_all_gone(muster_core *core)
{
    bool all = true;
    for (size_t i = 0; i < core->death_count; i++) {
        muster_core_death *death = &core->deaths[i];
        if (death->death.proven_gone || death->abandoned) {
            continue;
        }
        if (rebuild_nobody_proves(core, death)) {
            death->abandoned = true;
            core->persist_due = true;
            muster_core_note(core, MUSTER_NOTE_ABANDONED, death->death.slot,
                             death->death.incarnation, death->death.evidence, 0,
                             "no launcher can prove process %d gone; what it could still write is "
                             "abandoned",
                             death->process_id);
        } else if (muster_core_passed(core, death->verdict_ns, core->policy.deadlines.gone_ns)) {
            death->abandoned = true;
            core->persist_due = true;
            muster_core_note(core, MUSTER_NOTE_ABANDONED, death->death.slot,
                             death->death.incarnation, death->death.evidence, 0,
                             "process %d was not proven gone in %lld ms; what it could still "
                             "write is abandoned",
                             death->process_id,
                             (long long)(core->policy.deadlines.gone_ns / 1000000));
        } else {
            all = false;
        }
    }
    return all;
}

/* True when every survivor is quiet. One that does not come in time is lost, too. */
static bool rebuild_all_quiet(muster_core *core)
{
    bool all = true;
    for (int32_t i = 0; i < core->policy.slot_count && core->state == MUSTER_CORE_REVOKED; i++) {
        muster_core_slot *slot = &core->slots[i];
        if (slot->member && slot->process.left) {
            all = false; /* the next epoch is formed when it is clear whether anybody stays */
            continue;
        }
        if (!slot->member || !muster_core_members_live(slot) || slot->process.quiet) {
            continue;
        }
        all = false;
        core->missing++;
        if (muster_core_passed(core, core->revoked_since_ns, core->policy.deadlines.rebuild_ns)) {
            muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_REBUILD_DEADLINE, -1);
        }
    }
    return all;
}

static void rebuild_turn_revoked(muster_core *core)
{
    if (!rebuild_enough(core)) {
        return;
    }
    bool decided = rebuild_seats_decided(core);
    if (core->state != MUSTER_CORE_REVOKED || !rebuild_enough(core)) {
        return;
    }
    bool gone = rebuild_all_gone(core);
    bool quiet = rebuild_all_quiet(core);
    if (core->state == MUSTER_CORE_REVOKED && decided && gone && quiet) {
        rebuild_agree(core);
    }
}

static void rebuild_turn_connecting(muster_core *core)
{
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        core->missing += slot->member && !slot->process.connected;
    }
    if (core->missing == 0) {
        core->death_count = 0;
        core->has_run = true;
        core->cut_count = 0;
        muster_core_state_move(core, MUSTER_CORE_RUNNING);
        muster_core_note(core, MUSTER_NOTE_ESTABLISHED, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                         core->member_count, "epoch %llu is established",
                         (unsigned long long)core->epoch);
        for (int32_t i = 0; i < core->policy.slot_count; i++) {
            muster_core_members_tell(core, &core->slots[i]);
        }
        return;
    }
    if (!muster_core_passed(core, core->connecting_since_ns, core->policy.deadlines.rebuild_ns)) {
        return;
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        if (core->state != MUSTER_CORE_ENDED && slot->member && muster_core_members_live(slot) &&
            !slot->process.connected) {
            muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_REBUILD_DEADLINE, -1);
        }
    }
}

void muster_core_rebuild_turn(muster_core *core)
{
    core->missing = 0;
    switch (core->state) {
    case MUSTER_CORE_FORMING:
        rebuild_turn_forming(core);
        return;
    case MUSTER_CORE_REVOKED:
        rebuild_turn_revoked(core);
        return;
    case MUSTER_CORE_CONNECTING:
        rebuild_turn_connecting(core);
        return;
    case MUSTER_CORE_RUNNING:
    case MUSTER_CORE_ENDED:
    case MUSTER_CORE_STATE_COUNT:
        return;
    }
}
