/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint phases: nesting, what is refused, and that each scope is traced once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <muster/phase.h>

#include "comm/comm.h"

/* A provider that notes what it is told. */
#define NOTES_MAX 256
static struct note {
    bool begin;
    int32_t phase;
    int32_t depth;
} notes[NOTES_MAX];
static size_t note_count;

static void note(bool begin, int32_t phase, int32_t depth)
{
    assert_true(note_count < NOTES_MAX);
    notes[note_count++] = (struct note){begin, phase, depth};
}

static void note_begin(const muster_trace_identity *who, int32_t phase, int32_t depth)
{
    assert_int_equal(who->slot, 3);
    note(true, phase, depth);
}

static void note_end(const muster_trace_identity *who, int32_t phase, int32_t depth)
{
    assert_int_equal(who->slot, 3);
    note(false, phase, depth);
}

static const muster_trace_table noting = {
    .table_version = MUSTER_TRACE_TABLE_VERSION, .phase_begin = note_begin, .phase_end = note_end};

static struct muster_job job;

static void assert_note(size_t index, bool begin, muster_phase phase, int32_t depth)
{
    assert_true(index < note_count);
    assert_int_equal(notes[index].begin, begin);
    assert_int_equal(notes[index].phase, phase);
    assert_int_equal(notes[index].depth, depth);
}

static int set_up(void **state)
{
    muster_phase_context *context = NULL;
    note_count = 0;
    job.tracer.table = &noting;
    job.tracer.who.slot = 3;
    if (muster_phase_context_create(&job, &context) != MUSTER_OK)
        return -1;
    *state = context;
    return 0;
}

static int tear_down(void **state)
{
    muster_phase_context_free(*state);
    return 0;
}

static void innermost_wins(void **state)
{
    muster_phase_context *context = *state;
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_NONE);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_FIRST_FORWARD), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_FIRST_FORWARD);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_OTHER), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_OTHER);
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_OTHER), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_RECOMPUTE);
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_FIRST_FORWARD);
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_FIRST_FORWARD), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_NONE);

    assert_int_equal(note_count, 6);
    assert_note(0, true, MUSTER_PHASE_FIRST_FORWARD, 1);
    assert_note(1, true, MUSTER_PHASE_RECOMPUTE, 2);
    assert_note(2, true, MUSTER_PHASE_OTHER, 3);
    assert_note(3, false, MUSTER_PHASE_OTHER, 3);
    assert_note(4, false, MUSTER_PHASE_RECOMPUTE, 2);
    assert_note(5, false, MUSTER_PHASE_FIRST_FORWARD, 1);
}

static void the_same_phase_nests(void **state)
{
    muster_phase_context *context = *state;
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_RECOMPUTE);
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_NONE);
}

static void only_scopes_can_be_entered(void **state)
{
    muster_phase_context *context = *state;
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_NONE), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_ERROR), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_phase_enter(context, (muster_phase)17), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_NONE);
    assert_int_equal(note_count, 0);
}

static void unbalanced_leave_is_an_error_until_reset(void **state)
{
    muster_phase_context *context = *state;
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_FIRST_FORWARD), MUSTER_OK);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_FIRST_FORWARD),
                     MUSTER_ERR_UNBALANCED);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_ERROR);
    /* Nothing mends it but a reset. */
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_RECOMPUTE), MUSTER_ERR_UNBALANCED);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_OTHER), MUSTER_ERR_UNBALANCED);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_ERROR);
    assert_int_equal(note_count, 2);

    muster_phase_reset(context);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_NONE);
    /* Both scopes got their end in the trace, innermost first. */
    assert_int_equal(note_count, 4);
    assert_note(2, false, MUSTER_PHASE_RECOMPUTE, 2);
    assert_note(3, false, MUSTER_PHASE_FIRST_FORWARD, 1);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_OTHER), MUSTER_OK);
}

static void leaving_outside_is_an_error(void **state)
{
    muster_phase_context *context = *state;
    assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_OTHER), MUSTER_ERR_UNBALANCED);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_ERROR);
    muster_phase_reset(context);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_NONE);
    assert_int_equal(note_count, 0);
}

static void too_deep_is_refused_and_can_be_left(void **state)
{
    muster_phase_context *context = *state;
    for (int32_t depth = 0; depth < MUSTER_PHASE_DEPTH_MAX; depth++)
        assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_OTHER), MUSTER_OK);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_RECOMPUTE), MUSTER_ERR_UNBALANCED);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_OTHER);
    for (int32_t depth = 0; depth < MUSTER_PHASE_DEPTH_MAX; depth++)
        assert_int_equal(muster_phase_leave(context, MUSTER_PHASE_OTHER), MUSTER_OK);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_NONE);
}

static void contexts_are_independent(void **state)
{
    muster_phase_context *context = *state;
    muster_phase_context *other = NULL;
    assert_int_equal(muster_phase_context_create(&job, &other), MUSTER_OK);
    assert_int_equal(muster_phase_enter(context, MUSTER_PHASE_RECOMPUTE), MUSTER_OK);
    assert_int_equal(muster_phase_current(other), MUSTER_PHASE_NONE);
    assert_int_equal(muster_phase_leave(other, MUSTER_PHASE_RECOMPUTE), MUSTER_ERR_UNBALANCED);
    assert_int_equal(muster_phase_current(context), MUSTER_PHASE_RECOMPUTE);
    muster_phase_context_free(other);
}

static void null_arguments(void **state)
{
    (void)state;
    muster_phase_context *context = (muster_phase_context *)&job;
    assert_int_equal(muster_phase_context_create(NULL, &context), MUSTER_ERR_INVALID_ARGUMENT);
    assert_null(context);
    assert_int_equal(muster_phase_context_create(&job, NULL), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_phase_enter(NULL, MUSTER_PHASE_OTHER), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_phase_leave(NULL, MUSTER_PHASE_OTHER), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_phase_current(NULL), MUSTER_PHASE_NONE);
    muster_phase_reset(NULL);
    muster_phase_context_free(NULL);
}

static void every_phase_has_its_text(void **state)
{
    (void)state;
    assert_string_equal(muster_phase_text(MUSTER_PHASE_NONE), "none");
    assert_string_equal(muster_phase_text(MUSTER_PHASE_FIRST_FORWARD), "first_forward");
    assert_string_equal(muster_phase_text(MUSTER_PHASE_RECOMPUTE), "recompute");
    assert_string_equal(muster_phase_text(MUSTER_PHASE_OTHER), "other");
    assert_string_equal(muster_phase_text(MUSTER_PHASE_ERROR), "error");
    assert_string_equal(muster_phase_text((muster_phase)99), "unknown phase");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(innermost_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_phase_nests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_scopes_can_be_entered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unbalanced_leave_is_an_error_until_reset, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(leaving_outside_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_deep_is_refused_and_can_be_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(contexts_are_independent, set_up, tear_down),
        cmocka_unit_test(null_arguments),
        cmocka_unit_test(every_phase_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
