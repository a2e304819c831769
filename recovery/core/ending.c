/* SPDX-License-Identifier: Apache-2.0 */
/* How a job ends: everyone leaves, or it is given up, or its ranks are in different calls. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/core_state.h"

void muster_core_end(muster_core *core, muster_status status)
{
    core->ended_status = status;
    muster_core_state_move(core, MUSTER_CORE_ENDED);
    if (status == MUSTER_ERR_FENCED) {
        core->persist_due = false; /* the journal may be the other coordinator's by now */
    } else {
        muster_core_persist(core);
    }
    muster_core_action_append(core, MUSTER_CORE_END);
}

static void ending_say(muster_core *core, muster_connection connection, int32_t slot,
                       uint32_t incarnation, muster_status status)
{
    if (connection == 0) {
        return;
    }
    muster_message *message = muster_core_send(core, connection, MUSTER_MESSAGE_GAVE_UP);
    message->slot = slot;
    message->incarnation = incarnation;
    message->u.refused.status = (uint32_t)status;
    memcpy(message->u.refused.text, core->ended_text, sizeof message->u.refused.text);
}

static void ending_say_spares(muster_core *core, muster_status status)
{
    for (size_t i = 0; i < core->spare_count; i++) {
        ending_say(core, core->spares[i].connection, MUSTER_SLOT_SPARE_WIRE, 0, status);
    }
}

/* Where ranks had left, launchers look at their exit codes. */
static muster_status ending_status_of_launchers(const muster_core *core, muster_status status)
{
    return core->others_left ? MUSTER_ERR_LEFT : status;
}

static void ending_say_launchers(muster_core *core, muster_status status)
{
    for (size_t i = 0; i < core->launcher_count; i++) {
        ending_say(core, core->launchers[i].connection, MUSTER_SLOT_NONE, 0,
                   ending_status_of_launchers(core, status));
    }
}

void muster_core_give_up(muster_core *core, muster_status status, const char *format, ...)
{
    if (core->state == MUSTER_CORE_ENDED) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(core->ended_text, sizeof core->ended_text, format, arguments);
    va_end(arguments);
    muster_core_verdict_flush(core); /* first who is dead, then that this was one too many */
    muster_core_note(core, MUSTER_NOTE_GAVE_UP, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                     (int64_t)ending_status_of_launchers(core, status), "%s", core->ended_text);
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        if (muster_core_members_live(slot)) {
            ending_say(core, slot->process.connection, slot->slot, slot->process.incarnation,
                       status);
        }
    }
    ending_say_spares(core, status);
    ending_say_launchers(core, status);
    muster_core_end(core, status);
}

void muster_core_calls_differ(muster_core *core, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(core->ended_text, sizeof core->ended_text, format, arguments);
    va_end(arguments);
    muster_core_note(core, MUSTER_NOTE_CALLS_DIFFER, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE, 0,
                     "%s", core->ended_text);
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        if (muster_core_members_live(&core->slots[i])) {
            muster_core_send_to_slot(core, &core->slots[i], MUSTER_MESSAGE_CALLS_DIFFER);
        }
    }
    ending_say_spares(core, MUSTER_ERR_CALLS_DIFFER);
    ending_say_launchers(core, MUSTER_ERR_CALLS_DIFFER);
    muster_core_end(core, MUSTER_ERR_CALLS_DIFFER);
}

/* ---- leaving ---- */

static void ending_note_left(muster_core *core, const muster_core_slot *slot)
{
    muster_core_note(core, MUSTER_NOTE_LEFT, slot->slot, slot->process.incarnation,
                     MUSTER_EVIDENCE_LEFT, slot->process.process_id, "slot %d left", slot->slot);
}

/* Jobs end together. Until the last one leaves nothing follows, but that the others have a while, and a look at
 * everything for each would be the square of the ranks. */
static void ending_one_left(muster_core *core)
{
    if (core->state == MUSTER_CORE_RUNNING && core->staying > 1 && core->accusation_count == 0 &&
        core->cut_count == 0) {
        core->staying--;
        muster_core_deadline(core, core->now_ns + core->policy.deadlines.verdict_grace_ns);
    } else {
        core->changed = true;
    }
}

void muster_core_ending_left(muster_core *core, muster_core_slot *slot)
{
    ending_note_left(core, slot);
    slot->process.left = true;
    slot->process.left_ns = core->now_ns;
    core->someone_left = true;
    core->persist_due = true;
    ending_one_left(core);
}

void muster_core_ending_left_before(muster_core *core, muster_core_slot *slot, uint64_t host,
                                    bool from_spare, const muster_message *exited)
{
    const muster_core_process process = {
        .incarnation = exited->incarnation,
        .process_id = exited->u.process.process_id,
        .launched_id = exited->u.process.process_id,
        .host = host,
        .from_spare = from_spare,
    };
    muster_core_members_fill(core, slot, &process);
    muster_core_persist(core); /* its launcher may hear this, and go */
    muster_core_ending_left(core, slot);
}

void muster_core_ending_leave(muster_core *core, muster_connection connection,
                              muster_core_slot *slot)
{
    muster_core_process *process = &slot->process;
    if (!process->left) {
        muster_core_persist(core); /* a leave that was answered is never taken for a death */
    }
    muster_message *goodbye = muster_core_send(core, connection, MUSTER_MESSAGE_GOODBYE);
    goodbye->slot = slot->slot;
    goodbye->incarnation = process->incarnation;
    if (process->left) {
        return;
    }
    bool of_adoption = core->state == MUSTER_CORE_FORMING && core->adoption.epoch != 0;
    if (slot->member || of_adoption) {
        muster_core_ending_left(core, slot);
        return;
    }
    ending_note_left(core, slot);
    core->changed = true;
    /* It was in no epoch yet: its seat is free again, or given up in a rebuild. */
    uint32_t incarnation = process->incarnation;
    muster_core_members_empty(slot);
    slot->fence = incarnation + 1;
    slot->replacement = MUSTER_CORE_REPLACEMENT_NONE;
    core->persist_due = true;
    if (slot->late) {
        muster_core_grow_undo(core, slot);
    } else if (core->state != MUSTER_CORE_FORMING) {
        muster_core_replacement_retire(core, slot, "slot %d left the job", slot->slot);
        slot->left_for_good = true;
    }
}

/* Somebody has been waiting in a call since after this rank left. */
static bool ending_someone_waits(const muster_core *core, const muster_core_slot *left)
{
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        if (slot->member && muster_core_members_live(slot) && slot->process.activity.waiting &&
            slot->process.activity_ns > left->process.left_ns) {
            return true;
        }
    }
    return false;
}

void muster_core_ending_turn(muster_core *core)
{
    int32_t left = 0;
    int32_t staying = 0;
    bool forming = core->state == MUSTER_CORE_FORMING;
    if (forming && core->adoption.epoch != 0) {
        return; /* those that left are members of an epoch that is not ours yet */
    }
    for (int32_t i = 0; core->slots && i < core->policy.slot_count; i++) {
        const muster_core_slot *slot = &core->slots[i];
        bool counts = slot->member || forming;
        left += counts && slot->process.left;
        staying += counts && !slot->process.left;
    }
    core->staying = staying;
    if (left == 0) {
        return;
    }
    if (staying == 0) {
        const muster_core_death *lost = NULL;
        for (size_t i = 0; i < core->death_count && !lost; i++) {
            if (core->deaths[i].death.evidence != MUSTER_EVIDENCE_LEFT) {
                lost = &core->deaths[i];
            }
        }
        if (lost) {
            core->others_left = true;
            muster_core_give_up(core, MUSTER_ERR_GAVE_UP,
                                "every other rank left after slot %d was lost: nobody is there to "
                                "go on",
                                lost->death.slot);
            return;
        }
        snprintf(core->ended_text, sizeof core->ended_text, "every rank has left the job");
        ending_say_spares(core, MUSTER_ERR_GAVE_UP);
        ending_say_launchers(core, MUSTER_OK); /* nobody needs their spares any more */
        for (int32_t i = 0; i < core->policy.slot_count; i++) {
            const muster_core_slot *late = &core->slots[i];
            if (!late->member && muster_core_members_live(late)) {
                ending_say(core, late->process.connection, i, late->process.incarnation,
                           MUSTER_ERR_GAVE_UP);
            }
        }
        muster_core_end(core, MUSTER_OK);
        return;
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        if (core->state == MUSTER_CORE_ENDED || !slot->member || !slot->process.left) {
            continue;
        }
        /* Jobs end together, but not in the same instant, and a rank may die just then: others get a
         * while to leave, too. One that only computes to its own end is not disturbed at all; one that
         * waits, in a call or for the next epoch, must learn that it waits in vain. */
        if (!muster_core_passed(core, slot->process.left_ns,
                                core->policy.deadlines.verdict_grace_ns)) {
            continue;
        }
        if (core->state == MUSTER_CORE_REVOKED || core->state == MUSTER_CORE_CONNECTING ||
            ending_someone_waits(core, slot)) {
            muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_LEFT, -1);
        }
    }
}

void muster_core_ending_answer(muster_core *core, muster_connection connection,
                               const muster_message *message)
{
    if (core->ended_status == MUSTER_ERR_FENCED) {
        return; /* another coordinator serves the job; this one is silent */
    }
    muster_status status =
        core->ended_status == MUSTER_OK ? MUSTER_ERR_GAVE_UP : core->ended_status;
    bool of_launcher = message->type == MUSTER_MESSAGE_LAUNCHER_JOIN ||
                       message->type == MUSTER_MESSAGE_LAUNCHER_HEARTBEAT ||
                       message->type == MUSTER_MESSAGE_EXITED;
    if (message->term != 0 && of_launcher) {
        muster_core_launcher_ended(core, connection, message);
        if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN) {
            ending_say(core, connection, MUSTER_SLOT_NONE, 0,
                       ending_status_of_launchers(core, core->ended_status));
        }
        return;
    }
    switch (message->type) {
    case MUSTER_MESSAGE_JOIN:
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        muster_core_refuse(core, connection, message, status, "the job has ended: %.*s",
                           MUSTER_NOTE_TEXT_BYTES - 24, core->ended_text);
        return;
    case MUSTER_MESSAGE_LEAVE: {
        muster_message *goodbye = muster_core_send(core, connection, MUSTER_MESSAGE_GOODBYE);
        goodbye->slot = message->slot;
        goodbye->incarnation = message->incarnation;
        return;
    }
    case MUSTER_MESSAGE_HEARTBEAT:
    case MUSTER_MESSAGE_QUIET:
    case MUSTER_MESSAGE_CONNECTED:
        if (core->ended_status == MUSTER_ERR_CALLS_DIFFER) {
            muster_message *differ =
                muster_core_send(core, connection, MUSTER_MESSAGE_CALLS_DIFFER);
            differ->slot = message->slot;
            differ->incarnation = message->incarnation;
        } else { /* where everybody left, it is a spare that waits for a slot */
            ending_say(core, connection, message->slot, message->incarnation, status);
        }
        return;
    default:
        return;
    }
}
