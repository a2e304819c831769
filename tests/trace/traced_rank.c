/* SPDX-License-Identifier: Apache-2.0 */
/* A process that traces and does nothing else: what the launcher's children look like to LTTng.
 * traced_rank SLOT INCARNATION BATCHES
 * Prints "traced" or "untraced: ...", makes its batches (0: until standard input ends), printing "warm"
 * at the WARM_BATCHES-th, then prints "done" with the last sequence, and waits for the end of standard
 * input. */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <muster/phase.h>

#include "collective/record.h"
#include "core/message.h"
#include "tracing/trace.h"

#if defined(__SANITIZE_THREAD__)
const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void);

const char *__tsan_default_options(void)
{
    return "atexit_sleep_ms=0";
}

/* The sanitizer does not see the read-copy-update by which LTTng changes its lists of probes. */
const char *__tsan_default_suppressions(void)
{
    return "race:liblttng-ust";
}
#endif

static void one_batch(const muster_tracer *tracer, uint64_t sequence)
{
    const muster_trace_batch batch = {.communicator = 7,
                                      .sequence = sequence,
                                      .call = MUSTER_CALL_GATHERV,
                                      .root = 0,
                                      .rank = tracer->who.slot,
                                      .rank_count = 4,
                                      .tensor_count = 3,
                                      .phase = MUSTER_PHASE_RECOMPUTE,
                                      .bytes_out = 4096,
                                      .bytes_in = 0};
    MUSTER_TRACE(tracer, batch_begin, &batch);
    MUSTER_TRACE(tracer, batch_op, &batch, 1, 0, 4096);
    MUSTER_TRACE(tracer, batch_submitted, &batch);
    MUSTER_TRACE(tracer, batch_complete, &batch);
}

/* So that a test can wait until there is something to lose: several sub-buffers full, for of the one in which a process is killed while it writes, nothing can be read. */
#define WARM_BATCHES 5000

static void one_of_each(const muster_tracer *tracer)
{
    const muster_trace_batch batch = {
        .communicator = 7, .sequence = 99, .call = MUSTER_CALL_SCATTERV, .root = 1};
    MUSTER_TRACE(tracer, batch_failed, &batch, MUSTER_ERR_RANK_LOST, 2, MUSTER_FIELD_SLOT);
    MUSTER_TRACE(tracer, phase_begin, MUSTER_PHASE_FIRST_FORWARD, 1);
    MUSTER_TRACE(tracer, phase_end, MUSTER_PHASE_FIRST_FORWARD, 1);
    MUSTER_TRACE(tracer, params_begin, 5, 2, -1, 1024);
    MUSTER_TRACE(tracer, params_end, 5, 2, -1, MUSTER_ERR_MODIFIER);
    MUSTER_TRACE(tracer, step_staged, 6, 11, 2048);
    MUSTER_TRACE(tracer, step_committed, 6, 11);
    MUSTER_TRACE(tracer, recovery, MUSTER_NOTE_VERDICT, 3, 2, 1, MUSTER_EVIDENCE_EXITED, -5);
    MUSTER_TRACE(tracer, clock_ping, 1, 2, 10, 20, 30, 40);
}

static bool input_ended(int timeout_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, timeout_ms) > 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    muster_trace_identity who = {.job = 0xabcdef,
                                 .slot = (int32_t)strtol(argv[1], NULL, 10),
                                 .incarnation = (uint32_t)strtoul(argv[2], NULL, 10),
                                 .epoch = 3};
    uint64_t count = strtoull(argv[3], NULL, 10);
    muster_tracer tracer;
    muster_error error;
    muster_error_init(&error);
    if (muster_tracer_open(&tracer, true, &who, &error) == MUSTER_OK)
        printf("traced\n");
    else
        printf("untraced: %s\n", error.message);
    fflush(stdout);
    one_of_each(&tracer);
    uint64_t sequence = 0;
    while (count != 0 ? sequence < count : sequence % 64 != 0 || !input_ended(0)) {
        one_batch(&tracer, ++sequence);
        if (sequence == WARM_BATCHES) {
            printf("warm\n");
            fflush(stdout);
        }
    }
    printf("done %llu\n", (unsigned long long)sequence);
    fflush(stdout);
    while (!input_ended(-1)) {
    }
    muster_tracer_close(&tracer);
    return 0;
}
