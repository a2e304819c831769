/* SPDX-License-Identifier: Apache-2.0 */
/* A process that traces and does nothing else: what the launcher's children look like to LTTng.
 * traced_rank SLOT INCARNATION BATCHES   0 batches: until killed. Prints "untraced: ..." or "traced"
 * first, and "done" when it has come to the end of its batches. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "collective/record.h"
#include "core/message.h"
#include "tracing/trace.h"

#include <muster/phase.h>

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

static void one_of_each(const muster_tracer *tracer)
{
    const muster_trace_batch batch = {.communicator = 7, .call = MUSTER_CALL_SCATTERV};
    MUSTER_TRACE(tracer, batch_failed, &batch, MUSTER_ERR_RANK_LOST, 2, MUSTER_FIELD_SLOT);
    MUSTER_TRACE(tracer, phase_begin, MUSTER_PHASE_FIRST_FORWARD, 1);
    MUSTER_TRACE(tracer, phase_end, MUSTER_PHASE_FIRST_FORWARD, 1);
    MUSTER_TRACE(tracer, params_begin, 5, 2, -1, 1024);
    MUSTER_TRACE(tracer, params_end, 5, 2, -1, MUSTER_OK);
    MUSTER_TRACE(tracer, step_staged, 6, 11, 2048);
    MUSTER_TRACE(tracer, step_committed, 6, 11);
    MUSTER_TRACE(tracer, recovery, MUSTER_NOTE_VERDICT, 3, 2, 1, MUSTER_EVIDENCE_EXITED, -5);
    MUSTER_TRACE(tracer, clock_ping, 1, 10, 20, 30, 40);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    muster_trace_identity who = {.job = 0xabcdef,
                                 .slot = (int32_t)atoi(argv[1]),
                                 .incarnation = (uint32_t)atoi(argv[2]),
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
    for (uint64_t sequence = 1; count == 0 || sequence <= count; sequence++)
        one_batch(&tracer, sequence);
    printf("done\n");
    muster_tracer_close(&tracer);
    return 0;
}
