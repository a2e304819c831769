/* SPDX-License-Identifier: Apache-2.0 */
/* The sentence of a verdict. It is made from the verdict alone, so it is the same on every rank. */
#include <inttypes.h>
#include <stdio.h>

#include <muster/tensor.h>
#include <muster/types.h>

#include "base/error.h"
#include "collective/verdict.h"

#define VALUE_BYTES 32

enum { SEND = 1 };

/* Writes a value as a person would say it. */
static void write_value(char *text, size_t bytes, muster_field field, int64_t value)
{
    switch (field) {
    case MUSTER_FIELD_DTYPE:
        snprintf(text, bytes, "%s", muster_dtype_text((muster_dtype)value));
        break;
    case MUSTER_FIELD_MEMORY_KIND:
        snprintf(text, bytes, "%s", value == MUSTER_MEMORY_DEVICE ? "device" : "host");
        break;
    case MUSTER_FIELD_CALL:
        snprintf(text, bytes, "%s", muster_call_text((muster_call)value));
        break;
    case MUSTER_FIELD_JOB:
    case MUSTER_FIELD_COMMUNICATOR:
    case MUSTER_FIELD_TAG:
        snprintf(text, bytes, "0x%" PRIx64, (uint64_t)value);
        break;
    case MUSTER_FIELD_MODIFIER:
        if (value == MUSTER_RANK_NONE)
            snprintf(text, bytes, "none");
        else
            snprintf(text, bytes, "%" PRId64, value);
        break;
    default:
        snprintf(text, bytes, "%" PRId64, value);
        break;
    }
}

/* What to do, where the advice "fix the call" can be said more exactly. */
static const char *what_to_do(muster_status status)
{
    switch (status) {
    case MUSTER_ERR_CALL:
    case MUSTER_ERR_SEQUENCE:
        return "let all ranks make the same calls in the same order";
    case MUSTER_ERR_SCOPE:
        return "let all ranks enter and leave the same scopes";
    case MUSTER_ERR_ROOT:
        return "pass one root on all ranks";
    case MUSTER_ERR_PHASE:
        return "enter and leave phases alike on all ranks";
    case MUSTER_ERR_TAG:
        return "set one tag on all ranks";
    case MUSTER_ERR_LENGTHS:
    case MUSTER_ERR_LENGTHS_COUNT:
    case MUSTER_ERR_OWN_ROWS:
        return "pass the lengths that muster_allgather_lengths gave, on all ranks";
    case MUSTER_ERR_DTYPE:
    case MUSTER_ERR_FEATURE_DIMENSIONS:
    case MUSTER_ERR_TENSOR_COUNT:
        return "pass tensors alike in all but their rows";
    case MUSTER_ERR_MEMORY_KIND:
        return "pass tensors in one kind of memory, host or device, on all ranks";
    case MUSTER_ERR_WRONG_DEVICE:
        return "pass memory of the rank's own device";
    case MUSTER_ERR_CAPACITY:
        return "give the root room for the sum of the lengths";
    case MUSTER_ERR_P2P_MISMATCH:
        return "post one receive for each send, of its bytes and dtype";
    case MUSTER_ERR_MODIFIER:
        return "name one modifier on all ranks";
    case MUSTER_ERR_STEP:
        return "commit one step on all ranks";
    case MUSTER_ERR_VERSION:
        return "run one version of Muster on all ranks";
    default:
        return muster_advice_text(muster_status_advice(status));
    }
}

/* "send 0 from rank 1 to rank 2". */
static void write_operation(char *text, size_t bytes, const muster_verdict *verdict)
{
    const bool is_send = verdict->direction == SEND;
    snprintf(text, bytes, "%s %" PRId64 " of rank %" PRId32 " %s rank %" PRId32,
             is_send ? "send" : "receive", verdict->ordinal, verdict->rank, is_send ? "to" : "from",
             verdict->peer);
}

static void set_p2p(const muster_verdict *verdict, muster_error *error)
{
    char operation[96];
    char expected[VALUE_BYTES];
    char came[VALUE_BYTES];
    write_operation(operation, sizeof(operation), verdict);
    write_value(expected, sizeof(expected), verdict->field, verdict->expected);
    write_value(came, sizeof(came), verdict->field, verdict->came);
    if (verdict->field == MUSTER_FIELD_PEER)
        muster_error_set(error, verdict->status, verdict->field, verdict->expected, verdict->came,
                         "%s has no %s there; %s", operation,
                         verdict->direction == SEND ? "receive" : "send",
                         what_to_do(verdict->status));
    else
        muster_error_set(error, verdict->status, verdict->field, verdict->expected, verdict->came,
                         "%s: its %s is %s, the receive's there is %s; %s", operation,
                         muster_field_text(verdict->field), expected, came,
                         what_to_do(verdict->status));
}

/* Lengths are told by their sums, which may be equal although the lengths are not. */
static void set_lengths(const muster_verdict *verdict, muster_error *error)
{
    if (verdict->expected == verdict->came)
        muster_error_set(error, verdict->status, verdict->field, verdict->expected, verdict->came,
                         "rank %" PRId32 ": other lengths than rank 0, though their sum is %" PRId64
                         " on both; %s",
                         verdict->rank, verdict->came, what_to_do(verdict->status));
    else
        muster_error_set(error, verdict->status, verdict->field, verdict->expected, verdict->came,
                         "rank %" PRId32 ": other lengths than rank 0: expected a sum of %" PRId64
                         ", came %" PRId64 "; %s",
                         verdict->rank, verdict->expected, verdict->came,
                         what_to_do(verdict->status));
}

/* ": own rows: expected 3, came 4"; nothing where the two values would tell nobody anything. */
static void write_values(char *text, size_t bytes, const muster_verdict *verdict)
{
    char expected[VALUE_BYTES];
    char came[VALUE_BYTES];
    write_value(expected, sizeof(expected), verdict->field, verdict->expected);
    write_value(came, sizeof(came), verdict->field, verdict->came);
    text[0] = '\0';
    if (verdict->status == MUSTER_ERR_NULL_BUFFER)
        snprintf(text, bytes, ": expected %s bytes", expected);
    else if (verdict->status == MUSTER_ERR_MISALIGNED)
        snprintf(text, bytes, ": expected a multiple of %s, came one off by %s", expected, came);
    else if (verdict->status == MUSTER_ERR_MISSING_CHUNK)
        snprintf(text, bytes, ": expected %s chunks, came none for rank %s", expected, came);
    else if (verdict->status == MUSTER_ERR_NO_MEMORY && verdict->field == MUSTER_FIELD_BYTES)
        snprintf(text, bytes, " at %s bytes", came);
    else if (verdict->field == MUSTER_FIELD_DESCRIPTORS)
        snprintf(text, bytes, ": %s", muster_field_text(verdict->field));
    else if (verdict->field != MUSTER_FIELD_NONE && verdict->status != MUSTER_ERR_OVERLAP)
        snprintf(text, bytes, ": %s: expected %s, came %s", muster_field_text(verdict->field),
                 expected, came);
}

static void set_general(const muster_verdict *verdict, muster_error *error)
{
    char who[32] = "";
    char tensor[32] = "";
    char values[128];
    if (verdict->rank >= 0)
        snprintf(who, sizeof(who), "rank %" PRId32 ": ", verdict->rank);
    if (verdict->tensor_index >= 0)
        snprintf(tensor, sizeof(tensor), "tensor %" PRId32 ": ", verdict->tensor_index);
    write_values(values, sizeof(values), verdict);
    muster_error_set(error, verdict->status, verdict->field, verdict->expected, verdict->came,
                     "%s%s%s%s; %s", who, tensor, muster_status_text(verdict->status), values,
                     what_to_do(verdict->status));
}

muster_status muster_verdict_to_error(const muster_verdict *verdict, muster_error *error)
{
    if (error == NULL)
        return verdict->status;
    if (verdict->status == MUSTER_OK)
        return muster_error_set_ok(error);
    if (error->struct_bytes < sizeof(*error))
        return verdict->status;
    if (verdict->status == MUSTER_ERR_P2P_MISMATCH && verdict->direction != 0)
        set_p2p(verdict, error);
    else if (verdict->status == MUSTER_ERR_LENGTHS)
        set_lengths(verdict, error);
    else
        set_general(verdict, error);
    error->rank = verdict->rank;
    error->tensor_index = verdict->tensor_index;
    error->native_code = verdict->native_code;
    return verdict->status;
}
