/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/deadlines.h"
#include "core/message.h"

static void defaults_can_work(void **state)
{
    (void)state;
    muster_deadlines deadlines;
    muster_error error;
    muster_error_init(&error);
    muster_deadlines_defaults(&deadlines);
    assert_int_equal(deadlines.heartbeat_ns, 250000000);
    assert_int_equal(deadlines.silence_ns, 10000000000);
    assert_int_equal(muster_deadlines_check(&deadlines, &error), MUSTER_OK);
}

static void one_is_set_by_its_name(void **state)
{
    (void)state;
    muster_deadlines deadlines;
    muster_error error;
    muster_error_init(&error);
    muster_deadlines_defaults(&deadlines);
    assert_int_equal(muster_deadlines_set(&deadlines, "verdict_grace", 1500, &error), MUSTER_OK);
    assert_int_equal(deadlines.verdict_grace_ns, 1500000000);
    assert_int_equal(muster_deadlines_set(&deadlines, "patience", 5, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "patience"));
    assert_int_equal(muster_deadlines_set(&deadlines, "silence", 0, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_deadlines_set(&deadlines, "silence", -7, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_deadlines_set(&deadlines, "silence", INT64_MAX, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "silence"));
    assert_int_equal(deadlines.silence_ns, 10000000000);
}

static bool names_both(const muster_error *error, const char *one, const char *other)
{
    return strstr(error->message, one) != NULL && strstr(error->message, other) != NULL;
}

/* Every rule of the order is broken by one of these, from the defaults. */
static void an_order_that_cannot_work_names_both(void **state)
{
    (void)state;
    muster_deadlines defaults;
    muster_error error;
    muster_deadlines_defaults(&defaults);
    static const struct {
        const char *name;
        int64_t ms;
        const char *other;
    } wrong[] = {
        {"heartbeat", 501, "suspect"},       {"suspect", 10000, "silence"},
        {"verdict_grace", 999, "heartbeat"}, {"reconnect", 100, "heartbeat"},
        {"rebuild", 5000, "gone"},           {"start", 120001, "join"},
        {"leave", 249, "heartbeat"},         {"join", 2999, "reconnect"},
        {"rebuild", 10000, "silence"},       {"rebuild", 119999, "start"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        muster_deadlines deadlines = defaults;
        muster_error_init(&error);
        assert_int_equal(muster_deadlines_set(&deadlines, wrong[i].name, wrong[i].ms, &error),
                         MUSTER_OK);
        assert_int_equal(muster_deadlines_check(&deadlines, &error), MUSTER_ERR_INVALID_ARGUMENT);
        assert_true(names_both(&error, wrong[i].name, wrong[i].other));
    }
    int32_t rules = 0;
#define RULE(low, factor, sign, high, because) rules++;
    MUSTER_DEADLINE_ORDER_LIST(RULE)
#undef RULE
    assert_int_equal(rules, sizeof wrong / sizeof wrong[0]); /* a new rule wants a line here */
    muster_deadlines none;
    memset(&none, 0, sizeof none);
    assert_int_equal(muster_deadlines_check(&none, NULL), MUSTER_ERR_INVALID_ARGUMENT);
}

static void every_value_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(muster_evidence_text(MUSTER_EVIDENCE_SILENCE), "its process was silent");
    assert_string_equal(muster_evidence_text((muster_evidence)99), "unknown evidence");
    assert_string_equal(muster_note_text(MUSTER_NOTE_FIRST_BATCH), "first batch");
    assert_string_equal(muster_note_text((muster_note_kind)99), "unknown note");
    assert_string_equal(muster_message_type_text(MUSTER_MESSAGE_QUIET), "QUIET");
    assert_string_equal(muster_message_type_text(12345), "unknown message");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_can_work),
        cmocka_unit_test(one_is_set_by_its_name),
        cmocka_unit_test(an_order_that_cannot_work_names_both),
        cmocka_unit_test(every_value_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
