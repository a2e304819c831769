/* SPDX-License-Identifier: Apache-2.0 */
/* One turn of a job: an event goes in, actions and the next deadline come out. Messages only change
 * what is known; what follows from it is found out afterwards by looking at everything, again and
 * again until nothing changes. So a rule stands in one place, whatever event made it apply. */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/core_state.h"

muster_core *muster_core_new(uint64_t job, uint64_t term, const muster_policy *policy)
{
    muster_core *core = calloc(1, sizeof *core);
    if (!core) {
        return NULL;
    }
    core->job = job;
    core->term = term;
    core->policy = *policy;
    core->policy_open = policy->slot_count == 0;
    core->persist_due = true;
    if (policy->slot_count > 0 && !muster_core_members_open(core, policy->slot_count)) {
        free(core);
        return NULL;
    }
    return core;
}

void muster_core_free(muster_core *core)
{
    if (!core) {
        return;
    }
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        muster_core_process_clean_up(&core->slots[i].process);
    }
    for (int32_t i = 0; i < core->past_count; i++) {
        free(core->pasts[i].slots);
    }
    free(core->slots);
    muster_core_retire_free(core);
    free(core->retired);
    free(core->members);
    free(core->difference.changed);
    free(core->difference.without);
    free(core->restore_slots);
    free(core->deaths);
    free(core->accusations);
    free(core->cuts);
    free(core->spares);
    free(core->launchers);
    free(core->adoption.members);
    free(core->adoption.restore_slots);
    free(core->adoption.deaths);
    free(core);
}

/* ---- messages of ranks ---- */

static void core_unreachable(muster_core *core, const muster_core_slot *from,
                             const muster_core_slot *accused, uint64_t epoch)
{
    bool open = core->state == MUSTER_CORE_RUNNING || core->state == MUSTER_CORE_CONNECTING;
    if (open && epoch == core->epoch && muster_core_cut_add(core, from, accused)) {
        muster_core_note(core, MUSTER_NOTE_SUSPECTED, accused->slot, accused->process.incarnation,
                         MUSTER_EVIDENCE_CONNECTION_LOST, from->slot,
                         "slot %d cannot reach slot %d", from->slot, accused->slot);
    }
}

static void core_evidence(muster_core *core, const muster_core_slot *from,
                          const muster_message *message)
{
    muster_core_slot *accused = muster_core_members_slot(core, message->u.evidence.accused_slot);
    if (!accused || accused == from || !accused->member || !muster_core_members_live(accused) ||
        accused->process.incarnation != message->u.evidence.accused_incarnation) {
        return; /* old news */
    }
    muster_evidence evidence = (muster_evidence)message->u.evidence.evidence;
    if (evidence == MUSTER_EVIDENCE_CONNECTION_LOST) {
        core_unreachable(core, from, accused, message->epoch);
        return;
    }
    if (evidence != MUSTER_EVIDENCE_ROBUST_FUTEX && evidence != MUSTER_EVIDENCE_BATCH_DEADLINE) {
        return; /* a peer can prove nothing else */
    }
    muster_core_note(core, MUSTER_NOTE_EVIDENCE, accused->slot, accused->process.incarnation,
                     message->u.evidence.evidence, from->slot, "slot %d says of slot %d: %s",
                     from->slot, accused->slot, muster_evidence_text(evidence));
    if (evidence == MUSTER_EVIDENCE_ROBUST_FUTEX) {
        muster_core_verdict_give(core, accused, evidence, -1);
    } else if (core->state == MUSTER_CORE_RUNNING) {
        muster_core_accusation_add(core, from, message);
    }
}

/* The note carries the epoch that the rank resumed, which may be revoked again by now. */
static void core_resumed(muster_core *core, const muster_core_slot *slot,
                         const muster_message *message)
{
    const uint64_t times_ns[] = {message->u.resumed.returned_ns, message->u.resumed.first_batch_ns};
    const uint32_t kinds[] = {MUSTER_NOTE_RESUMED, MUSTER_NOTE_FIRST_BATCH};
    for (int i = 0; i < 2; i++) {
        if (times_ns[i] == 0) {
            continue;
        }
        muster_core_note(core, kinds[i], slot->slot, slot->process.incarnation,
                         MUSTER_EVIDENCE_NONE, (int64_t)times_ns[i],
                         i == 0 ? "slot %d goes on in epoch %llu"
                                : "slot %d has completed its first batch of epoch %llu",
                         slot->slot, (unsigned long long)message->epoch);
        core->actions->items[core->actions->count - 1].message.u.note.epoch = message->epoch;
    }
}

/* Heartbeats say which epoch the rank is in: one that is behind has missed a message. */
static void core_heartbeat(muster_core *core, muster_core_slot *slot, const muster_message *message)
{
    muster_core_process *process = &slot->process;
    const muster_activity *activity = &message->u.heartbeat.activity;
    muster_core_activity_update(core, slot, activity);
    process->said_epoch = message->epoch;
    if (activity->has_committed_step) {
        muster_core_committed_progress(core, message->epoch, activity->committed_step);
    }
    bool behind = (core->state == MUSTER_CORE_CONNECTING && message->epoch < core->epoch) ||
                  (core->state == MUSTER_CORE_REVOKED && !process->quiet);
    if (slot->member && behind &&
        core->now_ns - process->told_ns >= core->policy.deadlines.silence_ns) {
        muster_core_members_tell(core, slot);
    }
    muster_core_awaited_tell(core, slot);
}

static void core_rank_message(muster_core *core, muster_core_slot *slot,
                              muster_connection connection, const muster_message *message)
{
    if (slot->process.left) {
        if (message->type == MUSTER_MESSAGE_LEAVE) {
            muster_core_ending_leave(core, connection, slot);
        }
        return;
    }
    if (slot->process.connection != connection) {
        /* The numbers do not say which process it is: two may have the same. Its JOIN does, and what it
         * has to say it says again after that. */
        muster_message *rejoin = muster_core_send(core, connection, MUSTER_MESSAGE_REJOIN);
        rejoin->slot = slot->slot;
        rejoin->incarnation = slot->process.incarnation;
        return;
    }
    bool was_away = muster_core_detector_hear(core, slot, connection);
    if (slot->process.expected ||
        (message->epoch > core->epoch && message->epoch > core->adoption.epoch)) {
        muster_core_send_to_slot(core, slot, MUSTER_MESSAGE_REJOIN); /* it knows more than we */
    } else if (was_away) {
        muster_core_members_tell(core, slot);
    }
    switch (message->type) {
    case MUSTER_MESSAGE_HEARTBEAT:
        core_heartbeat(core, slot, message);
        return;
    case MUSTER_MESSAGE_EVIDENCE:
        if (slot->member) {
            core_evidence(core, slot, message);
        }
        return;
    case MUSTER_MESSAGE_QUIET:
        muster_core_rebuild_quiet(core, slot, message);
        return;
    case MUSTER_MESSAGE_CONNECTED:
        muster_core_rebuild_connected(core, slot, message);
        return;
    case MUSTER_MESSAGE_RESUMED:
        core_resumed(core, slot, message);
        return;
    case MUSTER_MESSAGE_COMMITTED:
        if (message->epoch <= core->epoch) {
            muster_core_committed(core, slot, message->epoch, message->u.committed.step);
        }
        return;
    case MUSTER_MESSAGE_LEAVE:
        muster_core_ending_leave(core, connection, slot);
        return;
    default:
        return; /* a PONG: it was heard */
    }
}

static void core_spare_message(muster_core *core, muster_connection connection,
                               const muster_message *message)
{
    muster_core_process *spare = muster_core_spare_by_connection(core, connection);
    muster_core_slot *slot = spare ? NULL : muster_core_members_by_connection(core, connection);
    if (slot) {
        core_rank_message(core, slot, connection, message); /* it does not know its slot yet */
        return;
    }
    if (spare && message->type != MUSTER_MESSAGE_LEAVE) {
        spare->heard_ns = core->now_ns;
        spare->connection_lost = false;
        return;
    }
    muster_message *answer = muster_core_send(
        core, connection,
        message->type == MUSTER_MESSAGE_LEAVE ? MUSTER_MESSAGE_GOODBYE : MUSTER_MESSAGE_REJOIN);
    answer->slot = MUSTER_SLOT_SPARE_WIRE;
    if (spare) {
        muster_core_note(core, MUSTER_NOTE_LEFT, MUSTER_SLOT_SPARE_WIRE, 0, MUSTER_EVIDENCE_LEFT,
                         spare->process_id, "a spare left (process %d)", spare->process_id);
        muster_core_spare_remove(core, spare);
    }
}

/* A rank that is not, or no longer, who it says it is. */
static void core_stranger_message(muster_core *core, const muster_core_slot *slot,
                                  muster_connection connection, const muster_message *message)
{
    if (message->type == MUSTER_MESSAGE_LEAVE) {
        muster_message *goodbye = muster_core_send(core, connection, MUSTER_MESSAGE_GOODBYE);
        goodbye->slot = message->slot;
        goodbye->incarnation = message->incarnation;
    } else if (slot && muster_core_members_fenced(slot, message->incarnation)) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_FENCED,
                           "slot %d, incarnation %u was declared dead; its slot is given away",
                           message->slot, message->incarnation);
    } else {
        muster_message *rejoin = muster_core_send(core, connection, MUSTER_MESSAGE_REJOIN);
        rejoin->slot = message->slot;
        rejoin->incarnation = message->incarnation;
    }
}

static void core_message(muster_core *core, muster_connection connection,
                         const muster_message *message)
{
    if (message->job != core->job || !muster_core_term_meet(core, message->term)) {
        return;
    }
    if (core->state == MUSTER_CORE_ENDED) {
        muster_core_ending_answer(core, connection, message);
        return;
    }
    muster_core_detector_anyone(core);
    switch (message->type) {
    case MUSTER_MESSAGE_JOIN:
        muster_core_join(core, connection, message);
        return;
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
    case MUSTER_MESSAGE_LAUNCHER_HEARTBEAT:
    case MUSTER_MESSAGE_STARTED:
    case MUSTER_MESSAGE_EXITED:
    case MUSTER_MESSAGE_LAUNCHER_LEAVE:
        muster_core_launcher_message(core, connection, message);
        return;
    case MUSTER_MESSAGE_HEARTBEAT:
    case MUSTER_MESSAGE_EVIDENCE:
    case MUSTER_MESSAGE_QUIET:
    case MUSTER_MESSAGE_CONNECTED:
    case MUSTER_MESSAGE_RESUMED:
    case MUSTER_MESSAGE_COMMITTED:
    case MUSTER_MESSAGE_LEAVE:
    case MUSTER_MESSAGE_PONG:
        break;
    default:
        return; /* what only a coordinator says */
    }
    if (message->slot == MUSTER_SLOT_SPARE_WIRE) {
        core_spare_message(core, connection, message);
        return;
    }
    muster_core_slot *slot = muster_core_members_slot(core, message->slot);
    if (slot && slot->seat == MUSTER_CORE_SEAT_FILLED &&
        slot->process.incarnation == message->incarnation) {
        core_rank_message(core, slot, connection, message);
    } else {
        core_stranger_message(core, slot, connection, message);
    }
}

/* ---- the turn ---- */

static void core_first_turn(muster_core *core)
{
    core->anyone_ns = core->now_ns;
    core->forming_since_ns = core->now_ns;
    core->revoked_since_ns = core->now_ns;
    core->connecting_since_ns = core->now_ns;
    muster_core_note(core, MUSTER_NOTE_TERM, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                     (int64_t)core->term, "term %llu begins%s", (unsigned long long)core->term,
                     core->restored ? ", from what the last one saved" : "");
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        slot->process.heard_ns = core->now_ns;
        slot->process.connection_lost_ns = core->now_ns;
        slot->process.left_ns = core->now_ns;
        slot->start_deadline_ns = core->now_ns + core->policy.deadlines.start_ns;
    }
    for (size_t i = 0; i < core->death_count; i++) {
        core->deaths[i].verdict_ns = core->now_ns;
    }
    core->returned = core->restored;
    core->returned_ns = core->now_ns;
    core->changed = true;
    muster_core_persist(core); /* nothing is said in a term before the journal knows it */
    if (core->state == MUSTER_CORE_ENDED) {
        muster_core_action_append(core, MUSTER_CORE_END); /* the last one died before it was done */
    }
}

/* The ranks of a large job come to a deadline one after the other, and a look at everything costs as much as
 * there are ranks: the next one waits for some of those behind it, too. */
#define LOOK_PAUSE_NS_A_SLOT ((int64_t)2000)
#define LOOK_SLOTS_SMALL 256

static void core_look_pause(muster_core *core)
{
    int64_t next_ns = core->now_ns + LOOK_PAUSE_NS_A_SLOT * core->policy.slot_count;
    if (core->policy.slot_count > LOOK_SLOTS_SMALL && core->next_ns < next_ns) {
        core->next_ns = next_ns;
    }
}

static void core_look_at_everything(muster_core *core)
{
    static void (*const looks[])(muster_core *) = {
        muster_core_adoption_turn, muster_core_detector_turn, muster_core_accusation_turn,
        muster_core_cut_turn,      muster_core_launcher_turn, muster_core_ending_turn,
        muster_core_verdict_flush, muster_core_rebuild_turn,
    };
    do {
        core->changed = false;
        core->next_ns = INT64_MAX;
        for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
            if (core->state == MUSTER_CORE_ENDED) {
                core->next_ns = INT64_MAX;
                return;
            }
            looks[i](core);
        }
    } while (core->changed);
    if (core->next_ns != INT64_MAX) {
        /* Somebody is watched: wake often enough to tell a pause of our own from an idle time. */
        muster_core_deadline(core, core->now_ns + core->policy.deadlines.silence_ns / 4);
        core_look_pause(core);
    }
}

int64_t muster_core_step(muster_core *core, int64_t now_ns, const muster_core_event *event,
                         muster_core_actions *actions)
{
    MUSTER_ASSERT(!core->started || now_ns >= core->last_turn_ns);
    muster_core_retire_free(core);
    core->now_ns = now_ns;
    core->actions = actions;
    core->persisted = false;
    if (core->started && core->next_ns != INT64_MAX &&
        now_ns - core->last_turn_ns > core->policy.deadlines.leave_ns / 2) {
        core->woke_ns = now_ns;
    }
    if (!core->started) {
        core_first_turn(core);
        core->started = true;
    } else if (core->state != MUSTER_CORE_ENDED && core->next_ns != INT64_MAX &&
               now_ns - core->last_turn_ns > core->policy.deadlines.silence_ns / 2) {
        muster_core_detector_pause(core);
    }
    core->last_turn_ns = now_ns;
    if (event->kind == MUSTER_CORE_MESSAGE) {
        core_message(core, event->connection, event->message);
    } else if (event->kind == MUSTER_CORE_CONNECTION_LOST) {
        muster_core_detector_lose(core, event->connection);
    }
    if (core->state == MUSTER_CORE_ENDED) {
        core->next_ns = INT64_MAX;
    } else if (core->changed || now_ns >= core->next_ns) {
        core_look_at_everything(core);
    }
    if (core->persist_due) {
        muster_core_persist(core);
    }
    core->actions = NULL;
    return core->next_ns;
}

/* ---- questions ---- */

uint64_t muster_core_epoch(const muster_core *core)
{
    return core->epoch;
}

uint64_t muster_core_term(const muster_core *core)
{
    return core->term;
}

const muster_policy *muster_core_policy(const muster_core *core)
{
    return &core->policy;
}

bool muster_core_ended(const muster_core *core, muster_status *status)
{
    if (status) {
        *status = core->ended_status;
    }
    return core->state == MUSTER_CORE_ENDED;
}
