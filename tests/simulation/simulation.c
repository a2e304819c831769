/* SPDX-License-Identifier: Apache-2.0 */
/* Runs seeds through the simulated control plane. Prints each seed that broke a rule, and how to see it
 * again; ends with 1 when one did (with --expect-failure: when none did). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

typedef struct simulation_options {
    unsigned long long first, last;
    bool verbose;
    bool expect_failure; /* a rule was taken out of the core: some seed must show it */
    bool keep_going;
} simulation_options;

static char current_seed[96]; /* for the last words of a failed assertion */

static void simulation_aborted(int signal_number)
{
    size_t length = strlen(current_seed);
    (void)!write(STDOUT_FILENO, current_seed, length);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static int simulation_usage(const char *problem)
{
    fprintf(stderr,
            "simulation: %s\n"
            "usage: simulation [--seeds FIRST-LAST | --seed SEED] [--verbose] [--keep-going]\n"
            "                  [--expect-failure]\n",
            problem);
    return 2;
}

static bool simulation_parse(int argc, char **argv, simulation_options *options)
{
    *options = (simulation_options){.first = 1, .last = 2000};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            options->verbose = true;
        } else if (strcmp(argv[i], "--expect-failure") == 0) {
            options->expect_failure = true;
        } else if (strcmp(argv[i], "--keep-going") == 0) {
            options->keep_going = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            options->first = strtoull(argv[++i], NULL, 10);
            options->last = options->first;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            if (sscanf(argv[++i], "%llu-%llu", &options->first, &options->last) != 2) {
                return false;
            }
        } else {
            return false;
        }
    }
    return options->first <= options->last;
}

int main(int argc, char **argv)
{
    simulation_options options;
    if (!simulation_parse(argc, argv, &options)) {
        return simulation_usage("what is asked is not understood");
    }
    signal(SIGABRT, simulation_aborted);
    signal(SIGSEGV, simulation_aborted);
    unsigned long long failed = 0;
    unsigned long long finished = 0;
    unsigned long long gave_up = 0;
    unsigned long long turns = 0;
    unsigned long long commits = 0;
    unsigned long long rebuilds = 0;
    unsigned long long verdicts = 0;
    unsigned long long grown = 0;
    unsigned long long told_all = 0;
    unsigned long long told_changes = 0;
    for (unsigned long long seed = options.first; seed <= options.last; seed++) {
        sim_outcome outcome;
        snprintf(current_seed, sizeof current_seed, "seed %llu: an assertion failed\n", seed);
        sim_world_run(seed, options.verbose, &outcome);
        finished += outcome.finished;
        gave_up += outcome.gave_up && !outcome.finished;
        turns += outcome.turns;
        commits += outcome.commits;
        rebuilds += outcome.rebuilds;
        verdicts += outcome.verdicts;
        grown += outcome.grown;
        told_all += outcome.told_all;
        told_changes += outcome.told_changes;
        if (!outcome.failed) {
            continue;
        }
        failed++;
        printf("seed %llu: %s\n  again: %s --seed %llu --verbose\n", seed, outcome.failure, argv[0],
               seed);
        if (!options.keep_going) {
            break;
        }
    }
    unsigned long long count = options.last - options.first + 1;
    printf(
        "%llu seeds: %llu finished, %llu gave up, %llu ended otherwise, %llu failed; %llu steps, "
        "%llu verdicts, %llu rebuilds (%llu to grow), members told %llu times, changes %llu times, "
        "%llu turns\n",
        count, finished, gave_up, count - finished - gave_up - failed, failed, commits, verdicts,
        rebuilds, grown, told_all, told_changes, turns);
    return (failed > 0) != options.expect_failure;
}
