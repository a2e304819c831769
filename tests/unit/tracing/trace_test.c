/* SPDX-License-Identifier: Apache-2.0 */
/* The facade: a tracer is silent unless a fitting provider was wanted and found. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "provider_counting.h"
#include "tracing/trace.h"

static const muster_trace_identity who = {.job = 9, .slot = 2, .incarnation = 1, .epoch = 5};

static muster_trace_batch evaluated_batch(int *evaluations)
{
    (*evaluations)++;
    return (muster_trace_batch){.sequence = 77};
}

static void not_wanted_is_silent_and_no_error(void **state)
{
    (void)state;
    muster_tracer tracer;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_tracer_open(&tracer, false, &who, &error), MUSTER_OK);
    assert_null(tracer.table);
    assert_int_equal(tracer.who.slot, 2);
    muster_tracer_close(&tracer);
}

static void a_silent_tracer_evaluates_no_argument(void **state)
{
    (void)state;
    int evaluations = 0;
    muster_tracer tracer = {.who = who};
    muster_trace_batch batch;
    MUSTER_TRACE(&tracer, batch_begin, (batch = evaluated_batch(&evaluations), &batch));
    assert_int_equal(evaluations, 0);
}

static void an_event_reaches_the_provider_with_who_speaks(void **state)
{
    (void)state;
    muster_tracer tracer;
    muster_error error;
    muster_error_init(&error);
    int evaluations = 0;
    muster_trace_batch batch;
    assert_int_equal(muster_tracer_open_file(&tracer, PROVIDER_COUNTING, &who, &error), MUSTER_OK);
    const provider_counting_state *counts = dlsym(tracer.library, "provider_counts");
    assert_non_null(counts);
    MUSTER_TRACE(&tracer, batch_begin, (batch = evaluated_batch(&evaluations), &batch));
    tracer.who.epoch = 6; /* its owner updates it */
    MUSTER_TRACE(&tracer, batch_begin, (batch = evaluated_batch(&evaluations), &batch));
    assert_int_equal(evaluations, 2);
    assert_int_equal(counts->events, 2);
    assert_int_equal(counts->last_sequence, 77);
    assert_int_equal(counts->last_who.slot, 2);
    assert_int_equal(counts->last_who.incarnation, 1);
    assert_int_equal(counts->last_who.epoch, 6);
    muster_tracer_close(&tracer);
    MUSTER_TRACE(&tracer, batch_begin, (batch = evaluated_batch(&evaluations), &batch));
    assert_int_equal(evaluations, 2);
}

static void refused(const char *path, const char *reason)
{
    muster_tracer tracer;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_tracer_open_file(&tracer, path, &who, &error), MUSTER_ERR_UNSUPPORTED);
    assert_null(tracer.table);
    assert_int_equal(error.status, MUSTER_ERR_UNSUPPORTED);
    if (strstr(error.message, reason) == NULL || strstr(error.message, "untraced") == NULL)
        fail_msg("the sentence lacks '%s' or 'untraced': %s", reason, error.message);
    assert_int_equal(muster_tracer_open_file(&tracer, path, &who, NULL), MUSTER_ERR_UNSUPPORTED);
    muster_tracer_close(&tracer);
}

static void a_missing_provider_names_the_file(void **state)
{
    (void)state;
    refused("/nowhere/libmuster-nothing.so", "/nowhere/libmuster-nothing.so");
}

static void a_provider_of_another_version_is_refused(void **state)
{
    (void)state;
    refused(PROVIDER_FUTURE, "version 2, expected 1");
}

static void a_library_that_is_no_provider_is_refused(void **state)
{
    (void)state;
    refused(PROVIDER_EMPTY, MUSTER_TRACE_PROVIDER_SYMBOL);
}

static void the_lttng_provider_is_found_from_a_program_and_is_whole(void **state)
{
    (void)state;
    muster_tracer tracer;
    muster_error error;
    muster_error_init(&error);
    if (muster_tracer_open(&tracer, true, &who, &error) != MUSTER_OK)
        fail_msg("%s", error.message);
    /* Every entry set: a call site tests the table, not its entries. */
    void *entries[(sizeof *tracer.table - offsetof(muster_trace_table, batch_begin)) /
                  sizeof(void *)];
    memcpy(entries, (const char *)tracer.table + offsetof(muster_trace_table, batch_begin),
           sizeof entries);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        assert_non_null(entries[i]);
    muster_tracer_close(&tracer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_wanted_is_silent_and_no_error),
        cmocka_unit_test(a_silent_tracer_evaluates_no_argument),
        cmocka_unit_test(an_event_reaches_the_provider_with_who_speaks),
        cmocka_unit_test(a_missing_provider_names_the_file),
        cmocka_unit_test(a_provider_of_another_version_is_refused),
        cmocka_unit_test(a_library_that_is_no_provider_is_refused),
        cmocka_unit_test(the_lttng_provider_is_found_from_a_program_and_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
