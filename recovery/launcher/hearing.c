/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator says to its launcher, and what follows from it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "launcher/launcher_state.h"

#define HEARING_MESSAGES_A_TURN 256

static void hearing_begin(muster_launcher *launcher, const muster_message *welcome)
{
    const muster_run_options *options = &launcher->options;
    launcher->began = true;
    /* A job that has an epoch runs already, and its slots are filled or lost: those that are lost,
     * and ours, the coordinator asks for. */
    if (welcome->epoch > 0)
        muster_launcher_say(launcher,
                            "the job runs already, in epoch %llu: starting what it asks for",
                            (unsigned long long)welcome->epoch);
    if (welcome->epoch == 0 && welcome->u.welcome.begun)
        muster_launcher_say(launcher, "another launcher had these slots: starting what the "
                                      "coordinator asks for");
    bool all = welcome->epoch == 0 && !welcome->u.welcome.begun;
    for (int32_t i = 0; i < options->slot_count && all && !launcher->ending; i++) {
        if (!muster_rank_start(launcher, options->first_slot + i, 0))
            muster_ending_fail(launcher, MUSTER_RUN_EXIT_SYSTEM);
    }
    for (int32_t i = 0; i < options->spare_count && !launcher->ending; i++) {
        if (!muster_rank_start(launcher, MUSTER_SLOT_SPARE_WIRE, launcher->spares_started++))
            muster_ending_fail(launcher, MUSTER_RUN_EXIT_SYSTEM);
    }
    muster_archive_job(launcher);
}

static void hearing_welcome(muster_launcher *launcher, const muster_message *message)
{
    launcher->control.welcomed = true;
    launcher->control.heartbeat_ns = message->u.welcome.policy.deadlines.heartbeat_ns;
    if (launcher->began && (message->term > launcher->welcome_term || launcher->silence_said))
        muster_launcher_say(launcher, "the coordinator is back, in term %llu",
                            (unsigned long long)message->term);
    launcher->welcome_term = message->term;
    launcher->silence_said = false;
    if (launcher->began)
        muster_rank_tell_all(launcher);
    else if (!launcher->ending)
        hearing_begin(launcher, message);
}

static void hearing_start(muster_launcher *launcher, const muster_message *message)
{
    muster_rank *known = muster_rank_find(launcher, message->slot, message->incarnation);
    if (known != NULL) {
        /* Our answer was lost. */
        if (!known->exit_handled)
            muster_control_send_process(&launcher->control, MUSTER_MESSAGE_STARTED, message->slot,
                                        message->incarnation, known->child.process_id, -1,
                                        known->started_ns);
        return;
    }
    if (launcher->ending || muster_rank_slot_of(launcher, message->slot) == NULL)
        return;
    if (muster_rank_start(launcher, message->slot, message->incarnation))
        muster_archive_job(launcher);
}

/* A process whose successor was started is forgotten once it is gone, but a coordinator that died before
 * it heard of the exit asks again, and would wait for its deadline and have memory abandoned. */
static bool hearing_kill_forgotten(muster_launcher *launcher, const muster_message *message)
{
    for (size_t i = launcher->record_count; i > 0; i--) {
        const muster_process_record *record = &launcher->records[i - 1];
        if (record->slot != message->slot || record->incarnation != message->incarnation ||
            record->ended_ns == 0)
            continue;
        muster_control_send_process(&launcher->control, MUSTER_MESSAGE_EXITED, record->slot,
                                    record->incarnation, record->process_id, record->wait_status,
                                    record->ended_ns);
        return true;
    }
    return false;
}

static void hearing_kill(muster_launcher *launcher, const muster_message *message)
{
    muster_rank *rank = muster_rank_find(launcher, message->slot, message->incarnation);
    if (rank == NULL && hearing_kill_forgotten(launcher, message))
        return;
    if (rank == NULL)
        rank = muster_rank_find_process(launcher, message->u.process.process_id);
    if (rank != NULL && rank->exit_handled)
        muster_control_send_process(&launcher->control, MUSTER_MESSAGE_EXITED, message->slot,
                                    message->incarnation, rank->child.process_id,
                                    rank->child.wait_status, rank->exited_ns);
    else if (rank != NULL)
        muster_child_kill(&rank->child);
}

/* A spare says its own number when it joins; behind a wrapper that number is not its process's as we
 * know it, and then any spare that waits is as good a guess as another. */
static void hearing_assigned(muster_launcher *launcher, const muster_message *message)
{
    if (muster_rank_find(launcher, message->slot, message->incarnation) != NULL)
        return;
    muster_rank *spare = muster_rank_find_process(launcher, message->u.process.process_id);
    for (size_t i = 0; i < launcher->rank_count && spare == NULL; i++) {
        if (launcher->ranks[i]->slot < 0 && !launcher->ranks[i]->child.exited)
            spare = launcher->ranks[i];
    }
    if (spare == NULL || (spare->slot >= 0 && !spare->spare))
        return;                    /* another launcher's */
    bool again = spare->slot >= 0; /* a coordinator that died had given it another one */
    muster_rank_assign(launcher, spare, message->slot, message->incarnation);
    if (!again)
        muster_report_spare_taken(&launcher->report);
    muster_archive_job(launcher);
}

static void hearing_say_timing(muster_launcher *launcher)
{
    const muster_recovery *recovery = muster_report_last(&launcher->report);
    const muster_recovery_timing timing = muster_recovery_timing_of(recovery);
    char start[48] = "";
    char detect[48] = "detect unknown";
    if (timing.start_ms >= 0)
        snprintf(start, sizeof start, " (start %.1f ms)", timing.start_ms);
    if (timing.detect_ms >= 0)
        snprintf(detect, sizeof detect, "detect %.1f ms%s", timing.detect_ms,
                 launcher->report.two_clocks ? " (until it was told here)" : "");
    muster_launcher_say(launcher,
                        "timing: %s, release %.1f ms, rebuild %.1f ms%s: epoch %llu goes "
                        "on with %d ranks",
                        detect, timing.release_ms, timing.rebuild_ms, start,
                        (unsigned long long)recovery->new_epoch, recovery->member_count);
}

static void hearing_say_first_batch(muster_launcher *launcher)
{
    const muster_recovery_timing timing =
        muster_recovery_timing_of(muster_report_last(&launcher->report));
    muster_launcher_say(launcher, "first batch of every rank complete %.1f ms after the release",
                        timing.first_batch_ms);
}

static void hearing_say_note(muster_launcher *launcher, const muster_note *note)
{
    int length = (int)strnlen(note->text, sizeof note->text);
    const char *what = muster_note_text((muster_note_kind)note->kind);
    switch (note->kind) {
    case MUSTER_NOTE_VERDICT:
    case MUSTER_NOTE_STARTING:
    case MUSTER_NOTE_ABANDONED:
    case MUSTER_NOTE_SUSPECTED:
    case MUSTER_NOTE_REFUSED:
    case MUSTER_NOTE_GAVE_UP:
    case MUSTER_NOTE_CALLS_DIFFER:
    case MUSTER_NOTE_NONE:
        break;
    case MUSTER_NOTE_AGREED:
    case MUSTER_NOTE_ESTABLISHED:
        /* The first epoch is no news. */
        if (launcher->report.recovery_count == 0)
            return;
        what = note->kind == MUSTER_NOTE_AGREED ? "rebuild" : what;
        break;
    default:
        return;
    }
    if (note->kind == MUSTER_NOTE_VERDICT && note->evidence == MUSTER_EVIDENCE_LEFT)
        return;
    muster_launcher_say(launcher, "%s: %.*s", what, length, note->text);
}

static void hearing_note(muster_launcher *launcher, const muster_note *note)
{
    muster_rank *rank = muster_rank_find(launcher, note->slot, note->incarnation);
    if (note->kind == MUSTER_NOTE_AGREED && note->slot >= 0) {
        muster_ending_retired(launcher, note->slot); /* said anew, after we were away */
        return;
    }
    if (rank != NULL && rank->left && note->kind == MUSTER_NOTE_LEFT)
        return; /* this one, too */
    muster_archive_note(launcher, note);
    hearing_say_note(launcher, note);
    if (rank != NULL && note->kind == MUSTER_NOTE_JOINED)
        rank->joined = true;
    if (rank != NULL && note->kind == MUSTER_NOTE_LEFT)
        rank->left = true;
    switch (muster_report_note(&launcher->report, note, launcher->now_ns)) {
    case MUSTER_REPORT_RESUMED:
        hearing_say_timing(launcher);
        break;
    case MUSTER_REPORT_FIRST_BATCH:
        hearing_say_first_batch(launcher);
        break;
    case MUSTER_REPORT_NOTHING:
        break;
    }
    if (note->kind == MUSTER_NOTE_VERDICT)
        muster_archive_verdict(launcher, note);
    if (note->kind == MUSTER_NOTE_AGREED) {
        launcher->epoch = note->epoch;
        muster_ending_agreed(launcher);
    }
    if (note->kind == MUSTER_NOTE_COMMITTED)
        muster_drill_committed(launcher, (uint64_t)note->value);
    if (note->kind == MUSTER_NOTE_CALLS_DIFFER)
        launcher->calls_differ = true;
    if (note->kind == MUSTER_NOTE_GAVE_UP)
        muster_ending_given_up(launcher, note->value == MUSTER_ERR_LEFT);
}

static void hearing_refused(muster_launcher *launcher, const muster_message *message)
{
    const char *text = message->u.refused.text;
    int length = (int)strnlen(text, sizeof message->u.refused.text);
    if (launcher->ending)
        return;
    muster_launcher_say(launcher, "the coordinator refuses this launcher: %.*s", length, text);
    muster_ending_fail(launcher, MUSTER_RUN_EXIT_COORDINATOR);
}

/* Everybody has left, or the job was given up: the note says it in words. A launcher whose note was lost with a connection, or with a coordinator, learns it here.
 * Ranks that are in different calls end by themselves, with a code of their own. */
static void hearing_gave_up(muster_launcher *launcher, const muster_message *message)
{
    const char *text = message->u.refused.text;
    int length = (int)strnlen(text, sizeof message->u.refused.text);
    bool differ = message->u.refused.status == MUSTER_ERR_CALLS_DIFFER;
    launcher->job_over = true;
    if (message->u.refused.status == MUSTER_OK || launcher->gave_up || launcher->calls_differ)
        return;
    muster_launcher_say(launcher, "%s: %.*s",
                        muster_note_text(differ ? MUSTER_NOTE_CALLS_DIFFER : MUSTER_NOTE_GAVE_UP),
                        length, text);
    launcher->calls_differ = differ;
    if (!differ)
        muster_ending_given_up(launcher, message->u.refused.status == MUSTER_ERR_LEFT);
}

static void hearing_message(muster_launcher *launcher, const muster_message *message)
{
    switch (message->type) {
    case MUSTER_MESSAGE_LAUNCHER_WELCOME:
        hearing_welcome(launcher, message);
        return;
    case MUSTER_MESSAGE_REFUSED:
        hearing_refused(launcher, message);
        return;
    case MUSTER_MESSAGE_REJOIN:
        muster_control_rejoin(&launcher->control, launcher->now_ns);
        return;
    case MUSTER_MESSAGE_START:
        hearing_start(launcher, message);
        return;
    case MUSTER_MESSAGE_KILL:
        hearing_kill(launcher, message);
        return;
    case MUSTER_MESSAGE_ASSIGNED:
        hearing_assigned(launcher, message);
        return;
    case MUSTER_MESSAGE_NOTE:
        hearing_note(launcher, &message->u.note);
        return;
    case MUSTER_MESSAGE_GAVE_UP:
        hearing_gave_up(launcher, message);
        return;
    default:
        return;
    }
}

void muster_hearing_turn(muster_launcher *launcher)
{
    muster_message message;
    for (int i = 0; i < HEARING_MESSAGES_A_TURN; i++) {
        if (!muster_control_receive(&launcher->control, launcher->now_ns, &message))
            return;
        hearing_message(launcher, &message);
        muster_message_clean_up(&message);
    }
}
