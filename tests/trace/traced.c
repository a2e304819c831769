/* SPDX-License-Identifier: Apache-2.0 */
#include "traced.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracing/postmortem/trace_reader.h"

#define NOBODY 65534

/* Between fork and exec only calls that are safe in a copy of a process with threads: the allocator's
 * locks may have been held by the session worker. Hence everything is made before. */
typedef struct traced_command {
    char slot[16];
    char incarnation[16];
    char *arguments[5];
    char *environment[512];
} traced_command;

static void traced_command_make(traced_command *command, const muster_session_set *set,
                                int32_t slot, uint32_t incarnation, const char *batches)
{
    size_t count = 0;
    snprintf(command->slot, sizeof command->slot, "%d", slot);
    snprintf(command->incarnation, sizeof command->incarnation, "%u", incarnation);
    char *const arguments[] = {(char *)(uintptr_t)TRACED_RANK, command->slot, command->incarnation,
                               (char *)(uintptr_t)batches, NULL};
    memcpy(command->arguments, arguments, sizeof arguments);
    /* The first of two of one name counts. */
    for (const char *const *entry = muster_session_environment(set); *entry != NULL; entry++)
        command->environment[count++] = (char *)(uintptr_t)*entry;
    for (char **entry = environ; *entry != NULL && count < 511; entry++)
        command->environment[count++] = *entry;
    command->environment[count] = NULL;
}

static void traced_child(const traced_command *command, int go, int input, int output)
{
    char byte;
    if (read(go, &byte, 1) != 1) /* until its session is made */
        _exit(3);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    execve(TRACED_RANK, command->arguments, command->environment);
    _exit(4);
}

traced_process traced_start(muster_session_set *set, int32_t slot, uint32_t incarnation,
                            const char *batches)
{
    int go[2];
    int input[2];
    int output[2];
    traced_command command;
    traced_command_make(&command, set, slot, incarnation, batches);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(go[1]);
        close(input[1]);
        traced_child(&command, go[0], input[0], output[1]);
    }
    close(go[0]);
    close(input[0]);
    close(output[1]);
    muster_error error;
    muster_error_init(&error);
    muster_status status = muster_session_begin(set, child, slot, incarnation, &error);
    ssize_t written = write(go[1], "g", 1);
    close(go[1]);
    if (status != MUSTER_OK)
        fail_msg("begin: %s", error.message);
    assert_int_equal(written, 1);
    FILE *lines = fdopen(output[0], "r");
    assert_non_null(lines);
    return (traced_process){.process_id = child,
                            .input = input[1],
                            .output = lines,
                            .slot = slot,
                            .incarnation = incarnation};
}

void traced_line(traced_process *process, char line[256])
{
    if (fgets(line, 256, process->output) == NULL)
        fail_msg("slot %d ended without a further line", process->slot);
    line[strcspn(line, "\n")] = '\0';
}

uint64_t traced_done(traced_process *process)
{
    char line[256];
    do {
        traced_line(process, line);
    } while (strncmp(line, "done ", 5) != 0);
    return strtoull(line + 5, NULL, 10);
}

static int traced_reap(traced_process *process)
{
    int wait_status = -1;
    assert_int_equal(waitpid(process->process_id, &wait_status, 0), process->process_id);
    fclose(process->output);
    return wait_status;
}

int traced_end(traced_process *process, uint64_t *done)
{
    close(process->input);
    if (done != NULL)
        *done = traced_done(process);
    return traced_reap(process);
}

void traced_kill(traced_process *process)
{
    assert_int_equal(kill(process->process_id, SIGKILL), 0);
    close(process->input);
    int wait_status = traced_reap(process);
    assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
}

void traced_directory_make(char path[64])
{
    snprintf(path, 64, "/tmp/muster-trace-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

void traced_directory_remove(const char *path)
{
    char *copy = strdup(path);
    char *const roots[] = {copy, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const FTSENT *entry;
    while (walk != NULL && (entry = fts_read(walk)) != NULL) {
        if (entry->fts_info != FTS_D)
            remove(entry->fts_path);
    }
    if (walk != NULL)
        fts_close(walk);
    free(copy);
}

void traced_read(const char *directory, muster_records *records)
{
    muster_error error;
    muster_error_init(&error);
    muster_records_init(records);
    if (muster_trace_reader_read(directory, records, &error) != MUSTER_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < records->snapshot_count; i++)
        if (records->snapshots[i].damage[0] != '\0')
            fail_msg("%s: %s", records->snapshots[i].name, records->snapshots[i].damage);
    muster_records_sort(records);
}

size_t traced_count(const muster_records *records, int32_t slot, uint32_t incarnation,
                    muster_record_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < records->event_count; i++)
        count += records->events[i].slot == slot && records->events[i].incarnation == incarnation &&
                 records->events[i].kind == (int64_t)kind;
    return count;
}

const muster_event_record *traced_last(const muster_records *records, int32_t slot,
                                       uint32_t incarnation, muster_record_kind kind)
{
    for (size_t i = records->event_count; i-- > 0;)
        if (records->events[i].slot == slot && records->events[i].incarnation == incarnation &&
            records->events[i].kind == (int64_t)kind)
            return &records->events[i];
    return NULL;
}

bool traced_become_isolated_user(char home[64])
{
    snprintf(home, 64, "/tmp/muster-lttng-test-XXXXXX");
    if (mkdtemp(home) == NULL)
        return false;
    if (geteuid() == 0 &&
        (chown(home, NOBODY, NOBODY) != 0 || setgroups(0, NULL) != 0 ||
         setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)) {
        printf("skipped: root cannot become another user here: %s\n", strerror(errno));
        rmdir(home);
        return false;
    }
    if (access(TRACED_RANK, X_OK) != 0) {
        printf("skipped: another user cannot reach %s: %s\n", TRACED_RANK, strerror(errno));
        rmdir(home);
        return false;
    }
    setenv("LTTNG_HOME", home, 1);
    return true;
}
