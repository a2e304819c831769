/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench_rank.h"
#include "bench/nccl_bench.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static void print_help(FILE *out)
{
    fprintf(
        out,
        "usage: muster bench [collective]\n"
        "       muster bench recovery [--runs N] [--ranks N] [--only KIND]\n"
        "       muster bench nccl [-n RANKS] [--nccl-library FILE] [--cuda-library FILE]\n"
        "\n"
        "Measures Muster on this machine, next to what the machine allows: every ratio is of two\n"
        "things measured in one run.\n"
        "  collective  agreement rounds, small and large gather + scatter, 2 ranks, and 8 ranks\n"
        "              (more ranks than cores on a small machine)\n"
        "  recovery    a killed rank while the others wait in a batch: detection, release, "
        "rebuild\n"
        "  nccl        what the device plane adds to the NCCL calls that it makes\n"
        "Exit code: 0 measured, 1 a measurement failed, 2 usage.\n");
}

/* Runs `muster run -n ranks -- muster bench rank` and waits for it. */
static int run_ranks(int ranks)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length < 0) {
        fprintf(stderr, "muster bench: cannot find its own program: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    self[length] = '\0';
    char count[16];
    snprintf(count, sizeof(count), "%d", ranks);
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "muster bench: fork: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    if (child == 0) {
        execl(self, "muster", "run", "-n", count, "--no-prefix", "--", self, "bench", "rank",
              (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return EXIT_OK;
    fprintf(stderr, "muster bench: the run with %d ranks failed\n", ranks);
    return EXIT_FAILED;
}

static bool asks_for_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

int muster_bench_main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "collective";
    if (strcmp(what, "rank") == 0)
        return muster_bench_rank_main();
    if (strcmp(what, "nccl") == 0)
        return muster_nccl_bench_main(argc - 1, argv + 1);
    if (strcmp(what, "nccl-rank") == 0)
        return muster_nccl_bench_rank_main(argc - 1, argv + 1);
    if (asks_for_help(what) || (argc == 3 && asks_for_help(argv[2]))) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(what, "collective") != 0 || argc > 2) {
        fprintf(stderr, "muster bench: unknown argument \"%s\"\n",
                strcmp(what, "collective") != 0 ? what : argv[2]);
        print_help(stderr);
        return EXIT_USAGE;
    }
    printf("# %ld cores\n", sysconf(_SC_NPROCESSORS_ONLN));
    int code = run_ranks(2);
    return code != EXIT_OK ? code : run_ranks(8);
}
