/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, sharing, sweeping and stopping a session daemon, as a user with a daemon folder of its own:
 * the machine's daemon is neither used nor disturbed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tracing/session/recording.h"
#include "traced.h"

static char home[64];

static muster_status try_open(const char *directory, muster_session_set **set, muster_error *error)
{
    muster_session_options options = {.directory = directory,
                                      .job_name = "daemon_test",
                                      .session_count = 2,
                                      .subbuffer_bytes = 16384};
    muster_error_init(error);
    return muster_session_open(&options, set, error);
}

static muster_session_set *open_set(const char *directory)
{
    muster_session_set *set = NULL;
    muster_error error;
    if (try_open(directory, &set, &error) != MUSTER_OK)
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

/* 0: none. */
static pid_t daemon_process(void)
{
    char path[128];
    int process_id = 0;
    snprintf(path, sizeof path, "%s/.lttng/lttng-sessiond.pid", home);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%d", &process_id) != 1)
            process_id = 0;
        fclose(file);
    }
    return process_id;
}

static int32_t session_count(void)
{
    char names[8][MUSTER_RECORDING_NAME_BYTES];
    return muster_recording_list("muster-", names, 8, NULL);
}

static void a_daemon_that_we_started_is_stopped_by_us(void **state)
{
    (void)state;
    char directory[64];
    traced_directory_make(directory);
    assert_false(muster_recording_daemon_alive());
    muster_session_set *set = open_set(directory);
    assert_true(muster_recording_daemon_alive());
    bool names_home = false;
    for (const char *const *entry = muster_session_environment(set); *entry != NULL; entry++)
        names_home = names_home || strncmp(*entry, "LTTNG_HOME=/", 12) == 0;
    assert_true(names_home);
    traced_process rank = traced_start(set, 0, 0, "5");
    assert_int_equal(traced_done(&rank), 5);
    traced_kill(&rank);
    muster_session_end(set, 0, 0, "death");
    close_set(set);
    assert_false(muster_recording_daemon_alive());
    muster_records records;
    traced_read(directory, &records);
    assert_int_equal(traced_count(&records, 0, 0, MUSTER_RECORD_KIND_batch_complete), 5);
    muster_records_clean_up(&records);
    traced_directory_remove(directory);
}

static pid_t start_daemon_by_hand(void)
{
    assert_int_equal(system("lttng-sessiond --daemonize --no-kernel --quiet"), 0);
    pid_t daemon = daemon_process();
    assert_true(daemon > 0);
    return daemon;
}

static void stop_daemon_by_hand(pid_t daemon)
{
    assert_int_equal(kill(daemon, SIGTERM), 0);
    for (int turn = 0; turn < 6000 && muster_recording_daemon_alive(); turn++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_false(muster_recording_daemon_alive());
}

static void a_daemon_that_was_there_stays(void **state)
{
    (void)state;
    char directory[64];
    traced_directory_make(directory);
    pid_t before = start_daemon_by_hand();
    close_set(open_set(directory));
    assert_true(muster_recording_daemon_alive());
    assert_int_equal(daemon_process(), before);
    stop_daemon_by_hand(before);
    traced_directory_remove(directory);
}

/* In a child: opens a set, begins a session for itself, says so, and waits to be ended. */
static pid_t other_launcher(const char *directory, int *end)
{
    int said[2];
    int ending[2];
    char byte;
    assert_int_equal(pipe(said), 0);
    assert_int_equal(pipe(ending), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        muster_session_set *set = NULL;
        muster_error error;
        close(ending[1]);
        if (try_open(directory, &set, &error) != MUSTER_OK ||
            muster_session_begin(set, getpid(), 0, 0, &error) != MUSTER_OK)
            _exit(1);
        if (write(said[1], "s", 1) != 1 || read(ending[0], &byte, 1) != 0)
            _exit(2);
        _exit(muster_session_close(set, &error) == MUSTER_OK ? 0 : 3);
    }
    close(said[1]);
    close(ending[0]);
    assert_int_equal(read(said[0], &byte, 1), 1);
    close(said[0]);
    *end = ending[1];
    return child;
}

static void the_last_of_two_launchers_stops_the_daemon(void **state)
{
    (void)state;
    char directory[64];
    int end;
    int wait_status;
    traced_directory_make(directory);
    pid_t other = other_launcher(directory, &end);
    muster_session_set *set = open_set(directory);
    close_set(set);
    assert_true(muster_recording_daemon_alive());
    assert_int_equal(session_count(), 1); /* the other's is untouched */
    close(end);
    assert_int_equal(waitpid(other, &wait_status, 0), other);
    assert_int_equal(wait_status, 0);
    assert_false(muster_recording_daemon_alive());
    traced_directory_remove(directory);
}

static void what_a_killed_launcher_left_is_swept_by_the_next(void **state)
{
    (void)state;
    char directory[64];
    int end;
    traced_directory_make(directory);
    pid_t other = other_launcher(directory, &end);
    assert_int_equal(kill(other, SIGKILL), 0);
    assert_int_equal(waitpid(other, NULL, 0), other);
    close(end);
    assert_true(muster_recording_daemon_alive());
    assert_int_equal(session_count(), 1);
    muster_session_set *set = open_set(directory);
    assert_int_equal(session_count(), 0);
    close_set(set);
    assert_false(muster_recording_daemon_alive());
    traced_directory_remove(directory);
}

/* In a child of its own, because liblttng-ctl has one connection a process, and a worker that hangs
 * keeps it. Returns the number of the first expectation that failed, 0 for none. */
static int hang(const char *directory, pid_t daemon)
{
    muster_session_options options = {
        .directory = directory, .session_count = 1, .call_timeout_ns = 300000000};
    muster_session_set *set = NULL;
    muster_error error;
    muster_error_init(&error);
    if (muster_session_open(&options, &set, &error) != MUSTER_OK)
        return 1;
    if (kill(daemon, SIGSTOP) != 0)
        return 2;
    if (muster_session_begin(set, getpid(), 0, 0, &error) != MUSTER_ERR_UNSUPPORTED)
        return 3;
    if (strstr(error.message, "does not answer within 300 ms") == NULL)
        return 4;
    if (muster_session_begin(set, getpid(), 1, 0, &error) != MUSTER_ERR_UNSUPPORTED)
        return 5;
    muster_session_snapshot(set, 0, 0, "verdict");
    muster_session_end(set, 0, 0, "end");
    return muster_session_close(set, &error) == MUSTER_ERR_TIMEOUT ? 0 : 6;
}

static int open_on_a_hanging_daemon(const char *directory, pid_t daemon)
{
    muster_session_options options = {
        .directory = directory, .session_count = 1, .call_timeout_ns = 300000000};
    muster_session_set *set = NULL;
    muster_error error;
    (void)daemon;
    muster_error_init(&error);
    return muster_session_open(&options, &set, &error) == MUSTER_ERR_UNSUPPORTED ? 0 : 1;
}

/* Runs it in a child that lives on until end is closed, so that its worker can come back. */
static pid_t run_child(int (*run)(const char *, pid_t), const char *directory, pid_t daemon,
                       int *end)
{
    int said[2];
    int ending[2];
    unsigned char failed = 255;
    assert_int_equal(pipe(said), 0);
    assert_int_equal(pipe2(ending, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ending[1]);
        failed = (unsigned char)run(directory, daemon);
        if (write(said[1], &failed, 1) != 1)
            _exit(1);
        _exit(read(ending[0], &failed, 1) == 0 ? 0 : 1);
    }
    close(said[1]);
    close(ending[0]);
    assert_int_equal(read(said[0], &failed, 1), 1);
    close(said[0]);
    *end = ending[1];
    if (failed != 0) {
        kill(daemon, SIGCONT);
        fail_msg("expectation %u failed", failed);
    }
    return child;
}

/* No assertion on time: a call that waited for the daemon would hang until the test's own limit. */
static void a_daemon_that_hangs_is_given_up(void **state)
{
    (void)state;
    char directory[64];
    int ends[2];
    pid_t children[2];
    traced_directory_make(directory);
    pid_t daemon = start_daemon_by_hand();
    children[0] = run_child(hang, directory, daemon, &ends[0]);
    children[1] = run_child(open_on_a_hanging_daemon, directory, daemon, &ends[1]);
    /* The abandoned workers come back when the daemon does, and clean up behind themselves. */
    assert_int_equal(kill(daemon, SIGCONT), 0);
    for (int turn = 0; turn < 6000 && session_count() != 0; turn++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(session_count(), 0);
    close(ends[0]); /* the second child holds a copy of it: close both before waiting */
    close(ends[1]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
    stop_daemon_by_hand(daemon);
    traced_directory_remove(directory);
}

static void a_daemon_that_ends_is_replaced_at_the_next_begin(void **state)
{
    (void)state;
    char directory[64];
    traced_directory_make(directory);
    muster_session_set *set = open_set(directory);
    traced_process first = traced_start(set, 0, 0, "5");
    assert_int_equal(traced_done(&first), 5);
    pid_t daemon = daemon_process();
    assert_int_equal(kill(daemon, SIGKILL), 0);
    for (int turn = 0; turn < 6000 && muster_recording_daemon_alive(); turn++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    traced_process second = traced_start(set, 1, 0, "6");
    assert_true(daemon_process() != daemon);
    assert_int_equal(session_count(), 2); /* the first process is recorded again, too */
    assert_int_equal(traced_done(&second), 6);
    traced_kill(&second);
    traced_kill(&first);
    muster_session_end(set, 0, 0, "end");
    muster_session_end(set, 1, 0, "end");
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_session_close(set, &error), MUSTER_ERR_SYSTEM);
    assert_non_null(strstr(error.message, "session daemon ended"));
    assert_false(muster_recording_daemon_alive());
    muster_records records;
    traced_read(directory, &records);
    assert_int_equal(traced_count(&records, 1, 0, MUSTER_RECORD_KIND_batch_complete), 6);
    muster_records_clean_up(&records);
    traced_directory_remove(directory);
}

static void without_a_daemon_everything_works_untraced_and_says_so(void **state)
{
    (void)state;
    char directory[64];
    char line[256];
    traced_directory_make(directory);
    const char *path_before = getenv("PATH");
    char *path = strdup(path_before != NULL ? path_before : "/usr/bin:/bin");
    muster_session_set *set = NULL;
    muster_error error;
    setenv("PATH", directory, 1); /* no lttng-sessiond there */
    muster_status status = try_open(directory, &set, &error);
    setenv("PATH", path, 1);
    free(path);
    assert_int_equal(status, MUSTER_ERR_UNSUPPORTED);
    assert_null(set);
    assert_non_null(strstr(error.message, "install lttng-tools"));
    /* A rank that loads the provider all the same waits for nobody. */
    traced_process rank = traced_start(NULL, 0, 0, "10");
    traced_line(&rank, line);
    assert_string_equal(line, "traced");
    assert_int_equal(traced_done(&rank), 10);
    assert_int_equal(traced_end(&rank, NULL), 0);
    traced_directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_daemon_that_we_started_is_stopped_by_us),
        cmocka_unit_test(a_daemon_that_was_there_stays),
        cmocka_unit_test(the_last_of_two_launchers_stops_the_daemon),
        cmocka_unit_test(what_a_killed_launcher_left_is_swept_by_the_next),
        cmocka_unit_test(a_daemon_that_ends_is_replaced_at_the_next_begin),
        cmocka_unit_test(without_a_daemon_everything_works_untraced_and_says_so),
        cmocka_unit_test(a_daemon_that_hangs_is_given_up),
    };
    signal(SIGPIPE, SIG_IGN);
    if (!traced_become_isolated_user(home))
        return 77;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    traced_directory_remove(home);
    return failed;
}
