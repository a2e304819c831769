/* SPDX-License-Identifier: Apache-2.0 */
/* When and how the job is over, as seen from one launcher.
 *
 *   a slot is settled when ...                                 and it ended
 *   its rank left the job and exited                           well for exit code 0
 *   its rank exited by itself before it ever joined            well for exit code 0
 *   an epoch without it was agreed (the job shrank)            well: the others carry on
 *
 * Spares of this launcher wait on for slots of others, until the coordinator says that the job is over or cannot be
 * reached any more.
 *
 * A rank that was lost otherwise is the coordinator's to judge: it asks for a replacement, agrees on
 * fewer ranks, or gives the job up. When all slots are settled and nothing lives, the job is over. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "launcher/launcher_state.h"

/* Nothing lives and the coordinator says nothing: longer than it takes to restart one. */
#define ENDING_UNDECIDED_NS (15000 * NS_PER_MS)
/* The same, and every last rank ended with code 0: the word that they left was lost with a coordinator
 * that was killed, and its successor knows of no job. Longer than a leave takes. */
#define ENDING_UNSAID_NS (3000 * NS_PER_MS)
#define ENDING_GAVE_UP_NS (2000 * NS_PER_MS)
/* From SIGKILL for ranks to SIGKILL for keepers that are still there. */
#define ENDING_KEEPERS_NS (3000 * NS_PER_MS)

static void ending_signal_all(muster_launcher *launcher, int signal_number)
{
    for (size_t i = 0; i < launcher->rank_count; i++)
        muster_child_signal(&launcher->ranks[i]->child, signal_number);
}

static void ending_kill_all(muster_launcher *launcher)
{
    for (size_t i = 0; i < launcher->rank_count; i++) {
        if (!launcher->ranks[i]->child.gone)
            muster_child_kill(&launcher->ranks[i]->child);
    }
}

void muster_ending_fail(muster_launcher *launcher, int exit_code)
{
    if (launcher->ending)
        return;
    launcher->ending = true;
    launcher->exit_code = exit_code;
    launcher->ask_ns = launcher->now_ns;
    if (launcher->gave_up)
        launcher->ask_ns += ENDING_GAVE_UP_NS;
    launcher->kill_ns = launcher->ask_ns + launcher->options.grace_ns;
}

void muster_ending_given_up(muster_launcher *launcher, bool others_left)
{
    if (launcher->gave_up)
        return;
    launcher->gave_up = true;
    /* A rank that is lost while others take their leave costs the job nothing where all had ended their
     * work, and that they know themselves: their own exit codes decide. */
    launcher->work_was_done = others_left;
    if (launcher->work_was_done && !launcher->ending)
        muster_launcher_say(launcher, "a slot was lost while other ranks took their leave: their "
                                      "exit codes decide");
    muster_ending_fail(launcher,
                       launcher->work_was_done ? MUSTER_RUN_EXIT_OK : MUSTER_RUN_EXIT_GAVE_UP);
}

void muster_ending_signal(muster_launcher *launcher, int signal_number)
{
    bool again = launcher->ending_signal != 0;
    if (again && signal_number == SIGINT) {
        muster_launcher_say(launcher, "SIGINT again: the ranks are killed");
        launcher->kill_ns = launcher->now_ns;
        return;
    }
    if (again)
        return;
    launcher->ending_signal = signal_number;
    muster_launcher_say(launcher,
                        "SIG%s: passed on to the ranks; those that live in %lld ms are "
                        "killed",
                        sigabbrev_np(signal_number),
                        (long long)(launcher->options.grace_ns / NS_PER_MS));
    if (!launcher->ending) {
        launcher->ending = true;
        launcher->kill_ns = launcher->now_ns + launcher->options.grace_ns;
    }
    launcher->ask_ns = 0;
    launcher->exit_code = 128 + signal_number;
    ending_signal_all(launcher, signal_number);
}

static void ending_settle(muster_launched_slot *place, const muster_rank *rank)
{
    int status = rank->child.wait_status;
    place->settled = true;
    place->failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    place->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void muster_ending_unjoined(muster_launcher *launcher, muster_rank *rank)
{
    muster_launched_slot *place = muster_rank_slot_of(launcher, rank->slot);
    /* A process that a job at its end no longer wanted has not failed. */
    if (place == NULL || place->settled || launcher->ending)
        return;
    ending_settle(place, rank);
    if (!place->failed)
        return;
    muster_launcher_say(launcher,
                        "slot %d ended with exit code %d before it joined the job; a new "
                        "process would do the same, so the job ends",
                        rank->slot, place->exit_code);
    muster_ending_fail(launcher, MUSTER_RUN_EXIT_RANK_FAILED);
}

void muster_ending_agreed(muster_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->options.slot_count; i++) {
        muster_launched_slot *place = &launcher->slots[i];
        if (place->started && !place->lives)
            place->settled = true;
    }
}

void muster_ending_retired(muster_launcher *launcher, int32_t slot)
{
    muster_launched_slot *place = muster_rank_slot_of(launcher, slot);
    if (place != NULL)
        place->retired = true;
}

/* A slot that was retired while this launcher was away, whose rank may have had to find out by itself that it is
 * fenced; a slot whose rank left and is gone. */
static void ending_look(muster_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->options.slot_count; i++) {
        muster_launched_slot *place = &launcher->slots[i];
        if (place->retired && place->started && !place->lives)
            place->settled = true;
    }
    for (size_t i = 0; i < launcher->rank_count; i++) {
        muster_rank *rank = launcher->ranks[i];
        muster_launched_slot *place = muster_rank_slot_of(launcher, rank->slot);
        if (place != NULL && !place->settled && rank->left && rank->exit_handled &&
            place->incarnation == rank->incarnation)
            ending_settle(place, rank);
    }
}

static bool ending_all_settled(const muster_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->options.slot_count; i++) {
        if (!launcher->slots[i].settled)
            return false;
    }
    return true;
}

static void ending_say_failed(muster_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->options.slot_count; i++) {
        const muster_launched_slot *place = &launcher->slots[i];
        if (place->settled && place->failed) {
            muster_launcher_say(launcher, "slot %d failed for good with exit code %d",
                                launcher->options.first_slot + i, place->exit_code);
            if (launcher->exit_code == MUSTER_RUN_EXIT_OK)
                launcher->exit_code = MUSTER_RUN_EXIT_RANK_FAILED;
        }
    }
}

/* A member that heard that the job is given up and did not end well had not ended its work. A replacement that
 * came too late for an epoch had none. */
static bool ending_someone_failed(muster_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->options.slot_count; i++) {
        const muster_launched_slot *place = &launcher->slots[i];
        const muster_rank *rank =
            muster_rank_find(launcher, launcher->options.first_slot + i, place->incarnation);
        if (!place->settled && rank != NULL && rank->child.exited &&
            rank->since_epoch < launcher->epoch && WIFEXITED(rank->child.wait_status) &&
            WEXITSTATUS(rank->child.wait_status) != 0)
            return true;
    }
    return false;
}

static bool ending_all_ended_well(muster_launcher *launcher)
{
    for (int32_t i = 0; i < launcher->options.slot_count; i++) {
        const muster_launched_slot *place = &launcher->slots[i];
        const muster_rank *rank =
            muster_rank_find(launcher, launcher->options.first_slot + i, place->incarnation);
        if (!place->settled &&
            (rank == NULL || !rank->child.exited || !WIFEXITED(rank->child.wait_status) ||
             WEXITSTATUS(rank->child.wait_status) != 0))
            return false;
    }
    return true;
}

/* Other launchers' ranks run on, as far as we know, and may need them. */
static bool ending_spares_wait(muster_launcher *launcher)
{
    const muster_run_options *options = &launcher->options;
    const muster_policy *policy = &options->policy;
    bool reachable = launcher->now_ns - launcher->control.reached_ns < ENDING_UNDECIDED_NS;
    bool others = options->slot_count < policy->slot_count;
    bool wanted = policy->on_loss == MUSTER_ON_LOSS_REPLACE || policy->grow;
    if (launcher->job_over || !reachable || !others || !wanted)
        return false;
    if (!launcher->spares_wait_said)
        muster_launcher_say(launcher, "all slots of this launcher are done; its spares wait for "
                                      "those of other launchers");
    launcher->spares_wait_said = true;
    return true;
}

/* No rank lives and nothing was said: is the job over? */
static void ending_decide(muster_launcher *launcher)
{
    if (!ending_all_settled(launcher)) {
        if (launcher->undecided_ns == 0)
            launcher->undecided_ns = launcher->now_ns;
        int64_t undecided_ns = launcher->now_ns - launcher->undecided_ns;
        if (undecided_ns >= ENDING_UNSAID_NS && ending_all_ended_well(launcher)) {
            launcher->ending = true;
            launcher->kill_ns = launcher->now_ns; /* spares wait for a slot that never comes */
            return;
        }
        if (undecided_ns < ENDING_UNDECIDED_NS)
            return;
        muster_launcher_say(launcher, "no rank lives and the coordinator asks for none: the job "
                                      "ends");
        muster_ending_fail(launcher, MUSTER_RUN_EXIT_GAVE_UP);
        return;
    }
    bool spares = muster_rank_living(launcher, true) > 0;
    if (spares && ending_spares_wait(launcher))
        return;
    ending_say_failed(launcher);
    if (!spares) {
        launcher->over = true;
        return;
    }
    /* They wait for a slot that never comes. */
    launcher->ending = true;
    launcher->kill_ns = launcher->now_ns;
}

static bool ending_has_unhandled_exit(const muster_launcher *launcher)
{
    for (size_t i = 0; i < launcher->rank_count; i++) {
        if (launcher->ranks[i]->judge_ns != 0)
            return true;
    }
    return false;
}

void muster_ending_turn(muster_launcher *launcher)
{
    ending_look(launcher);
    if (launcher->ending) {
        if (muster_rank_living(launcher, true) == 0) {
            if (launcher->work_was_done) {
                if (launcher->exit_code == MUSTER_RUN_EXIT_OK && ending_someone_failed(launcher))
                    launcher->exit_code = MUSTER_RUN_EXIT_GAVE_UP;
                ending_say_failed(launcher);
            }
            launcher->over = true;
            return;
        }
        if (launcher->ask_ns != 0 && launcher->now_ns >= launcher->ask_ns) {
            launcher->ask_ns = 0;
            ending_signal_all(launcher, SIGTERM);
        }
        if (launcher->now_ns >= launcher->kill_ns) {
            ending_kill_all(launcher);
            if (launcher->kill_keepers_ns == 0)
                launcher->kill_keepers_ns = launcher->now_ns + ENDING_KEEPERS_NS;
            launcher->kill_ns = INT64_MAX;
        }
        if (launcher->kill_keepers_ns != 0 && launcher->now_ns >= launcher->kill_keepers_ns) {
            for (size_t i = 0; i < launcher->rank_count; i++)
                muster_child_kill_keeper(&launcher->ranks[i]->child);
            launcher->kill_keepers_ns = INT64_MAX;
        }
        return;
    }
    if (!launcher->began)
        return;
    if (muster_rank_living(launcher, false) > 0 || ending_has_unhandled_exit(launcher)) {
        launcher->undecided_ns = 0;
        return;
    }
    ending_decide(launcher);
}

int64_t muster_ending_deadline(const muster_launcher *launcher)
{
    int64_t earliest_ns = INT64_MAX;
    if (launcher->ask_ns != 0)
        earliest_ns = launcher->ask_ns;
    if (launcher->ending && launcher->kill_ns < earliest_ns)
        earliest_ns = launcher->kill_ns;
    if (launcher->ending && launcher->kill_keepers_ns != 0 &&
        launcher->kill_keepers_ns < earliest_ns)
        earliest_ns = launcher->kill_keepers_ns;
    if (launcher->undecided_ns != 0) {
        /* Both dates; the turn at the first is one too many at most. */
        int64_t unsaid_ns = launcher->undecided_ns + ENDING_UNSAID_NS;
        int64_t undecided_ns =
            unsaid_ns > launcher->now_ns ? unsaid_ns : launcher->undecided_ns + ENDING_UNDECIDED_NS;
        if (undecided_ns < earliest_ns)
            earliest_ns = undecided_ns;
    }
    return earliest_ns;
}
