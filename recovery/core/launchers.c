/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers: who can start a process in a slot, kill it and prove it gone. A launcher that is lost
 * kills nobody: its ranks go on, but can no longer be proven gone nor started again. */
#include <string.h>

#include "core/core_state.h"

static bool launcher_owns(const muster_core_launcher *launcher, int32_t slot)
{
    return slot >= launcher->first_slot && slot < launcher->first_slot + launcher->slot_count;
}

muster_core_launcher *muster_core_launcher_of(muster_core *core, int32_t slot)
{
    size_t number = core->slots[slot].launcher_number;
    return number > 0 ? &core->launchers[number - 1] : NULL;
}

static size_t launcher_number(const muster_core *core, const muster_core_launcher *launcher)
{
    return (size_t)(launcher - core->launchers) + 1;
}

/* Where another one that is lost still has some of them, too, the last one counts. */
static void launcher_take_slots(muster_core *core, const muster_core_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->slot_count; i++) {
        core->slots[launcher->first_slot + i].launcher_number = launcher_number(core, launcher);
    }
}

static void launcher_let_go_slots(muster_core *core, const muster_core_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->slot_count; i++) {
        size_t *number = &core->slots[launcher->first_slot + i].launcher_number;
        *number = *number == launcher_number(core, launcher) ? 0 : *number;
    }
}

/* A spare's process belongs to a launcher of its host, whoever owns the slot that it was given. */
static bool launcher_may_have(const muster_core_launcher *launcher, int32_t slot, bool from_spare,
                              uint64_t host)
{
    return from_spare ? launcher->host == host && launcher->spare_count > 0
                      : launcher_owns(launcher, slot);
}

muster_connection muster_core_launcher_watching(muster_core *core, const muster_core_slot *slot)
{
    const muster_core_launcher *launcher = muster_core_launcher_of(core, slot->slot);
    for (size_t i = 0; slot->process.from_spare && i < core->launcher_count; i++) {
        if (launcher_may_have(&core->launchers[i], slot->slot, true, slot->process.host)) {
            launcher = &core->launchers[i];
        }
    }
    return launcher ? launcher->connection : 0;
}

bool muster_core_launcher_means(int32_t process_id, int32_t own_id, int32_t launched_id)
{
    return process_id == own_id || (launched_id != 0 && process_id == launched_id);
}

bool muster_core_launcher_can_prove(muster_core *core, int32_t slot, bool from_spare, uint64_t host)
{
    for (size_t i = 0; i < core->launcher_count; i++) {
        if (launcher_may_have(&core->launchers[i], slot, from_spare, host)) {
            return true;
        }
    }
    return false;
}

void muster_core_launcher_kill(muster_core *core, int32_t slot, uint32_t incarnation,
                               int32_t process_id, bool from_spare, uint64_t host)
{
    for (size_t i = 0; i < core->launcher_count; i++) {
        muster_core_launcher *launcher = &core->launchers[i];
        if (launcher_may_have(launcher, slot, from_spare, host)) {
            muster_message *kill =
                muster_core_send(core, launcher->connection, MUSTER_MESSAGE_KILL);
            kill->slot = slot;
            kill->incarnation = incarnation;
            kill->u.process.process_id = process_id;
            kill->u.process.wait_status = -1;
        }
    }
}

void muster_core_launcher_start(muster_core *core, muster_core_slot *slot,
                                muster_core_launcher *launcher)
{
    muster_core_persist(core); /* the same incarnation is never started for two purposes */
    muster_message *start = muster_core_send(core, launcher->connection, MUSTER_MESSAGE_START);
    start->slot = slot->slot;
    start->incarnation = slot->start_incarnation;
    start->u.process.wait_status = -1;
}

static void launcher_tell_assigned(muster_core *core, const muster_core_launcher *launcher,
                                   const muster_core_slot *slot)
{
    if (!launcher_may_have(launcher, slot->slot, true, slot->process.host)) {
        return;
    }
    muster_message *assigned =
        muster_core_send(core, launcher->connection, MUSTER_MESSAGE_ASSIGNED);
    assigned->slot = slot->slot;
    assigned->incarnation = slot->process.incarnation;
    assigned->u.process.process_id = slot->process.process_id;
    assigned->u.process.wait_status = -1;
}

void muster_core_launcher_assigned(muster_core *core, const muster_core_slot *slot)
{
    muster_core_persist(core); /* as for a start */
    for (size_t i = 0; i < core->launcher_count; i++) {
        launcher_tell_assigned(core, &core->launchers[i], slot);
    }
}

/* ---- joining ---- */

static bool launcher_policy_usable(muster_core *core, muster_connection connection,
                                   const muster_message *message)
{
    const muster_policy *policy = &message->u.launcher_join.policy;
    if (core->slots || !core->policy_open) {
        if (policy->slot_count != 0 && core->policy.slot_count != 0 &&
            policy->slot_count != core->policy.slot_count) {
            muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                               "slot count: this job has %d slots, this launcher says %d",
                               core->policy.slot_count, policy->slot_count);
            return false;
        }
    }
    if (!core->policy_open) {
        return true;
    }
    muster_error error;
    memset(&error, 0, sizeof error);
    error.struct_bytes = sizeof error;
    if (muster_deadlines_check(&policy->deadlines, &error) != MUSTER_OK) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT, "%.*s",
                           MUSTER_NOTE_TEXT_BYTES - 1, error.message);
        return false;
    }
    if (policy->slot_count < 1 || policy->slot_count > MUSTER_SLOTS_MAX || policy->min_ranks < 0 ||
        policy->min_ranks > policy->slot_count ||
        (policy->on_loss != MUSTER_ON_LOSS_REPLACE && policy->on_loss != MUSTER_ON_LOSS_SHRINK)) {
        muster_core_refuse(
            core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
            "policy: %d slots (1 to %d), at least %d ranks (0 to all slots), on loss "
            "%u (1 replace, 2 shrink): out of range",
            policy->slot_count, MUSTER_SLOTS_MAX, policy->min_ranks, policy->on_loss);
        return false;
    }
    return true;
}

/* A note for one launcher alone: the others, the log and the trace have it already. */
static void launcher_tell_note(muster_core *core, const muster_core_launcher *launcher,
                               uint32_t kind, const muster_core_slot *slot)
{
    muster_message *message = muster_core_send(core, launcher->connection, MUSTER_MESSAGE_NOTE);
    message->u.note.kind = kind;
    message->u.note.time_ns = (uint64_t)core->now_ns;
    message->u.note.epoch = core->epoch;
    message->u.note.slot = slot->slot;
    message->u.note.incarnation = slot->process.incarnation;
}

/* What became of its slots. What a coordinator said that was killed, or one said before this launcher
 * had come back to it, is lost; without it a launcher would wait for ranks that left long ago. */
static void launcher_tell_slots(muster_core *core, const muster_core_launcher *launcher)
{
    /* Its spares may be in any slot. */
    bool any = launcher->spare_count > 0;
    int32_t end = any ? core->policy.slot_count : launcher->first_slot + launcher->slot_count;
    for (int32_t i = any ? 0 : launcher->first_slot; i < end; i++) {
        const muster_core_slot *slot = &core->slots[i];
        if (slot->seat == MUSTER_CORE_SEAT_RETIRED && launcher_owns(launcher, i) &&
            !muster_core_grow_launched(core, slot)) {
            launcher_tell_note(core, launcher, MUSTER_NOTE_AGREED, slot);
        }
        if (slot->seat != MUSTER_CORE_SEAT_FILLED) {
            continue;
        }
        if (slot->process.from_spare) {
            launcher_tell_assigned(core, launcher, slot);
        }
        if (slot->process.left && launcher_owns(launcher, i)) {
            launcher_tell_note(core, launcher, MUSTER_NOTE_LEFT, slot);
        }
    }
}

void muster_core_launcher_retired(muster_core *core, const muster_core_slot *slot)
{
    for (size_t i = 0; i < core->launcher_count; i++) {
        if (launcher_owns(&core->launchers[i], slot->slot)) {
            launcher_tell_note(core, &core->launchers[i], MUSTER_NOTE_AGREED, slot);
        }
    }
}

/* What it should do, again: it may be new in the place of one that was told before. */
static void launcher_tell(muster_core *core, const muster_core_launcher *launcher)
{
    launcher_tell_slots(core, launcher);
    if (core->state == MUSTER_CORE_ENDED) {
        return; /* nothing is started any more, and a launcher ends its ranks by itself */
    }
    for (size_t i = 0; i < core->death_count; i++) {
        const muster_core_death *death = &core->deaths[i];
        if (!death->death.proven_gone &&
            launcher_may_have(launcher, death->death.slot, death->from_spare, death->host)) {
            muster_core_launcher_kill(core, death->death.slot, death->death.incarnation,
                                      death->process_id, death->from_spare, death->host);
        }
    }
    for (int32_t i = 0; i < launcher->slot_count; i++) {
        muster_core_slot *slot = &core->slots[launcher->first_slot + i];
        if ((slot->seat == MUSTER_CORE_SEAT_OPEN &&
             slot->replacement == MUSTER_CORE_REPLACEMENT_STARTED) ||
            muster_core_grow_launched(core, slot)) {
            muster_core_launcher_start(core, slot, muster_core_launcher_of(core, slot->slot));
        }
    }
}

/* A new launcher, of slots that another one had before: what it started may live. */
static bool launcher_succeeds(const muster_core *core, const muster_core_launcher *launcher)
{
    if (core->restored || core->met_before) {
        return true; /* the job is older than this coordinator's memory of who started what */
    }
    for (int32_t i = 0; i < launcher->slot_count; i++) {
        const muster_core_slot *slot = &core->slots[launcher->first_slot + i];
        if (slot->started || slot->seat != MUSTER_CORE_SEAT_OPEN || slot->fence > 0) {
            return true;
        }
    }
    return false;
}

/* Nothing follows from one that comes to slots which want nothing of it. Of a large job thousands come, and a
 * look at everything for each would be their product with the ranks. */
static bool launcher_is_wanted(const muster_core *core, const muster_core_launcher *launcher)
{
    if (core->state == MUSTER_CORE_REVOKED || core->adoption.epoch != 0) {
        return true;
    }
    for (int32_t i = 0; i < launcher->slot_count; i++) {
        if (core->slots[launcher->first_slot + i].replacement != MUSTER_CORE_REPLACEMENT_NONE) {
            return true;
        }
    }
    return false;
}

static void launcher_join(muster_core *core, muster_connection connection,
                          const muster_message *message)
{
    if (!launcher_policy_usable(core, connection, message)) {
        return;
    }
    int32_t first = message->u.launcher_join.first_slot;
    int32_t count = message->u.launcher_join.slot_count;
    int32_t total =
        core->slots ? core->policy.slot_count : message->u.launcher_join.policy.slot_count;
    if (first < 0 || count < 0 || first > total || count > total - first ||
        message->u.launcher_join.spare_count < 0) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                           "launcher: %d slots from slot %d on are not all within the job's %d",
                           count, first, total);
        return;
    }
    muster_core_launcher *launcher = NULL;
    for (size_t i = 0; i < core->launcher_count; i++) {
        muster_core_launcher *other = &core->launchers[i];
        bool same = other->process_id == message->u.launcher_join.process_id &&
                    other->host == message->u.launcher_join.host && other->first_slot == first &&
                    other->slot_count == count;
        bool overlaps =
            first < other->first_slot + other->slot_count && other->first_slot < first + count;
        if (same || (overlaps && other->connection_lost)) {
            launcher = other;
            break;
        }
        if (overlaps) {
            muster_core_refuse(core, connection, message, MUSTER_ERR_SLOT_TAKEN,
                               "launcher: slots %d to %d belong to a launcher that is there "
                               "(process %d)",
                               other->first_slot, other->first_slot + other->slot_count - 1,
                               other->process_id);
            return;
        }
    }
    if (core->policy_open && message->u.launcher_join.policy.slot_count > 0) {
        core->policy = message->u.launcher_join.policy;
        core->policy_open = false;
        core->persist_due = true;
        core->changed = true;
    }
    if (!core->slots) {
        muster_core_members_open(core, total);
        core->changed = true;
    }
    if (!launcher) {
        muster_core_grow((void **)&core->launchers, core->launcher_count, &core->launcher_capacity,
                         sizeof *core->launchers);
        launcher = &core->launchers[core->launcher_count++];
    } else {
        launcher_let_go_slots(core, launcher);
    }
    *launcher = (muster_core_launcher){
        .connection = connection,
        .process_id = message->u.launcher_join.process_id,
        .host = message->u.launcher_join.host,
        .first_slot = first,
        .slot_count = count,
        .spare_count = message->u.launcher_join.spare_count,
        .heard_ns = core->now_ns,
    };
    launcher_take_slots(core, launcher);
    core->changed = core->changed || launcher_is_wanted(core, launcher);
    muster_core_deadline(core, core->now_ns + core->policy.deadlines.silence_ns / 4);
    if (message->epoch > core->epoch && message->epoch > core->epoch_floor) {
        muster_core_met_before(core);
        core->epoch_floor = message->epoch;
        core->persist_due = true;
        core->changed = true;
    }
    bool begun = message->term == 0 && launcher_succeeds(core, launcher);
    muster_message *welcome = muster_core_send(core, connection, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    welcome->u.welcome.policy = core->policy;
    welcome->u.welcome.begun = begun;
    launcher_tell(core, launcher);
    core->changed = core->changed || begun;
    for (int32_t i = 0; begun && core->state != MUSTER_CORE_ENDED && i < count; i++) {
        if (core->state == MUSTER_CORE_FORMING) {
            muster_core_replacement_anew(core, &core->slots[first + i]);
        } else {
            muster_core_grow_launch(core, &core->slots[first + i]);
        }
    }
}

/* ---- what launchers see ---- */

static void launcher_spare_exited(muster_core *core, const muster_core_launcher *launcher,
                                  const muster_message *message)
{
    uint64_t host = launcher ? launcher->host : 0;
    int32_t process_id = message->u.process.process_id;
    for (size_t i = 0; i < core->spare_count; i++) {
        if (core->spares[i].process_id == process_id && core->spares[i].host == host) {
            muster_core_note(core, MUSTER_NOTE_LEFT, MUSTER_SLOT_SPARE_WIRE, 0,
                             MUSTER_EVIDENCE_EXITED, process_id, "a spare exited (process %d)",
                             process_id);
            muster_core_spare_remove(core, &core->spares[i]);
            return;
        }
    }
    /* It was given a slot, and its launcher did not know yet. */
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        if (muster_core_members_live(slot) && slot->process.from_spare &&
            slot->process.process_id == process_id && slot->process.host == host) {
            muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_EXITED,
                                     message->u.process.wait_status);
            return;
        }
    }
}

static void launcher_exited(muster_core *core, const muster_core_launcher *launcher,
                            const muster_message *message)
{
    int32_t wait_status = message->u.process.wait_status;
    if (message->slot == MUSTER_SLOT_SPARE_WIRE) {
        launcher_spare_exited(core, launcher, message);
        return;
    }
    muster_core_slot *slot = muster_core_members_slot(core, message->slot);
    if (!slot || message->incarnation > MUSTER_CORE_INCARNATION_MAX) {
        return;
    }
    if (slot->seat == MUSTER_CORE_SEAT_FILLED &&
        slot->process.incarnation == message->incarnation) {
        if (slot->process.left) {
            return; /* as it should */
        }
        if (slot->process.expected && wait_status == 0) {
            /* It has not come back to us, and it ended well: it said LEAVE to the last term's
             * coordinator, which was killed before the journal knew. */
            muster_core_ending_left(core, slot);
            return;
        }
        if (slot->process.exited) {
            return; /* said again */
        }
        muster_core_note(core, MUSTER_NOTE_EVIDENCE, slot->slot, message->incarnation,
                         MUSTER_EVIDENCE_EXITED, wait_status, "the launcher saw process %d exit",
                         message->u.process.process_id);
        bool other = !muster_core_launcher_means(
            message->u.process.process_id, slot->process.process_id, slot->process.launched_id);
        if (wait_status == 0 || other) {
            /* Two connections have no common order: its LEAVE may be just behind. And a process of
             * a number that we do not know may be another one, to which a new launcher gave the same
             * incarnation: then this one goes on speaking, and if not, nothing is proven. */
            slot->process.exited = true;
            slot->process.exited_doubtful = other;
            slot->process.exited_unheard =
                !other && core->woke_ns != 0 &&
                core->now_ns - core->woke_ns <= core->policy.deadlines.leave_ns;
            slot->process.exited_status = wait_status;
            slot->process.exited_ns = core->now_ns;
            core->changed = true;
            return;
        }
        muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_EXITED, wait_status);
        return;
    }
    muster_core_death *death = muster_core_verdict_find(core, message->slot, message->incarnation);
    if (death && muster_core_launcher_means(message->u.process.process_id, death->process_id,
                                            death->launched_id)) {
        muster_core_verdict_gone(core, death, wait_status);
        return;
    }
    if (!death && slot->seat == MUSTER_CORE_SEAT_OPEN &&
        !muster_core_members_fenced(slot, message->incarnation)) {
        if (core->state == MUSTER_CORE_FORMING && message->u.process.member && !launcher) {
            /* In an epoch that we know nothing of, and its launcher is new to us, too. It says both once it has
             * joined: counted as a death now, the next epoch would have the number of that one. */
            return;
        }
        if (core->state == MUSTER_CORE_FORMING && message->u.process.member && wait_status == 0) {
            muster_core_ending_left_before(core, slot, launcher->host,
                                           !launcher_owns(launcher, slot->slot), message);
            return;
        }
        muster_core_replacement_died(core, slot, message->incarnation, wait_status);
    } else if (!death && muster_core_grow_launched(core, slot) &&
               slot->start_incarnation == message->incarnation) {
        muster_core_grow_died(core, slot, wait_status);
    }
}

static void launcher_started(muster_core *core, const muster_message *message)
{
    muster_core_slot *slot = muster_core_members_slot(core, message->slot);
    if (!slot || message->incarnation > MUSTER_CORE_INCARNATION_MAX) {
        return;
    }
    slot->started = true;
    slot->started_incarnation = message->incarnation;
    slot->started_id = message->u.process.process_id;
    /* It counts for a process that joins after it: of one that is there already, another launcher may
     * have started a second one of the same incarnation. */
    if (slot->replacement == MUSTER_CORE_REPLACEMENT_STARTED &&
        slot->start_incarnation == message->incarnation) {
        slot->start_process_id = message->u.process.process_id;
    }
}

static void launcher_remove(muster_core *core, muster_core_launcher *launcher)
{
    size_t at = (size_t)(launcher - core->launchers);
    launcher_let_go_slots(core, launcher);
    core->launcher_count--;
    memmove(launcher, launcher + 1, (core->launcher_count - at) * sizeof *launcher);
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        core->slots[i].launcher_number -= core->slots[i].launcher_number > at + 1;
    }
    core->changed = true;
}

void muster_core_launcher_message(muster_core *core, muster_connection connection,
                                  const muster_message *message)
{
    if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN) {
        launcher_join(core, connection, message);
        return;
    }
    muster_core_launcher *launcher = NULL;
    for (size_t i = 0; i < core->launcher_count && !launcher; i++) {
        if (core->launchers[i].connection == connection) {
            launcher = &core->launchers[i];
        }
    }
    if (launcher) {
        launcher->heard_ns = core->now_ns;
        launcher->connection_lost = false;
    } else {
        /* A restarted coordinator: what it says is believed, but it should say who it is. */
        muster_core_send(core, connection, MUSTER_MESSAGE_REJOIN);
    }
    switch (message->type) {
    case MUSTER_MESSAGE_STARTED:
        launcher_started(core, message);
        return;
    case MUSTER_MESSAGE_EXITED:
        launcher_exited(core, launcher, message);
        return;
    case MUSTER_MESSAGE_LAUNCHER_LEAVE:
        if (launcher) {
            launcher_remove(core, launcher);
        }
        return;
    default:
        return; /* a heartbeat */
    }
}

void muster_core_launcher_ended(muster_core *core, muster_connection connection,
                                const muster_message *message)
{
    if (message->type != MUSTER_MESSAGE_LAUNCHER_JOIN) {
        for (size_t i = 0; i < core->launcher_count; i++) {
            if (core->launchers[i].connection == connection) {
                return; /* it heard all of it */
            }
        }
        muster_core_send(core, connection, MUSTER_MESSAGE_REJOIN);
        return;
    }
    launcher_join(core, connection, message);
}

void muster_core_launcher_turn(muster_core *core)
{
    const muster_deadlines *deadlines = &core->policy.deadlines;
    for (size_t i = 0; i < core->launcher_count;) {
        muster_core_launcher *launcher = &core->launchers[i];
        bool lost = launcher->connection_lost &&
                    muster_core_passed(core, launcher->connection_lost_ns, deadlines->reconnect_ns);
        if (lost || muster_core_detector_launcher_silent(core, launcher)) {
            muster_core_note(core, MUSTER_NOTE_EVIDENCE, MUSTER_SLOT_NONE, 0,
                             MUSTER_EVIDENCE_LAUNCHER_LOST, launcher->process_id,
                             "the launcher of slots %d to %d was lost: they run on, but cannot be "
                             "replaced or proven gone",
                             launcher->first_slot, launcher->first_slot + launcher->slot_count - 1);
            launcher_remove(core, launcher);
        } else {
            i++;
        }
    }
}
