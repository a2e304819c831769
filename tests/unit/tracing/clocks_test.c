/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks of hosts that were never seen together, from what was said and heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tracing/postmortem/analysis.h"
#include "tracing/postmortem/clocks.h"

#define MS INT64_C(1000000)
#define AHEAD (INT64_C(5000000) * 1000000000) /* of slot 1's host: two months */

static void note(muster_records *records, muster_note_kind kind, int64_t time_ns, uint64_t epoch,
                 int32_t slot, int64_t value)
{
    muster_note *added = muster_records_add_note(records);
    assert_non_null(added);
    *added = (muster_note){
        .kind = kind, .time_ns = (uint64_t)time_ns, .epoch = epoch, .slot = slot, .value = value};
}

static void ping(muster_records *records, int64_t slot, int64_t sent_ns, int64_t received_ns,
                 int64_t answered_ns, int64_t back_ns)
{
    muster_event_record *added = muster_records_add_event(records);
    assert_non_null(added);
    *added = (muster_event_record){.kind = MUSTER_RECORD_KIND_clock_ping,
                                   .time_ns = back_ns,
                                   .slot = MUSTER_SLOT_NONE,
                                   .about_slot = slot,
                                   .sent_ns = sent_ns,
                                   .received_ns = received_ns,
                                   .answered_ns = answered_ns,
                                   .back_ns = back_ns};
}

/* Epoch 1 stands at 100 ms. Slot 0 is on the coordinator's host, slot 1 on another one; both resume 2 ms
 * later and are heard 3 ms after that. */
static void formed(muster_records *records)
{
    note(records, MUSTER_NOTE_JOINED, 10 * MS, 0, 0, 0);
    note(records, MUSTER_NOTE_JOINED, 10 * MS, 0, 1, 0);
    note(records, MUSTER_NOTE_AGREED, 90 * MS, 1, MUSTER_SLOT_NONE, 2);
    note(records, MUSTER_NOTE_ESTABLISHED, 100 * MS, 1, MUSTER_SLOT_NONE, 0);
    note(records, MUSTER_NOTE_RESUMED, 105 * MS, 1, 0, 102 * MS);
    note(records, MUSTER_NOTE_RESUMED, 105 * MS, 1, 1, AHEAD + 102 * MS);
}

static muster_clock_finding at(const muster_records *records, int32_t slot, int64_t rank_ns)
{
    muster_clocks clocks;
    assert_true(muster_clocks_gather(records, &clocks));
    muster_clock_finding found = muster_clocks_at(&clocks, slot, 0, rank_ns);
    muster_clocks_clean_up(&clocks);
    return found;
}

/* The truth lies where it says. */
static void assert_shifted(muster_clock_finding found, int64_t most_uncertain_ns)
{
    assert_int_equal(found.state, MUSTER_CLOCK_SHIFTED);
    assert_true(found.uncertainty_ns <= most_uncertain_ns);
    assert_true(found.ahead_ns - found.uncertainty_ns <= AHEAD);
    assert_true(found.ahead_ns + found.uncertainty_ns >= AHEAD);
}

static void notes_alone_bound_it(void **state)
{
    (void)state;
    muster_records records;
    muster_records_init(&records);
    formed(&records);
    assert_int_equal(at(&records, 0, 102 * MS).state, MUSTER_CLOCK_SAME);
    assert_int_equal(at(&records, 0, 102 * MS).ahead_ns, 0);
    assert_shifted(at(&records, 1, AHEAD + 102 * MS), 3 * MS);
    assert_int_equal(at(&records, 2, 102 * MS).state, MUSTER_CLOCK_UNKNOWN);
    muster_records_clean_up(&records);
}

static void pings_bound_it_more_closely(void **state)
{
    (void)state;
    muster_records records;
    muster_records_init(&records);
    formed(&records);
    ping(&records, 1, 200 * MS, AHEAD + 200 * MS + 40000, AHEAD + 200 * MS + 50000,
         200 * MS + 90000);
    ping(&records, 1, 300 * MS, AHEAD + 309 * MS, AHEAD + 309 * MS, 310 * MS); /* a slow one */
    ping(&records, 7, 300 * MS, 1, 2, 310 * MS); /* of nobody that has joined */
    muster_records_sort(&records);
    assert_shifted(at(&records, 1, AHEAD + 200 * MS), 50000);
    muster_records_clean_up(&records);
}

static void a_bound_counts_for_less_from_afar(void **state)
{
    (void)state;
    const int64_t hour_ns = INT64_C(3600) * 1000000000;
    muster_records records;
    muster_records_init(&records);
    formed(&records);
    muster_clock_finding near = at(&records, 1, AHEAD + 102 * MS);
    muster_clock_finding far = at(&records, 1, AHEAD + hour_ns);
    assert_true(far.uncertainty_ns > near.uncertainty_ns + INT64_C(3) * 1000000000);
    /* A second later in the hour than its clock was at first: as much as clocks may drift. */
    note(&records, MUSTER_NOTE_ESTABLISHED, hour_ns, 2, MUSTER_SLOT_NONE, 0);
    note(&records, MUSTER_NOTE_RESUMED, hour_ns + 5 * MS, 2, 1,
         AHEAD + hour_ns + 1000 * MS + 2 * MS);
    assert_shifted(at(&records, 1, AHEAD + 102 * MS), 3 * MS);
    muster_clock_finding late = at(&records, 1, AHEAD + hour_ns + 1000 * MS);
    assert_int_equal(late.state, MUSTER_CLOCK_SHIFTED);
    assert_true(late.ahead_ns > AHEAD + 990 * MS);
    muster_records_clean_up(&records);
}

static void what_fits_no_clock_is_said(void **state)
{
    (void)state;
    muster_records records;
    muster_records_init(&records);
    formed(&records);
    note(&records, MUSTER_NOTE_RELEASED, 110 * MS, 1, 1, AHEAD + 900 * MS); /* before it happened */
    assert_int_equal(at(&records, 1, AHEAD + 102 * MS).state, MUSTER_CLOCK_BROKEN);
    assert_int_equal(at(&records, 1, AHEAD + 102 * MS).ahead_ns, 0);
    muster_records_clean_up(&records);
}

static void numbers_of_a_damaged_file_do_no_harm(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 1, -1, INT64_MIN, INT64_MAX, INT64_MIN + 1};
    const size_t count = sizeof numbers / sizeof numbers[0];
    muster_records records;
    muster_records_init(&records);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            note(&records, MUSTER_NOTE_ESTABLISHED, numbers[i], (uint64_t)numbers[k],
                 MUSTER_SLOT_NONE, 0);
            note(&records, MUSTER_NOTE_JOINED, numbers[i], 0, 1, 0);
            note(&records, MUSTER_NOTE_RESUMED, numbers[i], (uint64_t)numbers[k], 1, numbers[k]);
            ping(&records, 1, numbers[i], numbers[k], numbers[k], numbers[i]);
        }
    }
    for (size_t i = 0; i < count; i++)
        (void)at(&records, 1, numbers[i]);
    muster_findings findings;
    muster_records_sort(&records);
    assert_true(muster_records_merge_notes(&records));
    assert_int_equal(muster_analysis_run(&records, &findings, NULL), MUSTER_OK);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

/* Slot 0 is lost and replaced; slot 1's times are those of its own clock. */
static void steps_of_another_host_are_laid_on_the_axis(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    formed(&records);
    note(&records, MUSTER_NOTE_VERDICT, 500 * MS, 1, 0, 0);
    note(&records, MUSTER_NOTE_RELEASED, 506 * MS, 1, 1, AHEAD + 504 * MS);
    note(&records, MUSTER_NOTE_AGREED, 600 * MS, 2, MUSTER_SLOT_NONE, 2);
    note(&records, MUSTER_NOTE_ESTABLISHED, 610 * MS, 2, MUSTER_SLOT_NONE, 0);
    note(&records, MUSTER_NOTE_RESUMED, 615 * MS, 2, 1, AHEAD + 612 * MS);
    assert_int_equal(muster_analysis_run(&records, &findings, NULL), MUSTER_OK);
    assert_int_equal(findings.recovery_count, 1);
    const struct {
        muster_recovery_step step;
        int64_t truth_ns;
    } steps[] = {{MUSTER_RECOVERY_STEP_RELEASED, 504 * MS},
                 {MUSTER_RECOVERY_STEP_RESUMED, 612 * MS}};
    for (size_t i = 0; i < 2; i++) {
        const muster_step_finding *step = &findings.recoveries[0].steps[steps[i].step];
        assert_true(step->uncertainty_ns > 0 && step->uncertainty_ns < 4 * MS);
        assert_true(step->time_ns - step->uncertainty_ns <= steps[i].truth_ns);
        assert_true(step->time_ns + step->uncertainty_ns >= steps[i].truth_ns);
    }
    assert_int_equal(findings.recoveries[0].steps[MUSTER_RECOVERY_STEP_AGREED].uncertainty_ns, 0);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void what_two_launchers_heard_stands_there_once(void **state)
{
    (void)state;
    muster_records records;
    muster_records_init(&records);
    formed(&records);
    formed(&records); /* the other's file */
    note(&records, MUSTER_NOTE_LEFT, 100 * MS, 1, 1, 0);
    note(&records, MUSTER_NOTE_TERM, 5 * MS, 0, MUSTER_SLOT_NONE, 0);
    assert_true(muster_records_merge_notes(&records));
    assert_int_equal(records.note_count, 8);
    assert_int_equal(records.notes[0].kind, MUSTER_NOTE_TERM);
    assert_int_equal(records.notes[4].kind, MUSTER_NOTE_ESTABLISHED); /* the first file's order */
    assert_int_equal(records.notes[5].kind, MUSTER_NOTE_LEFT);
    muster_records_clean_up(&records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes_alone_bound_it),
        cmocka_unit_test(pings_bound_it_more_closely),
        cmocka_unit_test(a_bound_counts_for_less_from_afar),
        cmocka_unit_test(what_fits_no_clock_is_said),
        cmocka_unit_test(numbers_of_a_damaged_file_do_no_harm),
        cmocka_unit_test(steps_of_another_host_are_laid_on_the_axis),
        cmocka_unit_test(what_two_launchers_heard_stands_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
