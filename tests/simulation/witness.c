/* SPDX-License-Identifier: Apache-2.0 */
/* What must never happen, whatever goes wrong. The witness sees everything and knows nothing of the
 * core's rules: it only compares what was said and done. */
#include <stdlib.h>
#include <string.h>

#include <muster/comm.h>

#include "base/hash.h"
#include "core/difference.h"
#include "world.h"

/* A call may end this long after its deadline: the thread's own turn, a bounded abort of the device
 * plane. */
#define WITNESS_CALL_SLACK_NS (400 * SIM_MS)

uint64_t sim_witness_hash(const muster_member *members, int32_t member_count)
{
    struct {
        int32_t slot, process_id;
        uint32_t incarnation;
    } plain[SIM_SLOTS_MAX];
    memset(plain, 0, sizeof plain);
    for (int32_t i = 0; i < member_count && i < SIM_SLOTS_MAX; i++) {
        plain[i].slot = members[i].slot;
        plain[i].process_id = members[i].process_id;
        plain[i].incarnation = members[i].incarnation;
    }
    return muster_hash_bytes(plain, sizeof plain, 0);
}

/* The membership that ranks know by this number; NULL: nobody has heard of one. */
static sim_epoch *witness_find(sim_world *world, uint64_t epoch)
{
    for (int i = world->witness.epoch_count; i > 0; i--) {
        sim_epoch *known = &world->witness.epochs[i - 1];
        if (known->epoch == epoch && known->heard) {
            return known;
        }
    }
    return NULL;
}

const sim_epoch *sim_witness_last(sim_world *world)
{
    return witness_find(world, world->witness.last_epoch);
}

bool sim_witness_has(const sim_epoch *epoch, int32_t slot)
{
    for (int32_t i = 0; i < epoch->member_count; i++) {
        if (epoch->members[i].slot == slot) {
            return true;
        }
    }
    return false;
}

static sim_epoch *witness_find_said(sim_world *world, uint64_t epoch, uint64_t members_hash)
{
    for (int i = world->witness.epoch_count; i > 0; i--) {
        sim_epoch *known = &world->witness.epochs[i - 1];
        if (known->epoch == epoch && known->members_hash == members_hash) {
            return known;
        }
    }
    return NULL;
}

static sim_process *witness_process(sim_world *world, int32_t process_id)
{
    int index = process_id - 1000;
    return index >= 0 && index < world->process_count ? world->processes[index] : NULL;
}

/* ---- steps ---- */

static bool witness_newer(uint64_t epoch, uint64_t step, uint64_t than_epoch, uint64_t than_step)
{
    return epoch > than_epoch || (epoch == than_epoch && step > than_step);
}

/* Some rank that goes on said that it holds this slot's state. */
static bool witness_held(sim_world *world, const muster_message *agreed, int32_t slot,
                         uint64_t epoch, uint64_t step)
{
    for (int32_t i = 0; i < agreed->u.agreed.member_count; i++) {
        const sim_process *process = witness_process(world, agreed->u.agreed.members[i].process_id);
        for (int32_t k = 0; process && k < process->quiet_holding_count; k++) {
            const muster_holding *holding = &process->quiet_holdings[k];
            if (holding->slot == slot && holding->epoch == epoch && holding->step == step) {
                return true;
            }
        }
    }
    return false;
}

static bool witness_all_held(sim_world *world, const muster_message *agreed, uint64_t epoch,
                             uint64_t step)
{
    const sim_epoch *membership = witness_find(world, epoch);
    bool all_held = membership != NULL;
    for (int32_t i = 0; all_held && i < membership->member_count; i++) {
        all_held = witness_held(world, agreed, membership->members[i].slot, epoch, step);
    }
    return all_held;
}

/* The newest step whose states all survive. */
static void witness_newest_held(sim_world *world, const muster_message *agreed, sim_epoch *said)
{
    for (int32_t i = 0; i < agreed->u.agreed.member_count; i++) {
        const sim_process *process = witness_process(world, agreed->u.agreed.members[i].process_id);
        for (int32_t k = 0; process && k < process->quiet_holding_count; k++) {
            const muster_holding *holding = &process->quiet_holdings[k];
            if (witness_newer(holding->epoch, holding->step, said->held_epoch, said->held_step) &&
                witness_all_held(world, agreed, holding->epoch, holding->step)) {
                said->held_epoch = holding->epoch;
                said->held_step = holding->step;
            }
        }
    }
}

static void witness_restore(sim_world *world, const muster_message *agreed)
{
    const sim_witness *witness = &world->witness;
    const muster_restore *restore = &agreed->u.agreed.restore;
    for (int32_t i = 0; restore->has_step && i < restore->slot_count; i++) {
        if (!witness_held(world, agreed, agreed->u.agreed.restore_slots[i], restore->epoch,
                          restore->step)) {
            sim_fail(world,
                     "epoch %llu restores step %llu of epoch %llu, but nobody in it holds slot %d",
                     (unsigned long long)agreed->epoch, (unsigned long long)restore->step,
                     (unsigned long long)restore->epoch, agreed->u.agreed.restore_slots[i]);
        }
    }
    bool kept = !witness->has_commit ||
                (restore->has_step && !witness_newer(witness->commit_epoch, witness->commit_step,
                                                     restore->epoch, restore->step));
    if (kept) {
        return;
    }
    if (witness_all_held(world, agreed, witness->commit_epoch, witness->commit_step)) {
        sim_fail(world,
                 "step %llu of epoch %llu was committed and is held, but epoch %llu goes on from "
                 "%s %llu",
                 (unsigned long long)witness->commit_step,
                 (unsigned long long)witness->commit_epoch, (unsigned long long)agreed->epoch,
                 restore->has_step ? "step" : "nothing:", (unsigned long long)restore->step);
    }
    if (!restore->has_step && !restore->state_lost && !world->journal_lost) {
        sim_fail(
            world,
            "step %llu of epoch %llu was committed and is lost, and epoch %llu does not say so",
            (unsigned long long)witness->commit_step, (unsigned long long)witness->commit_epoch,
            (unsigned long long)agreed->epoch);
    }
}

/* Lost is what was, or may have been, committed. Nothing was where one that goes on had staged nothing. */
static void witness_lost(sim_world *world, const muster_message *agreed)
{
    sim_witness *witness = &world->witness;
    const sim_epoch *last = sim_witness_last(world);
    bool said_before = witness->said_lost;
    witness->said_lost = said_before || agreed->u.agreed.restore.state_lost;
    if (said_before || !witness->said_lost || witness->has_commit || witness->commits > 0 ||
        world->journal_lost) {
        return;
    }
    for (int32_t i = 0; last && i < last->member_count; i++) {
        const sim_process *process = witness_process(world, last->members[i].process_id);
        bool goes_on = false;
        for (int32_t k = 0; k < agreed->u.agreed.member_count; k++) {
            goes_on =
                goes_on || agreed->u.agreed.members[k].process_id == last->members[i].process_id;
        }
        if (goes_on && process && process->quiet_epoch >= last->epoch &&
            process->quiet_holding_count == 0) {
            sim_fail(world, "epoch %llu says that the state is lost, but %s had never staged any",
                     (unsigned long long)agreed->epoch, process->client.name);
        }
    }
}

/* A rank that was stopped may see a commit complete long after the others went on: then they must have
 * gone on from it, unless a state of it was lost with the dead. */
static void witness_committed_late(sim_world *world, const sim_process *process, uint64_t step)
{
    const sim_epoch *next = NULL;
    for (int i = 0; i < world->witness.epoch_count; i++) {
        const sim_epoch *known = &world->witness.epochs[i];
        if (known->heard && known->epoch > process->epoch &&
            (!next || known->epoch < next->epoch)) {
            next = known;
        }
    }
    if (next && !witness_newer(process->epoch, step, next->held_epoch, next->held_step) &&
        (!next->restore.has_step ||
         witness_newer(process->epoch, step, next->restore.epoch, next->restore.step))) {
        sim_fail(world,
                 "step %llu of epoch %llu is committed by %s after epoch %llu went on without it",
                 (unsigned long long)step, (unsigned long long)process->epoch, process->client.name,
                 (unsigned long long)next->epoch);
    }
}

void sim_witness_committed(sim_world *world, const sim_process *process, uint64_t step)
{
    sim_witness *witness = &world->witness;
    const sim_epoch *epoch = witness_find(world, process->epoch);
    if (!epoch || epoch->members_hash != process->members_hash) {
        sim_fail(world, "%s commits step %llu with other members than epoch %llu has",
                 process->client.name, (unsigned long long)step,
                 (unsigned long long)process->epoch);
    }
    if (process->epoch != witness->last_epoch) {
        witness_committed_late(world, process, step);
    } else if (!witness->has_commit ||
               witness_newer(process->epoch, step, witness->commit_epoch, witness->commit_step)) {
        witness->has_commit = true;
        witness->commit_epoch = process->epoch;
        witness->commit_step = step;
        witness->commits++;
        sim_log(world, "step %llu of epoch %llu is committed", (unsigned long long)step,
                (unsigned long long)process->epoch);
    }
}

/* ---- epochs ---- */

static void witness_members(sim_world *world, const muster_message *agreed)
{
    for (int32_t i = 0; i < agreed->u.agreed.member_count; i++) {
        const muster_member *member = &agreed->u.agreed.members[i];
        const sim_process *process = witness_process(world, member->process_id);
        if (i > 0 && member->slot <= agreed->u.agreed.members[i - 1].slot) {
            sim_fail(world, "epoch %llu has slot %d twice", (unsigned long long)agreed->epoch,
                     member->slot);
        }
        if (!process) {
            sim_fail(world, "epoch %llu has a process %d that never was",
                     (unsigned long long)agreed->epoch, member->process_id);
        } else if (process->fenced) {
            sim_fail(world, "epoch %llu has %s, which was fenced",
                     (unsigned long long)agreed->epoch, process->client.name);
        }
    }
}

/* A slot that an epoch went on without comes back only where the job grows. A coordinator that lost its
 * journal may have to believe ranks of an older epoch. */
static void witness_growth(sim_world *world, const muster_message *agreed)
{
    const sim_epoch *last = sim_witness_last(world);
    for (int32_t i = 0; last && i < agreed->u.agreed.member_count; i++) {
        int32_t slot = agreed->u.agreed.members[i].slot;
        if (!sim_witness_has(last, slot) && !world->policy.grow && !world->journal_lost) {
            sim_fail(world, "slot %d is back in epoch %llu, and epoch %llu had gone on without it",
                     slot, (unsigned long long)agreed->epoch, (unsigned long long)last->epoch);
        }
    }
}

/* What was said as a difference, in full: from the membership that fits. False: from none that was ever said. */
static bool witness_complete(sim_world *world, const muster_message *agreed, muster_message *full)
{
    const muster_difference difference = {
        .changed_count = agreed->u.agreed.member_count,
        .changed = agreed->u.agreed.members,
        .without_count = agreed->u.agreed.without_count,
        .without = agreed->u.agreed.without,
        .members_hash = agreed->u.agreed.members_hash,
    };
    *full = *agreed;
    for (int i = world->witness.epoch_count; i > 0; i--) {
        const sim_epoch *base = &world->witness.epochs[i - 1];
        if (base->epoch == agreed->u.agreed.base_epoch &&
            muster_difference_apply(base->members, base->member_count, &difference,
                                    &full->u.agreed.members,
                                    &full->u.agreed.member_count) == MUSTER_OK) {
            return true;
        }
    }
    return false;
}

static void witness_agreed(sim_world *world, const sim_coordinator *coordinator,
                           const muster_message *agreed);

void sim_witness_agreed(sim_world *world, const sim_coordinator *coordinator,
                        const muster_message *agreed)
{
    muster_message full;
    world->witness.told_all += agreed->u.agreed.base_epoch == 0;
    if (agreed->u.agreed.base_epoch == 0) {
        witness_agreed(world, coordinator, agreed);
        return;
    }
    world->witness.told_changes++;
    if (!witness_complete(world, agreed, &full)) {
        sim_fail(world, "epoch %llu is told as a difference to epoch %llu, which was another one",
                 (unsigned long long)agreed->epoch,
                 (unsigned long long)agreed->u.agreed.base_epoch);
        return;
    }
    witness_agreed(world, coordinator, &full);
    free(full.u.agreed.members);
}

/* A new job, as far as this coordinator can know: the hole that the README describes. */
static bool witness_is_next_job(const sim_world *world, const sim_coordinator *coordinator,
                                uint64_t epoch)
{
    return epoch <= world->witness.last_epoch && world->journal_lost && !coordinator->told;
}

/* What is said may be heard by nobody, where its coordinator dies: then the number is free again. */
static void witness_agreed(sim_world *world, const sim_coordinator *coordinator,
                           const muster_message *agreed)
{
    sim_witness *witness = &world->witness;
    uint64_t hash = sim_witness_hash(agreed->u.agreed.members, agreed->u.agreed.member_count);
    if (witness_find_said(world, agreed->epoch, hash)) {
        return;
    }
    if (witness_is_next_job(world, coordinator, agreed->epoch)) {
        world->next_job = true;
        return;
    }
    const sim_epoch *known = witness_find(world, agreed->epoch);
    if (known) {
        sim_fail(world, "epoch %llu has two member lists: of term %llu and of term %llu",
                 (unsigned long long)agreed->epoch, (unsigned long long)known->term,
                 (unsigned long long)agreed->term);
    }
    if (agreed->epoch <= witness->last_epoch) {
        sim_fail(world, "epoch %llu comes after epoch %llu", (unsigned long long)agreed->epoch,
                 (unsigned long long)witness->last_epoch);
    }
    if (witness->epoch_count == SIM_EPOCHS_MAX) {
        sim_fail(world, "%d epochs: nothing comes of it", SIM_EPOCHS_MAX);
        return;
    }
    sim_epoch *said = &witness->epochs[witness->epoch_count++];
    memset(said, 0, sizeof *said);
    said->epoch = agreed->epoch;
    said->term = agreed->term;
    said->member_count = agreed->u.agreed.member_count;
    memcpy(said->members, agreed->u.agreed.members,
           (size_t)said->member_count * sizeof said->members[0]);
    said->members_hash = hash;
    said->restore = agreed->u.agreed.restore;
    said->kind = agreed->u.agreed.kind;
    witness_members(world, agreed);
    witness_growth(world, agreed);
    witness_restore(world, agreed);
    witness_lost(world, agreed);
    witness_newest_held(world, agreed, said);
}

void sim_witness_entered(sim_world *world, const sim_process *process)
{
    sim_witness *witness = &world->witness;
    sim_epoch *said = witness_find_said(world, process->epoch, process->members_hash);
    const sim_epoch *known = witness_find(world, process->epoch);
    if (!said || (known && known != said)) {
        sim_fail(world, "%s enters epoch %llu with members that nobody agreed on",
                 process->client.name, (unsigned long long)process->epoch);
        return;
    }
    if (!said->heard && process->epoch > witness->last_epoch) {
        witness->last_epoch = process->epoch;
        witness->has_commit = said->restore.has_step;
        witness->commit_epoch = said->restore.epoch;
        witness->commit_step = said->restore.step;
        witness->rebuilds += process->epoch > 1;
        witness->grown += said->kind == MUSTER_REBUILD_GROW;
    }
    said->heard = true;
    const muster_member *self =
        process->own_rank >= 0 ? &process->members[process->own_rank] : NULL;
    if (self && self->process_id != process->process_id) {
        sim_fail(world, "%s takes the place of process %d in epoch %llu", process->client.name,
                 self->process_id, (unsigned long long)process->epoch);
    }
}

/* ---- notes ---- */

/* It had told its client GOODBYE, or would have read the LEAVE on a connection that stands. Who is killed while it
 * leaves did not end well. */
static bool witness_left(const sim_coordinator *coordinator, const sim_process *process)
{
    return process->finished && process->wait_status == 0 &&
           process->leave_coordinator == coordinator->index &&
           process->leave_connection == process->client.connection &&
           process->client.coordinator_start == coordinator->start;
}

/* What only the journal knew is forgotten with it: a verdict that no later epoch was agreed upon. */
void sim_witness_forgotten(sim_world *world)
{
    for (int i = 0; i < world->living_count; i++) {
        sim_process *process = world->living[i];
        process->fenced = process->fenced && process->fenced_epoch < world->witness.last_epoch;
    }
    world->journal_lost = world->journal_lost || world->witness.epoch_count > 0;
}

/* What follows a note is done: people may read of a verdict that its coordinator did not live to give. */
void sim_witness_given(sim_world *world, bool given)
{
    for (int i = 0; i < world->process_count; i++) {
        sim_process *process = world->processes[i];
        process->fenced = process->fenced || (process->verdict_noted && given);
        process->verdict_noted = false;
    }
}

void sim_witness_note(sim_world *world, const sim_coordinator *coordinator, const muster_note *note)
{
    sim_witness *witness = &world->witness;
    if (note->kind == MUSTER_NOTE_AGREED && witness_is_next_job(world, coordinator, note->epoch)) {
        world->next_job =
            true; /* also where this coordinator dies before it says so, and the next one does */
    }
    if (note->kind == MUSTER_NOTE_VERDICT) {
        witness->verdicts++;
        for (int i = 0; i < world->process_count; i++) {
            sim_process *process = world->processes[i];
            /* Two processes may have the same numbers: only the words say which one is meant. */
            char name[32];
            snprintf(name, sizeof name, "process %d)", process->process_id);
            bool meant = strstr(note->text, name) != NULL &&
                         (int32_t)atomic_load(&process->protocol.slot) == note->slot &&
                         (uint32_t)atomic_load(&process->protocol.incarnation) == note->incarnation;
            if (meant && process->alive && !process->hurt && !world->harsh && world->journaled &&
                process->state != SIM_RANK_LEAVING && note->evidence != MUSTER_EVIDENCE_LEFT) {
                sim_fail(world, "%s lives, and nobody hurt it, and it got a verdict: %s",
                         process->client.name, note->text);
            }
            if (meant && note->evidence != MUSTER_EVIDENCE_LEFT) {
                process->verdict_noted = true;
                process->fenced_epoch = note->epoch;
                if (note->evidence == MUSTER_EVIDENCE_EXITED &&
                    witness_left(coordinator, process)) {
                    sim_fail(world, "%s left and ended well, and got a verdict: it exited",
                             process->client.name);
                }
            }
        }
    }
    if (note->kind == MUSTER_NOTE_GAVE_UP || note->kind == MUSTER_NOTE_CALLS_DIFFER) {
        witness->gave_up = true;
        snprintf(witness->end_text, sizeof witness->end_text, "%s", note->text);
    }
}

/* ---- calls ---- */

void sim_witness_called(sim_world *world, const sim_process *process)
{
    if (process->deadline_ns == SIM_NEVER) {
        return;
    }
    bool forms = process->epoch > 0 && (process->state == SIM_RANK_AWAIT_AGREED ||
                                        process->state == SIM_RANK_CONNECTING ||
                                        process->state == SIM_RANK_AWAIT_ESTABLISHED);
    /* A job that is given up says so; a call that waits to its end was forgotten. */
    if (forms && process->outcome == MUSTER_ERR_TIMEOUT &&
        muster_protocol_standing(&process->protocol) == MUSTER_OK && !sim_world_silent(world) &&
        world->healed_ns < process->call_began_ns) {
        sim_fail(world, "faults had stopped, and %s (slot %d) still waited in vain: %s",
                 process->client.name, (int)atomic_load(&process->protocol.slot),
                 sim_rank_state_text(process));
    }
    int64_t over_ns = world->now_ns - process->deadline_ns - process->slept_ns;
    if (over_ns > WITNESS_CALL_SLACK_NS) {
        sim_fail(world, "a call of %s ended %lld ms after its deadline (%s)", process->client.name,
                 (long long)(over_ns / SIM_MS), muster_status_text(process->outcome));
    }
}

/* ---- the whole ---- */

/* Not of a job that everybody forgot while this process was stopped. */
static bool witness_remembered(sim_world *world, const sim_process *process)
{
    return witness_find_said(world, process->epoch, process->members_hash) != NULL;
}

/* No two ranks work in one epoch in one slot. */
void sim_witness_look(sim_world *world)
{
    for (int i = 0; i < world->living_count; i++) {
        const sim_process *one = world->living[i];
        if (one->epoch == 0 || one->own_rank < 0 || !witness_remembered(world, one)) {
            continue;
        }
        for (int k = i + 1; k < world->living_count; k++) {
            const sim_process *other = world->living[k];
            if (other->epoch == one->epoch && other->own_rank >= 0 &&
                witness_remembered(world, other) &&
                one->members[one->own_rank].slot == other->members[other->own_rank].slot) {
                sim_fail(world, "%s and %s both are slot %d of epoch %llu", one->client.name,
                         other->client.name, one->members[one->own_rank].slot,
                         (unsigned long long)one->epoch);
            }
        }
    }
}

void sim_witness_end(sim_world *world)
{
    sim_outcome *outcome = &world->outcome;
    outcome->gave_up = world->witness.gave_up;
    outcome->commits = world->witness.commits;
    outcome->rebuilds = world->witness.rebuilds;
    outcome->verdicts = world->witness.verdicts;
    outcome->grown = world->witness.grown;
    outcome->told_all = world->witness.told_all;
    outcome->told_changes = world->witness.told_changes;
    for (int i = 0; i < world->process_count; i++) {
        outcome->finished = outcome->finished || world->processes[i]->finished;
    }
}
