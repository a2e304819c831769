/* SPDX-License-Identifier: Apache-2.0 */
/* A rank that waited in a batch past its deadline accuses one that did not come. Is the accused to
 * blame? Its heartbeats say what its working thread does:
 *
 *   it does not wait, twice     it stayed out of a batch in which others wait: verdict. Once could be the
 *                               moment at which it comes, late, or spins before it says that it waits,
 *                               and two that come together (kept on a lost connection) are once;
 *                               once is enough where its progress mark, which every call moves, is that
 *                               of the last heartbeat before: then it cannot have come
 *   it has that call behind it  it came late, and computes again; so too where the accuser has it behind
 *                               it, since a call completes nowhere before all have come to it: dropped
 *   it waits, and so does       the ranks are in different calls: a mistake of the program, told to all;
 *   everybody, for a while      nobody is killed
 *   it waits, others do not     somebody else is late; whoever waits for that one will accuse it. After
 *                               the grace the accusation is dropped
 *
 * Only heartbeats from after the accusation count, because an older one may be from before the wait;
 * where they do not come for the time of three, the last one has to do. And only those from after the
 * accused was told last where the job stands: what it missed with a lost coordinator may be that the
 * epoch stands, and then it has not been able to come. */
#include <string.h>

#include "core/core_state.h"

void muster_core_activity_update(muster_core *core, muster_core_slot *slot,
                                 const muster_activity *activity)
{
    muster_core_process *process = &slot->process;
    const muster_activity *before = &process->activity;
    bool same_wait = before->waiting && activity->waiting &&
                     before->progress_mark == activity->progress_mark &&
                     before->communicator == activity->communicator &&
                     before->sequence == activity->sequence && before->call == activity->call;
    if (!same_wait) {
        process->wait_seen_ns = core->now_ns;
    }
    process->activity = *activity;
    process->activity_ns = core->now_ns;
    if (core->accusation_count > 0 || (core->someone_left && activity->waiting)) {
        core->changed = true;
    }
}

void muster_core_accusation_add(muster_core *core, const muster_core_slot *accuser,
                                const muster_message *message)
{
    for (size_t i = 0; i < core->accusation_count; i++) {
        if (core->accusations[i].accused == message->u.evidence.accused_slot &&
            core->accusations[i].incarnation == message->u.evidence.accused_incarnation) {
            return; /* the first one counts */
        }
    }
    muster_core_grow((void **)&core->accusations, core->accusation_count,
                     &core->accusation_capacity, sizeof *core->accusations);
    const muster_core_slot *accused =
        muster_core_members_slot(core, message->u.evidence.accused_slot);
    core->accusations[core->accusation_count++] = (muster_core_accusation){
        .accuser = accuser->slot,
        .accused = message->u.evidence.accused_slot,
        .incarnation = message->u.evidence.accused_incarnation,
        .communicator = message->u.evidence.communicator,
        .sequence = message->u.evidence.sequence,
        .call = message->u.evidence.call,
        .at_ns = core->now_ns,
        .counts_after_ns = core->now_ns,
        .idle_before =
            accused && accused->process.activity_ns > 0 && !accused->process.activity.waiting,
        .mark_before = accused ? accused->process.activity.progress_mark : 0,
    };
    core->changed = true;
}

/* Everybody waits, as heartbeats half a grace apart and more have shown, and not all in one call: the
 * first and another that differs from it. */
static bool accusation_all_differ(muster_core *core, const muster_core_accusation *accusation,
                                  const muster_core_slot **one, const muster_core_slot **other)
{
    *one = NULL;
    *other = NULL;
    if (core->cut_count > 0) {
        return false; /* a lost connection alone can leave ranks in different calls */
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        if (!slot->member || !muster_core_members_live(slot)) {
            continue;
        }
        const muster_activity *activity = &slot->process.activity;
        if (!activity->waiting || slot->process.activity_ns <= accusation->at_ns ||
            slot->process.activity_ns - slot->process.wait_seen_ns <
                core->policy.deadlines.verdict_grace_ns / 2) {
            return false;
        }
        if (!*one) {
            *one = slot;
            continue;
        }
        const muster_activity *first = &(*one)->process.activity;
        if (!*other && (first->communicator != activity->communicator ||
                        first->sequence != activity->sequence || first->call != activity->call)) {
            *other = slot;
        }
    }
    return *other != NULL;
}

/* A heartbeat from after the accusation says that the call is complete on that rank. What it completed in an
 * earlier epoch, with higher numbers, it has forgotten when it connected. */
static bool accusation_is_behind(const muster_core_slot *slot,
                                 const muster_core_accusation *accusation)
{
    const muster_activity *activity = &slot->process.activity;
    return slot->process.activity_ns > accusation->at_ns && activity->completed_calls > 0 &&
           activity->last_communicator == accusation->communicator &&
           activity->last_sequence >= accusation->sequence;
}

/* Counts the heartbeats in a row, since the accusation, in which the accused did not wait. */
static void accusation_look(muster_core *core, muster_core_accusation *accusation)
{
    const muster_core_slot *accused = muster_core_members_slot(core, accusation->accused);
    if (!accused) {
        return;
    }
    const muster_core_process *process = &accused->process;
    const int64_t pause_ns = core->policy.deadlines.heartbeat_ns / 4;
    if (process->told_ns > accusation->at_ns &&
        process->told_ns + pause_ns > accusation->counts_after_ns) {
        accusation->counts_after_ns = process->told_ns + pause_ns;
        accusation->idle_before = false;
        accusation->idle_in_row = 0;
    }
    if (process->activity.waiting) {
        accusation->idle_before = false;
        accusation->idle_in_row = 0;
        return;
    }
    if (process->activity_ns <= accusation->counts_after_ns) {
        return;
    }
    bool never_came =
        accusation->idle_before && process->activity.progress_mark == accusation->mark_before;
    accusation->idle_before = false; /* says something of the first heartbeat after it only */
    accusation->idle_in_row += never_came ? 2 : 1;
    accusation->counts_after_ns = process->activity_ns + pause_ns;
}

/* True when the accusation is settled. */
static bool accusation_settle(muster_core *core, const muster_core_accusation *accusation)
{
    const muster_deadlines *deadlines = &core->policy.deadlines;
    muster_core_slot *accused = muster_core_members_slot(core, accusation->accused);
    if (!accused || !accused->member || !muster_core_members_live(accused) ||
        accused->process.incarnation != accusation->incarnation) {
        return true;
    }
    const muster_core_slot *accuser = muster_core_members_slot(core, accusation->accuser);
    if (accusation_is_behind(accused, accusation) ||
        (accuser && accusation_is_behind(accuser, accusation))) {
        return true;
    }
    const muster_core_process *process = &accused->process;
    int64_t since_ns = process->told_ns > accusation->at_ns ? process->told_ns : accusation->at_ns;
    bool old_must_do =
        process->activity_ns > 0 && muster_core_passed(core, since_ns, 3 * deadlines->heartbeat_ns);
    if (accusation->idle_in_row >= 2 || (old_must_do && !process->activity.waiting)) {
        muster_core_verdict_give(core, accused, MUSTER_EVIDENCE_BATCH_DEADLINE, -1);
        return true;
    }
    const muster_core_slot *one;
    const muster_core_slot *other;
    if (accusation_all_differ(core, accusation, &one, &other)) {
        muster_core_calls_differ(
            core, "every rank waits, but slot %d in call %llu and slot %d in call %llu", one->slot,
            (unsigned long long)one->process.activity.sequence, other->slot,
            (unsigned long long)other->process.activity.sequence);
        return true;
    }
    return muster_core_passed(core, accusation->at_ns, deadlines->verdict_grace_ns);
}

void muster_core_accusation_turn(muster_core *core)
{
    for (size_t i = 0; i < core->accusation_count;) {
        accusation_look(core, &core->accusations[i]);
        muster_core_accusation accusation = core->accusations[i];
        bool settled = accusation_settle(core, &accusation);
        if (core->state == MUSTER_CORE_ENDED || core->accusation_count == 0) {
            return; /* a verdict ends all accusations of its epoch */
        }
        if (settled) {
            core->accusation_count--;
            memmove(&core->accusations[i], &core->accusations[i + 1],
                    (core->accusation_count - i) * sizeof *core->accusations);
        } else {
            i++;
        }
    }
}
