/* SPDX-License-Identifier: Apache-2.0 */
/* The trace facade: call sites see this and nothing of LTTng. The provider is a .so of its own that is
 * loaded when tracing is wanted; without it every call here is one test of a pointer.
 *
 * Events are named noun_verb in lower case, one scheme: batch_begin, batch_op, batch_submitted,
 * batch_complete, batch_failed, phase_begin, phase_end, params_begin, params_end, step_staged,
 * step_committed, recovery (one event with a kind), clock_ping. Each carries job, slot, incarnation,
 * epoch and sequence. */
#ifndef MUSTER_TRACING_TRACE_H
#define MUSTER_TRACING_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>

#define MUSTER_TRACE_TABLE_VERSION 1u

/* Who speaks: filled once, then updated by its owner when the epoch changes. */
typedef struct muster_trace_identity {
    uint64_t job;
    int32_t slot; /* -1: coordinator, -2: launcher */
    uint32_t incarnation;
    uint64_t epoch;
} muster_trace_identity;

typedef struct muster_trace_batch {
    uint64_t communicator;
    uint64_t sequence;
    uint32_t call; /* muster_call */
    int32_t root;
    int32_t rank;
    int32_t rank_count;
    int32_t tensor_count;
    int32_t phase;
    uint64_t bytes_out; /* of this rank */
    uint64_t bytes_in;
} muster_trace_batch;

/* What a provider fills. All pointers set. Called from any thread. */
typedef struct muster_trace_table {
    uint32_t table_version;
    void (*batch_begin)(const muster_trace_identity *who, const muster_trace_batch *batch);
    void (*batch_op)(const muster_trace_identity *who, const muster_trace_batch *batch,
                     uint32_t kind, int32_t peer, uint64_t bytes);
    void (*batch_submitted)(const muster_trace_identity *who, const muster_trace_batch *batch);
    void (*batch_complete)(const muster_trace_identity *who, const muster_trace_batch *batch);
    void (*batch_failed)(const muster_trace_identity *who, const muster_trace_batch *batch,
                         int32_t status, int32_t failing_rank, uint32_t field);
    void (*phase_begin)(const muster_trace_identity *who, int32_t phase, int32_t depth);
    void (*phase_end)(const muster_trace_identity *who, int32_t phase, int32_t depth);
    void (*params_begin)(const muster_trace_identity *who, uint64_t sequence, int32_t param_count,
                         int32_t modifier, uint64_t bytes);
    void (*params_end)(const muster_trace_identity *who, uint64_t sequence, int32_t param_count,
                       int32_t modifier, int32_t status);
    void (*step_staged)(const muster_trace_identity *who, uint64_t sequence, uint64_t step,
                        uint64_t bytes);
    void (*step_committed)(const muster_trace_identity *who, uint64_t sequence, uint64_t step);
    /* kind: muster_note_kind; evidence: muster_evidence */
    void (*recovery)(const muster_trace_identity *who, uint32_t kind, uint64_t epoch, int32_t slot,
                     uint32_t incarnation, uint32_t evidence, int64_t value);
    /* about_slot answered; received_ns and answered_ns are of its clock, the others of the sender's */
    void (*clock_ping)(const muster_trace_identity *who, uint64_t ping_id, int32_t about_slot,
                       uint64_t sent_ns, uint64_t received_ns, uint64_t answered_ns,
                       uint64_t back_ns);
} muster_trace_table;

/* The one symbol of a provider .so: `const muster_trace_table *muster_trace_provider(void)`. */
#define MUSTER_TRACE_PROVIDER_SYMBOL "muster_trace_provider"
/* File name of the LTTng provider; looked for beside the object that holds this code (libmuster, or a
 * program), then in the library folder that belongs to that place, then by the loader's rules. */
#define MUSTER_TRACE_PROVIDER_LTTNG "libmuster-lttng.so.0"

typedef struct muster_tracer {
    const muster_trace_table *table; /* NULL: not tracing */
    void *library;
    muster_trace_identity who;
} muster_tracer;

/* Loads the provider where wanted. A provider that is missing or of another version leaves the tracer
 * silent and gives the reason in error with MUSTER_ERR_UNSUPPORTED; nothing else changes. Blocks for
 * the dlopen (LTTng registers with its session daemon; never waits for one that is not there). */
muster_status muster_tracer_open(muster_tracer *tracer, bool wanted,
                                 const muster_trace_identity *who, muster_error *error);
/* The same with a provider of the caller's choice. */
muster_status muster_tracer_open_file(muster_tracer *tracer, const char *path,
                                      const muster_trace_identity *who, muster_error *error);
void muster_tracer_close(muster_tracer *tracer);

/* Call sites write: MUSTER_TRACE(&job->tracer, batch_begin, &batch); */
#define MUSTER_TRACE(tracer, event, ...) \
    do { \
        if (__builtin_expect((tracer)->table != NULL, 0)) \
            (tracer)->table->event(&(tracer)->who, __VA_ARGS__); \
    } while (0)

#endif
