/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers that come back to a coordinator which was restarted, or which said something while they were
 * away: what they are told, and what is made of what they tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/version.h>

#include "core/core.h"

#define JOB 9u
#define TERM 3u
#define LAUNCHER 10u
#define SLOTS 3

typedef struct fixture {
    muster_core *core;
    muster_core_actions actions;
    int64_t now_ns;
} fixture;

static void say(fixture *it, muster_connection connection, muster_message *message)
{
    message->job = JOB;
    muster_core_actions_clear(&it->actions);
    muster_core_step(it->core, ++it->now_ns,
                     &(muster_core_event){
                         .kind = MUSTER_CORE_MESSAGE, .connection = connection, .message = message},
                     &it->actions);
}

static const muster_message *told(const fixture *it, muster_connection connection, uint32_t type)
{
    for (size_t i = 0; i < it->actions.count; i++) {
        const muster_core_action *action = &it->actions.items[i];
        if (action->kind == MUSTER_CORE_SEND && action->connection == connection &&
            action->message.type == type)
            return &action->message;
    }
    return NULL;
}

/* A note to this connection alone; to connection 0: to everybody. */
static bool noted(const fixture *it, muster_connection connection, uint32_t kind, int32_t slot)
{
    for (size_t i = 0; i < it->actions.count; i++) {
        const muster_core_action *action = &it->actions.items[i];
        bool to_it = connection == 0
                         ? action->kind == MUSTER_CORE_NOTE
                         : action->kind == MUSTER_CORE_SEND && action->connection == connection &&
                               action->message.type == MUSTER_MESSAGE_NOTE;
        if (to_it && action->message.u.note.kind == kind && action->message.u.note.slot == slot)
            return true;
    }
    return false;
}

static void rank_says(fixture *it, int32_t slot, uint32_t type, uint64_t epoch)
{
    muster_message message = {.type = type, .slot = slot, .epoch = epoch};
    say(it, 20u + (muster_connection)slot, &message);
}

static void launcher_joins(fixture *it, muster_connection connection, uint64_t term)
{
    muster_message message = {
        .type = MUSTER_MESSAGE_LAUNCHER_JOIN, .term = term, .slot = MUSTER_SLOT_NONE};
    message.u.launcher_join.process_id = 1000;
    message.u.launcher_join.host = 1;
    message.u.launcher_join.slot_count = SLOTS;
    message.u.launcher_join.spare_count = 1;
    muster_deadlines_defaults(&message.u.launcher_join.policy.deadlines);
    say(it, connection, &message);
}

static void launcher_says_exited(fixture *it, int32_t slot, int32_t wait_status)
{
    muster_message message = {.type = MUSTER_MESSAGE_EXITED, .term = TERM, .slot = slot};
    message.u.process.process_id = 500 + slot;
    message.u.process.wait_status = wait_status;
    say(it, LAUNCHER, &message);
}

static void rank_joins(fixture *it, int32_t slot)
{
    muster_message message = {.type = MUSTER_MESSAGE_JOIN, .slot = slot, .incarnation = UINT32_MAX};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = SLOTS;
    message.u.join.process_id = 500 + slot;
    message.u.join.host = 1;
    say(it, 20u + (muster_connection)slot, &message);
}

/* Three ranks run in epoch 1; no launcher is there. */
static int set_up(void **state)
{
    static fixture it;
    muster_policy policy = {
        .slot_count = SLOTS, .on_loss = MUSTER_ON_LOSS_SHRINK, .max_replacements = 3};
    muster_deadlines_defaults(&policy.deadlines);
    memset(&it, 0, sizeof it);
    it.core = muster_core_new(JOB, TERM, &policy);
    muster_core_actions_init(&it.actions);
    for (int32_t slot = 0; slot < SLOTS; slot++)
        rank_joins(&it, slot);
    for (int32_t slot = 0; slot < SLOTS; slot++)
        rank_says(&it, slot, MUSTER_MESSAGE_CONNECTED, 1);
    assert_string_equal(muster_core_state_text(it.core), "running");
    *state = &it;
    return 0;
}

static int tear_down(void **state)
{
    fixture *it = *state;
    muster_core_actions_clean_up(&it->actions);
    muster_core_free(it->core);
    return 0;
}

static void lose_slot_1(fixture *it)
{
    muster_message dying = {.type = MUSTER_MESSAGE_EVIDENCE, .slot = 0, .epoch = 1};
    dying.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    dying.u.evidence.accused_slot = 1;
    say(it, 20, &dying);
    rank_says(it, 0, MUSTER_MESSAGE_QUIET, 1);
    rank_says(it, 2, MUSTER_MESSAGE_QUIET, 1);
    rank_says(it, 0, MUSTER_MESSAGE_CONNECTED, 2);
    rank_says(it, 2, MUSTER_MESSAGE_CONNECTED, 2);
    assert_string_equal(muster_core_state_text(it->core), "running");
    assert_int_equal(muster_core_epoch(it->core), 2);
}

static void it_hears_which_slots_are_retired_or_left(void **state)
{
    fixture *it = *state;
    lose_slot_1(it);
    rank_says(it, 0, MUSTER_MESSAGE_LEAVE, 2);
    launcher_joins(it, LAUNCHER, TERM);
    assert_non_null(told(it, LAUNCHER, MUSTER_MESSAGE_LAUNCHER_WELCOME));
    assert_true(noted(it, LAUNCHER, MUSTER_NOTE_AGREED, 1));
    assert_true(noted(it, LAUNCHER, MUSTER_NOTE_LEFT, 0));
    assert_false(noted(it, LAUNCHER, MUSTER_NOTE_LEFT, 2));
    assert_false(noted(it, 0, MUSTER_NOTE_LEFT, 0)); /* the others know */
}

static void it_hears_of_a_spare_that_took_a_slot(void **state)
{
    fixture *it = *state;
    muster_policy policy = *muster_core_policy(it->core);
    policy.on_loss = MUSTER_ON_LOSS_REPLACE;
    muster_core_free(it->core);
    it->core = muster_core_new(JOB, TERM, &policy);
    rank_joins(it, MUSTER_SLOT_SPARE_WIRE);
    for (int32_t slot = 0; slot < SLOTS; slot++)
        rank_joins(it, slot);
    muster_message dying = {.type = MUSTER_MESSAGE_EVIDENCE, .slot = 0, .epoch = 1};
    dying.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    dying.u.evidence.accused_slot = 1;
    say(it, 20, &dying);
    launcher_joins(it, LAUNCHER, TERM);
    const muster_message *assigned = told(it, LAUNCHER, MUSTER_MESSAGE_ASSIGNED);
    assert_non_null(assigned);
    assert_int_equal(assigned->slot, 1);
    assert_int_equal(assigned->incarnation, 1);
    assert_int_equal(assigned->u.process.process_id, 500 + MUSTER_SLOT_SPARE_WIRE);
}

static void it_hears_of_a_job_that_ended_meanwhile(void **state)
{
    fixture *it = *state;
    for (int32_t slot = 0; slot < SLOTS; slot++)
        rank_says(it, slot, MUSTER_MESSAGE_LEAVE, 1);
    assert_string_equal(muster_core_state_text(it->core), "ended");

    muster_message heartbeat = {
        .type = MUSTER_MESSAGE_LAUNCHER_HEARTBEAT, .term = TERM, .slot = MUSTER_SLOT_NONE};
    say(it, LAUNCHER, &heartbeat);
    assert_non_null(told(it, LAUNCHER, MUSTER_MESSAGE_REJOIN));
    launcher_joins(it, LAUNCHER, TERM);
    assert_non_null(told(it, LAUNCHER, MUSTER_MESSAGE_LAUNCHER_WELCOME));
    for (int32_t slot = 0; slot < SLOTS; slot++)
        assert_true(noted(it, LAUNCHER, MUSTER_NOTE_LEFT, slot));
    say(it, LAUNCHER, &heartbeat);
    assert_null(told(it, LAUNCHER, MUSTER_MESSAGE_REJOIN));

    launcher_joins(it, LAUNCHER + 1, 0); /* a new one comes too late */
    assert_non_null(told(it, LAUNCHER + 1, MUSTER_MESSAGE_REFUSED));
}

static void it_hears_of_a_job_that_was_given_up_meanwhile(void **state)
{
    fixture *it = *state;
    muster_message dying = {.type = MUSTER_MESSAGE_EVIDENCE, .slot = 0, .epoch = 1};
    dying.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    dying.u.evidence.accused_slot = 1;
    say(it, 20, &dying);
    rank_says(it, 0, MUSTER_MESSAGE_LEAVE, 1);
    rank_says(it, 2, MUSTER_MESSAGE_LEAVE, 1);
    assert_string_equal(muster_core_state_text(it->core), "ended");

    muster_message heartbeat = {
        .type = MUSTER_MESSAGE_LAUNCHER_HEARTBEAT, .term = TERM, .slot = MUSTER_SLOT_NONE};
    say(it, LAUNCHER, &heartbeat);
    assert_non_null(told(it, LAUNCHER, MUSTER_MESSAGE_REJOIN));
    launcher_joins(it, LAUNCHER, TERM);
    const muster_message *gave_up = told(it, LAUNCHER, MUSTER_MESSAGE_GAVE_UP);
    assert_non_null(gave_up); /* its ranks' exit codes decide, as for one that was there */
    assert_int_equal(gave_up->u.refused.status, MUSTER_ERR_LEFT);
    assert_non_null(strstr(gave_up->u.refused.text, "slot 1 was lost"));
    assert_null(told(it, LAUNCHER, MUSTER_MESSAGE_START));
}

/* A leave that only the killed coordinator heard: the rank ended well and never comes back. */
static void an_exit_with_code_0_before_the_return_is_a_leave(void **state)
{
    fixture *it = *state;
    void *saved = NULL;
    size_t saved_bytes = 0;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_core_save(it->core, &saved, &saved_bytes), MUSTER_OK);
    muster_core_free(it->core);
    it->core = muster_core_restore(saved, saved_bytes, TERM, &error);
    free(saved);
    assert_non_null(it->core);

    launcher_joins(it, LAUNCHER, TERM);
    launcher_says_exited(it, 0, 0);
    assert_true(noted(it, 0, MUSTER_NOTE_LEFT, 0));
    assert_false(noted(it, 0, MUSTER_NOTE_VERDICT, 0));
    launcher_says_exited(it, 1, 9);
    assert_true(noted(it, 0, MUSTER_NOTE_VERDICT, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_hears_which_slots_are_retired_or_left, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_hears_of_a_spare_that_took_a_slot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_hears_of_a_job_that_ended_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_hears_of_a_job_that_was_given_up_meanwhile, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_exit_with_code_0_before_the_return_is_a_leave, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
