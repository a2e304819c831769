/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>
#include <signal.h>

#include "launcher/report.h"

#define MS ((int64_t)1000000)
#define TOLD_AFTER_MS 7

static muster_report_news say(muster_report *report, uint32_t kind, int64_t time_ms, uint64_t epoch,
                              int32_t slot, uint32_t incarnation, int64_t value)
{
    const muster_note note = {.kind = kind,
                              .time_ns = (uint64_t)(time_ms * MS),
                              .epoch = epoch,
                              .slot = slot,
                              .incarnation = incarnation,
                              .evidence = MUSTER_EVIDENCE_EXITED,
                              .value = value};
    return muster_report_note(report, &note, (time_ms + TOLD_AFTER_MS) * MS);
}

/* Slot 2 of 3 dies at 1000 ms and is replaced. */
static void play_replacement(muster_report *report)
{
    muster_report_signalled(report, 2, 0, SIGKILL, 1000 * MS);
    muster_report_exited(report, 2, 0, SIGKILL, 1010 * MS);
    say(report, MUSTER_NOTE_VERDICT, 1020, 1, 2, 0, 9);
    say(report, MUSTER_NOTE_STARTING, 1021, 1, 2, 1, 1);
    say(report, MUSTER_NOTE_RELEASED, 1022, 1, 0, 0, 1019 * MS); /* found out by itself */
    say(report, MUSTER_NOTE_RELEASED, 1025, 1, 1, 0, 1024 * MS);
    say(report, MUSTER_NOTE_JOINED, 1061, 1, 2, 1, 77);
    say(report, MUSTER_NOTE_AGREED, 1062, 2, -1, 0, 3);
    say(report, MUSTER_NOTE_ESTABLISHED, 1080, 2, -1, 0, 3);
    assert_int_equal(say(report, MUSTER_NOTE_RESUMED, 1083, 2, 0, 0, 1082 * MS),
                     MUSTER_REPORT_NOTHING);
    assert_int_equal(say(report, MUSTER_NOTE_RESUMED, 1083, 2, 0, 0, 1099 * MS),
                     MUSTER_REPORT_NOTHING); /* said twice: counts once */
    assert_int_equal(say(report, MUSTER_NOTE_RESUMED, 1083, 1, 1, 0, 1099 * MS),
                     MUSTER_REPORT_NOTHING); /* of the old epoch */
    assert_int_equal(say(report, MUSTER_NOTE_RESUMED, 1085, 2, 2, 1, 1084 * MS),
                     MUSTER_REPORT_NOTHING);
    assert_int_equal(say(report, MUSTER_NOTE_RESUMED, 1085, 2, 1, 0, 1083 * MS),
                     MUSTER_REPORT_RESUMED);
    assert_int_equal(say(report, MUSTER_NOTE_FIRST_BATCH, 1095, 2, 0, 0, 1090 * MS),
                     MUSTER_REPORT_NOTHING);
    assert_int_equal(say(report, MUSTER_NOTE_FIRST_BATCH, 1095, 2, 1, 0, 1094 * MS),
                     MUSTER_REPORT_NOTHING);
    assert_int_equal(say(report, MUSTER_NOTE_FIRST_BATCH, 1095, 2, 2, 1, 1092 * MS),
                     MUSTER_REPORT_FIRST_BATCH);
}

static void near(double came, double expected)
{
    assert_true(came > expected - 1e-6 && came < expected + 1e-6);
}

static void a_replacement_is_timed(void **state)
{
    (void)state;
    muster_report report;
    muster_report_init(&report);
    play_replacement(&report);
    assert_int_equal(report.recovery_count, 1);
    const muster_recovery *recovery = muster_report_last(&report);
    const muster_recovery_timing timing = muster_recovery_timing_of(recovery);
    near(timing.detect_ms, 20);
    near(timing.release_ms, 4);
    near(timing.rebuild_ms, 60);
    near(timing.start_ms, 40);
    near(timing.first_batch_ms, 70);
    assert_int_equal(recovery->lost_epoch, 1);
    assert_int_equal(recovery->new_epoch, 2);
    assert_int_equal(recovery->losses[0].signal_number, SIGKILL);
    assert_true(recovery->losses[0].by_drill);
    muster_report_clean_up(&report);
}

/* Slot 0 is on the launcher's host, slot 1 on one that was booted two months earlier. */
static void another_hosts_clock_is_not_taken_for_ours(void **state)
{
    (void)state;
    const int64_t ahead_ns = INT64_C(5000000) * 1000 * MS;
    muster_report report;
    muster_report_init(&report);
    say(&report, MUSTER_NOTE_VERDICT, 1000, 1, 2, 0, 9);
    say(&report, MUSTER_NOTE_RELEASED, 1008, 1, 0, 0, 1004 * MS);
    say(&report, MUSTER_NOTE_RELEASED, 1009, 1, 1, 0, ahead_ns + 1005 * MS);
    say(&report, MUSTER_NOTE_AGREED, 1050, 2, -1, 0, 2);
    say(&report, MUSTER_NOTE_ESTABLISHED, 1060, 2, -1, 0, 2);
    say(&report, MUSTER_NOTE_RESUMED, 1063, 2, 0, 0, 1062 * MS);
    say(&report, MUSTER_NOTE_RESUMED, 1069, 2, 1, 0, ahead_ns + 1061 * MS);
    say(&report, MUSTER_NOTE_FIRST_BATCH, 1079, 2, 1, 0, 5); /* and one booted after ours */
    const muster_recovery_timing timing = muster_recovery_timing_of(muster_report_last(&report));
    near(timing.release_ms, 9);
    near(timing.rebuild_ms, 60);
    assert_int_equal(muster_report_last(&report)->first_batch_ns, 1079 * MS);
    muster_report_clean_up(&report);
}

/* The coordinator's host was booted an hour before the launcher's, or an hour after: neither changes what is said. */
static void detection_is_timed_by_one_clock(void **state)
{
    (void)state;
    const int64_t hour_ns = INT64_C(3600) * 1000 * MS;
    const int64_t ahead_ns[] = {0, hour_ns, -hour_ns, 4 * MS, -4 * MS};
    for (size_t i = 0; i < sizeof ahead_ns / sizeof ahead_ns[0]; i++) {
        const int64_t died_ns = 2 * hour_ns;
        muster_report report;
        muster_report_init(&report);
        report.two_clocks = true;
        muster_report_signalled(&report, 2, 0, SIGKILL, died_ns);
        const muster_note verdict = {.kind = MUSTER_NOTE_VERDICT,
                                     .time_ns = (uint64_t)(died_ns + 20 * MS + ahead_ns[i]),
                                     .epoch = 1,
                                     .slot = 2,
                                     .evidence = MUSTER_EVIDENCE_EXITED};
        muster_report_note(&report, &verdict, died_ns + 21 * MS);
        near(muster_recovery_timing_of(muster_report_last(&report)).detect_ms, 21);
        assert_true(muster_report_last(&report)->losses[0].by_drill);
        muster_report_clean_up(&report);
    }
}

static void without_a_drill_the_exit_counts(void **state)
{
    (void)state;
    muster_report report;
    muster_report_init(&report);
    muster_report_exited(&report, 1, 0, SIGKILL, 500 * MS);
    say(&report, MUSTER_NOTE_VERDICT, 503, 1, 1, 0, 9);
    near(muster_recovery_timing_of(muster_report_last(&report)).detect_ms, 3);
    /* Nobody was in a call: the release took no time. Nothing else is known. */
    near(muster_recovery_timing_of(muster_report_last(&report)).release_ms, 0);
    assert_true(muster_recovery_timing_of(muster_report_last(&report)).rebuild_ms < 0);
    assert_true(muster_recovery_timing_of(muster_report_last(&report)).start_ms < 0);
    muster_report_clean_up(&report);
}

static void an_exit_after_the_verdict_is_no_origin(void **state)
{
    (void)state;
    muster_report report;
    muster_report_init(&report);
    say(&report, MUSTER_NOTE_VERDICT, 503, 1, 1, 0, 9);
    muster_report_exited(&report, 1, 0, SIGKILL, 600 * MS);
    assert_true(muster_recovery_timing_of(muster_report_last(&report)).detect_ms < 0);
    muster_report_clean_up(&report);
}

static void another_death_in_the_rebuild_is_the_same_recovery(void **state)
{
    (void)state;
    muster_report report;
    muster_report_init(&report);
    say(&report, MUSTER_NOTE_VERDICT, 100, 1, 1, 0, 9);
    say(&report, MUSTER_NOTE_AGREED, 110, 2, -1, 0, 4);
    say(&report, MUSTER_NOTE_VERDICT, 120, 2, 3, 0, 9);
    say(&report, MUSTER_NOTE_AGREED, 130, 3, -1, 0, 3);
    say(&report, MUSTER_NOTE_ESTABLISHED, 140, 3, -1, 0, 3);
    assert_int_equal(report.recovery_count, 1);
    assert_int_equal(muster_report_last(&report)->loss_count, 2);
    assert_int_equal(muster_report_last(&report)->new_epoch, 3);
    /* One after it is the next. */
    say(&report, MUSTER_NOTE_VERDICT, 200, 3, 0, 0, 9);
    assert_int_equal(report.recovery_count, 2);
    assert_int_equal(muster_report_last(&report)->lost_epoch, 3);
    muster_report_clean_up(&report);
}

static void a_leave_is_no_loss(void **state)
{
    (void)state;
    muster_report report;
    muster_report_init(&report);
    const muster_note note = {
        .kind = MUSTER_NOTE_VERDICT, .time_ns = 5, .epoch = 1, .evidence = MUSTER_EVIDENCE_LEFT};
    muster_report_note(&report, &note, 6);
    assert_int_equal(report.recovery_count, 0);
    assert_null(muster_report_last(&report));
    muster_report_clean_up(&report);
}

static json_object *member(json_object *object, const char *name)
{
    json_object *value = NULL;
    assert_true(json_object_object_get_ex(object, name, &value));
    return value;
}

static void the_report_is_json(void **state)
{
    (void)state;
    muster_report report;
    const muster_report_job job = {
        .job_name = "train", .slot_count = 3, .on_loss = "replace", .exit_code = 0};
    muster_report_init(&report);
    play_replacement(&report);
    muster_report_exited(&report, 0, 0, 11, 2000 * MS);
    say(&report, MUSTER_NOTE_VERDICT, 2001, 2, 0, 0, 11);
    char *text = muster_report_json(&report, &job);
    assert_non_null(text);
    json_object *root = json_tokener_parse(text);
    assert_non_null(root);
    assert_string_equal(json_object_get_string(member(root, "job_name")), "train");
    assert_string_equal(json_object_get_string(member(root, "detected_until")), "the verdict");
    json_object *recoveries = member(root, "recoveries");
    assert_int_equal(json_object_array_length(recoveries), 2);
    json_object *first = json_object_array_get_idx(recoveries, 0);
    near(json_object_get_double(member(first, "detect_ms")), 20);
    near(json_object_get_double(member(first, "release_ms")), 4);
    near(json_object_get_double(member(first, "rebuild_ms")), 60);
    near(json_object_get_double(member(first, "start_ms")), 40);
    near(json_object_get_double(member(first, "first_batch_ms")), 70);
    assert_true(json_object_get_boolean(member(first, "complete")));
    json_object *loss = json_object_array_get_idx(member(first, "losses"), 0);
    assert_int_equal(json_object_get_int(member(loss, "slot")), 2);
    assert_int_equal(json_object_get_int(member(loss, "wait_status")), SIGKILL);
    json_object *second = json_object_array_get_idx(recoveries, 1);
    assert_false(json_object_get_boolean(member(second, "complete")));
    assert_null(member(second, "rebuild_ms"));
    json_object_put(root);
    free(text);
    muster_report_clean_up(&report);
}

static void no_loss_is_an_empty_list(void **state)
{
    (void)state;
    muster_report report;
    const muster_report_job job = {.job_name = "\"", .slot_count = 3, .on_loss = "shrink"};
    muster_report_init(&report);
    char *text = muster_report_json(&report, &job);
    json_object *root = json_tokener_parse(text);
    assert_int_equal(json_object_array_length(member(root, "recoveries")), 0);
    json_object_put(root);
    free(text);
    muster_report_clean_up(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replacement_is_timed),
        cmocka_unit_test(another_hosts_clock_is_not_taken_for_ours),
        cmocka_unit_test(detection_is_timed_by_one_clock),
        cmocka_unit_test(without_a_drill_the_exit_counts),
        cmocka_unit_test(an_exit_after_the_verdict_is_no_origin),
        cmocka_unit_test(another_death_in_the_rebuild_is_the_same_recovery),
        cmocka_unit_test(a_leave_is_no_loss),
        cmocka_unit_test(the_report_is_json),
        cmocka_unit_test(no_loss_is_an_empty_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
