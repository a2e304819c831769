/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "status/history.h"

#define MS INT64_C(1000000)

static void note(muster_history *history, muster_note_kind kind, int64_t ms, uint64_t epoch,
                 int32_t slot, int64_t value)
{
    const muster_note said = {.kind = kind,
                              .time_ns = (uint64_t)(ms * MS),
                              .epoch = epoch,
                              .slot = slot,
                              .evidence = kind == MUSTER_NOTE_VERDICT ? MUSTER_EVIDENCE_SILENCE : 0,
                              .value = value};
    muster_history_note(history, &said);
}

static void every_evidence_has_its_counter(void **state)
{
    (void)state;
    static const int values[] = {
#define EVIDENCE_VALUE(name, value, text) value,
        MUSTER_EVIDENCE_LIST(EVIDENCE_VALUE)
#undef EVIDENCE_VALUE
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_in_range(values[i], 0, MUSTER_EVIDENCE_COUNT - 1);
}

static void a_recovery_is_one_however_many_are_lost_on_the_way(void **state)
{
    (void)state;
    static muster_history history;
    memset(&history, 0, sizeof history);
    note(&history, MUSTER_NOTE_ESTABLISHED, 50, 1, MUSTER_SLOT_NONE, 0);
    assert_null(muster_history_recovery_at(&history, 0));
    note(&history, MUSTER_NOTE_VERDICT, 100, 1, 3, 0);
    note(&history, MUSTER_NOTE_AGREED, 110, 2, MUSTER_SLOT_NONE, 4);
    note(&history, MUSTER_NOTE_VERDICT, 120, 2, 5, 0);
    note(&history, MUSTER_NOTE_AGREED, 130, 3, 5, 0); /* of one slot: not the epoch's */
    note(&history, MUSTER_NOTE_AGREED, 140, 3, MUSTER_SLOT_NONE, 3);
    note(&history, MUSTER_NOTE_ESTABLISHED, 150, 3, MUSTER_SLOT_NONE, 0);
    note(&history, MUSTER_NOTE_FIRST_BATCH, 160, 3, 0, 0);
    note(&history, MUSTER_NOTE_FIRST_BATCH, 170, 3, 1, 0);
    note(&history, MUSTER_NOTE_FIRST_BATCH, 180, 2, 1, 0); /* of another epoch */
    const muster_history_recovery *recovery = muster_history_recovery_at(&history, 0);
    assert_non_null(recovery);
    assert_null(muster_history_recovery_at(&history, 1));
    assert_int_equal(recovery->lost_epoch, 1);
    assert_int_equal(recovery->new_epoch, 3);
    assert_int_equal(recovery->lost_count, 2);
    assert_int_equal(recovery->lost_slots[0], 3);
    assert_int_equal(recovery->lost_slots[1], 5);
    assert_int_equal(recovery->member_count, 3);
    assert_int_equal(recovery->verdict_ns, 100 * MS);
    assert_int_equal(recovery->agreed_ns, 140 * MS);
    assert_int_equal(recovery->established_ns, 150 * MS);
    assert_int_equal(recovery->first_batch_ns, 170 * MS);
    assert_int_equal(history.recovered_count, 1);
    assert_int_equal(history.recovered_sum_ns, 50 * MS);
    assert_int_equal(history.recovered_buckets[3], 1); /* at most 50 ms */
    assert_int_equal(muster_history_bucket_ms(3), 50);
    assert_int_equal(history.verdicts_by_evidence[MUSTER_EVIDENCE_SILENCE], 2);
    assert_int_equal(history.established_count, 2);
}

static void what_takes_longer_than_all_bounds_has_a_bucket(void **state)
{
    (void)state;
    static muster_history history;
    memset(&history, 0, sizeof history);
    note(&history, MUSTER_NOTE_VERDICT, 0, 1, 0, 0);
    note(&history, MUSTER_NOTE_ESTABLISHED, 60001, 2, MUSTER_SLOT_NONE, 0);
    assert_int_equal(history.recovered_buckets[MUSTER_HISTORY_BUCKETS], 1);
    for (int i = 1; i < MUSTER_HISTORY_BUCKETS; i++)
        assert_true(muster_history_bucket_ms(i - 1) < muster_history_bucket_ms(i));
}

static void a_job_that_is_given_up_has_no_recovery_under_way(void **state)
{
    (void)state;
    static muster_history history;
    memset(&history, 0, sizeof history);
    note(&history, MUSTER_NOTE_VERDICT, 1, 1, 0, 0);
    assert_true(history.recovering);
    note(&history, MUSTER_NOTE_GAVE_UP, 2, 1, MUSTER_SLOT_NONE, 0);
    assert_false(history.recovering);
    assert_true(muster_history_recovery_at(&history, 0)->gave_up);
    assert_int_equal(history.recovered_count, 0);
}

static void it_is_bounded_and_keeps_the_newest(void **state)
{
    (void)state;
    static muster_history history;
    memset(&history, 0, sizeof history);
    for (int32_t i = 0; i < 1000; i++) {
        note(&history, MUSTER_NOTE_VERDICT, i, (uint64_t)i + 1, i, 0);
        note(&history, MUSTER_NOTE_ESTABLISHED, i, (uint64_t)i + 2, MUSTER_SLOT_NONE, 0);
        note(&history, MUSTER_NOTE_JOINED, i, (uint64_t)i + 2, i, 0); /* nothing to tell */
    }
    assert_int_equal(history.verdict_count, 1000);
    assert_int_equal(history.news_count, 1000);
    for (uint64_t i = 0; i < MUSTER_HISTORY_VERDICTS; i++)
        assert_int_equal(muster_history_verdict(&history, i)->slot, 999 - (int)i);
    assert_null(muster_history_verdict(&history, MUSTER_HISTORY_VERDICTS));
    assert_non_null(muster_history_news(&history, MUSTER_HISTORY_NEWS - 1));
    assert_null(muster_history_news(&history, MUSTER_HISTORY_NEWS));
    assert_int_equal(muster_history_recovery_at(&history, 31)->lost_slots[0], 968);
    assert_null(muster_history_recovery_at(&history, 32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_evidence_has_its_counter),
        cmocka_unit_test(a_recovery_is_one_however_many_are_lost_on_the_way),
        cmocka_unit_test(what_takes_longer_than_all_bounds_has_a_bucket),
        cmocka_unit_test(a_job_that_is_given_up_has_no_recovery_under_way),
        cmocka_unit_test(it_is_bounded_and_keeps_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
