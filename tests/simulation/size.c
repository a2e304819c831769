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

static int32_t sizes[SIZES_MAX] = {8, 64, 512, 4096, 10000, 32768};
static int size_count = 6;

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

static void size_print(const size_result *result)
{
    printf("| %d | %d | %s | %.3f | ", result->ranks, result->hosts,
           result->aggregated ? "one agent a host" : "direct", result->busy);
    if (!result->feasible) {
        printf("more than one thread can take | | | | | | |\n");
        return;
    }
    printf("%.2f | %.1f | %.1f | ", result->killed.detect_ms, result->killed.told_ms,
           result->killed.rebuilt_ms);
    if (result->hosts > 1) {
        printf("%.1f s | ", result->vanished.detect_ms / 1e3);
    } else {
        printf("- | ");
    }
    printf("%.2f | %.0f | %.2f |\n", result->killed.frames, result->killed.bytes, result->core_us);
}

static bool size_grew(const size_result *before, const size_result *now)
{
    bool grew = before->feasible && now->feasible &&
                (now->killed.frames > GROWTH_ALLOWED * before->killed.frames ||
                 now->killed.bytes > GROWTH_ALLOWED * before->killed.bytes ||
                 now->heartbeat_bytes > GROWTH_ALLOWED * before->heartbeat_bytes);
    if (grew) {
        fprintf(stderr,
                "size: %d ranks cost %.2f frames and %.0f bytes each, %d ranks %.2f and %.0f\n",
                before->ranks, before->killed.frames, before->killed.bytes, now->ranks,
                now->killed.frames, now->killed.bytes);
    }
    return grew;
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
    printf(
        "| ranks | hosts | form | coordinator busy with heartbeats | killed rank: verdict, ms | "
        "all are "
        "told, ms | rebuilt, ms | lost host: verdict | frames a rank | bytes a rank | core, us a "
        "message |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
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
