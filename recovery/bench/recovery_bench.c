/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/recovery_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, RANKS = 4, VICTIM = 2, ARGUMENTS_MOST = 32 };

typedef struct kind_of_run {
    const char *name;
    const char *options[6]; /* of muster run, NULL at the end */
    const char *resident_bytes;
    double detect_floor_us;
    double release_floor_us;
    double rebuild_floor_us;
    int runs_divisor; /* of the number asked for */
} kind_of_run;

static const kind_of_run kinds[] = {
    {"shrink", {"--on-loss", "shrink", NULL}, NULL, 50e3, 100e3, 300e3, 1},
    {"waiting spare", {"--on-loss", "replace", "--spares", "1", NULL}, NULL, 50e3, 100e3, 300e3, 1},
    {"fresh process", {"--on-loss", "replace", NULL}, NULL, 50e3, 100e3, 1e6, 1},
    {"shrink, 4 GiB resident", {"--on-loss", "shrink", NULL}, "4294967296", 0, 0, 0, 6},
};

typedef struct figures {
    muster_samples detect_us;
    muster_samples release_us;
    muster_samples rebuild_us;
} figures;

/* What one line of the events file says. */
static void read_line(const char *line, int64_t died_ns, int64_t *verdict_ns, int64_t *released_ns,
                      int64_t *resumed_ns)
{
    json_object *event = json_tokener_parse(line);
    if (event == NULL)
        return;
    const char *kind = json_object_get_string(json_object_object_get(event, "kind"));
    int64_t time_ns = json_object_get_int64(json_object_object_get(event, "time_ns"));
    int64_t value = json_object_get_int64(json_object_object_get(event, "value"));
    if (kind != NULL && time_ns > died_ns) {
        if (strcmp(kind, "verdict") == 0 && *verdict_ns == 0)
            *verdict_ns = time_ns;
        if (strcmp(kind, "released") == 0 && value > *released_ns)
            *released_ns = value;
        if (strcmp(kind, "resumed") == 0 && value > *resumed_ns)
            *resumed_ns = value;
    }
    json_object_put(event);
}

static bool read_events(const char *folder, figures *out)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/mark", folder);
    FILE *mark = fopen(path, "re");
    long long died_ns = 0;
    bool marked = mark != NULL && fscanf(mark, "%lld", &died_ns) == 1;
    if (mark != NULL)
        fclose(mark);
    snprintf(path, sizeof(path), "%s/events.jsonl", folder);
    FILE *events = fopen(path, "re");
    if (!marked || events == NULL) {
        fprintf(stderr, "muster bench: the run left no %s\n", marked ? "events" : "mark");
        if (events != NULL)
            fclose(events);
        return false;
    }
    int64_t verdict_ns = 0;
    int64_t released_ns = 0;
    int64_t resumed_ns = 0;
    char *line = NULL;
    size_t line_bytes = 0;
    while (getline(&line, &line_bytes, events) > 0)
        read_line(line, died_ns, &verdict_ns, &released_ns, &resumed_ns);
    free(line);
    fclose(events);
    if (verdict_ns == 0 || released_ns == 0 || resumed_ns == 0) {
        fprintf(stderr, "muster bench: the events tell of no whole recovery\n");
        return false;
    }
    muster_samples_add(&out->detect_us, (double)(verdict_ns - died_ns) / 1e3);
    muster_samples_add(&out->release_us, (double)(released_ns - verdict_ns) / 1e3);
    muster_samples_add(&out->rebuild_us, (double)(resumed_ns - released_ns) / 1e3);
    return true;
}

/* In the child: becomes `muster run ... -- muster bench recovery-rank`. */
static void become_run(const kind_of_run *kind, const char *folder)
{
    static char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length < 0)
        _exit(127);
    char mark[256];
    char events[256];
    char count[16];
    char victim_slot[16];
    snprintf(mark, sizeof(mark), "%s/mark", folder);
    snprintf(events, sizeof(events), "%s/events.jsonl", folder);
    snprintf(count, sizeof(count), "%d", RANKS);
    snprintf(victim_slot, sizeof(victim_slot), "%d", VICTIM);
    setenv("MUSTER_BENCH_MARK", mark, 1);
    setenv("MUSTER_BENCH_VICTIM", victim_slot, 1);
    if (kind->resident_bytes != NULL)
        setenv("MUSTER_BENCH_RESIDENT_BYTES", kind->resident_bytes, 1);
    const char *arguments[ARGUMENTS_MOST] = {"muster",      "run",      "-n",  count,
                                             "--no-prefix", "--events", events};
    int used = 7;
    for (int i = 0; kind->options[i] != NULL; i++)
        arguments[used++] = kind->options[i];
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

static bool run_once(const kind_of_run *kind, figures *out)
{
    char folder[] = "/tmp/muster-bench-XXXXXX";
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "muster bench: no folder in /tmp: %s\n", strerror(errno));
        return false;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        become_run(kind, folder);
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    bool ran = child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ran)
        fprintf(stderr, "muster bench: a run (%s) failed; MUSTER_BENCH_VERBOSE=1 shows why\n",
                kind->name);
    ran = ran && read_events(folder, out);
    const char *files[] = {"mark", "events.jsonl"};
    for (int i = 0; i < 2; i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
    return ran;
}

static bool measure_kind(const kind_of_run *kind, int runs)
{
    figures out;
    muster_samples_init(&out.detect_us);
    muster_samples_init(&out.release_us);
    muster_samples_init(&out.rebuild_us);
    bool good = true;
    int wanted = runs / kind->runs_divisor > 0 ? runs / kind->runs_divisor : 1;
    for (int i = 0; i < wanted && good; i++)
        good = run_once(kind, &out);
    if (good) {
        char name[96];
        snprintf(name, sizeof(name), "%s: SIGKILL to verdict", kind->name);
        muster_measure_print_time(name, &out.detect_us, kind->detect_floor_us);
        snprintf(name, sizeof(name), "%s: verdict to the last survivor released", kind->name);
        muster_measure_print_time(name, &out.release_us, kind->release_floor_us);
        snprintf(name, sizeof(name), "%s: release to the last rank rebuilt", kind->name);
        muster_measure_print_time(name, &out.rebuild_us, kind->rebuild_floor_us);
    }
    muster_samples_clean_up(&out.detect_us);
    muster_samples_clean_up(&out.release_us);
    muster_samples_clean_up(&out.rebuild_us);
    return good;
}

int muster_recovery_bench_main(int argc, char **argv)
{
    static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
                                            {NULL, 0, NULL, 0}};
    long runs = 30;
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        runs = option == 'r' ? strtol(optarg, &end, 10) : 0;
        if (option != 'r' || *end != '\0' || runs < 1 || runs > 10000) {
            fprintf(stderr, "usage: muster bench recovery [--runs N], N from 1 to 10000\n");
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "muster bench recovery: unknown argument \"%s\"\n", argv[optind]);
        return EXIT_USAGE;
    }
    printf("# recovery of %d ranks on %ld cores, the others waiting in a batch\n", RANKS,
           sysconf(_SC_NPROCESSORS_ONLN));
    bool good = true;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && good; i++)
        good = measure_kind(&kinds[i], (int)runs);
    return good ? EXIT_OK : EXIT_FAILED;
}
