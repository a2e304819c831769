/* SPDX-License-Identifier: Apache-2.0 */
/* Recording with the daemon of whoever runs this: real daemon, real sessions, real SIGKILL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collective/record.h"
#include "traced.h"

static muster_session_set *open_set(const char *directory)
{
    muster_session_options options = {
        .directory = directory, .job_name = "session/test, 1", .session_count = 5};
    muster_session_set *set = NULL;
    muster_error error;
    muster_error_init(&error);
    if (muster_session_open(&options, &set, &error) != MUSTER_OK)
        fail_msg("open: %s", error.message);
    return set;
}

static void close_set(muster_session_set *set)
{
    muster_error error;
    muster_error_init(&error);
    if (muster_session_close(set, &error) != MUSTER_OK)
        fail_msg("close: %s", error.message);
}

static void every_event_comes_out_with_its_fields(void **state)
{
    (void)state;
    char directory[64];
    char line[256];
    traced_directory_make(directory);
    muster_session_set *set = open_set(directory);
    traced_process rank = traced_start(set, 2, 1, "3");
    traced_line(&rank, line);
    assert_string_equal(line, "traced");
    assert_int_equal(traced_done(&rank), 3);
    assert_int_equal(traced_end(&rank, NULL), 0);
    muster_session_end(set, 2, 1, "end");
    close_set(set);

    muster_records records;
    traced_read(directory, &records);
    for (int kind = 0; kind < MUSTER_RECORD_KIND_COUNT; kind++) {
        size_t expected = kind <= MUSTER_RECORD_KIND_batch_complete ? 3 : 1;
        if (traced_count(&records, 2, 1, (muster_record_kind)kind) != expected)
            fail_msg("%s: %zu events, expected %zu",
                     muster_record_kind_text((muster_record_kind)kind),
                     traced_count(&records, 2, 1, (muster_record_kind)kind), expected);
    }
    assert_int_equal(records.snapshot_count, 1);
    assert_int_equal(records.snapshots[0].slot, 2);
    assert_int_equal(records.snapshots[0].incarnation, 1);
    assert_int_equal(records.snapshots[0].discarded_events, 0);
    const muster_event_record *event = traced_last(&records, 2, 1, MUSTER_RECORD_KIND_batch_begin);
    assert_int_equal(event->epoch, 3);
    assert_int_equal(event->sequence, 3);
    assert_int_equal(event->communicator, 7);
    assert_int_equal(event->call, MUSTER_CALL_GATHERV);
    assert_int_equal(event->rank, 2);
    assert_int_equal(event->rank_count, 4);
    assert_int_equal(event->phase, 2);
    event = traced_last(&records, 2, 1, MUSTER_RECORD_KIND_batch_failed);
    assert_int_equal(event->sequence, 99);
    assert_int_equal(event->status, MUSTER_ERR_RANK_LOST);
    assert_int_equal(event->failing_rank, 2);
    assert_int_equal(event->root, 1);
    event = traced_last(&records, 2, 1, MUSTER_RECORD_KIND_recovery);
    assert_int_equal(event->note, MUSTER_NOTE_VERDICT);
    assert_int_equal(event->evidence, MUSTER_EVIDENCE_EXITED);
    assert_int_equal(event->about_epoch, 3);
    assert_int_equal(event->about_slot, 2);
    assert_int_equal(event->about_incarnation, 1);
    assert_int_equal(event->value, -5);
    event = traced_last(&records, 2, 1, MUSTER_RECORD_KIND_params_end);
    assert_int_equal(event->status, MUSTER_ERR_MODIFIER);
    event = traced_last(&records, 2, 1, MUSTER_RECORD_KIND_step_committed);
    assert_int_equal(event->step, 11);
    assert_int_equal(event->sequence, 6);
    muster_records_clean_up(&records);
    traced_directory_remove(directory);
}

/* The numbers have words beside them, for whoever reads with other tools. */
static void the_trace_carries_readable_words(void **state)
{
    (void)state;
    char directory[64];
    char command[256];
    traced_directory_make(directory);
    muster_session_set *set = open_set(directory);
    traced_process rank = traced_start(set, 0, 0, "1");
    traced_done(&rank);
    traced_kill(&rank);
    muster_session_end(set, 0, 0, "end");
    close_set(set);
    static const char *const words[] = {"gatherv",       "MUSTER_ERR_RANK_LOST",
                                        "first_forward", "VERDICT",
                                        "ROBUST_FUTEX",  "out_bytes",
                                        "op_bytes",      "sent_ns"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(command, sizeof command, "grep -raq '%s' %s/traces --include=metadata", words[i],
                 directory);
        if (system(command) != 0)
            fail_msg("no metadata says %s", words[i]);
    }
    traced_directory_remove(directory);
}

/* Killed after its last event: that very event must be in the ring. */
static void the_last_event_of_a_killed_process_is_read_back(void **state)
{
    (void)state;
    char directory[64];
    traced_directory_make(directory);
    muster_session_set *set = open_set(directory);
    traced_process rank = traced_start(set, 1, 0, "50000"); /* more than the ring holds */
    assert_int_equal(traced_done(&rank), 50000);
    traced_kill(&rank);
    muster_session_end(set, 1, 0, "death");
    close_set(set);
    muster_records records;
    traced_read(directory, &records);
    const muster_event_record *last =
        traced_last(&records, 1, 0, MUSTER_RECORD_KIND_batch_complete);
    assert_non_null(last);
    assert_int_equal(last->sequence, 50000);
    assert_ptr_equal(last, &records.events[records.event_count - 1]);
    assert_true(traced_count(&records, 1, 0, MUSTER_RECORD_KIND_batch_begin) > 1000);
    muster_records_clean_up(&records);
    traced_directory_remove(directory);
}

/* A rank that outlived the kill: its newest batches are there to the last, without a gap. */
static void assert_whole(const muster_records *records, int32_t slot, uint64_t done)
{
    const muster_event_record *last =
        traced_last(records, slot, 0, MUSTER_RECORD_KIND_batch_complete);
    if (last == NULL || last->sequence != (int64_t)done)
        fail_msg("slot %d: the ring ends at batch %lld, the rank did %llu", slot,
                 last != NULL ? (long long)last->sequence : -1, (unsigned long long)done);
    if (last == NULL)
        return; /* failed above: the analyzer does not know that fail_msg does not return */
    int64_t expected = last->sequence;
    for (const muster_event_record *event = last; expected > last->sequence - 100; event--) {
        assert_true(event >= records->events && event->slot == slot);
        if (event->kind == MUSTER_RECORD_KIND_batch_complete)
            assert_int_equal(event->sequence, expected--);
    }
}

static void killed_in_a_burst_once(int round)
{
    char directory[64];
    traced_directory_make(directory);
    muster_session_set *set = open_set(directory);
    traced_process ranks[4];
    char line[256];
    for (int32_t slot = 0; slot < 4; slot++)
        ranks[slot] = traced_start(set, slot, 0, "0");
    for (int32_t slot = 0; slot < 4; slot++) {
        traced_line(&ranks[slot], line);
        assert_string_equal(line, "traced");
        traced_line(&ranks[slot], line);
        assert_string_equal(line, "warm");
    }
    nanosleep(&(struct timespec){.tv_nsec = 1000000 + round * 1654321}, NULL);
    traced_kill(&ranks[2]);
    for (int32_t slot = 0; slot < 4; slot++)
        if (slot != 2)
            muster_session_snapshot(set, slot, 0, "verdict-epoch3");
    muster_session_end(set, 2, 0, "death");
    traced_process replacement = traced_start(set, 2, 1, "2000");
    assert_int_equal(traced_done(&replacement), 2000);
    traced_kill(&replacement);
    uint64_t done[4] = {0};
    for (int32_t slot = 0; slot < 4; slot++) {
        if (slot == 2)
            continue;
        assert_int_equal(traced_end(&ranks[slot], &done[slot]), 0);
        muster_session_end(set, slot, 0, "end");
    }
    muster_session_end(set, 2, 1, "end");
    close_set(set);

    muster_records records;
    traced_read(directory, &records);
    assert_true(traced_count(&records, 2, 0, MUSTER_RECORD_KIND_batch_complete) > 100);
    assert_int_equal(traced_last(&records, 2, 1, MUSTER_RECORD_KIND_batch_complete)->sequence,
                     2000);
    for (int32_t slot = 0; slot < 4; slot++)
        if (slot != 2)
            assert_whole(&records, slot, done[slot]);
    muster_records_clean_up(&records);
    traced_directory_remove(directory);
}

static void killed_in_the_middle_of_a_burst_five_times(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++)
        killed_in_a_burst_once(round);
}

static void a_process_that_never_traced_leaves_no_snapshot_and_no_error(void **state)
{
    (void)state;
    char directory[64];
    traced_directory_make(directory);
    muster_session_set *set = open_set(directory);
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_session_begin(set, getpid(), 0, 0, &error), MUSTER_OK);
    assert_int_equal(muster_session_begin(set, getpid(), 0, 0, &error),
                     MUSTER_ERR_INVALID_ARGUMENT); /* one process a slot and incarnation */
    muster_session_end(set, 0, 0, "end");
    muster_session_end(set, 5, 5, "never begun");
    muster_session_snapshot(set, 0, 0, "after the end");
    close_set(set);
    muster_records records;
    traced_read(directory, &records);
    assert_int_equal(records.event_count, 0);
    muster_records_clean_up(&records);
    traced_directory_remove(directory);
}

static void open_refused(const muster_session_options *options, muster_status status,
                         const char *word)
{
    muster_session_set *set = NULL;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_session_open(options, &set, &error), status);
    assert_null(set);
    if (strstr(error.message, word) == NULL)
        fail_msg("the sentence lacks '%s': %s", word, error.message);
}

static void what_cannot_be_recorded_is_refused_with_a_sentence(void **state)
{
    (void)state;
    char directory[64];
    traced_directory_make(directory);
    muster_session_options options = {.directory = directory, .session_count = 1};
    options.directory = "/proc/muster-cannot-be-here";
    open_refused(&options, MUSTER_ERR_SYSTEM, "/proc/muster-cannot-be-here");
    options.directory = directory;
    options.session_count = 0;
    open_refused(&options, MUSTER_ERR_INVALID_ARGUMENT, "at least one session");
    options.session_count = 1;
    options.subbuffer_bytes = 5000;
    open_refused(&options, MUSTER_ERR_INVALID_ARGUMENT, "powers of two");
    options.subbuffer_bytes = UINT64_C(1) << 50;
    open_refused(&options, MUSTER_ERR_NO_MEMORY, "/dev/shm is too small");
    traced_directory_remove(directory);
}

static void no_set_is_untraced_everywhere(void **state)
{
    (void)state;
    muster_error error;
    muster_error_init(&error);
    assert_null(muster_session_environment(NULL)[0]);
    assert_int_equal(muster_session_begin(NULL, getpid(), 0, 0, &error), MUSTER_OK);
    muster_session_snapshot(NULL, 0, 0, "x");
    muster_session_end(NULL, 0, 0, "x");
    assert_int_equal(muster_session_close(NULL, &error), MUSTER_OK);
}

/* Keeps one daemon over all tests: starting and stopping it is daemon_test's subject. */
static char keeper_directory[64];
static muster_session_set *keeper;

static int keep_a_daemon(void **state)
{
    (void)state;
    traced_directory_make(keeper_directory);
    keeper = open_set(keeper_directory);
    return 0;
}

static int let_the_daemon_go(void **state)
{
    (void)state;
    close_set(keeper);
    traced_directory_remove(keeper_directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_comes_out_with_its_fields),
        cmocka_unit_test(the_trace_carries_readable_words),
        cmocka_unit_test(the_last_event_of_a_killed_process_is_read_back),
        cmocka_unit_test(killed_in_the_middle_of_a_burst_five_times),
        cmocka_unit_test(a_process_that_never_traced_leaves_no_snapshot_and_no_error),
        cmocka_unit_test(what_cannot_be_recorded_is_refused_with_a_sentence),
        cmocka_unit_test(no_set_is_untraced_everywhere),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, keep_a_daemon, let_the_daemon_go);
}
