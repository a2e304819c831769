/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <muster/status.h>
#include <muster/version.h>

static const struct {
    const char *name;
    int value;
    muster_advice advice;
    const char *text;
} rows[] = {
#define ROW(name, value, advice, text) {"MUSTER_" #name, value, MUSTER_ADVICE_##advice, text},
    MUSTER_STATUS_LIST(ROW)
#undef ROW
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void every_row_has_text_and_advice_and_a_value_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const muster_status status = (muster_status)rows[i].value;
        assert_true(strlen(rows[i].text) > 0);
        assert_string_equal(muster_status_text(status), rows[i].text);
        assert_string_equal(muster_status_name(status), rows[i].name);
        assert_int_equal(muster_status_advice(status), rows[i].advice);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].value, rows[j].value);
            assert_string_not_equal(rows[i].text, rows[j].text);
        }
    }
}

static void only_success_has_nothing_to_do_and_refusals_say_fix_the_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const muster_advice advice = rows[i].advice;
        if (rows[i].value == MUSTER_OK)
            assert_int_equal(advice, MUSTER_ADVICE_NONE);
        else if (rows[i].value < 64)
            assert_int_equal(advice, MUSTER_ADVICE_FIX_CALL);
        else
            assert_in_range(advice, MUSTER_ADVICE_RETRY, MUSTER_ADVICE_GIVE_UP);
    }
}

static void values_that_travel_stay_as_they_are(void **state)
{
    (void)state;
    assert_int_equal(MUSTER_OK, 0);
    assert_int_equal(MUSTER_ERR_OVERLAP, 4);
    assert_int_equal(MUSTER_ERR_CAPACITY, 13);
    assert_int_equal(MUSTER_ERR_TIMEOUT, 64);
    assert_int_equal(MUSTER_ERR_RANK_LOST, 65);
    assert_int_equal(MUSTER_FIELD_OWN_ROWS, 19);
}

static void an_unknown_value_is_said_to_be_unknown(void **state)
{
    (void)state;
    const muster_status unknown = (muster_status)63;
    assert_string_equal(muster_status_text(unknown), "unknown status");
    assert_string_equal(muster_status_name(unknown), "unknown status");
    assert_int_equal(muster_status_advice(unknown), MUSTER_ADVICE_GIVE_UP);
    assert_string_equal(muster_field_text((muster_field)60), "unknown field");
    assert_string_equal(muster_advice_text((muster_advice)7), "unknown advice");
}

static void every_field_and_advice_has_a_text(void **state)
{
    (void)state;
#define CHECK_FIELD(name, value, text) \
    assert_string_equal(muster_field_text(MUSTER_FIELD_##name), text);
    MUSTER_FIELD_LIST(CHECK_FIELD)
#undef CHECK_FIELD
    assert_string_equal(muster_advice_text(MUSTER_ADVICE_NONE), "nothing to do");
    assert_string_equal(muster_advice_text(MUSTER_ADVICE_FIX_CALL), "fix the call");
    assert_string_equal(muster_advice_text(MUSTER_ADVICE_RETRY), "retry");
    assert_string_equal(muster_advice_text(MUSTER_ADVICE_RECOVER), "recover");
    assert_string_equal(muster_advice_text(MUSTER_ADVICE_GIVE_UP), "give up");
}

/* The feature dimensions are computed by index from the first one. */
static void feature_dimension_fields_are_neighbours(void **state)
{
    (void)state;
    for (int i = 1; i <= 7; i++) {
        char expected[40];
        snprintf(expected, sizeof(expected), "feature dimension %d", i);
        assert_string_equal(
            muster_field_text((muster_field)(MUSTER_FIELD_FEATURE_DIMENSION_1 + i - 1)), expected);
    }
}

static void the_library_is_the_version_of_its_headers(void **state)
{
    (void)state;
    assert_int_equal(muster_version(), MUSTER_VERSION);
    assert_int_equal(muster_version() / 1000000, MUSTER_VERSION_MAJOR);
    assert_int_equal(muster_version() / 1000 % 1000, MUSTER_VERSION_MINOR);
    assert_int_equal(muster_version() % 1000, MUSTER_VERSION_PATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_text_and_advice_and_a_value_of_its_own),
        cmocka_unit_test(only_success_has_nothing_to_do_and_refusals_say_fix_the_call),
        cmocka_unit_test(values_that_travel_stay_as_they_are),
        cmocka_unit_test(an_unknown_value_is_said_to_be_unknown),
        cmocka_unit_test(every_field_and_advice_has_a_text),
        cmocka_unit_test(feature_dimension_fields_are_neighbours),
        cmocka_unit_test(the_library_is_the_version_of_its_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
