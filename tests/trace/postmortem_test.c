/* SPDX-License-Identifier: Apache-2.0 */
/* `muster postmortem` on directories as they are found the morning after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "tracing/postmortem/postmortem.h"
#include "traced.h"

static char directory[64];
static char output[1 << 16];

static int make_directory(void **state)
{
    (void)state;
    traced_directory_make(directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    traced_directory_remove(directory);
    return 0;
}

/* Runs the command as a process of its own; what it says on both streams goes to output. */
static int postmortem(const char *first, const char *second)
{
    char *arguments[] = {(char *)"postmortem", (char *)(uintptr_t)first, (char *)(uintptr_t)second,
                         NULL};
    int streams[2];
    int wait_status;
    fflush(NULL);
    assert_int_equal(pipe2(streams, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(streams[1], STDOUT_FILENO);
        dup2(streams[1], STDERR_FILENO);
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    close(streams[1]);
    size_t length = 0;
    ssize_t got;
    while (length < sizeof output - 1 &&
           (got = read(streams[0], output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = '\0';
    close(streams[0]);
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    if (!WIFEXITED(wait_status))
        fail_msg("ended by signal %d: %s", WTERMSIG(wait_status), output);
    return WEXITSTATUS(wait_status);
}

static void assert_said(const char *words)
{
    if (strstr(output, words) == NULL)
        fail_msg("'%s' was not said in: %s", words, output);
}

static void put_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void put_folder(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void usage_is_told(void **state)
{
    (void)state;
    assert_int_equal(postmortem(NULL, NULL), 2);
    assert_said("usage: muster postmortem");
    assert_int_equal(postmortem("--nonsense", directory), 2);
    assert_said("usage: muster postmortem");
    assert_int_equal(postmortem("--help", NULL), 0);
    assert_said("Exit code");
}

static void a_directory_that_is_none_is_exit_code_one(void **state)
{
    (void)state;
    assert_int_equal(postmortem("/nowhere/at/all", NULL), 1);
    assert_said("/nowhere/at/all: No such file or directory");
    put_file("events.jsonl", "{\"kind\":\"joined\",\"time_ns\":1,\"slot\":0}\n");
    assert_int_equal(postmortem(directory, "/nowhere/at/all"), 1); /* of several, too */
    assert_said("/nowhere/at/all: No such file or directory");
    put_file("file", "x");
    char path[256];
    snprintf(path, sizeof path, "%s/file", directory);
    assert_int_equal(postmortem(path, NULL), 1);
    assert_said("Not a directory");
}

static void an_empty_directory_is_exit_code_one(void **state)
{
    (void)state;
    assert_int_equal(postmortem(directory, NULL), 1);
    assert_said("holds neither events.jsonl with an event nor traces");
    put_file("events.jsonl", "\n");
    put_folder("traces");
    assert_int_equal(postmortem("--json", directory), 1);
    assert_said("holds neither");
}

static void garbage_is_exit_code_one(void **state)
{
    (void)state;
    put_file("events.jsonl", "\x7f"
                             "ELF\nnot json\n{\"kind\":\"unheard of\",\"time_ns\":1}\n");
    put_file("job.json", "[[[");
    assert_int_equal(postmortem(directory, NULL), 1);
    assert_said("none of its 3 lines can be read");
    put_folder("traces");
    put_folder("traces/slot0.incarnation0");
    put_file("traces/slot0.incarnation0/metadata", "this is not a trace");
    put_file("traces/slot0.incarnation0/ring_0", "nor is this");
    put_file("events.jsonl", "");
    assert_int_equal(postmortem(directory, NULL), 1);
    assert_said("none of its 1 snapshots has an event of Muster");
}

static void notes_alone_tell_the_recovery(void **state)
{
    (void)state;
    put_file("job.json", "{\"job_name\":\"demo\",\"slot_count\":2,\"on_loss\":\"replace\","
                         "\"written_ns\":1000000000,\"written_wall_ns\":1000000001000000000,"
                         "\"processes\":[{\"slot\":1,\"incarnation\":0,\"process_id\":7,"
                         "\"signal\":9}]}");
    put_file("events.jsonl",
             "{\"kind\":\"joined\",\"time_ns\":1000000,\"slot\":0,\"incarnation\":0}\n"
             "{\"kind\":\"joined\",\"time_ns\":1000000,\"slot\":1,\"incarnation\":0}\n"
             "{\"kind\":\"evidence\",\"time_ns\":5000000,\"epoch\":1,\"slot\":1,"
             "\"incarnation\":0,\"evidence\":\"its process exited\"}\n"
             "{\"kind\":\"verdict\",\"time_ns\":6000000,\"epoch\":1,\"slot\":1,"
             "\"incarnation\":0,\"evidence\":\"its process exited\",\"text\":\"signal 9\"}\n"
             "{\"kind\":\"established\",\"time_ns\":16500000,\"epoch\":2,\"slot\":-1}\n"
             "{\"kind\":\"agr");
    assert_int_equal(postmortem(directory, NULL), 0);
    assert_said("job demo: 2 slots, on loss replace");
    assert_said("epoch 1 became epoch 2");
    assert_said("lost: slot 1 incarnation 0: its process exited; ended by signal 9 (Killed), "
                "verdict at 2001-09-09 01:46:40.006 UTC");
    assert_said("the coordinator said: signal 9");
    assert_said("nothing of it was recorded or can be read");
    assert_said("slot 0 incarnation 0: not known");
    assert_said("verdict          1.000        1.000");
    assert_said("established     10.500       11.500");
    assert_said("1 line cannot be read");
    assert_said("no traces are here");
    assert_int_equal(postmortem("--json", directory), 0);
    json_object *report = json_tokener_parse(output);
    json_object *member;
    assert_non_null(report);
    assert_true(json_object_object_get_ex(report, "recoveries", &member));
    assert_int_equal(json_object_array_length(member), 1);
    assert_true(json_object_object_get_ex(report, "has_traces", &member));
    assert_false(json_object_get_boolean(member));
    json_object_put(report);
}

/* ---- with rings of real processes ---- */

static void record_two_ranks_one_killed(void)
{
    muster_session_options options = {.directory = directory,
                                      .job_name = "postmortem_test",
                                      .session_count = 2,
                                      .subbuffer_bytes = 65536};
    muster_session_set *set = NULL;
    muster_error error;
    muster_error_init(&error);
    if (muster_session_open(&options, &set, &error) != MUSTER_OK)
        fail_msg("%s", error.message);
    traced_process ranks[2];
    for (int32_t slot = 0; slot < 2; slot++)
        ranks[slot] = traced_start(set, slot, 0, "20");
    for (int32_t slot = 0; slot < 2; slot++)
        assert_int_equal(traced_done(&ranks[slot]), 20);
    traced_kill(&ranks[1]);
    muster_session_snapshot(set, 0, 0, "verdict-epoch3");
    muster_session_end(set, 1, 0, "death");
    assert_int_equal(traced_end(&ranks[0], NULL), 0);
    muster_session_end(set, 0, 0, "end");
    if (muster_session_close(set, &error) != MUSTER_OK)
        fail_msg("%s", error.message);
}

static void put_verdict_now(void)
{
    char line[512];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long now_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
    snprintf(line, sizeof line,
             "{\"kind\":\"joined\",\"time_ns\":1,\"slot\":3,\"incarnation\":0}\n"
             "{\"kind\":\"verdict\",\"time_ns\":%lld,\"epoch\":3,\"slot\":1,"
             "\"incarnation\":0,\"evidence\":\"its process exited\",\"text\":\"signal 9\"}\n",
             now_ns);
    put_file("events.jsonl", line);
}

static void rings_tell_where_everyone_stood(void **state)
{
    (void)state;
    record_two_ranks_one_killed();
    put_verdict_now();
    assert_int_equal(postmortem(directory, NULL), 0);
    assert_said("lost: slot 1 incarnation 0");
    assert_said("its last event: batch_complete, sequence 20 of communicator 0x7, epoch 3, ");
    assert_said("no later epoch was established");
    /* traced_rank also tells of one batch that a revoke reached */
    assert_said("slot 0 incarnation 0: in scatterv, sequence 99 of communicator 0x7, epoch 3");
    assert_said("traces: 21 batches, 178 events");
    assert_said("slot 0 incarnation 0: 89 events in 2 snapshots");
    assert_said("slot 3 incarnation 0: no snapshot: its traces are missing");
}

static int truncate_ring(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    if (kind == FTW_F && strstr(path, "death") != NULL &&
        strncmp(path + where->base, "ring_", 5) == 0 && about->st_size > 0)
        return truncate(path, 100);
    return 0;
}

static void a_damaged_snapshot_is_said_and_the_others_are_read(void **state)
{
    (void)state;
    record_two_ranks_one_killed();
    put_verdict_now();
    assert_int_equal(nftw(directory, truncate_ring, 8, FTW_PHYS), 0);
    assert_int_equal(postmortem(directory, NULL), 0);
    assert_said("slot 0 incarnation 0: 89 events in 2 snapshots");
    assert_said("slot 1 incarnation 0: 0 events in 1 snapshot; 1 cannot be read to the end: ");
    assert_said("nothing of it was recorded or can be read");
}

int main(int argc, char **argv)
{
    /* Run by a test: the command, as a process of its own. */
    if (strcmp(argv[0], "postmortem") == 0)
        return muster_postmortem_main(argc, argv);
    const struct CMUnitTest tests[] = {
#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
        WITH_DIRECTORY(usage_is_told),
        WITH_DIRECTORY(a_directory_that_is_none_is_exit_code_one),
        WITH_DIRECTORY(an_empty_directory_is_exit_code_one),
        WITH_DIRECTORY(garbage_is_exit_code_one),
        WITH_DIRECTORY(notes_alone_tell_the_recovery),
        WITH_DIRECTORY(rings_tell_where_everyone_stood),
        WITH_DIRECTORY(a_damaged_snapshot_is_said_and_the_others_are_read),
#undef WITH_DIRECTORY
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
