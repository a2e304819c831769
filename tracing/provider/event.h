/* SPDX-License-Identifier: Apache-2.0 */
/* The events of the provider `muster`, as LTTng wants them written. This header is included several
 * times by LTTng's own, each time with other meanings of the macros: nothing but events in here.
 *
 * Adding a field at the end of an event is harmless. Renaming or removing one breaks the post-mortem
 * and the scripts of others: say so in the table of tracing/README.md. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER muster

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "tracing/provider/event.h"

#if !defined(MUSTER_TRACING_PROVIDER_EVENT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define MUSTER_TRACING_PROVIDER_EVENT_H

#include <lttng/tracepoint.h>

#include <muster/phase.h>

#include "collective/record.h"
#include "core/message.h"
#include "tracing/trace.h"

/* Readable words beside the numbers, from the lists that the code itself is made of. */
#define MUSTER_EVENT_CALL_VALUE(name, value, text, has_root, has_lengths) \
    lttng_ust_field_enum_value(text, value)
LTTNG_UST_TRACEPOINT_ENUM(muster, call,
                          LTTNG_UST_TP_ENUM_VALUES(MUSTER_CALL_LIST(MUSTER_EVENT_CALL_VALUE)))

#define MUSTER_EVENT_STATUS_VALUE(name, value, advice, text) \
    lttng_ust_field_enum_value("MUSTER_" #name, value)
LTTNG_UST_TRACEPOINT_ENUM(muster, status,
                          LTTNG_UST_TP_ENUM_VALUES(MUSTER_STATUS_LIST(MUSTER_EVENT_STATUS_VALUE)))

#define MUSTER_EVENT_NAMED_VALUE(name, value, text) lttng_ust_field_enum_value(#name, value)
LTTNG_UST_TRACEPOINT_ENUM(muster, field,
                          LTTNG_UST_TP_ENUM_VALUES(MUSTER_FIELD_LIST(MUSTER_EVENT_NAMED_VALUE)))
LTTNG_UST_TRACEPOINT_ENUM(muster, note,
                          LTTNG_UST_TP_ENUM_VALUES(MUSTER_NOTE_LIST(MUSTER_EVENT_NAMED_VALUE)))
LTTNG_UST_TRACEPOINT_ENUM(muster, evidence,
                          LTTNG_UST_TP_ENUM_VALUES(MUSTER_EVIDENCE_LIST(MUSTER_EVENT_NAMED_VALUE)))

LTTNG_UST_TRACEPOINT_ENUM(muster, phase,
                          LTTNG_UST_TP_ENUM_VALUES(lttng_ust_field_enum_value("none", 0) /* */
                                                   lttng_ust_field_enum_value("first_forward",
                                                                              1)              /* */
                                                   lttng_ust_field_enum_value("recompute", 2) /* */
                                                   lttng_ust_field_enum_value("other", 3)     /* */
                                                   lttng_ust_field_enum_value("error", 4)))

LTTNG_UST_TRACEPOINT_ENUM(muster, op,
                          LTTNG_UST_TP_ENUM_VALUES(lttng_ust_field_enum_value("none", 0)    /* */
                                                   lttng_ust_field_enum_value("send", 1)    /* */
                                                   lttng_ust_field_enum_value("receive", 2) /* */
                                                   lttng_ust_field_enum_value("copy", 3)))

/* clang-format off: lists of fields without separators are not C to the formatter */
#define MUSTER_EVENT_IDENTITY_FIELDS \
    lttng_ust_field_integer_hex(uint64_t, job, who->job) \
        lttng_ust_field_integer(int32_t, slot, who->slot) \
            lttng_ust_field_integer(uint32_t, incarnation, who->incarnation) \
                lttng_ust_field_integer(uint64_t, epoch, who->epoch)

#define MUSTER_EVENT_BATCH_FIELDS \
    MUSTER_EVENT_IDENTITY_FIELDS \
    lttng_ust_field_integer(uint64_t, sequence, batch->sequence) \
        lttng_ust_field_integer_hex(uint64_t, communicator, batch->communicator) \
            lttng_ust_field_enum(muster, call, uint32_t, call, \
                                 batch->call) lttng_ust_field_integer(int32_t, root, batch->root) \
                lttng_ust_field_integer(int32_t, rank, batch->rank) \
                    lttng_ust_field_integer(int32_t, rank_count, batch->rank_count) \
                        lttng_ust_field_integer(int32_t, tensor_count, batch->tensor_count) \
                            lttng_ust_field_enum(muster, phase, int32_t, phase, batch->phase) \
                                lttng_ust_field_integer(uint64_t, out_bytes, batch->bytes_out) \
                                    lttng_ust_field_integer(uint64_t, in_bytes, batch->bytes_in)

#define MUSTER_EVENT_BATCH(event) \
    LTTNG_UST_TRACEPOINT_EVENT( \
        muster, event, \
        LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, const muster_trace_batch *, batch), \
        LTTNG_UST_TP_FIELDS(MUSTER_EVENT_BATCH_FIELDS))

MUSTER_EVENT_BATCH(batch_begin)
MUSTER_EVENT_BATCH(batch_submitted)
MUSTER_EVENT_BATCH(batch_complete)

LTTNG_UST_TRACEPOINT_EVENT(
    muster, batch_op,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, const muster_trace_batch *, batch,
                      uint32_t, op, int32_t, peer, uint64_t, op_bytes),
    LTTNG_UST_TP_FIELDS(MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_integer(uint64_t, sequence,
                                                                             batch->sequence)
                            lttng_ust_field_integer_hex(uint64_t, communicator, batch->communicator)
                                lttng_ust_field_enum(muster, op, uint32_t, op, op)
                                    lttng_ust_field_integer(int32_t, peer, peer)
                                        lttng_ust_field_integer(uint64_t, op_bytes, op_bytes)))

LTTNG_UST_TRACEPOINT_EVENT(
    muster, batch_failed,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, const muster_trace_batch *, batch,
                      int32_t, status, int32_t, failing_rank, uint32_t, field),
    LTTNG_UST_TP_FIELDS(MUSTER_EVENT_BATCH_FIELDS lttng_ust_field_enum(muster, status, int32_t,
                                                                       status, status)
                            lttng_ust_field_integer(int32_t, failing_rank, failing_rank)
                                lttng_ust_field_enum(muster, field, uint32_t, field, field)))

#define MUSTER_EVENT_PHASE(event) \
    LTTNG_UST_TRACEPOINT_EVENT( \
        muster, event, \
        LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, int32_t, phase, int32_t, depth), \
        LTTNG_UST_TP_FIELDS(MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_enum( \
            muster, phase, int32_t, phase, phase) lttng_ust_field_integer(int32_t, depth, depth)))

MUSTER_EVENT_PHASE(phase_begin)
MUSTER_EVENT_PHASE(phase_end)

LTTNG_UST_TRACEPOINT_EVENT(
    muster, params_begin,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, uint64_t, sequence, int32_t, param_count,
                      int32_t, modifier, uint64_t, full_bytes),
    LTTNG_UST_TP_FIELDS(MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_integer(uint64_t, sequence,
                                                                             sequence)
                            lttng_ust_field_integer(int32_t, param_count, param_count)
                                lttng_ust_field_integer(int32_t, modifier, modifier)
                                    lttng_ust_field_integer(uint64_t, full_bytes, full_bytes)))

LTTNG_UST_TRACEPOINT_EVENT(
    muster, params_end,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, uint64_t, sequence, int32_t, param_count,
                      int32_t, modifier, int32_t, status),
    LTTNG_UST_TP_FIELDS(MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_integer(uint64_t, sequence,
                                                                             sequence)
                            lttng_ust_field_integer(int32_t, param_count, param_count)
                                lttng_ust_field_integer(int32_t, modifier, modifier)
                                    lttng_ust_field_enum(muster, status, int32_t, status, status)))

LTTNG_UST_TRACEPOINT_EVENT(
    muster, step_staged,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, uint64_t, sequence, uint64_t, step,
                      uint64_t, state_bytes),
    LTTNG_UST_TP_FIELDS(MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_integer(uint64_t, sequence,
                                                                             sequence)
                            lttng_ust_field_integer(uint64_t, step, step)
                                lttng_ust_field_integer(uint64_t, state_bytes, state_bytes)))

LTTNG_UST_TRACEPOINT_EVENT(
    muster, step_committed,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, uint64_t, sequence, uint64_t, step),
    LTTNG_UST_TP_FIELDS(MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_integer(uint64_t, sequence,
                                                                             sequence)
                            lttng_ust_field_integer(uint64_t, step, step)))

/* Who speaks stands in the identity; what is spoken of in the about_ fields. */
LTTNG_UST_TRACEPOINT_EVENT(
    muster, recovery,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, uint32_t, kind, uint64_t, about_epoch,
                      int32_t, about_slot, uint32_t, about_incarnation, uint32_t, evidence, int64_t,
                      value),
    LTTNG_UST_TP_FIELDS(
        MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_enum(muster, note, uint32_t, kind, kind)
            lttng_ust_field_integer(uint64_t, about_epoch, about_epoch)
                lttng_ust_field_integer(int32_t, about_slot, about_slot)
                    lttng_ust_field_integer(uint32_t, about_incarnation, about_incarnation)
                        lttng_ust_field_enum(muster, evidence, uint32_t, evidence, evidence)
                            lttng_ust_field_integer(int64_t, value, value)))

LTTNG_UST_TRACEPOINT_EVENT(
    muster, clock_ping,
    LTTNG_UST_TP_ARGS(const muster_trace_identity *, who, uint64_t, ping_id, int32_t, about_slot,
                      uint64_t, sent_ns, uint64_t, received_ns, uint64_t, answered_ns, uint64_t,
                      back_ns),
    LTTNG_UST_TP_FIELDS(MUSTER_EVENT_IDENTITY_FIELDS lttng_ust_field_integer(uint64_t, ping_id,
                                                                             ping_id)
                            lttng_ust_field_integer(int32_t, about_slot, about_slot)
                                lttng_ust_field_integer(uint64_t, sent_ns, sent_ns)
                                    lttng_ust_field_integer(uint64_t, received_ns, received_ns)
                                        lttng_ust_field_integer(uint64_t, answered_ns, answered_ns)
                                            lttng_ust_field_integer(uint64_t, back_ns, back_ns)))
/* clang-format on */

#endif

#include <lttng/tracepoint-event.h>
