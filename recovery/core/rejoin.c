/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that come back. A coordinator that was restarted from its journal knows its members and only
 * meets them again. One whose journal is lost or old believes the ranks: it adopts the highest epoch
 * that they report once a majority of that membership has come, and judges nobody before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core_state.h"

void muster_core_met_before(muster_core *core)
{
    if (!core->met_before) {
        core->met_before = true;
        core->persist_due = true;
    }
}

bool muster_core_term_meet(muster_core *core, uint64_t term)
{
    if (!core->restored && term != 0 && term != core->term) {
        muster_core_met_before(core);
    }
    if (term <= core->term) {
        return true;
    }
    if (core->state == MUSTER_CORE_ENDED) {
        return false; /* it is not this coordinator's any more, or never will be */
    }
    if (core->state == MUSTER_CORE_FORMING) {
        /* We knew less than the ranks: they would refuse our lower term. */
        core->term = term + 1;
        core->persist_due = true;
        muster_core_note(core, MUSTER_NOTE_TERM, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                         (int64_t)core->term,
                         "the ranks have seen term %llu; this coordinator goes on as term %llu",
                         (unsigned long long)term, (unsigned long long)core->term);
        return true;
    }
    muster_core_note(core, MUSTER_NOTE_TERM, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                     (int64_t)term, "another coordinator serves this job in term %llu",
                     (unsigned long long)term);
    muster_core_end(core, MUSTER_ERR_FENCED);
    return false;
}

/* ---- adoption ---- */

/* Who joined this slot while we did not know better. */
static void rejoin_turn_out(muster_core *core, const muster_core_slot *slot)
{
    if (slot->seat != MUSTER_CORE_SEAT_FILLED || slot->process.connection == 0) {
        return;
    }
    muster_message *refused =
        muster_core_send(core, slot->process.connection, MUSTER_MESSAGE_REFUSED);
    refused->slot = slot->slot;
    refused->incarnation = slot->process.incarnation;
    refused->u.refused.status = MUSTER_ERR_FENCED;
    snprintf(refused->u.refused.text, sizeof refused->u.refused.text,
             "slot %d is another process's, which was in an epoch that this coordinator did not "
             "know of",
             slot->slot);
}

static void adoption_clear(muster_core_adoption *adoption)
{
    free(adoption->members);
    free(adoption->restore_slots);
    free(adoption->deaths);
    memset(adoption, 0, sizeof *adoption);
}

static bool adoption_knows_death(const muster_core_adoption *adoption, const muster_death *death)
{
    for (size_t i = 0; i < adoption->death_count; i++) {
        if (adoption->deaths[i].slot == death->slot &&
            adoption->deaths[i].incarnation == death->incarnation) {
            return true;
        }
    }
    /* Of a bounded number of them, whoever says so. */
    return adoption->death_count >= (size_t)adoption->member_count;
}

/* The verdicts of the coordinator before this one stand. */
static void adoption_bury(muster_core *core, const muster_death *deaths, size_t death_count)
{
    for (size_t i = 0; i < death_count && core->state != MUSTER_CORE_ENDED; i++) {
        muster_core_slot *slot = muster_core_members_slot(core, deaths[i].slot);
        if (slot && slot->member && muster_core_members_live(slot) &&
            slot->process.incarnation == deaths[i].incarnation) {
            muster_core_verdict_give(core, slot, (muster_evidence)deaths[i].evidence,
                                     deaths[i].wait_status);
        }
    }
}

static void adoption_report(muster_core *core, const muster_message *message)
{
    muster_core_adoption *adoption = &core->adoption;
    muster_core_met_before(core);
    if (message->epoch > adoption->epoch) {
        adoption_clear(adoption);
        adoption->epoch = message->epoch;
        adoption->since_ns = core->now_ns;
        adoption->member_count = message->u.join.member_count;
        adoption->members =
            muster_core_memory(calloc((size_t)adoption->member_count, sizeof *adoption->members));
        memcpy(adoption->members, message->u.join.members,
               (size_t)adoption->member_count * sizeof *adoption->members);
        adoption->restore = message->u.join.restore;
        adoption->restore_slots = muster_core_memory(
            calloc((size_t)adoption->restore.slot_count + 1, sizeof *adoption->restore_slots));
        if (adoption->restore.slot_count > 0) {
            memcpy(adoption->restore_slots, message->u.join.restore_slots,
                   (size_t)adoption->restore.slot_count * sizeof *adoption->restore_slots);
        }
    }
    if (message->epoch != adoption->epoch) {
        return;
    }
    adoption->revoked = adoption->revoked || message->u.join.revoked;
    for (int32_t i = 0; i < message->u.join.death_count; i++) {
        if (!adoption_knows_death(adoption, &message->u.join.deaths[i])) {
            muster_core_grow((void **)&adoption->deaths, adoption->death_count,
                             &adoption->death_capacity, sizeof *adoption->deaths);
            adoption->deaths[adoption->death_count++] = message->u.join.deaths[i];
        }
    }
}

static bool adoption_restore_plausible(const muster_core *core, const muster_message *message)
{
    int32_t last = -1;
    for (int32_t i = 0; i < message->u.join.restore.slot_count; i++) {
        int32_t slot = message->u.join.restore_slots[i];
        if (slot <= last || slot >= core->policy.slot_count) {
            return false;
        }
        last = slot;
    }
    return true;
}

/* Is each of the report's members a slot of ours, once, ascending, and the sender among them? */
static bool adoption_plausible(const muster_core *core, const muster_message *message)
{
    bool sender_there = false;
    int32_t last = -1;
    if (!adoption_restore_plausible(core, message)) {
        return false;
    }
    for (int32_t i = 0; i < message->u.join.member_count; i++) {
        const muster_member *member = &message->u.join.members[i];
        if (member->slot <= last || member->slot >= core->policy.slot_count ||
            member->incarnation > MUSTER_CORE_INCARNATION_MAX) {
            return false;
        }
        last = member->slot;
        sender_there = sender_there || (member->slot == message->slot &&
                                        member->incarnation == message->incarnation);
    }
    return sender_there;
}

/* That process, and not another one that was given the same numbers. */
static bool adoption_is_member(const muster_core_slot *slot, const muster_member *member)
{
    /* Of one that left, the number may be its launcher's word: a wrapper's. */
    return slot->seat == MUSTER_CORE_SEAT_FILLED &&
           slot->process.incarnation == member->incarnation &&
           (slot->process.process_id == member->process_id || slot->process.left) &&
           slot->process.host == member->host;
}

static int32_t adoption_come(muster_core *core)
{
    int32_t come = 0;
    for (int32_t i = 0; i < core->adoption.member_count; i++) {
        const muster_member *member = &core->adoption.members[i];
        const muster_core_slot *slot = &core->slots[member->slot];
        bool there =
            slot->process.left || (slot->process.connection != 0 && !slot->process.connection_lost);
        come += adoption_is_member(slot, member) && there;
    }
    return come;
}

/* The epoch is ours now. Members that have not come are expected within the reconnect deadline. */
static void adoption_take(muster_core *core)
{
    muster_core_adoption *adoption = &core->adoption;
    muster_core_met_before(core);
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        core->slots[i].member = false;
        core->slots[i].late = false; /* taken in, or turned out below */
    }
    for (int32_t i = 0; i < adoption->member_count; i++) {
        const muster_member *member = &adoption->members[i];
        muster_core_slot *slot = &core->slots[member->slot];
        if (slot->seat == MUSTER_CORE_SEAT_FILLED && !adoption_is_member(slot, member)) {
            rejoin_turn_out(core, slot); /* one we remembered, or a newcomer */
            muster_core_members_empty(slot);
        }
        if (slot->seat != MUSTER_CORE_SEAT_FILLED) {
            muster_core_process process;
            memset(&process, 0, sizeof process);
            process.incarnation = member->incarnation;
            process.process_id = member->process_id;
            process.host = member->host;
            process.blob = member->blob;
            process.heard_ns = core->now_ns;
            process.connection_lost = true;
            process.expected = true;
            process.connection_lost_ns = core->now_ns;
            slot->seat = MUSTER_CORE_SEAT_OPEN;
            slot->fence = 0;
            muster_core_members_fill(core, slot, &process);
        }
        slot->member = true;
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        if (!slot->member && slot->seat == MUSTER_CORE_SEAT_FILLED) {
            /* This epoch was agreed without it: it may be one that was fenced before. */
            uint32_t incarnation = slot->process.incarnation;
            rejoin_turn_out(core, slot);
            muster_core_members_empty(slot);
            slot->fence = incarnation + 1;
        }
        if (!slot->member && slot->seat == MUSTER_CORE_SEAT_OPEN) {
            slot->seat = MUSTER_CORE_SEAT_RETIRED; /* an earlier epoch went on without it */
        }
    }
    core->epoch = adoption->epoch;
    core->kind = 0;
    muster_core_retire(core, core->members);
    core->members = adoption->members;
    core->member_count = adoption->member_count;
    adoption->members = NULL;
    core->death_count = 0;
    core->returned = true;
    core->returned_ns = core->now_ns;
    muster_core_restore_point_clear(core);
    /* States of the step that the epoch went on from may be the newest that there are. */
    if (adoption->restore.has_step && adoption->restore.epoch < core->epoch) {
        muster_core_past_add_slots(core, adoption->restore.epoch, adoption->restore_slots,
                                   adoption->restore.slot_count);
    }
    core->has_run = true;
    core->has_committed =
        core->has_committed || adoption->restore.has_step || adoption->restore.state_lost;
    muster_core_past_add(core);
    bool revoked = adoption->revoked;
    muster_death *deaths = adoption->deaths;
    size_t death_count = adoption->death_count;
    adoption->deaths = NULL;
    adoption_clear(adoption);
    muster_core_note(core, MUSTER_NOTE_TERM, MUSTER_SLOT_NONE, 0, MUSTER_EVIDENCE_NONE,
                     (int64_t)core->term, "epoch %llu was taken over from the ranks",
                     (unsigned long long)core->epoch);
    muster_core_state_move(core, MUSTER_CORE_RUNNING);
    if (revoked) {
        muster_core_verdict_revoke(core);
    }
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_members_tell(core, &core->slots[i]);
    }
    adoption_bury(core, deaths, death_count);
    free(deaths);
}

void muster_core_adoption_turn(muster_core *core)
{
    if (core->adoption.epoch == 0) {
        return;
    }
    /* A majority of an old membership may be one that was fenced, and woke up. Where all have come, nobody
     * is missing who could know better; else those who do get the time that a lost connection has. Of an
     * epoch after which a launcher has heard of a later one, all must come: the others went on. */
    int32_t come = adoption_come(core);
    bool newest = core->adoption.epoch >= core->epoch_floor;
    bool all = come == core->adoption.member_count;
    bool waited =
        muster_core_passed(core, core->forming_since_ns, core->policy.deadlines.reconnect_ns);
    bool majority = come * 2 > core->adoption.member_count;
    if (all ? newest || waited : majority && newest && waited) {
        adoption_take(core);
        return;
    }
    if (muster_core_passed(core, core->adoption.since_ns, core->policy.deadlines.join_ns)) {
        muster_core_give_up(core, MUSTER_ERR_GAVE_UP,
                            "this coordinator lost its journal, and only %d of the %d members of "
                            "epoch %llu came back: %s",
                            come, core->adoption.member_count,
                            (unsigned long long)core->adoption.epoch,
                            newest ? "no majority" : "the job went on without them");
    }
}

/* ---- one rank comes back ---- */

/* The numbers alone do not say so: a new launcher may have started a process of the same ones. */
static bool rejoin_is_self(const muster_core_slot *slot, const muster_message *message)
{
    return slot->seat == MUSTER_CORE_SEAT_FILLED &&
           slot->process.incarnation == message->incarnation &&
           slot->process.process_id == message->u.join.process_id &&
           slot->process.host == message->u.join.host;
}

/* True when it was dealt with; false where it is to be treated as a newcomer. */
bool muster_core_rejoin(muster_core *core, muster_connection connection,
                        const muster_message *message)
{
    muster_core_slot *slot = &core->slots[message->slot];
    if (message->incarnation == UINT32_MAX) {
        return false;
    }
    if (message->epoch > core->epoch) {
        if (!adoption_plausible(core, message)) {
            muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                               "rejoin: the members of epoch %llu do not fit a job of %d slots",
                               (unsigned long long)message->epoch, core->policy.slot_count);
            return true;
        }
        adoption_report(core, message);
        /* What we remember of this slot is older than what the rank knows. */
        if (!rejoin_is_self(slot, message)) {
            rejoin_turn_out(core, slot);
            if (message->incarnation < slot->fence) {
                slot->fence = message->incarnation;
            }
            muster_core_members_empty(slot);
            muster_core_process process;
            memset(&process, 0, sizeof process);
            process.incarnation = message->incarnation;
            process.process_id = message->u.join.process_id;
            process.host = message->u.join.host;
            process.blob = message->u.join.blob;
            muster_core_members_fill(core, slot, &process);
        }
        slot->process.connection = connection;
        slot->process.connection_lost = false;
        slot->process.expected = false;
        slot->process.heard_ns = core->now_ns;
        muster_core_members_welcome(core, connection, slot->slot, message->incarnation);
        core->changed = true;
        return true;
    }
    if (rejoin_is_self(slot, message)) {
        (void)muster_core_detector_hear(core, slot, connection);
        slot->process.expected = false;
        slot->process.members_epoch = 0; /* perhaps it asks because a difference did not fit */
        slot->process.blob = message->u.join.blob;
        muster_core_members_welcome(core, connection, slot->slot, message->incarnation);
        bool same_epoch = slot->member && message->epoch == core->epoch;
        if (same_epoch && message->u.join.revoked &&
            (core->state == MUSTER_CORE_RUNNING || core->state == MUSTER_CORE_CONNECTING)) {
            muster_core_verdict_revoke(core); /* it has stopped calling; the others must hear */
            return true;
        }
        muster_core_members_tell(core, slot);
        return true;
    }
    muster_core_refuse(core, connection, message, MUSTER_ERR_FENCED,
                       "incarnation %u of slot %d was of epoch %llu and is fenced; the job is in "
                       "epoch %llu",
                       message->incarnation, slot->slot, (unsigned long long)message->epoch,
                       (unsigned long long)core->epoch);
    return true;
}
