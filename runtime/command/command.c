/* SPDX-License-Identifier: Apache-2.0 */
/* The `muster` command: dispatch only; each subcommand lives with its subject. */
#include <stdio.h>
#include <string.h>

#include <muster/version.h>

#include "bench/bench.h"
#include "bench/recovery_bench.h"
#include "coordinator/coordinator.h"
#include "coordinator/keys_command.h"
#include "launcher/launcher.h"
#include "launcher/status_command.h"
#include "tracing/postmortem/postmortem.h"

#define COMMAND_EXIT_OK 0
#define COMMAND_EXIT_USAGE 2

typedef struct command_entry {
    const char *name;
    const char *sentence;
    int (*run)(int argc, char **argv);
} command_entry;

/* Two subjects measure themselves: each has its own benchmark. */
static int command_bench(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "recovery") == 0)
        return muster_recovery_bench_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "recovery-rank") == 0)
        return muster_recovery_bench_rank_main();
    return muster_bench_main(argc, argv);
}

static const command_entry commands[] = {
    {"run", "start the ranks of a job, and replace those that die", muster_launcher_main},
    {"coordinator", "keep the membership of jobs", muster_coordinator_main},
    {"status", "show what jobs and their ranks do", muster_status_main},
    {"keys", "make the keys with which a coordinator and its clients know each other",
     muster_keys_main},
    {"postmortem", "tell from its traces what happened in a job", muster_postmortem_main},
    {"bench", "measure Muster next to what this machine allows", command_bench},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void command_print_help(FILE *out)
{
    fprintf(out, "usage: muster COMMAND [options]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].sentence);
    fprintf(out, "  %-12s %s\n  %-12s %s\n", "version", "print the version", "help", "this text");
    fprintf(out, "\n`muster COMMAND --help` tells more.\n");
}

static int command_print_version(void)
{
    uint32_t version = MUSTER_VERSION;
    printf("muster %u.%u.%u\n", version / 1000000u, version / 1000u % 1000u, version % 1000u);
    return COMMAND_EXIT_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "muster: the command is missing: say what to do\n\n");
        command_print_help(stderr);
        return COMMAND_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        command_print_help(stdout);
        return COMMAND_EXIT_OK;
    }
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0)
        return command_print_version();
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "muster: there is no command '%s'; see `muster help`\n", name);
    return COMMAND_EXIT_USAGE;
}
