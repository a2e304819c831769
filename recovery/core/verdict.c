/* SPDX-License-Identifier: Apache-2.0 */
/* A verdict: this incarnation is lost. It is fenced, its epoch is revoked, its process is killed where
 * it is not proven gone already. Only the coordinator gives one, and it never takes one back: whoever
 * wakes up afterwards is answered "fenced". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/core_state.h"

muster_core_death *muster_core_verdict_find(muster_core *core, int32_t slot, uint32_t incarnation)
{
    for (size_t i = 0; i < core->death_count; i++) {
        if (core->deaths[i].death.slot == slot &&
            core->deaths[i].death.incarnation == incarnation) {
            return &core->deaths[i];
        }
    }
    return NULL;
}

/* "exit code 3", "signal 9" */
static const char *verdict_exit_text(int32_t wait_status, char *text, size_t text_bytes)
{
    if (wait_status < 0) {
        text[0] = '\0';
    } else if (WIFSIGNALED(wait_status)) {
        snprintf(text, text_bytes, " (signal %d)", WTERMSIG(wait_status));
    } else {
        snprintf(text, text_bytes, " (exit code %d)", WEXITSTATUS(wait_status));
    }
    return text;
}

void muster_core_verdict_count(muster_core *core, muster_core_slot *slot)
{
    slot->deaths_without_commit++;
    int32_t limit = core->policy.crash_loop_deaths > 0 ? core->policy.crash_loop_deaths : 3;
    if (core->policy.on_loss == MUSTER_ON_LOSS_REPLACE && slot->deaths_without_commit >= limit &&
        slot->cut_off) {
        /* It is not the program's fault, and another process on that host would fare no better. Where fewer
         * ranks are enough, they go on; else the minimum ends the job, and says this. */
        muster_core_replacement_retire(core, slot,
                                       "slot %d was cut off from the other hosts %d times without "
                                       "a committed step between",
                                       slot->slot, slot->deaths_without_commit);
    } else if (core->policy.on_loss == MUSTER_ON_LOSS_REPLACE &&
               slot->deaths_without_commit >= limit) {
        char since[64] = "before the first committed step";
        if (core->crash_has_step) {
            snprintf(since, sizeof since, "after committed step %llu",
                     (unsigned long long)core->crash_step);
        }
        muster_core_give_up(core, MUSTER_ERR_GAVE_UP,
                            "crash loop: slot %d died %d times %s; look at its output for the "
                            "cause",
                            slot->slot, slot->deaths_without_commit, since);
    }
}

static bool verdict_is_proof(const muster_core_slot *slot, muster_evidence evidence)
{
    return evidence == MUSTER_EVIDENCE_LEFT ||
           (evidence == MUSTER_EVIDENCE_EXITED && !slot->process.exited_doubtful);
}

static void verdict_remember(muster_core *core, const muster_core_slot *slot,
                             muster_evidence evidence, int32_t wait_status)
{
    muster_core_grow((void **)&core->deaths, core->death_count, &core->death_capacity,
                     sizeof *core->deaths);
    core->deaths[core->death_count++] = (muster_core_death){
        .death = {.slot = slot->slot,
                  .incarnation = slot->process.incarnation,
                  .evidence = (uint32_t)evidence,
                  .wait_status = wait_status,
                  /* One that left has let go of everything before it said so. */
                  .proven_gone = verdict_is_proof(slot, evidence)},
        .epoch = core->epoch,
        .process_id = slot->process.process_id,
        .launched_id = slot->process.launched_id,
        .from_spare = slot->process.from_spare,
        .host = slot->process.host,
        .verdict_ns = core->now_ns,
    };
}

void muster_core_verdict_give(muster_core *core, muster_core_slot *slot, muster_evidence evidence,
                              int32_t wait_status)
{
    MUSTER_ASSERT(slot->seat == MUSTER_CORE_SEAT_FILLED);
    MUSTER_ASSERT(core->state != MUSTER_CORE_ENDED);
    char exit_text[32];
    muster_core_process *process = &slot->process;
    uint32_t incarnation = process->incarnation;
    int32_t process_id = process->process_id;
    bool member = slot->member;
    muster_core_note(core, MUSTER_NOTE_VERDICT, slot->slot, incarnation, (uint32_t)evidence,
                     wait_status, "slot %d is lost: %s%s (incarnation %u, process %d)", slot->slot,
                     muster_evidence_text(evidence),
                     verdict_exit_text(wait_status, exit_text, sizeof exit_text), incarnation,
                     process_id);
    /* Before any rank or launcher acts on it: a coordinator that died after it had told the survivors
     * would come back, find this rank alive, and take it in again. After the note, so that people read
     * of every death. */
    muster_core_persist(core);
    if (member) {
        verdict_remember(core, slot, evidence, wait_status);
    }
    if (evidence == MUSTER_EVIDENCE_EXITED && verdict_is_proof(slot, evidence)) {
        muster_core_note(core, MUSTER_NOTE_GONE, slot->slot, incarnation, (uint32_t)evidence,
                         wait_status, "process %d is gone", process_id);
    } else if (evidence != MUSTER_EVIDENCE_LEFT) {
        muster_core_launcher_kill(core, slot->slot, incarnation, process_id, process->from_spare,
                                  process->host);
        if (process->connection) {
            /* Should it be alive, it must stop: fenced is fenced. */
            muster_message *fenced =
                muster_core_send(core, process->connection, MUSTER_MESSAGE_REFUSED);
            fenced->slot = slot->slot;
            fenced->incarnation = incarnation;
            fenced->u.refused.status = MUSTER_ERR_FENCED;
            snprintf(fenced->u.refused.text, sizeof fenced->u.refused.text,
                     "slot %d, incarnation %u was declared dead: %s", slot->slot, incarnation,
                     muster_evidence_text(evidence));
        }
    }
    muster_core_members_empty(slot);
    slot->fence = incarnation + 1;
    slot->started = false;
    slot->replacement = MUSTER_CORE_REPLACEMENT_WANTED;
    core->changed = true;
    core->persist_due = true;
    if (evidence == MUSTER_EVIDENCE_LEFT) {
        muster_core_replacement_retire(core, slot, "slot %d left the job", slot->slot);
        slot->left_for_good = true;
    } else if (slot->late && !member) {
        muster_core_grow_undo(core, slot);
        return; /* it was in no epoch: nobody else has lost anything */
    }
    if (member) {
        muster_core_verdict_revoke(core);
    }
    if (evidence != MUSTER_EVIDENCE_LEFT) {
        muster_core_verdict_count(core, slot);
    }
}

void muster_core_verdict_revoke(muster_core *core)
{
    core->revoke_due = true;
    if (core->state == MUSTER_CORE_REVOKED) {
        return;
    }
    muster_core_state_move(core, MUSTER_CORE_REVOKED);
    core->revoked_since_ns = core->now_ns;
    core->accusation_count = 0;
    core->cut_count = 0;
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        muster_core_process *process = &core->slots[i].process;
        free(process->holdings);
        process->holdings = NULL;
        process->holding_count = 0;
        process->quiet = false;
        process->connected = false;
    }
}

void muster_core_verdict_message(muster_core *core, muster_connection connection,
                                 const muster_core_slot *slot)
{
    muster_message *revoke = muster_core_send(core, connection, MUSTER_MESSAGE_REVOKE);
    revoke->slot = slot->slot;
    revoke->incarnation = slot->process.incarnation;
    if (core->death_count == 0) {
        return;
    }
    revoke->u.revoke.deaths =
        muster_core_memory(calloc(core->death_count, sizeof *revoke->u.revoke.deaths));
    for (size_t i = 0; i < core->death_count; i++) {
        if (core->deaths[i].epoch == core->epoch) {
            revoke->u.revoke.deaths[revoke->u.revoke.death_count++] = core->deaths[i].death;
        }
    }
}

void muster_core_verdict_flush(muster_core *core)
{
    if (!core->revoke_due || core->state != MUSTER_CORE_REVOKED) {
        core->revoke_due = false;
        return;
    }
    core->revoke_due = false;
    for (int32_t i = 0; i < core->policy.slot_count; i++) {
        if (core->slots[i].member && muster_core_members_live(&core->slots[i])) {
            muster_core_members_tell(core, &core->slots[i]);
        }
    }
}

void muster_core_verdict_gone(muster_core *core, muster_core_death *death, int32_t wait_status)
{
    if (death->death.proven_gone) {
        return;
    }
    death->death.proven_gone = true;
    death->death.wait_status = wait_status;
    core->changed = true;
    core->persist_due = true;
    muster_core_note(core, MUSTER_NOTE_GONE, death->death.slot, death->death.incarnation,
                     death->death.evidence, wait_status, "process %d is gone", death->process_id);
}
