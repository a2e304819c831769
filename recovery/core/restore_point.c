/* SPDX-License-Identifier: Apache-2.0 */
/* Which step does the job go on from?
 *
 * Each survivor says which step states it holds: its own, and those it mirrors. A candidate is a step
 * of an epoch. It can be taken when
 *   - every slot of that epoch's membership has its state held by some survivor, and
 *   - some survivor saw it committed, or every survivor of that epoch staged it: a rank stages only
 *     when its state, its mirror and every batch of the step are complete, so then all the dead had
 *     got there too, or their states would be missing.
 * The newest candidate that can be taken is. Where none can: the state is lost if anything was, or may
 * have been, committed (the dead may have seen what no survivor did), else there never was any.
 *
 * Memberships of past epochs are kept, because a replacement that dies before the first commit of its
 * epoch must not cost the older epoch's step. */
#include <stdlib.h>
#include <string.h>

#include "core/core_state.h"

void muster_core_restore_point_clear(muster_core *core)
{
    muster_core_retire(core, core->restore_slots);
    core->restore_slots = NULL;
    memset(&core->restore, 0, sizeof core->restore);
}

void muster_core_past_add(muster_core *core)
{
    int32_t *slots = muster_core_memory(calloc((size_t)core->member_count + 1, sizeof *slots));
    for (int32_t i = 0; i < core->member_count; i++) {
        slots[i] = core->members[i].slot;
    }
    muster_core_past_add_slots(core, core->epoch, slots, core->member_count);
    free(slots);
}

void muster_core_past_add_slots(muster_core *core, uint64_t epoch, const int32_t *slots,
                                int32_t slot_count)
{
    if (core->past_count == MUSTER_CORE_PASTS_MAX) {
        /* The oldest goes, but for the one whose step the job goes on from: until the next commit survivors hold
         * no other, however often they rebuild before. */
        bool needed = core->restore.has_step && core->pasts[0].epoch == core->restore.epoch;
        int32_t oldest = needed ? 1 : 0;
        free(core->pasts[oldest].slots);
        memmove(&core->pasts[oldest], &core->pasts[oldest + 1],
                (size_t)(MUSTER_CORE_PASTS_MAX - 1 - oldest) * sizeof core->pasts[0]);
        core->past_count--;
    }
    muster_core_past *past = &core->pasts[core->past_count++];
    past->epoch = epoch;
    past->slot_count = slot_count;
    past->slots = muster_core_memory(calloc((size_t)slot_count + 1, sizeof *past->slots));
    if (slot_count > 0) {
        memcpy(past->slots, slots, (size_t)slot_count * sizeof *past->slots);
    }
}

static const muster_core_past *past_find(const muster_core *core, uint64_t epoch)
{
    for (int32_t i = 0; i < core->past_count; i++) {
        if (core->pasts[i].epoch == epoch) {
            return &core->pasts[i];
        }
    }
    return NULL;
}

static bool restore_newer(uint64_t epoch, uint64_t step, uint64_t than_epoch, uint64_t than_step)
{
    return epoch > than_epoch || (epoch == than_epoch && step > than_step);
}

static const muster_core_process *restore_survivor(const muster_core *core, int32_t slot)
{
    const muster_core_slot *candidate = &core->slots[slot];
    return candidate->member && muster_core_members_live(candidate) ? &candidate->process : NULL;
}

/* The newest (epoch, step) held that is older than the one given; false when there is none. */
static bool restore_next(const muster_core *core, bool from_start, uint64_t *epoch, uint64_t *step)
{
    bool found = false;
    uint64_t best_epoch = 0;
    uint64_t best_step = 0;
    for (int32_t s = 0; s < core->policy.slot_count; s++) {
        const muster_core_process *survivor = restore_survivor(core, s);
        for (int32_t i = 0; survivor && i < survivor->holding_count; i++) {
            const muster_holding *holding = &survivor->holdings[i];
            bool older = from_start || restore_newer(*epoch, *step, holding->epoch, holding->step);
            if (older &&
                (!found || restore_newer(holding->epoch, holding->step, best_epoch, best_step))) {
                found = true;
                best_epoch = holding->epoch;
                best_step = holding->step;
            }
        }
    }
    *epoch = best_epoch;
    *step = best_step;
    return found;
}

typedef enum restore_verdict {
    RESTORE_TAKE,
    RESTORE_NEVER_COMMITTED, /* somebody did not get so far: nobody saw it committed */
    RESTORE_LOST             /* it was, or may have been, committed; a slot's state is gone */
} restore_verdict;

static restore_verdict restore_judge(const muster_core *core, const muster_core_past *past,
                                     uint64_t step)
{
    bool *held = muster_core_memory(calloc((size_t)core->policy.slot_count, sizeof *held));
    bool *survived = muster_core_memory(calloc((size_t)core->policy.slot_count, sizeof *survived));
    bool *staged = muster_core_memory(calloc((size_t)core->policy.slot_count, sizeof *staged));
    bool committed = false;
    for (int32_t s = 0; s < core->policy.slot_count; s++) {
        const muster_core_process *survivor = restore_survivor(core, s);
        for (int32_t i = 0; survivor && i < survivor->holding_count; i++) {
            const muster_holding *holding = &survivor->holdings[i];
            if (holding->epoch != past->epoch) {
                continue;
            }
            bool own = holding->slot == s && !holding->mirror;
            survived[s] = survived[s] || own; /* it was there: it holds a state of that epoch */
            if (holding->step == step &&
                muster_core_members_slot((muster_core *)(uintptr_t)core, holding->slot)) {
                held[holding->slot] = true;
                staged[s] = staged[s] || own;
                committed = committed || holding->committed;
            }
        }
    }
    bool all_held = true;
    bool all_staged = true;
    for (int32_t i = 0; i < past->slot_count; i++) {
        all_held = all_held && held[past->slots[i]];
    }
    for (int32_t s = 0; s < core->policy.slot_count; s++) {
        all_staged = all_staged && (!survived[s] || staged[s]);
    }
    free(held);
    free(survived);
    free(staged);
    if (!committed && !all_staged) {
        return RESTORE_NEVER_COMMITTED;
    }
    return all_held ? RESTORE_TAKE : RESTORE_LOST;
}

static bool restore_ever_committed(const muster_core *core)
{
    bool ever = core->has_committed;
    for (int32_t s = 0; s < core->policy.slot_count; s++) {
        const muster_core_process *survivor = restore_survivor(core, s);
        for (int32_t i = 0; survivor && i < survivor->holding_count; i++) {
            ever = ever || survivor->holdings[i].committed;
        }
    }
    return ever;
}

/* Everyone who could have committed is lost: they may have, and nobody can say. */
static bool restore_nobody_left(const muster_core *core)
{
    for (int32_t s = 0; core->has_run && s < core->policy.slot_count; s++) {
        if (restore_survivor(core, s)) {
            return false;
        }
    }
    return core->has_run;
}

void muster_core_restore_point_choose(muster_core *core)
{
    uint64_t epoch = 0;
    uint64_t step = 0;
    bool lost = restore_nobody_left(core);
    for (bool more = restore_next(core, true, &epoch, &step); more;
         more = restore_next(core, false, &epoch, &step)) {
        const muster_core_past *past = past_find(core, epoch);
        restore_verdict verdict = past ? restore_judge(core, past, step) : RESTORE_LOST;
        lost = lost || verdict == RESTORE_LOST;
        if (verdict != RESTORE_TAKE) {
            continue;
        }
        core->restore.has_step = true;
        core->has_committed = true; /* from here on it is, whoever saw it */
        core->restore.step = step;
        core->restore.epoch = epoch;
        core->restore.slot_count = past->slot_count;
        core->restore_slots =
            muster_core_memory(calloc((size_t)past->slot_count + 1, sizeof *core->restore_slots));
        memcpy(core->restore_slots, past->slots,
               (size_t)past->slot_count * sizeof *core->restore_slots);
        return;
    }
    core->restore.state_lost = lost || restore_ever_committed(core);
    core->has_committed = core->has_committed || lost;
    if (core->restore.state_lost) {
        core->crash_has_step = false; /* from a checkpoint, earlier steps are progress again */
    }
}

void muster_core_committed(muster_core *core, muster_core_slot *slot, uint64_t epoch, uint64_t step)
{
    if (!restore_newer(epoch, step, core->committed_epoch, core->committed_step)) {
        return; /* another rank said so before */
    }
    core->committed_epoch = epoch;
    core->committed_step = step;
    muster_core_note(core, MUSTER_NOTE_COMMITTED, slot->slot, slot->process.incarnation,
                     MUSTER_EVIDENCE_NONE, (int64_t)step, "step %llu is committed",
                     (unsigned long long)step);
    muster_core_committed_progress(core, epoch, step);
    muster_core_grow_at_step(core, epoch);
}

void muster_core_committed_progress(muster_core *core, uint64_t epoch, uint64_t step)
{
    if (core->restore.state_lost && epoch < core->epoch) {
        return; /* said before that rank heard that the steps until then are lost: those after them count anew */
    }
    if (!core->has_committed) {
        core->has_committed = true;
        core->persist_due = true; /* or a job that is lost as a whole would begin anew unawares */
    }
    if (!core->crash_has_step || step > core->crash_step) {
        core->crash_has_step = true;
        core->crash_step = step;
        for (int32_t i = 0; i < core->policy.slot_count; i++) {
            core->slots[i].deaths_without_commit = 0;
        }
    }
}
