/* SPDX-License-Identifier: Apache-2.0 */
/* What the scenarios do not reach: policies that launchers bring, spares that come back, what is saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/version.h>

#include "core/core.h"

#define JOB 9u

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

/* The first message of a type to a connection in the last turn, or NULL. */
static const muster_message *told(const fixture *it, muster_connection connection, uint32_t type)
{
    for (size_t i = 0; i < it->actions.count; i++) {
        const muster_core_action *action = &it->actions.items[i];
        if (action->kind == MUSTER_CORE_SEND && action->connection == connection &&
            action->message.type == type) {
            return &action->message;
        }
    }
    return NULL;
}

static void begin(fixture *it, int32_t slot_count)
{
    muster_policy policy;
    memset(&policy, 0, sizeof policy);
    policy.slot_count = slot_count;
    policy.on_loss = MUSTER_ON_LOSS_REPLACE;
    policy.max_replacements = 3;
    muster_deadlines_defaults(&policy.deadlines);
    it->core = muster_core_new(JOB, 1, &policy);
    it->now_ns = 0;
    muster_core_actions_init(&it->actions);
}

static void end(fixture *it)
{
    muster_core_actions_clean_up(&it->actions);
    muster_core_free(it->core);
}

static void launcher_join(fixture *it, muster_connection connection, int32_t first_slot,
                          int32_t slot_count, const muster_policy *policy)
{
    muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_JOIN, .slot = MUSTER_SLOT_NONE};
    message.u.launcher_join.process_id = (int32_t)connection;
    message.u.launcher_join.host = 1;
    message.u.launcher_join.first_slot = first_slot;
    message.u.launcher_join.slot_count = slot_count;
    message.u.launcher_join.spare_count = 1;
    message.u.launcher_join.policy = *policy;
    say(it, connection, &message);
}

static void join(fixture *it, muster_connection connection, int32_t slot, int32_t slot_count,
                 int32_t process_id)
{
    muster_message message = {.type = MUSTER_MESSAGE_JOIN, .slot = slot, .incarnation = UINT32_MAX};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = slot_count;
    message.u.join.process_id = process_id;
    message.u.join.host = 1;
    say(it, connection, &message);
}

static muster_policy launcher_policy(int32_t slot_count)
{
    muster_policy policy;
    memset(&policy, 0, sizeof policy);
    policy.slot_count = slot_count;
    policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    policy.min_ranks = 1;
    muster_deadlines_defaults(&policy.deadlines);
    policy.deadlines.silence_ns = 4000000000;
    return policy;
}

static void the_first_launcher_brings_the_policy(void **state)
{
    (void)state;
    fixture it;
    begin(&it, 0);
    muster_policy policy = launcher_policy(2);
    launcher_join(&it, 10, 0, 1, &policy);
    const muster_message *welcome = told(&it, 10, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    assert_non_null(welcome);
    assert_int_equal(welcome->u.welcome.policy.deadlines.silence_ns, 4000000000);
    assert_int_equal(muster_core_policy(it.core)->on_loss, MUSTER_ON_LOSS_SHRINK);

    policy.on_loss = MUSTER_ON_LOSS_REPLACE; /* the second one's is not asked */
    launcher_join(&it, 11, 1, 1, &policy);
    assert_non_null(told(&it, 11, MUSTER_MESSAGE_LAUNCHER_WELCOME));
    assert_int_equal(muster_core_policy(it.core)->on_loss, MUSTER_ON_LOSS_SHRINK);

    join(&it, 20, 0, 2, 500);
    const muster_message *rank = told(&it, 20, MUSTER_MESSAGE_WELCOME);
    assert_non_null(rank);
    assert_int_equal(rank->u.welcome.policy.slot_count, 2);
    end(&it);
}

static void a_policy_that_cannot_work_is_refused(void **state)
{
    (void)state;
    fixture it;
    begin(&it, 0);
    muster_policy policy = launcher_policy(2);
    policy.deadlines.suspect_ns = policy.deadlines.silence_ns;
    launcher_join(&it, 10, 0, 2, &policy);
    const muster_message *refused = told(&it, 10, MUSTER_MESSAGE_REFUSED);
    assert_non_null(refused);
    assert_int_equal(refused->u.refused.status, MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(refused->u.refused.text, "suspect"));

    policy = launcher_policy(2);
    policy.min_ranks = 3;
    launcher_join(&it, 10, 0, 2, &policy);
    assert_non_null(told(&it, 10, MUSTER_MESSAGE_REFUSED));

    policy = launcher_policy(2);
    launcher_join(&it, 10, 1, 2, &policy);
    assert_non_null(told(&it, 10, MUSTER_MESSAGE_REFUSED));
    launcher_join(&it, 10, 0, 2, &policy);
    assert_non_null(told(&it, 10, MUSTER_MESSAGE_LAUNCHER_WELCOME));
    end(&it);
}

static void slots_of_a_launcher_that_is_there_are_taken(void **state)
{
    (void)state;
    fixture it;
    begin(&it, 4);
    muster_policy policy = launcher_policy(4);
    launcher_join(&it, 10, 0, 2, &policy);
    launcher_join(&it, 11, 1, 3, &policy);
    const muster_message *refused = told(&it, 11, MUSTER_MESSAGE_REFUSED);
    assert_non_null(refused);
    assert_int_equal(refused->u.refused.status, MUSTER_ERR_SLOT_TAKEN);
    launcher_join(&it, 11, 2, 2, &policy);
    assert_non_null(told(&it, 11, MUSTER_MESSAGE_LAUNCHER_WELCOME));
    end(&it);
}

static void a_rank_may_bring_the_number_of_slots(void **state)
{
    (void)state;
    fixture it;
    begin(&it, 0);
    join(&it, 20, 0, 2, 500);
    assert_non_null(told(&it, 20, MUSTER_MESSAGE_WELCOME));
    join(&it, 21, 1, 2, 501);
    const muster_message *agreed = told(&it, 20, MUSTER_MESSAGE_AGREED);
    assert_non_null(agreed);
    assert_int_equal(agreed->epoch, 1);
    assert_int_equal(agreed->u.agreed.member_count, 2);
    assert_int_equal(agreed->u.agreed.members[1].process_id, 501);
    end(&it);
}

static void messages_of_another_job_are_not_heard(void **state)
{
    (void)state;
    fixture it;
    begin(&it, 1);
    muster_message message = {.type = MUSTER_MESSAGE_JOIN, .job = JOB + 1};
    muster_core_step(
        it.core, 1,
        &(muster_core_event){.kind = MUSTER_CORE_MESSAGE, .connection = 5, .message = &message},
        &it.actions);
    assert_null(told(&it, 5, MUSTER_MESSAGE_WELCOME));
    assert_null(told(&it, 5, MUSTER_MESSAGE_REFUSED));
    end(&it);
}

static void a_spare_that_was_away_learns_its_slot(void **state)
{
    (void)state;
    fixture it;
    begin(&it, 2);
    join(&it, 30, MUSTER_SLOT_SPARE_WIRE, 2, 700);
    const muster_message *welcome = told(&it, 30, MUSTER_MESSAGE_WELCOME);
    assert_non_null(welcome);
    assert_int_equal(welcome->slot, MUSTER_SLOT_SPARE_WIRE);
    join(&it, 20, 0, 2, 500);
    join(&it, 21, 1, 2, 501);
    muster_message dying = {.type = MUSTER_MESSAGE_EVIDENCE, .slot = 0, .epoch = 1};
    dying.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    dying.u.evidence.accused_slot = 1;
    say(&it, 20, &dying);
    assert_non_null(told(&it, 20, MUSTER_MESSAGE_REVOKE));
    muster_message quiet = {.type = MUSTER_MESSAGE_QUIET, .slot = 0, .epoch = 1};
    say(&it, 20, &quiet);
    const muster_message *agreed = told(&it, 30, MUSTER_MESSAGE_AGREED);
    assert_non_null(agreed);
    assert_int_equal(agreed->slot, 1);
    assert_int_equal(agreed->incarnation, 1);

    /* That AGREED was lost on the way: the spare comes on a new connection. */
    join(&it, 31, MUSTER_SLOT_SPARE_WIRE, 2, 700);
    agreed = told(&it, 31, MUSTER_MESSAGE_AGREED);
    assert_non_null(agreed);
    assert_int_equal(agreed->slot, 1);
    end(&it);
}

static void what_is_saved_comes_back_the_same(void **state)
{
    (void)state;
    fixture it;
    void *saved;
    void *again;
    size_t saved_bytes;
    size_t again_bytes;
    begin(&it, 3);
    join(&it, 20, 0, 3, 500);
    join(&it, 21, 1, 3, 501);
    join(&it, 22, 2, 3, 502);
    muster_message dying = {.type = MUSTER_MESSAGE_EVIDENCE, .slot = 0, .epoch = 1};
    dying.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    dying.u.evidence.accused_slot = 1;
    say(&it, 20, &dying);
    assert_string_equal(muster_core_state_text(it.core), "revoked");
    assert_int_equal(muster_core_save(it.core, &saved, &saved_bytes), MUSTER_OK);

    muster_error error;
    muster_error_init(&error);
    muster_core *core = muster_core_restore(saved, saved_bytes, 1, &error);
    assert_non_null(core);
    assert_int_equal(muster_core_epoch(core), 1);
    assert_string_equal(muster_core_state_text(core), "revoked");
    assert_int_equal(muster_core_save(core, &again, &again_bytes), MUSTER_OK);
    assert_int_equal(again_bytes, saved_bytes);
    /* But for its term, behind magic, version and job. */
    assert_int_equal(muster_core_term(core), muster_core_term(it.core) + 1);
    memcpy((uint8_t *)again + 16, (const uint8_t *)saved + 16, sizeof(uint64_t));
    assert_memory_equal(again, saved, saved_bytes);
    free(again);
    muster_core_free(core);

    core = muster_core_restore(saved, saved_bytes, 8, &error);
    assert_non_null(core);
    assert_int_equal(muster_core_term(core), 8);
    muster_core_free(core);
    for (size_t length = 0; length < saved_bytes; length++) {
        assert_null(muster_core_restore(saved, length, 8, &error));
        assert_int_equal(error.status, MUSTER_ERR_INVALID_ARGUMENT);
    }
    free(saved);
    end(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_launcher_brings_the_policy),
        cmocka_unit_test(a_policy_that_cannot_work_is_refused),
        cmocka_unit_test(slots_of_a_launcher_that_is_there_are_taken),
        cmocka_unit_test(a_rank_may_bring_the_number_of_slots),
        cmocka_unit_test(messages_of_another_job_are_not_heard),
        cmocka_unit_test(a_spare_that_was_away_learns_its_slot),
        cmocka_unit_test(what_is_saved_comes_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
