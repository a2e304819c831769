/* SPDX-License-Identifier: Apache-2.0 */
/* Detection, release and rebuild against the number of ranks: the table of recovery/README.md. By hand
 *
 *   simulation_size [--ranks N,N,...] [--form direct|aggregated] [--check]
 *
 * --check: ends with 1 where the coordinator's frames or bytes for a rank grow with the number of ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "size_model.h"

#define SIZES_MAX 16
/* A job of a few hosts pays for notes and deaths with few ranks, so that its share is the larger one. */
#define GROWTH_ALLOWED 1.05

static int32_t sizes[SIZES_MAX] = {8, 64, 512, 1024, 4096, 10000, 32768, 100000};
static int size_count = 8;

static bool size_parse(char *text)
{
    size_count = 0;
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        int32_t ranks = (int32_t)strtol(word, NULL, 10);
        if (size_count == SIZES_MAX || ranks < SIZE_RANKS_A_HOST ||
            ranks % SIZE_RANKS_A_HOST != 0 || ranks > MUSTER_SLOTS_MAX) {
            return false;
        }
        sizes[size_count++] = ranks;
    }
    return size_count > 0;
}

static void size_print_head(void)
{
    printf("| ranks | hosts | form | coordinator busy with heartbeats "
           "| killed rank: verdict, ms | all are told, ms | a spare is in, ms | or shrunk, ms "
           "| lost host: verdict, s | all are told, ms | shrunk, ms "
           "| coordinator's work, us a rank | frames a rank | bytes a rank "
           "| core, us a message | its longest turn, ms |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
}

static void size_print(const size_result *result)
{
    printf("| %d | %d | %s | %.3f | ", result->ranks, result->hosts,
           result->aggregated ? "one agent a host" : "direct", result->busy);
    if (!result->feasible) {
        printf("more than one thread can take | | | | | | | | | | | |\n");
        return;
    }
    printf("%.2f | %.1f | %.1f | %.1f | ", result->replaced.detect_ms, result->replaced.told_ms,
           result->replaced.rebuilt_ms, result->shrunk.rebuilt_ms);
    if (result->hosts > 1) {
        printf("%.1f | %.1f | %.1f | ", result->vanished.detect_ms / 1e3, result->vanished.told_ms,
               result->vanished.rebuilt_ms);
    } else {
        printf("- | - | - | ");
    }
    printf("%.1f | %.2f | %.0f | %.2f | %.1f |\n", result->replaced.work_us,
           result->replaced.frames, result->replaced.bytes, result->core_us, result->core_worst_ms);
}

/* One cost of a rank, in two sizes. */
static bool size_grew_in(const size_result *before, const size_result *now, const char *what,
                         double earlier, double later)
{
    if (later <= GROWTH_ALLOWED * earlier) {
        return false;
    }
    fprintf(stderr, "size: a rank of %d costs %.2f %s, one of %d %.2f\n", before->ranks, earlier,
            what, now->ranks, later);
    return true;
}

static bool size_grew(const size_result *before, const size_result *now)
{
    if (!before->feasible || !now->feasible) {
        return false;
    }
    const size_loss *one = &before->replaced;
    const size_loss *other = &now->replaced;
    bool frames = size_grew_in(before, now, "frames", one->frames, other->frames);
    bool bytes = size_grew_in(before, now, "bytes", one->bytes, other->bytes);
    bool work = size_grew_in(before, now, "us", one->work_us, other->work_us);
    bool beats = size_grew_in(before, now, "bytes of heartbeats", before->heartbeat_bytes,
                              now->heartbeat_bytes);
    return frames || bytes || work || beats;
}

int main(int argc, char **argv)
{
    bool check = false;
    int first_form = 0; /* direct, */
    int last_form = 1;  /* aggregated */
    bool failed = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0) {
            check = true;
        } else if (strcmp(argv[i], "--form") == 0 && i + 1 < argc) {
            first_form = strcmp(argv[++i], "aggregated") == 0;
            last_form = first_form;
        } else if (strcmp(argv[i], "--ranks") != 0 || i + 1 == argc || !size_parse(argv[++i])) {
            fprintf(
                stderr,
                "usage: simulation_size [--ranks N,N,...] [--form direct|aggregated] [--check]\n"
                "N: a multiple of %d, at most %d\n",
                SIZE_RANKS_A_HOST, MUSTER_SLOTS_MAX);
            return 2;
        }
    }
    size_print_head();
    for (int aggregated = first_form; aggregated <= last_form; aggregated++) {
        size_result before = {0};
        for (int i = 0; i < size_count; i++) {
            size_result result;
            failed = !size_model_run(&size_machine_default, sizes[i], aggregated != 0, &result) ||
                     failed;
            size_print(&result);
            fflush(stdout);
            failed = (check && size_grew(&before, &result)) || failed;
            before = result;
        }
    }
    return failed;
}
