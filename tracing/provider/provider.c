/* SPDX-License-Identifier: Apache-2.0 */
/* The LTTng-UST provider: turns each entry of the facade's table into one tracepoint. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "tracing/provider/event.h"

#include <muster/export.h>

static void provider_batch_begin(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    lttng_ust_tracepoint(muster, batch_begin, who, batch);
}

static void provider_batch_op(const muster_trace_identity *who, const muster_trace_batch *batch,
                              uint32_t kind, int32_t peer, uint64_t bytes)
{
    lttng_ust_tracepoint(muster, batch_op, who, batch, kind, peer, bytes);
}

static void provider_batch_submitted(const muster_trace_identity *who,
                                     const muster_trace_batch *batch)
{
    lttng_ust_tracepoint(muster, batch_submitted, who, batch);
}

static void provider_batch_complete(const muster_trace_identity *who,
                                    const muster_trace_batch *batch)
{
    lttng_ust_tracepoint(muster, batch_complete, who, batch);
}

static void provider_batch_failed(const muster_trace_identity *who, const muster_trace_batch *batch,
                                  int32_t status, int32_t failing_rank, uint32_t field)
{
    lttng_ust_tracepoint(muster, batch_failed, who, batch, status, failing_rank, field);
}

static void provider_phase_begin(const muster_trace_identity *who, int32_t phase, int32_t depth)
{
    lttng_ust_tracepoint(muster, phase_begin, who, phase, depth);
}

static void provider_phase_end(const muster_trace_identity *who, int32_t phase, int32_t depth)
{
    lttng_ust_tracepoint(muster, phase_end, who, phase, depth);
}

static void provider_params_begin(const muster_trace_identity *who, uint64_t sequence,
                                  int32_t param_count, int32_t modifier, uint64_t bytes)
{
    lttng_ust_tracepoint(muster, params_begin, who, sequence, param_count, modifier, bytes);
}

static void provider_params_end(const muster_trace_identity *who, uint64_t sequence,
                                int32_t param_count, int32_t modifier, int32_t status)
{
    lttng_ust_tracepoint(muster, params_end, who, sequence, param_count, modifier, status);
}

static void provider_step_staged(const muster_trace_identity *who, uint64_t sequence, uint64_t step,
                                 uint64_t bytes)
{
    lttng_ust_tracepoint(muster, step_staged, who, sequence, step, bytes);
}

static void provider_step_committed(const muster_trace_identity *who, uint64_t sequence,
                                    uint64_t step)
{
    lttng_ust_tracepoint(muster, step_committed, who, sequence, step);
}

static void provider_recovery(const muster_trace_identity *who, uint32_t kind, uint64_t epoch,
                              int32_t slot, uint32_t incarnation, uint32_t evidence, int64_t value)
{
    lttng_ust_tracepoint(muster, recovery, who, kind, epoch, slot, incarnation, evidence, value);
}

static void provider_clock_ping(const muster_trace_identity *who, uint64_t ping_id,
                                int32_t about_slot, uint64_t sent_ns, uint64_t received_ns,
                                uint64_t answered_ns, uint64_t back_ns)
{
    lttng_ust_tracepoint(muster, clock_ping, who, ping_id, about_slot, sent_ns, received_ns,
                         answered_ns, back_ns);
}

MUSTER_API const muster_trace_table *muster_trace_provider(void);

const muster_trace_table *muster_trace_provider(void)
{
    static const muster_trace_table table = {
        .table_version = MUSTER_TRACE_TABLE_VERSION,
        .batch_begin = provider_batch_begin,
        .batch_op = provider_batch_op,
        .batch_submitted = provider_batch_submitted,
        .batch_complete = provider_batch_complete,
        .batch_failed = provider_batch_failed,
        .phase_begin = provider_phase_begin,
        .phase_end = provider_phase_end,
        .params_begin = provider_params_begin,
        .params_end = provider_params_end,
        .step_staged = provider_step_staged,
        .step_committed = provider_step_committed,
        .recovery = provider_recovery,
        .clock_ping = provider_clock_ping,
    };
    return &table;
}
