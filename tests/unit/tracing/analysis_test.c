/* SPDX-License-Identifier: Apache-2.0 */
/* Whole stories told as records; the findings must tell them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tracing/postmortem/analysis.h"

#define MS INT64_C(1000000)

static void note(muster_records *records, muster_note_kind kind, int64_t time_ns, uint64_t epoch,
                 int32_t slot, uint32_t incarnation, int64_t value)
{
    muster_note *added = muster_records_add_note(records);
    assert_non_null(added);
    records->has_event_log = true;
    added->kind = kind;
    added->time_ns = (uint64_t)time_ns;
    added->epoch = epoch;
    added->slot = slot;
    added->incarnation = incarnation;
    added->value = value;
    if (kind == MUSTER_NOTE_EVIDENCE || kind == MUSTER_NOTE_VERDICT)
        added->evidence = MUSTER_EVIDENCE_EXITED;
    snprintf(added->text, sizeof added->text, "note %d", (int)kind);
}

static void batch(muster_records *records, muster_record_kind kind, int64_t time_ns, int64_t slot,
                  int64_t incarnation, int64_t epoch, int64_t sequence, int64_t status)
{
    muster_event_record *added = muster_records_add_event(records);
    assert_non_null(added);
    added->time_ns = time_ns;
    added->kind = (int64_t)kind;
    added->slot = slot;
    added->incarnation = incarnation;
    added->epoch = epoch;
    added->communicator = 1;
    added->sequence = sequence;
    added->status = status;
}

static void snapshot(muster_records *records, int32_t slot, uint32_t incarnation)
{
    muster_snapshot_record *added = muster_records_add_snapshot(records);
    assert_non_null(added);
    added->slot = slot;
    added->incarnation = incarnation;
}

static void formed(muster_records *records, int32_t slots)
{
    for (int32_t slot = 0; slot < slots; slot++)
        note(records, MUSTER_NOTE_JOINED, 1 * MS, 0, slot, 0, 0);
    note(records, MUSTER_NOTE_AGREED, 2 * MS, 1, MUSTER_SLOT_NONE, 0, 0);
    note(records, MUSTER_NOTE_ESTABLISHED, 3 * MS, 1, MUSTER_SLOT_NONE, 0, 0);
    for (int32_t slot = 0; slot < slots; slot++)
        note(records, MUSTER_NOTE_RESUMED, 4 * MS, 1, slot, 0, 4 * MS);
}

/* Slot 2 of three is killed at 100 ms and replaced. */
static void one_loss(muster_records *records)
{
    formed(records, 3);
    note(records, MUSTER_NOTE_COMMITTED, 50 * MS, 1, MUSTER_SLOT_NONE, 0, 7);
    note(records, MUSTER_NOTE_EVIDENCE, 100 * MS, 1, 2, 0, 0);
    note(records, MUSTER_NOTE_EVIDENCE, 101 * MS, 1, 2, 0, 0);
    note(records, MUSTER_NOTE_VERDICT, 102 * MS, 1, 2, 0, 0);
    note(records, MUSTER_NOTE_GONE, 103 * MS, 1, 2, 0, 0);
    note(records, MUSTER_NOTE_STARTING, 103 * MS, 1, 2, 1, 0);
    note(records, MUSTER_NOTE_RELEASED, 106 * MS, 1, 0, 0, 104 * MS);
    note(records, MUSTER_NOTE_QUIET, 106 * MS, 1, 0, 0, 0);
    note(records, MUSTER_NOTE_RELEASED, 107 * MS, 1, 1, 0, 0); /* no call was in flight */
    note(records, MUSTER_NOTE_QUIET, 107 * MS, 1, 1, 0, 0);
    note(records, MUSTER_NOTE_JOINED, 200 * MS, 1, 2, 1, 0);
    note(records, MUSTER_NOTE_AGREED, 201 * MS, 2, MUSTER_SLOT_NONE, 0, 0);
    note(records, MUSTER_NOTE_ESTABLISHED, 210 * MS, 2, MUSTER_SLOT_NONE, 0, 0);
    note(records, MUSTER_NOTE_RESUMED, 215 * MS, 2, 0, 0, 212 * MS);
    note(records, MUSTER_NOTE_RESUMED, 215 * MS, 2, 2, 1, 211 * MS);
    note(records, MUSTER_NOTE_RESUMED, 216 * MS, 2, 1, 0, 213 * MS);
    note(records, MUSTER_NOTE_FIRST_BATCH, 230 * MS, 2, 1, 0, 220 * MS);
}

static void run(muster_records *records, muster_findings *findings)
{
    muster_error error;
    muster_error_init(&error);
    muster_records_sort(records);
    assert_int_equal(muster_analysis_run(records, findings, &error), MUSTER_OK);
}

static void a_loss_without_traces_is_told_from_the_notes(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    one_loss(&records);
    run(&records, &findings);
    assert_false(findings.has_traces);
    assert_true(findings.has_event_log);
    assert_int_equal(findings.committed_step, 7);
    assert_int_equal(findings.recovery_count, 1);
    const muster_recovery_finding *recovery = &findings.recoveries[0];
    assert_int_equal(recovery->epoch_before, 1);
    assert_int_equal(recovery->epoch_after, 2);
    assert_int_equal(recovery->death_count, 1);
    assert_int_equal(recovery->deaths[0].slot, 2);
    assert_int_equal(recovery->deaths[0].incarnation, 0);
    assert_int_equal(recovery->deaths[0].evidence, MUSTER_EVIDENCE_EXITED);
    assert_int_equal(recovery->deaths[0].evidence_ns, 100 * MS);
    assert_false(recovery->deaths[0].has_last_event);
    static const int64_t times[MUSTER_RECOVERY_STEP_COUNT] = {
        [MUSTER_RECOVERY_STEP_EVIDENCE] = 100 * MS,    [MUSTER_RECOVERY_STEP_VERDICT] = 102 * MS,
        [MUSTER_RECOVERY_STEP_RELEASED] = 104 * MS,    [MUSTER_RECOVERY_STEP_QUIET] = 107 * MS,
        [MUSTER_RECOVERY_STEP_GONE] = 103 * MS,        [MUSTER_RECOVERY_STEP_AGREED] = 201 * MS,
        [MUSTER_RECOVERY_STEP_ESTABLISHED] = 210 * MS, [MUSTER_RECOVERY_STEP_RESUMED] = 213 * MS,
        [MUSTER_RECOVERY_STEP_FIRST_BATCH] = 220 * MS};
    for (int step = 0; step < MUSTER_RECOVERY_STEP_COUNT; step++)
        assert_int_equal(recovery->steps[step].time_ns, times[step]);
    assert_int_equal(recovery->steps[MUSTER_RECOVERY_STEP_RELEASED].count, 1);
    assert_int_equal(recovery->steps[MUSTER_RECOVERY_STEP_RESUMED].count, 3);
    /* the survivors are named, as not known; the later replacement is not */
    assert_int_equal(recovery->stand_count, 2);
    assert_int_equal(recovery->stands[0].state, MUSTER_STAND_UNKNOWN);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void a_loss_with_traces_says_where_everyone_stood(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    one_loss(&records);
    for (int32_t slot = 0; slot < 3; slot++) {
        snapshot(&records, slot, 0);
        batch(&records, MUSTER_RECORD_KIND_batch_begin, 90 * MS + slot, slot, 0, 1, 40, 0);
        batch(&records, MUSTER_RECORD_KIND_batch_complete, 91 * MS + slot, slot, 0, 1, 40, 0);
    }
    batch(&records, MUSTER_RECORD_KIND_batch_begin, 95 * MS, 0, 0, 1, 41, 0);
    batch(&records, MUSTER_RECORD_KIND_batch_failed, 104 * MS, 0, 0, 1, 41, MUSTER_ERR_RANK_LOST);
    batch(&records, MUSTER_RECORD_KIND_batch_begin, 96 * MS, 2, 0, 1, 41, 0);
    snapshot(&records, 2, 1);
    batch(&records, MUSTER_RECORD_KIND_batch_begin, 218 * MS, 2, 1, 2, 0, 0);
    run(&records, &findings);

    assert_int_equal(findings.batch_count, 3);
    const muster_recovery_finding *recovery = &findings.recoveries[0];
    const muster_death_finding *death = &recovery->deaths[0];
    assert_true(death->has_last_event);
    assert_int_equal(death->last_event.time_ns, 96 * MS);
    assert_int_equal(death->stand.state, MUSTER_STAND_IN_BATCH);
    assert_int_equal(death->stand.batch.sequence, 41);
    assert_int_equal(recovery->stand_count, 2);
    assert_int_equal(recovery->stands[0].slot, 0);
    assert_int_equal(recovery->stands[0].state, MUSTER_STAND_IN_BATCH);
    assert_int_equal(recovery->stands[0].batch.sequence, 41);
    assert_int_equal(recovery->stands[1].slot, 1);
    assert_int_equal(recovery->stands[1].state, MUSTER_STAND_BETWEEN);
    assert_int_equal(recovery->stands[1].batch.sequence, 40);
    assert_int_equal(findings.ring_count, 4);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void a_second_death_during_the_rebuild_belongs_to_the_same_recovery(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    formed(&records, 4);
    note(&records, MUSTER_NOTE_VERDICT, 100 * MS, 1, 2, 0, 0);
    note(&records, MUSTER_NOTE_VERDICT, 100 * MS, 1, 2, 0, 0); /* said twice */
    note(&records, MUSTER_NOTE_AGREED, 110 * MS, 2, MUSTER_SLOT_NONE, 0, 0);
    note(&records, MUSTER_NOTE_VERDICT, 120 * MS, 2, 3, 0, 0);
    note(&records, MUSTER_NOTE_AGREED, 130 * MS, 3, MUSTER_SLOT_NONE, 0, 0);
    note(&records, MUSTER_NOTE_ESTABLISHED, 140 * MS, 3, MUSTER_SLOT_NONE, 0, 0);
    run(&records, &findings);
    assert_int_equal(findings.recovery_count, 1);
    const muster_recovery_finding *recovery = &findings.recoveries[0];
    assert_int_equal(recovery->death_count, 2);
    assert_int_equal(recovery->epoch_before, 1);
    assert_int_equal(recovery->epoch_after, 3);
    /* without evidence told apart, the verdict is the evidence */
    assert_int_equal(recovery->steps[MUSTER_RECOVERY_STEP_EVIDENCE].time_ns, 100 * MS);
    assert_int_equal(recovery->steps[MUSTER_RECOVERY_STEP_AGREED].time_ns, 130 * MS);
    assert_int_equal(recovery->stand_count, 2);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void two_losses_in_a_row_are_two_recoveries(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    one_loss(&records);
    note(&records, MUSTER_NOTE_VERDICT, 300 * MS, 2, 2, 1, 0);
    note(&records, MUSTER_NOTE_ESTABLISHED, 310 * MS, 3, MUSTER_SLOT_NONE, 0, 0);
    /* heard late: belongs to the first */
    note(&records, MUSTER_NOTE_FIRST_BATCH, 311 * MS, 2, 0, 0, 219 * MS);
    run(&records, &findings);
    assert_int_equal(findings.recovery_count, 2);
    assert_int_equal(findings.recoveries[0].steps[MUSTER_RECOVERY_STEP_FIRST_BATCH].count, 2);
    assert_int_equal(findings.recoveries[1].deaths[0].incarnation, 1);
    assert_int_equal(findings.recoveries[1].epoch_before, 2);
    assert_int_equal(findings.recoveries[1].epoch_after, 3);
    assert_int_equal(findings.recoveries[1].steps[MUSTER_RECOVERY_STEP_FIRST_BATCH].count, 0);
    /* the first victim is not among those who stood anywhere the second time */
    assert_int_equal(findings.recoveries[1].stand_count, 2);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void giving_up_is_said(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    formed(&records, 2);
    note(&records, MUSTER_NOTE_VERDICT, 100 * MS, 1, 1, 0, 0);
    note(&records, MUSTER_NOTE_GAVE_UP, 101 * MS, 1, MUSTER_SLOT_NONE, 0, 0);
    run(&records, &findings);
    assert_int_equal(findings.recovery_count, 1);
    assert_true(findings.recoveries[0].gave_up);
    assert_int_equal(findings.recoveries[0].epoch_after, 0);
    assert_string_equal(findings.recoveries[0].gave_up_text, "note 17");
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void what_is_missing_is_found(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    formed(&records, 3);
    snapshot(&records, 0, 0);
    records.snapshots[0].discarded_events = 4;
    records.snapshots[0].discarded_packets = 1;
    snapshot(&records, 0, 0);
    snprintf(records.snapshots[1].damage, sizeof records.snapshots[1].damage, "torn");
    snapshot(&records, 1, 0);
    records.damaged_lines = 2;
    run(&records, &findings);
    assert_int_equal(findings.recovery_count, 0);
    assert_int_equal(findings.damaged_lines, 2);
    assert_int_equal(findings.ring_count, 3);
    assert_int_equal(findings.rings[0].snapshot_count, 2);
    assert_int_equal(findings.rings[0].discarded_events, 4);
    assert_int_equal(findings.rings[0].discarded_packets, 1);
    assert_int_equal(findings.rings[0].damaged_count, 1);
    assert_string_equal(findings.rings[0].damage, "torn");
    assert_int_equal(findings.rings[1].snapshot_count, 1);
    assert_int_equal(findings.rings[1].event_count, 0);
    assert_int_equal(findings.rings[2].snapshot_count, 0);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void without_an_event_log_the_coordinators_trace_tells(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    snapshot(&records, MUSTER_SLOT_NONE, 0);
    static const struct {
        int64_t time_ns;
        muster_note_kind kind;
        int64_t epoch;
        int64_t slot;
    } told[] = {{10 * MS, MUSTER_NOTE_VERDICT, 1, 2},
                {30 * MS, MUSTER_NOTE_ESTABLISHED, 2, MUSTER_SLOT_NONE},
                {5 * MS, MUSTER_NOTE_EVIDENCE, 1, 2}};
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        muster_event_record *event = muster_records_add_event(&records);
        assert_non_null(event);
        event->kind = MUSTER_RECORD_KIND_recovery;
        event->time_ns = told[i].time_ns;
        event->slot = MUSTER_SLOT_NONE;
        event->note = told[i].kind;
        event->about_epoch = told[i].epoch;
        event->about_slot = told[i].slot;
        event->evidence = MUSTER_EVIDENCE_SILENCE;
    }
    run(&records, &findings);
    assert_false(findings.has_event_log);
    assert_int_equal(findings.recovery_count, 1);
    assert_int_equal(findings.recoveries[0].deaths[0].slot, 2);
    assert_int_equal(findings.recoveries[0].deaths[0].evidence, MUSTER_EVIDENCE_SILENCE);
    assert_int_equal(findings.recoveries[0].deaths[0].evidence_ns, 5 * MS);
    assert_int_equal(findings.recoveries[0].epoch_after, 2);
    muster_findings_clean_up(&findings);
    muster_records_clean_up(&records);
}

static void nothing_at_all_is_no_recovery(void **state)
{
    (void)state;
    muster_records records;
    muster_findings findings;
    muster_records_init(&records);
    run(&records, &findings);
    assert_int_equal(findings.recovery_count, 0);
    assert_int_equal(findings.ring_count, 0);
    assert_int_equal(findings.batch_count, 0);
    muster_findings_clean_up(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_without_traces_is_told_from_the_notes),
        cmocka_unit_test(a_loss_with_traces_says_where_everyone_stood),
        cmocka_unit_test(a_second_death_during_the_rebuild_belongs_to_the_same_recovery),
        cmocka_unit_test(two_losses_in_a_row_are_two_recoveries),
        cmocka_unit_test(giving_up_is_said),
        cmocka_unit_test(what_is_missing_is_found),
        cmocka_unit_test(without_an_event_log_the_coordinators_trace_tells),
        cmocka_unit_test(nothing_at_all_is_no_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
