/* SPDX-License-Identifier: Apache-2.0 */
/* Who may fill a slot.
 *
 *   slot is ...                          the newcomer ...
 *   open, job forming or rebuilding      takes it; incarnation as given, or the lowest not fenced
 *   filled by the same process           is welcomed again (its first WELCOME was lost)
 *   filled by another                    is refused: slot taken; unless the slot's launcher has started
 *                                        it with a higher incarnation: launchers start only after an
 *                                        exit, so the old one is superseded
 *   fenced at that incarnation or above  is refused: fenced
 *   retired: shrunk away                 where the policy lets the job grow, waits for the next committed
 *                                        step (grow.c); else is refused
 *                                        (refused, too, where the journal was lost and the process is not
 *                                        new: it may have been fenced)
 *   retired: its rank left               is refused */
#include <stdlib.h>
#include <string.h>

#include <muster/version.h>

#include "core/core_state.h"

static muster_core_process join_process(const muster_core *core, muster_connection connection,
                                        const muster_message *message, uint32_t incarnation)
{
    muster_core_process process;
    memset(&process, 0, sizeof process);
    process.incarnation = incarnation;
    process.process_id = message->u.join.process_id;
    process.host = message->u.join.host;
    process.blob = message->u.join.blob;
    process.connection = connection;
    process.heard_ns = core->now_ns;
    return process;
}

/* ---- spares ---- */

muster_core_process *muster_core_spare_by_connection(muster_core *core,
                                                     muster_connection connection)
{
    for (size_t i = 0; i < core->spare_count; i++) {
        if (core->spares[i].connection == connection) {
            return &core->spares[i];
        }
    }
    return NULL;
}

void muster_core_spare_remove(muster_core *core, muster_core_process *spare)
{
    size_t at = (size_t)(spare - core->spares);
    muster_core_process_clean_up(spare);
    core->spare_count--;
    memmove(spare, spare + 1, (core->spare_count - at) * sizeof *spare);
}

static void join_spare(muster_core *core, muster_connection connection,
                       const muster_message *message)
{
    /* One that was given a slot while its connection was away learns of it now. */
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_slot *slot = &core->slots[i];
        if (slot->seat == MUSTER_CORE_SEAT_FILLED && slot->process.from_spare &&
            muster_core_members_same_process(&slot->process, message)) {
            (void)muster_core_detector_hear(core, slot, connection);
            slot->process.expected = false;
            muster_core_members_welcome(core, connection, MUSTER_SLOT_SPARE_WIRE, 0);
            muster_core_members_tell(core, slot);
            return;
        }
    }
    muster_core_process *spare = NULL;
    for (size_t i = 0; i < core->spare_count && !spare; i++) {
        if (muster_core_members_same_process(&core->spares[i], message)) {
            spare = &core->spares[i];
        }
    }
    if (spare) {
        spare->connection = connection;
        spare->connection_lost = false;
        spare->heard_ns = core->now_ns;
    } else {
        muster_core_grow((void **)&core->spares, core->spare_count, &core->spare_capacity,
                         sizeof *core->spares);
        spare = &core->spares[core->spare_count++];
        *spare = join_process(core, connection, message, 0);
        spare->from_spare = true;
        muster_core_note(core, MUSTER_NOTE_JOINED, MUSTER_SLOT_SPARE_WIRE, 0, MUSTER_EVIDENCE_NONE,
                         spare->process_id, "a spare joined (process %d)", spare->process_id);
    }
    muster_core_members_welcome(core, connection, MUSTER_SLOT_SPARE_WIRE, 0);
    core->changed = true;
}

/* ---- slots ---- */

/* False when it was refused. */
static bool join_check(muster_core *core, muster_connection connection,
                       const muster_message *message)
{
    if (message->u.join.library_version != MUSTER_VERSION) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_VERSION,
                           "the coordinator runs Muster %u, this rank %u; install the same on both",
                           (unsigned)MUSTER_VERSION, message->u.join.library_version);
        return false;
    }
    bool spare = message->slot == MUSTER_SLOT_SPARE_WIRE;
    int32_t slot_count = message->u.join.slot_count;
    if (!core->slots && !muster_core_members_open(core, slot_count)) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                           "slot count: expected 1 to %d, came %d", MUSTER_SLOTS_MAX, slot_count);
        return false;
    }
    if (slot_count != core->policy.slot_count && !(spare && slot_count == 0)) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                           "slot count: this job has %d slots, this rank says %d; start all ranks "
                           "with the same number",
                           core->policy.slot_count, slot_count);
        return false;
    }
    if (!spare && !muster_core_members_slot(core, message->slot)) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                           "slot: expected 0 to %d, came %d", core->policy.slot_count - 1,
                           message->slot);
        return false;
    }
    if (!spare && message->incarnation > MUSTER_CORE_INCARNATION_MAX &&
        message->incarnation != UINT32_MAX) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                           "incarnation: expected 0 to %u, or none, came %u",
                           MUSTER_CORE_INCARNATION_MAX, message->incarnation);
        return false;
    }
    return true;
}

/* True when the slot is free for this newcomer (perhaps by now); false when it was answered. */
static bool join_seat(muster_core *core, muster_connection connection, muster_core_slot *slot,
                      const muster_message *message)
{
    bool assign = message->incarnation == UINT32_MAX;
    if (slot->seat == MUSTER_CORE_SEAT_FILLED) {
        bool same = muster_core_members_same_process(&slot->process, message);
        if (same && (assign || message->incarnation == slot->process.incarnation)) {
            (void)muster_core_detector_hear(core, slot, connection);
            slot->process.expected = false;
            muster_core_members_welcome(core, connection, slot->slot, slot->process.incarnation);
            muster_core_members_tell(core, slot);
            return false;
        }
        if (!assign && muster_core_members_fenced(slot, message->incarnation)) {
            muster_core_refuse(core, connection, message, MUSTER_ERR_FENCED,
                               "incarnation %u of slot %d is fenced; incarnation %u fills it",
                               message->incarnation, slot->slot, slot->process.incarnation);
            return false;
        }
        /* Not while it is open which epoch the job is in: nobody is judged before. */
        bool supersedes = core->adoption.epoch == 0 && !assign &&
                          message->incarnation > slot->process.incarnation && slot->started &&
                          slot->started_incarnation == message->incarnation;
        if (!supersedes) {
            muster_core_refuse(core, connection, message, MUSTER_ERR_SLOT_TAKEN,
                               "slot %d is filled by process %d (incarnation %u), which is alive; "
                               "stop it, or give this rank another slot",
                               slot->slot, slot->process.process_id, slot->process.incarnation);
            return false;
        }
        muster_core_verdict_give(core, slot, MUSTER_EVIDENCE_SUPERSEDED, -1);
        if (core->state == MUSTER_CORE_ENDED) {
            muster_core_ending_answer(core, connection, message); /* it was one death too many */
            return false;
        }
    }
    if (!assign && muster_core_members_fenced(slot, message->incarnation)) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_FENCED,
                           "incarnation %u of slot %d is fenced; the next one is %u",
                           message->incarnation, slot->slot, slot->fence);
        return false;
    }
    if (muster_core_grow_open(core, slot) && core->met_before && message->u.join.rejoin) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_FENCED,
                           "slot %d: the coordinator's journal was lost, and nobody knows whether "
                           "this process was declared dead; start another one",
                           slot->slot);
        return false;
    }
    if (muster_core_grow_open(core, slot)) {
        slot->seat = MUSTER_CORE_SEAT_OPEN;
        slot->late = true;
        return true;
    }
    if (slot->seat == MUSTER_CORE_SEAT_RETIRED || core->state == MUSTER_CORE_RUNNING ||
        core->state == MUSTER_CORE_CONNECTING) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_GAVE_UP,
                           "slot %d is no longer part of the job", slot->slot);
        return false;
    }
    return true;
}

/* A name is used again, and a rank of the job before may wake up, or come back from behind a cut, when this one
 * has formed: its epoch may have the higher number. Whoever is of this job has its epoch from the term in which
 * the job began, or a later one. */
static bool join_of_earlier_job(const muster_core *core, const muster_message *message)
{
    return message->u.join.rejoin && message->epoch > 0 &&
           message->u.join.epoch_term < core->began_term;
}

void muster_core_join(muster_core *core, muster_connection connection,
                      const muster_message *message)
{
    if (!join_check(core, connection, message)) {
        return;
    }
    if (message->slot == MUSTER_SLOT_SPARE_WIRE) {
        join_spare(core, connection, message);
        return;
    }
    if (join_of_earlier_job(core, message)) {
        muster_core_refuse(core, connection, message, MUSTER_ERR_FENCED,
                           "slot %d, incarnation %u was in epoch %llu of an earlier job of this "
                           "name; that job is over",
                           message->slot, message->incarnation, (unsigned long long)message->epoch);
        return;
    }
    if (message->u.join.rejoin && message->epoch > 0 &&
        muster_core_rejoin(core, connection, message)) {
        return;
    }
    muster_core_slot *slot = &core->slots[message->slot];
    if (!core->restored && message->incarnation != UINT32_MAX &&
        message->incarnation > slot->fence) {
        muster_core_met_before(core); /* it has predecessors that we have not heard of */
    }
    if (!join_seat(core, connection, slot, message)) {
        return;
    }
    uint32_t incarnation = message->incarnation;
    if (incarnation == UINT32_MAX) {
        if (muster_core_launcher_of(core, slot->slot) || core->restored || core->met_before) {
            muster_core_replacement_forgo(slot);
        }
        if (slot->started && slot->started_incarnation >= slot->fence) {
            slot->fence =
                slot->started_incarnation + 1; /* that one is a launcher's, and may live */
        }
        incarnation = slot->fence;
    }
    muster_core_process process = join_process(core, connection, message, incarnation);
    if (slot->started && slot->started_incarnation == incarnation && !message->u.join.rejoin) {
        process.launched_id = slot->started_id;
    }
    muster_core_members_fill(core, slot, &process);
    muster_core_note(core, MUSTER_NOTE_JOINED, slot->slot, incarnation, MUSTER_EVIDENCE_NONE,
                     process.process_id, "slot %d joined (incarnation %u, process %d)", slot->slot,
                     incarnation, process.process_id);
    muster_core_members_welcome(core, connection, slot->slot, incarnation);
}
