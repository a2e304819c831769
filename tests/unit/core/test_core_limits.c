/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers at the end of their range, as nobody says them on purpose (a flood found two to be the end of a
 * coordinator), and more of something than is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/version.h>

#include "core/core.h"

#define JOB 9u
#define TERM 5u
#define INCARNATION_LAST ((uint32_t)(INT32_MAX / 2))

typedef struct fixture {
    muster_core *core;
    muster_core_actions actions;
    int64_t now_ns;
} fixture;

static void begin(fixture *it)
{
    muster_policy policy;
    memset(&policy, 0, sizeof policy);
    policy.slot_count = 2;
    policy.on_loss = MUSTER_ON_LOSS_REPLACE;
    policy.max_replacements = 3;
    muster_deadlines_defaults(&policy.deadlines);
    it->core = muster_core_new(JOB, TERM, &policy);
    it->now_ns = 0;
    muster_core_actions_init(&it->actions);
}

static void end(fixture *it)
{
    muster_core_actions_clean_up(&it->actions);
    muster_core_free(it->core);
}

static void say_on(fixture *it, muster_connection connection, muster_message message)
{
    const muster_core_event event = {
        .kind = MUSTER_CORE_MESSAGE, .connection = connection, .message = &message};
    message.job = JOB;
    muster_core_actions_clear(&it->actions);
    muster_core_step(it->core, ++it->now_ns, &event, &it->actions);
}

static void say(fixture *it, muster_message message)
{
    say_on(it, 1, message);
}

static const muster_message *find(const fixture *it, uint32_t type)
{
    for (size_t i = 0; i < it->actions.count; i++) {
        if (it->actions.items[i].kind == MUSTER_CORE_SEND &&
            it->actions.items[i].message.type == type)
            return &it->actions.items[i].message;
    }
    return NULL;
}

static bool told(const fixture *it, uint32_t type)
{
    return find(it, type) != NULL;
}

static muster_message join(uint32_t incarnation)
{
    muster_message message = {.type = MUSTER_MESSAGE_JOIN, .incarnation = incarnation};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = 2;
    message.u.join.process_id = 100;
    return message;
}

static void assert_can_be_saved(fixture *it)
{
    void *saved = NULL;
    size_t saved_bytes = 0;
    assert_int_equal(muster_core_save(it->core, &saved, &saved_bytes), MUSTER_OK);
    muster_core *again = muster_core_restore(saved, saved_bytes, TERM + 1, NULL);
    assert_non_null(again);
    muster_core_free(again);
    free(saved);
}

static void the_last_incarnation_has_successors(void **state)
{
    fixture it;
    (void)state;
    begin(&it);
    say(&it, join(INCARNATION_LAST + 1));
    assert_true(told(&it, MUSTER_MESSAGE_REFUSED));
    say(&it, join((uint32_t)INT32_MAX));
    assert_true(told(&it, MUSTER_MESSAGE_REFUSED));
    say(&it, join(INCARNATION_LAST));
    assert_true(told(&it, MUSTER_MESSAGE_WELCOME));
    say(&it, (muster_message){.type = MUSTER_MESSAGE_EXITED, .incarnation = INCARNATION_LAST});
    assert_can_be_saved(&it);
    say(&it, join(UINT32_MAX));
    assert_true(told(&it, MUSTER_MESSAGE_WELCOME));
    say(&it, (muster_message){.type = MUSTER_MESSAGE_EXITED, .incarnation = INCARNATION_LAST + 1});
    say(&it, (muster_message){.type = MUSTER_MESSAGE_EXITED, .incarnation = (uint32_t)INT32_MAX});
    assert_can_be_saved(&it);
    end(&it);
}

static void a_higher_term_comes_to_a_job_that_is_over(void **state)
{
    fixture it;
    muster_status status = MUSTER_OK;
    (void)state;
    begin(&it);
    for (int32_t slot = 0; slot < 2; slot++) {
        muster_message message = join(0);
        message.slot = slot;
        message.u.join.process_id = 100 + slot;
        say(&it, message);
    }
    muster_message later = {.type = MUSTER_MESSAGE_HEARTBEAT, .term = TERM + 10};
    say(&it, later); /* another coordinator's: this one is over */
    assert_true(muster_core_ended(it.core, &status));
    assert_int_equal(status, MUSTER_ERR_FENCED);
    later.term += 10;
    say(&it, later);
    assert_int_equal(it.actions.count, 0);
    end(&it);
}

/* Its clock, or its journal's, may be behind what the last one came to. */
static void every_return_has_a_higher_term(void **state)
{
    fixture it;
    void *saved = NULL;
    size_t saved_bytes = 0;
    (void)state;
    begin(&it);
    muster_message heartbeat = {.type = MUSTER_MESSAGE_HEARTBEAT, .term = 1000};
    say(&it, heartbeat); /* a rank has seen it: ours is higher from here on */
    assert_int_equal(muster_core_term(it.core), 1001);
    assert_int_equal(muster_core_save(it.core, &saved, &saved_bytes), MUSTER_OK);
    const uint64_t starts[] = {TERM + 1, 1001, 1002, 5000};
    const uint64_t terms[] = {1002, 1002, 1002, 5000};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        muster_core *again = muster_core_restore(saved, saved_bytes, starts[i], NULL);
        assert_non_null(again);
        assert_int_equal(muster_core_term(again), terms[i]);
        muster_core_free(again);
    }
    free(saved);
    end(&it);
}

/* Both hold step 7 of epoch 1, own and mirror, and nothing newer. */
static void say_quiet(fixture *it, int32_t slot, uint64_t epoch)
{
    muster_holding holdings[] = {
        {.slot = slot, .epoch = 1, .step = 7, .committed = true},
        {.slot = 1 - slot, .epoch = 1, .step = 7, .mirror = true, .committed = true},
    };
    muster_message quiet = {.type = MUSTER_MESSAGE_QUIET, .slot = slot, .epoch = epoch};
    quiet.u.quiet.holdings = holdings;
    quiet.u.quiet.holding_count = 2;
    say_on(it, 1 + (muster_connection)slot, quiet);
}

/* A way between hosts that breaks every minute of a step of hours: everybody connects anew each time, and nobody
 * has lost anything. */
static void a_step_outlives_any_number_of_rebuilds(void **state)
{
    fixture it;
    (void)state;
    begin(&it);
    for (int32_t slot = 0; slot < 2; slot++) {
        muster_message message = join(0);
        message.slot = slot;
        message.u.join.process_id = 100 + slot;
        say_on(&it, 1 + (muster_connection)slot, message);
    }
    for (uint64_t epoch = 1; epoch <= 200; epoch++) {
        for (int32_t slot = 0; slot < 2; slot++)
            say_on(
                &it, 1 + (muster_connection)slot,
                (muster_message){.type = MUSTER_MESSAGE_CONNECTED, .slot = slot, .epoch = epoch});
        say_quiet(&it, 0, epoch);
        say_quiet(&it, 1, epoch);
        const muster_message *agreed = find(&it, MUSTER_MESSAGE_AGREED);
        assert_non_null(agreed);
        assert_int_equal(agreed->epoch, epoch + 1);
        assert_true(agreed->u.agreed.restore.has_step);
        assert_int_equal(agreed->u.agreed.restore.epoch, 1);
        assert_int_equal(agreed->u.agreed.restore.step, 7);
        assert_false(agreed->u.agreed.restore.state_lost);
    }
    assert_can_be_saved(&it);
    end(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_incarnation_has_successors),
        cmocka_unit_test(a_higher_term_comes_to_a_job_that_is_over),
        cmocka_unit_test(every_return_has_a_higher_term),
        cmocka_unit_test(a_step_outlives_any_number_of_rebuilds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
