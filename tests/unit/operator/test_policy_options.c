/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "operator/policy_options.h"

static void every_option_is_set_by_its_name(void **state)
{
    (void)state;
    muster_policy_option_names names;
    muster_policy_option_names_fill(&names);
    for (int i = 0; i < MUSTER_POLICY_OPTION_COUNT; i++) {
        muster_policy policy;
        muster_policy before;
        muster_error error;
        muster_error_init(&error);
        muster_policy_defaults(&policy);
        before = policy;
        const char *value = strcmp(names.names[i], "on-loss") == 0 ? "shrink"
                            : strcmp(names.names[i], "grow") == 0  ? "step"
                                                                   : "7";
        assert_null(strchr(names.names[i], '_'));
        assert_int_equal(muster_policy_option_set(&policy, names.names[i], value, &error),
                         MUSTER_OK);
        /* Each changes something: no name is accepted and dropped. */
        assert_memory_not_equal(&policy, &before, sizeof policy);
    }
}

static void deadlines_are_milliseconds(void **state)
{
    (void)state;
    muster_policy policy;
    muster_error error;
    muster_error_init(&error);
    muster_policy_defaults(&policy);
    assert_int_equal(muster_policy_option_set(&policy, "verdict-grace-ms", "1500", &error),
                     MUSTER_OK);
    assert_int_equal(policy.deadlines.verdict_grace_ns, 1500000000);
}

static void wrong_values_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *said;
    } cases[] = {
        {"on-loss", "explode", "'replace' or 'shrink'"},
        {"grow", "yes", "'step' or 'no'"},
        {"min-ranks", "0", "--min-ranks"},
        {"min-ranks", "two", "'two'"},
        {"max-replacements", "-1", "from 0"},
        {"crash-loop-deaths", "", "--crash-loop"},
        {"silence-ms", "0", "--silence-ms"},
        {"silence-ms", "10s", "'10s'"},
        {"nonsense-ms", "5", "nonsense"},
        {"nonsense", "5", "nonsense"},
        {"silence-ms", "99999999999999999999", "silence"},
        {"silence-ms", "999999999999999", "silence"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        muster_policy policy;
        muster_error error;
        muster_error_init(&error);
        muster_policy_defaults(&policy);
        assert_int_equal(muster_policy_option_set(&policy, cases[i].name, cases[i].value, &error),
                         MUSTER_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].said));
    }
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    muster_policy policy;
    muster_error error;
    muster_error_init(&error);
    muster_policy_defaults(&policy);
    policy.slot_count = 4;
    assert_int_equal(muster_policy_check(&policy, &error), MUSTER_OK);
    policy.min_ranks = 5;
    assert_int_equal(muster_policy_check(&policy, &error), MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "--min-ranks 5"));
    policy.min_ranks = 4;
    policy.deadlines.suspect_ns = policy.deadlines.silence_ns + 1;
    assert_int_equal(muster_policy_check(&policy, &error), MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "silence"));
}

static void numbers_are_whole_and_in_range(void **state)
{
    (void)state;
    int64_t number = -1;
    assert_true(muster_option_number("0", 0, 9, &number));
    assert_int_equal(number, 0);
    assert_true(muster_option_number("-3", -5, 9, &number));
    assert_int_equal(number, -3);
    static const char *const wrong[] = {"", " 1", "1 ", "1x", "+1", "10", "0x1", "-", "--1", "1.0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(muster_option_number(wrong[i], 0, 9, &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_is_set_by_its_name),
        cmocka_unit_test(deadlines_are_milliseconds),
        cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(numbers_are_whole_and_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
