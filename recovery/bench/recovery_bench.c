/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/recovery_bench.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/recovery_run.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, RANKS_LEAST = 3, RANKS_MOST = 64 };

typedef struct kind_of_loss {
    const char *name;
    const char *what; /* happens to the rank */
    muster_recovery_run run;
    double detect_wanted_us; /* 0: only printed */
    double release_wanted_us;
    double rebuild_wanted_us;
    int runs_divisor; /* of the number asked for */
} kind_of_loss;

#define SHRINK "--on-loss", "shrink"
/* Silence and batch deadlines that a benchmark can wait for; the defaults are 10 s and 10 min. */
#define SOON "--heartbeat-ms", "100", "--suspect-ms", "200", "--reconnect-ms", "500"

static const kind_of_loss kinds[] = {
    {"shrink", "SIGKILL", {"kill", {SHRINK}, 0, 0, 0}, 5e3, 10e3, 100e3, 1},
    {"waiting spare", "SIGKILL", {"kill", {"--spares", "1"}, 0, 0, 0}, 5e3, 10e3, 100e3, 1},
    {"fresh process", "SIGKILL", {"kill", {NULL}, 0, 0, 0}, 5e3, 10e3, 1e6, 1},
    {"4 GiB resident", "SIGKILL", {"kill", {SHRINK}, 0, (size_t)4 << 30, 0}, 0, 0, 0, 6},
    /* The silence of 1 s and one heartbeat. */
    {"stopped process, silence 1000 ms",
     "SIGSTOP",
     {"stop", {SHRINK, SOON, "--silence-ms", "1000"}, 0, 0, 0},
     1100e3,
     10e3,
     0,
     3},
    /* The batch's deadline of 1 s and one heartbeat. */
    {"hung thread, batch deadline 1000 ms",
     "hang",
     {"hang", {SHRINK, SOON, "--batch-ms", "1000", "--silence-ms", "1000"}, 0, 0, 0},
     1100e3,
     10e3,
     0,
     3},
};

typedef struct figures {
    muster_samples detect_us;
    muster_samples release_us;
    muster_samples rebuild_us;
} figures;

static bool sample(const muster_recovery_run *run, int runs, figures *out)
{
    for (int i = 0; i < runs; i++) {
        muster_recovery_times times;
        if (!muster_recovery_run_once(run, &times))
            return false;
        muster_samples_add(&out->detect_us, times.detect_us);
        muster_samples_add(&out->release_us, times.release_us);
        muster_samples_add(&out->rebuild_us, times.rebuild_us);
    }
    return true;
}

static bool measure_kind(const kind_of_loss *kind, int ranks, int runs)
{
    figures out;
    muster_samples_init(&out.detect_us);
    muster_samples_init(&out.release_us);
    muster_samples_init(&out.rebuild_us);
    muster_recovery_run run = kind->run;
    run.ranks = ranks;
    int wanted = runs / kind->runs_divisor > 0 ? runs / kind->runs_divisor : 1;
    bool good = sample(&run, wanted, &out);
    if (good) {
        char name[96];
        snprintf(name, sizeof(name), "%s: %s to verdict", kind->name, kind->what);
        muster_measure_print_time(name, &out.detect_us, kind->detect_wanted_us);
        snprintf(name, sizeof(name), "%s: verdict to the last survivor released", kind->name);
        muster_measure_print_time(name, &out.release_us, kind->release_wanted_us);
        snprintf(name, sizeof(name), "%s: release to the last rank rebuilt", kind->name);
        muster_measure_print_time(name, &out.rebuild_us, kind->rebuild_wanted_us);
    }
    muster_samples_clean_up(&out.detect_us);
    muster_samples_clean_up(&out.release_us);
    muster_samples_clean_up(&out.rebuild_us);
    return good;
}

/* What the control plane costs a job that loses nobody: each agent's threads over the time of the job. */
static bool measure_agents(int ranks)
{
    const muster_recovery_run run = {.loss = "none", .ranks = ranks, .busy_ms = 5000};
    double agent_share[RANKS_MOST];
    if (!muster_recovery_run_busy(&run, agent_share))
        return false;
    muster_samples percent;
    muster_samples_init(&percent);
    for (int slot = 0; slot < ranks; slot++)
        muster_samples_add(&percent, agent_share[slot] * 100.0);
    double worst = muster_samples_most(&percent);
    printf("%-68s median %.4f %%  worst %.4f %%  of the job's time  n %d  wanted < 0.1 %%: %s\n",
           "CPU time of a rank's agent, heartbeat 250 ms", muster_samples_median(&percent), worst,
           ranks, worst < 0.1 ? "held" : "MISSED");
    muster_samples_clean_up(&percent);
    return true;
}

static void print_help(FILE *out)
{
    fprintf(out,
            "usage: muster bench recovery [--runs N] [--ranks N] [--only KIND]\n"
            "Loses a rank on purpose while the others wait in a batch, and prints how long its "
            "verdict, the\n"
            "others' release and the rebuild took; then what an agent costs a job that loses "
            "nobody.\n\n"
            "  --runs N     1 to 10000 (30) of each kind; the slow kinds a third or a sixth of it\n"
            "  --ranks N    %d to %d (8)\n"
            "  --only KIND  one of\n",
            RANKS_LEAST, RANKS_MOST);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        fprintf(out, "                 \"%s\"\n", kinds[i].name);
    fprintf(out, "Exit code: 0 measured, 1 a measurement failed, 2 usage.\n");
}

static int refuse(const char *format, const char *came)
{
    fprintf(stderr, "muster bench recovery: ");
    fprintf(stderr, format, came);
    fprintf(stderr, "\nmuster bench recovery: see `muster bench recovery --help`\n");
    return EXIT_USAGE;
}

static bool is_kind(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(name, kinds[i].name) == 0)
            return true;
    return false;
}

static bool number_within(const char *text, long least, long most, long *value)
{
    char *end = NULL;
    *value = strtol(text, &end, 10);
    return end != text && *end == '\0' && *value >= least && *value <= most;
}

int muster_recovery_bench_main(int argc, char **argv)
{
    static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
                                            {"ranks", required_argument, NULL, 'n'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    long runs = 30;
    long ranks = 8;
    const char *only = NULL;
    int option;
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            print_help(stdout);
            return EXIT_OK;
        }
        if (option == 'o')
            only = optarg;
        else if (option == 'r' && !number_within(optarg, 1, 10000, &runs))
            return refuse("--runs: expected a number from 1 to 10000, came '%s'", optarg);
        else if (option == 'n' && !number_within(optarg, RANKS_LEAST, RANKS_MOST, &ranks))
            return refuse("--ranks: expected a number from 3 to 64, came '%s'", optarg);
        else if (option == '?')
            return refuse("option %s is unknown, or lacks its value", argv[optind - 1]);
    }
    if (optind < argc)
        return refuse("it takes options only, came '%s'", argv[optind]);
    if (only != NULL && !is_kind(only))
        return refuse("--only: there is no kind '%s'", only);
    printf("# recovery of %ld ranks on %ld cores, the others waiting in a batch\n", ranks,
           sysconf(_SC_NPROCESSORS_ONLN));
    bool good = true;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && good; i++)
        if (only == NULL || strcmp(only, kinds[i].name) == 0)
            good = measure_kind(&kinds[i], (int)ranks, (int)runs);
    if (only == NULL)
        good = good && measure_agents((int)ranks);
    return good ? EXIT_OK : EXIT_FAILED;
}
