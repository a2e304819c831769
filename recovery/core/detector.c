/* SPDX-License-Identifier: Apache-2.0 */
/* Who is silent?
 *
 * Like a guard who calls the roll: everyone answers every so often (heartbeat). Who has not answered
 * for a while is reported slow (suspect), who has not for long is declared dead (silence). Who was
 * seen leaving the room (a lost connection) must be back soon (reconnect), by any message at all.
 *
 * If the guard himself slept, nobody is blamed: a turn that comes more than half the silence deadline
 * after the last one means that the coordinator was paused, and everybody's time starts anew. So that
 * an idle night is not mistaken for that, the core asks to be woken at least every quarter.
 *
 * And if he hears nobody at all, neither the ranks nor their launchers, he asks himself whether it is he who was
 * locked out: a host that is cut from all others looks like that, and a job can run on without its coordinator. Silence
 * counts only while somebody else speaks. Where nobody comes back for as long as a rebuild may take, nobody waits for
 * him either, and the job is given its end.
 *
 * No cleverer rule (round-trip estimates, phi accrual), because a verdict kills: an operator must be
 * able to say beforehand after how many seconds, and a silent process that still computes is fenced
 * safely, only at a price. Faster proof comes from elsewhere: exits, robust futexes, waiting peers. */
#include "core/core_state.h"

static bool detector_hears_nobody(const muster_core *core)
{
    const muster_deadlines *deadlines = &core->policy.deadlines;
    int64_t alone_ns = core->now_ns - core->anyone_ns;
    return alone_ns > deadlines->suspect_ns && alone_ns < deadlines->rebuild_ns;
}

/* Everybody is as if heard just now. */
static void detector_start_anew(muster_core *core)
{
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        muster_core_process *process = &core->slots[i].process;
        process->heard_ns = core->now_ns;
        process->connection_lost_ns = core->now_ns;
    }
    for (size_t i = 0; i < core->spare_count; i++) {
        core->spares[i].heard_ns = core->now_ns;
        core->spares[i].connection_lost_ns = core->now_ns;
    }
    for (size_t i = 0; i < core->launcher_count; i++) {
        core->launchers[i].heard_ns = core->now_ns;
        core->launchers[i].connection_lost_ns = core->now_ns;
    }
    core->changed = true;
}

void muster_core_detector_anyone(muster_core *core)
{
    if (detector_hears_nobody(core)) {
        detector_start_anew(core);
    }
    core->anyone_ns = core->now_ns;
}

/* True when this silence is to be acted upon. */
static bool detector_silent(muster_core *core, int64_t heard_ns)
{
    if (!muster_core_passed(core, heard_ns, core->policy.deadlines.silence_ns)) {
        return false;
    }
    if (detector_hears_nobody(core)) {
        muster_core_deadline(core, core->anyone_ns + core->policy.deadlines.rebuild_ns);
        return false;
    }
    return true;
}

bool muster_core_detector_launcher_silent(muster_core *core, const muster_core_launcher *launcher)
{
    return detector_silent(core, launcher->heard_ns);
}

/* A connection that goes or comes back moves a deadline, and no more, but where it counts who is reachable.
 * A switch takes thousands of them at once, and a look at everything for each would be their square. */
static void detector_reach(muster_core *core)
{
    if (core->adoption.epoch != 0 || core->cut_count > 0) {
        core->changed = true;
    }
}

bool muster_core_detector_hear(muster_core *core, muster_core_slot *slot,
                               muster_connection connection)
{
    muster_core_process *process = &slot->process;
    bool was_away = process->connection_lost || process->connection != connection;
    process->heard_ns = core->now_ns;
    process->suspected = false;
    process->connection = connection;
    if (process->exited_doubtful) {
        process->exited = false;
        process->exited_doubtful = false;
        core->changed = true;
    }
    if (was_away) {
        process->hint = 0;
        process->connection_lost = false;
        detector_reach(core);
    }
    return was_away;
}

void muster_core_detector_lose(muster_core *core, muster_connection connection)
{
    /* At the end of a job all its connections go: nobody asks whose they were. */
    bool ended = core->state == MUSTER_CORE_ENDED;
    muster_core_slot *slot = ended ? NULL : muster_core_members_by_connection(core, connection);
    muster_core_process *process = slot ? &slot->process : NULL;
    if (!slot && !ended) {
        process = muster_core_spare_by_connection(core, connection);
    }
    if (process && !process->connection_lost && !process->left) {
        process->connection_lost = true;
        process->connection_lost_ns = core->now_ns;
        muster_core_note(core, MUSTER_NOTE_SUSPECTED, slot ? slot->slot : MUSTER_SLOT_SPARE_WIRE,
                         process->incarnation, MUSTER_EVIDENCE_CONNECTION_LOST, 0,
                         "the connection to process %d was lost", process->process_id);
    }
    for (size_t i = 0; i < core->launcher_count; i++) {
        muster_core_launcher *launcher = &core->launchers[i];
        if (launcher->connection == connection && !launcher->connection_lost) {
            launcher->connection_lost = true;
            launcher->connection_lost_ns = core->now_ns;
        }
    }
    detector_reach(core);
    muster_core_deadline(core, core->now_ns + core->policy.deadlines.reconnect_ns);
}

void muster_core_detector_pause(muster_core *core)
{
    int64_t paused_ns = core->now_ns - core->last_turn_ns;
    muster_core_note(core, MUSTER_NOTE_NONE, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE, paused_ns,
                     "the coordinator was paused for %lld ms; all timers start anew",
                     (long long)(paused_ns / 1000000));
    detector_start_anew(core);
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        muster_core_process *process = &core->slots[i].process;
        process->left_ns += paused_ns;
        process->exited_ns = core->now_ns;
        process->wait_seen_ns += paused_ns;
        core->slots[i].start_deadline_ns += paused_ns;
    }
    for (size_t i = 0; i < core->death_count; i++) {
        core->deaths[i].verdict_ns += paused_ns;
    }
    for (size_t i = 0; i < core->accusation_count; i++) {
        core->accusations[i].at_ns += paused_ns;
    }
    for (size_t i = 0; i < core->cut_count; i++) {
        core->cuts[i].since_ns += paused_ns;
        core->cuts[i].said_ns += paused_ns;
    }
    core->forming_since_ns += paused_ns;
    core->revoked_since_ns += paused_ns;
    core->connecting_since_ns += paused_ns;
    core->adoption.since_ns += paused_ns;
    core->returned_ns += paused_ns;
    core->changed = true;
}

static void detector_watch_slot(muster_core *core, muster_core_slot *slot)
{
    const muster_deadlines *deadlines = &core->policy.deadlines;
    muster_core_process *process = &slot->process;
    if (process->exited) {
        if (!muster_core_passed(core, process->exited_ns, deadlines->heartbeat_ns)) {
            return;
        }
        if (process->exited_unheard && slot->member) {
            /* It waited for us to hear its LEAVE, in vain, and ended well. */
            muster_core_ending_left(core, slot);
        } else {
            muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_EXITED, process->exited_status);
        }
        return;
    }
    if (process->connection_lost &&
        muster_core_passed(core, process->connection_lost_ns, deadlines->reconnect_ns) &&
        !(process->expected && detector_hears_nobody(core))) {
        muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_CONNECTION_LOST, -1);
        return;
    }
    if (detector_silent(core, process->heard_ns)) {
        muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_SILENCE, -1);
        return;
    }
    if (!process->suspected && muster_core_passed(core, process->heard_ns, deadlines->suspect_ns)) {
        process->suspected = true;
        muster_core_note(core, MUSTER_NOTE_SUSPECTED, slot->slot, process->incarnation,
                         MUSTER_EVIDENCE_SILENCE, core->now_ns - process->heard_ns,
                         "slot %d has been silent for %lld ms", slot->slot,
                         (long long)((core->now_ns - process->heard_ns) / 1000000));
    }
}

void muster_core_detector_turn(muster_core *core)
{
    const muster_deadlines *deadlines = &core->policy.deadlines;
    if (core->adoption.epoch != 0) {
        return; /* nobody is judged before a majority has come */
    }
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        if (core->state != MUSTER_CORE_ENDED && muster_core_members_live(&core->slots[i])) {
            detector_watch_slot(core, &core->slots[i]);
        }
    }
    for (size_t i = 0; i < core->spare_count;) {
        muster_core_process *spare = &core->spares[i];
        bool lost = spare->connection_lost &&
                    muster_core_passed(core, spare->connection_lost_ns, deadlines->reconnect_ns);
        if (lost || detector_silent(core, spare->heard_ns)) {
            muster_core_note(core, MUSTER_NOTE_LEFT, MUSTER_SLOT_SPARE_WIRE, 0,
                             lost ? MUSTER_EVIDENCE_CONNECTION_LOST : MUSTER_EVIDENCE_SILENCE,
                             spare->process_id, "a spare was lost (process %d)", spare->process_id);
            muster_core_spare_remove(core, spare);
        } else {
            i++;
        }
    }
}
