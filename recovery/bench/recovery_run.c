/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/recovery_run.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MOST = MUSTER_RECOVERY_RUN_OPTIONS_MOST + 16, PATH_BYTES = 128 };

/* The files that a run leaves in its folder. */
static const char *const left_files[] = {"mark", "shares", "events.jsonl"};

static void path_of(const char *folder, const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
}

static void remove_folder(const char *folder)
{
    char path[PATH_BYTES];
    for (size_t i = 0; i < sizeof(left_files) / sizeof(left_files[0]); i++) {
        path_of(folder, left_files[i], path);
        unlink(path);
    }
    rmdir(folder);
}

static void set_number(const char *variable, long long value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", value);
    setenv(variable, text, 1);
}

/* In the child: becomes `muster run ... -- muster bench recovery-rank`. */
static void become_run(const muster_recovery_run *run, const char *folder)
{
    static char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length < 0)
        _exit(127);
    char path[PATH_BYTES];
    setenv("MUSTER_BENCH_LOSS", run->loss, 1);
    path_of(folder, "mark", path);
    setenv("MUSTER_BENCH_MARK", path, 1);
    path_of(folder, "shares", path);
    setenv("MUSTER_BENCH_SHARES", path, 1);
    /* Neither the root, for whom all wait, nor its neighbour, who watches its life: an ordinary rank. */
    set_number("MUSTER_BENCH_VICTIM", run->ranks / 2);
    set_number("MUSTER_BENCH_RESIDENT_BYTES", (long long)run->resident_bytes);
    set_number("MUSTER_BENCH_BUSY_MS", run->busy_ms);
    char count[16];
    snprintf(count, sizeof(count), "%d", run->ranks);
    path_of(folder, "events.jsonl", path);
    const char *arguments[ARGUMENTS_MOST] = {"muster",      "run",      "-n", count,
                                             "--no-prefix", "--events", path};
    int used = 7;
    for (int i = 0; run->options[i] != NULL; i++)
        arguments[used++] = run->options[i];
    const char *last[] = {"--", self, "bench", "recovery-rank", NULL};
    for (int i = 0; i < 5; i++)
        arguments[used++] = last[i];
    /* What the launcher says of each loss would bury the figures. */
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (getenv("MUSTER_BENCH_VERBOSE") == NULL)
        dup2(nowhere, STDERR_FILENO);
    execv(self, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static bool run_job(const muster_recovery_run *run, const char *folder)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        become_run(run, folder);
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    bool ran = child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ran)
        fprintf(stderr, "muster bench: a run (%s) failed; MUSTER_BENCH_VERBOSE=1 shows why\n",
                run->loss);
    return ran;
}

typedef struct moments {
    int64_t lost_ns;
    int64_t verdict_ns;
    int64_t released_ns;
    int64_t resumed_ns;
} moments;

/* What one line of the events file says. */
static void read_line(const char *line, moments *seen)
{
    json_object *event = json_tokener_parse(line);
    if (event == NULL)
        return;
    const char *kind = json_object_get_string(json_object_object_get(event, "kind"));
    int64_t time_ns = json_object_get_int64(json_object_object_get(event, "time_ns"));
    int64_t value = json_object_get_int64(json_object_object_get(event, "value"));
    if (kind != NULL && time_ns > seen->lost_ns) {
        if (strcmp(kind, "verdict") == 0 && seen->verdict_ns == 0)
            seen->verdict_ns = time_ns;
        if (strcmp(kind, "released") == 0 && value > seen->released_ns)
            seen->released_ns = value;
        if (strcmp(kind, "resumed") == 0 && value > seen->resumed_ns)
            seen->resumed_ns = value;
    }
    json_object_put(event);
}

static bool read_mark(const char *folder, int64_t *lost_ns)
{
    char path[PATH_BYTES];
    path_of(folder, "mark", path);
    FILE *mark = fopen(path, "re");
    long long read_ns = 0;
    bool marked = mark != NULL && fscanf(mark, "%lld", &read_ns) == 1;
    if (mark != NULL)
        fclose(mark);
    *lost_ns = read_ns;
    return marked;
}

static bool read_events(const char *folder, muster_recovery_times *times)
{
    moments seen = {0};
    char path[PATH_BYTES];
    path_of(folder, "events.jsonl", path);
    FILE *events = read_mark(folder, &seen.lost_ns) ? fopen(path, "re") : NULL;
    if (events == NULL) {
        fprintf(stderr, "muster bench: the run left no mark or no events\n");
        return false;
    }
    char *line = NULL;
    size_t line_bytes = 0;
    while (getline(&line, &line_bytes, events) > 0)
        read_line(line, &seen);
    free(line);
    fclose(events);
    if (seen.verdict_ns == 0 || seen.released_ns == 0 || seen.resumed_ns == 0) {
        fprintf(stderr, "muster bench: the events tell of no whole recovery\n");
        return false;
    }
    *times = (muster_recovery_times){
        .detect_us = (double)(seen.verdict_ns - seen.lost_ns) / 1e3,
        .release_us = (double)(seen.released_ns - seen.verdict_ns) / 1e3,
        .rebuild_us = (double)(seen.resumed_ns - seen.released_ns) / 1e3,
    };
    return true;
}

static bool read_shares(const char *folder, int ranks, double *agent_share)
{
    char path[PATH_BYTES];
    path_of(folder, "shares", path);
    FILE *shares = fopen(path, "re");
    int slot = -1;
    long long cpu_ns = 0;
    long long wall_ns = 0;
    int read = 0;
    while (shares != NULL && fscanf(shares, "%d %lld %lld", &slot, &cpu_ns, &wall_ns) == 3)
        if (slot >= 0 && slot < ranks && wall_ns > 0) {
            agent_share[slot] = (double)cpu_ns / (double)wall_ns;
            read++;
        }
    if (shares != NULL)
        fclose(shares);
    if (read != ranks)
        fprintf(stderr, "muster bench: %d of %d ranks said what their agents took\n", read, ranks);
    return read == ranks;
}

static bool make_folder(char *folder)
{
    if (mkdtemp(folder) != NULL)
        return true;
    fprintf(stderr, "muster bench: no folder in /tmp: %s\n", strerror(errno));
    return false;
}

bool muster_recovery_run_once(const muster_recovery_run *run, muster_recovery_times *times)
{
    char folder[] = "/tmp/muster-bench-XXXXXX";
    if (!make_folder(folder))
        return false;
    bool good = run_job(run, folder) && read_events(folder, times);
    remove_folder(folder);
    return good;
}

bool muster_recovery_run_busy(const muster_recovery_run *run, double *agent_share)
{
    char folder[] = "/tmp/muster-bench-XXXXXX";
    if (!make_folder(folder))
        return false;
    bool good = run_job(run, folder) && read_shares(folder, run->ranks, agent_share);
    remove_folder(folder);
    return good;
}
