/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/nccl_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/nccl_count.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, PATH_BYTES = 4096 };

typedef struct nccl_bench {
    const char
        *stand_ins; /* folder of stand_in_nccl.so and stand_in_cuda.so; NULL: beside this program */
    const char *nccl_library;
    const char *cuda_library;
    int ranks;
    char self[PATH_BYTES];
    char folder[64]; /* of figures and counts */
    char figures[128];
} nccl_bench;

static void print_help(FILE *out)
{
    fprintf(
        out,
        "usage: muster bench nccl [-n RANKS] [--nccl-library FILE] [--cuda-library FILE]\n"
        "                         [--stand-ins FOLDER]\n"
        "\n"
        "What the device plane adds to the NCCL calls that it makes.\n"
        "  own work   over stand-ins for NCCL and CUDA that take no time (tests build them), so "
        "that\n"
        "             only Muster's own is left: its time, and, where valgrind is installed, its\n"
        "             instructions per batch, per tensor and per rank\n"
        "  latency    a gather by bare NCCL calls and by Muster, in turn, on whatever NCCL runs "
        "on\n"
        "Exit code: 0 measured, 1 a measurement failed, 2 usage.\n");
}

static bool own_path(nccl_bench *bench)
{
    const ssize_t length = readlink("/proc/self/exe", bench->self, sizeof(bench->self) - 1);
    if (length > 0)
        bench->self[length] = '\0';
    return length > 0;
}

static bool is_executable_in_path(const char *name)
{
    const char *path = getenv("PATH");
    char candidate[PATH_BYTES];
    while (path != NULL && *path != '\0') {
        const int length = (int)strcspn(path, ":");
        if (snprintf(candidate, sizeof(candidate), "%.*s/%s", length, path, name) <
                (int)sizeof(candidate) &&
            access(candidate, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static void set_or_unset(const char *name, const char *value)
{
    if (value != NULL)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

/* In the child: `muster run -n ranks -- muster bench nccl-rank ...`. */
static void exec_ranks(const nccl_bench *bench, int ranks, bool device, const char *const *words)
{
    const char *argv[24];
    char count[16];
    int argc = 0;
    snprintf(count, sizeof(count), "%d", ranks);
    argv[argc++] = bench->self;
    argv[argc++] = "run";
    argv[argc++] = "-n";
    argv[argc++] = count;
    argv[argc++] = "--no-prefix";
    if (device) {
        argv[argc++] = "--device";
        argv[argc++] = "nccl";
    }
    argv[argc++] = "--";
    argv[argc++] = bench->self;
    argv[argc++] = "bench";
    argv[argc++] = "nccl-rank";
    while (*words != NULL && argc < 23)
        argv[argc++] = *words++;
    argv[argc] = NULL;
    execv(bench->self, (char *const *)(void *)argv);
    _exit(127);
}

static void keep_words(const char *file)
{
    const int descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor >= 0)
        (void)dup2(descriptor, STDERR_FILENO);
}

static void tell_words(const char *file)
{
    char text[1024];
    size_t length;
    FILE *words = fopen(file, "re");
    while (words != NULL && (length = fread(text, 1, sizeof(text), words)) > 0)
        (void)fwrite(text, 1, length, stderr);
    if (words != NULL)
        fclose(words);
}

/* What a run says on its stderr is told where it failed: the launcher explains itself each time. */
static bool run_ranks(const nccl_bench *bench, int ranks, const char *nccl, const char *cuda,
                      bool device, const char *const *words)
{
    char words_file[128];
    snprintf(words_file, sizeof(words_file), "%s/words", bench->folder);
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "muster bench: fork: %s\n", strerror(errno));
        return false;
    }
    if (child == 0) {
        set_or_unset("MUSTER_NCCL_LIBRARY", nccl);
        set_or_unset("MUSTER_CUDA_LIBRARY", cuda);
        keep_words(words_file);
        exec_ranks(bench, ranks, device, words);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!well)
        tell_words(words_file);
    unlink(words_file);
    return well;
}

/* The last value of that name that a rank wrote; 0 where there is none. */
static double figure(const nccl_bench *bench, const char *wanted)
{
    char name[64];
    double value, found = 0;
    FILE *file = fopen(bench->figures, "re");
    while (file != NULL && fscanf(file, "%63s %lf", name, &value) == 2) {
        if (strcmp(name, wanted) == 0)
            found = value;
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* ---- own work ---- */

static bool find_stand_ins(const nccl_bench *bench, char *nccl, char *cuda)
{
    char folder[PATH_BYTES];
    if (bench->stand_ins != NULL) {
        snprintf(folder, sizeof(folder), "%s", bench->stand_ins);
    } else {
        snprintf(folder, sizeof(folder), "%s", bench->self);
        char *slash = strrchr(folder, '/');
        if (slash != NULL)
            snprintf(slash, sizeof(folder) - (size_t)(slash - folder), "/../lib");
    }
    return snprintf(nccl, PATH_BYTES, "%s/stand_in_nccl.so", folder) < PATH_BYTES &&
           snprintf(cuda, PATH_BYTES, "%s/stand_in_cuda.so", folder) < PATH_BYTES &&
           access(nccl, R_OK) == 0 && access(cuda, R_OK) == 0;
}

/* The least of the batches: in the others the root also waited, in the agreement round. */
static bool read_counts(const char *file, double *least)
{
    char part[192];
    bool well = true;
    *least = 0;
    for (int i = 1; i <= MUSTER_NCCL_BENCH_BATCHES && well; i++) {
        uint64_t own = 0, others = 0;
        snprintf(part, sizeof(part), "%s.%d", file, i);
        well = muster_nccl_count_read(part, "stand_in_", &own, &others) && own > 0;
        if (well && (i == 1 || (double)own < *least))
            *least = (double)own;
    }
    for (int i = 1; i <= MUSTER_NCCL_BENCH_BATCHES + 1; i++) {
        snprintf(part, sizeof(part), "%s.%d", file, i);
        unlink(part);
    }
    unlink(file);
    return well;
}

static bool count(const nccl_bench *bench, const char *nccl, const char *cuda, int ranks,
                  int tensors, double *least)
{
    char file[160], tensor_text[16];
    snprintf(file, sizeof(file), "%s/count.%d.%d", bench->folder, ranks, tensors);
    snprintf(tensor_text, sizeof(tensor_text), "%d", tensors);
    const char *const words[] = {"counted", bench->figures, tensor_text, file, NULL};
    const bool ran = run_ranks(bench, ranks, nccl, cuda, true, words);
    if (read_counts(file, least) && ran)
        return true;
    fprintf(stderr, "muster bench: counting with %d ranks and %d tensors failed\n", ranks, tensors);
    return false;
}

static bool count_all(const nccl_bench *bench, const char *nccl, const char *cuda)
{
    double least = 0, more_tensors = 0, more_ranks = 0;
    if (!count(bench, nccl, cuda, 2, 1, &least) || !count(bench, nccl, cuda, 2, 9, &more_tensors) ||
        !count(bench, nccl, cuda, 6, 1, &more_ranks))
        return false;
    printf("instructions of the root's calling thread, gather of 1 tensor, 2 ranks: %.0f a batch; "
           "%.0f more a tensor, %.0f more a rank\n",
           least, (more_tensors - least) / 8, (more_ranks - least) / 4);
    return true;
}

static bool measure_own_work(const nccl_bench *bench)
{
    char nccl[PATH_BYTES], cuda[PATH_BYTES];
    const char *const host[] = {"host", bench->figures, NULL};
    const char *const stand_in[] = {"stand-in", bench->figures, NULL};
    if (!run_ranks(bench, bench->ranks, NULL, NULL, false, host))
        return false;
    if (!find_stand_ins(bench, nccl, cuda)) {
        printf("own work: not measured: no stand_in_nccl.so and stand_in_cuda.so (the tests build "
               "them; --stand-ins FOLDER)\n");
        return true;
    }
    if (!run_ranks(bench, bench->ranks, nccl, cuda, true, stand_in))
        return false;
    const double host_round_us = figure(bench, "host_round_us");
    const double device_round_us = figure(bench, "device_round_us");
    printf("%-68s %.2f of the host plane's  wanted <= 2: %s\n",
           "agreement round in a job with a device plane", device_round_us / host_round_us,
           device_round_us <= 2 * host_round_us ? "held" : "MISSED");
    printf("%-68s %10.2f us\n", "Muster's own work for a gather, its round not counted",
           figure(bench, "free_gather_us") - device_round_us);
    if (!is_executable_in_path("valgrind")) {
        printf("instructions: not counted: there is no valgrind\n");
        return true;
    }
    return count_all(bench, nccl, cuda);
}

/* ---- latency ---- */

static bool measure_latency(const nccl_bench *bench)
{
    const char *const words[] = {"latency", bench->figures, NULL};
    if (!run_ranks(bench, bench->ranks, bench->nccl_library, bench->cuda_library, true, words)) {
        printf("latency: not measured, for the reason above\n");
        return bench->nccl_library == NULL;
    }
    const double own_us = figure(bench, "free_gather_us") - figure(bench, "device_round_us");
    const double enqueue_us = figure(bench, "enqueue_us");
    printf("%-68s %10.2f us\n", "Muster over the bare calls",
           figure(bench, "muster_gather_us") - figure(bench, "raw_gather_us"));
    if (figure(bench, "free_gather_us") > 0)
        printf("%-68s %.3f of NCCL's enqueue  wanted < 0.05: %s\n", "Muster's own work",
               own_us / enqueue_us, own_us < 0.05 * enqueue_us ? "held" : "MISSED");
    return true;
}

static bool parse(nccl_bench *bench, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        char *end = NULL;
        if (value == NULL) {
            fprintf(stderr, "muster bench nccl: unknown argument, or one without its value: %s\n",
                    argv[i]);
            return false;
        }
        if (strcmp(argv[i], "-n") == 0) {
            bench->ranks = (int)strtol(value, &end, 10);
            if (*end != '\0' || bench->ranks < 2 || bench->ranks > 64) {
                fprintf(stderr, "muster bench nccl: -n takes 2 to 64, not %s\n", value);
                return false;
            }
        } else if (strcmp(argv[i], "--nccl-library") == 0) {
            bench->nccl_library = value;
        } else if (strcmp(argv[i], "--cuda-library") == 0) {
            bench->cuda_library = value;
        } else if (strcmp(argv[i], "--stand-ins") == 0) {
            bench->stand_ins = value;
        } else {
            fprintf(stderr, "muster bench nccl: unknown argument %s\n", argv[i]);
            return false;
        }
        i++;
    }
    return true;
}

int muster_nccl_bench_main(int argc, char **argv)
{
    nccl_bench bench = {.ranks = 2, .folder = "/tmp/muster-bench-XXXXXX"};
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (!parse(&bench, argc, argv)) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (!own_path(&bench) || mkdtemp(bench.folder) == NULL) {
        fprintf(stderr, "muster bench nccl: no folder for its figures: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    snprintf(bench.figures, sizeof(bench.figures), "%s/figures", bench.folder);
    printf("# %ld cores, %d ranks\n", sysconf(_SC_NPROCESSORS_ONLN), bench.ranks);
    bool well = measure_own_work(&bench);
    well = measure_latency(&bench) && well;
    unlink(bench.figures);
    rmdir(bench.folder);
    return well ? EXIT_OK : EXIT_FAILED;
}
