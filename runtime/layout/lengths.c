/* SPDX-License-Identifier: Apache-2.0 */
#include <muster/lengths.h>

#include <inttypes.h>

#include "base/error.h"
#include "base/hash.h"
#include "layout/tensor.h"

/* None negative and the sum fits; *index is the entry that is wrong. */
static muster_status check_sum(const int64_t *lengths, int32_t lengths_count, int32_t *index,
                               muster_error *error)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < lengths_count; i++) {
        *index = i;
        if (lengths[i] < 0)
            return muster_error_set(
                error, MUSTER_ERR_NEGATIVE_LENGTH, MUSTER_FIELD_LENGTHS, 0, lengths[i],
                "lengths[%" PRId32 "]: expected 0 or more, came %" PRId64, i, lengths[i]);
        if (__builtin_add_overflow(sum, lengths[i], &sum))
            return muster_error_set(
                error, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_LENGTHS, INT64_MAX, lengths[i],
                "lengths[%" PRId32 "] = %" PRId64 ": the sum overflows 64 bits", i, lengths[i]);
    }
    return MUSTER_OK;
}

muster_status muster_lengths_to_offsets(const int64_t *lengths, int32_t lengths_count,
                                        int64_t *offsets, muster_error *error)
{
    if (lengths_count < 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_LENGTHS_COUNT, 0,
                                lengths_count, "lengths_count: expected 0 or more, came %" PRId32,
                                lengths_count);
    if ((lengths == NULL && lengths_count > 0) || offsets == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "%s: expected an array, came NULL",
                                offsets == NULL ? "offsets" : "lengths");
    int32_t index = 0;
    const muster_status status = check_sum(lengths, lengths_count, &index, error);
    if (status != MUSTER_OK) {
        /* Here, outside every communicator, the index of the entry is the rank that is meant. */
        if (error != NULL && error->struct_bytes >= sizeof(*error))
            error->rank = index;
        return status;
    }
    int64_t offset = 0;
    for (int32_t i = 0; i < lengths_count; i++) {
        offsets[i] = offset;
        offset += lengths[i];
    }
    offsets[lengths_count] = offset;
    return muster_error_set_ok(error);
}

muster_status muster_lengths_check(const int64_t *lengths, int32_t lengths_count, int32_t comm_size,
                                   int32_t own_rank, int64_t own_rows, muster_error *error)
{
    if (lengths_count != comm_size)
        return muster_error_set(
            error, MUSTER_ERR_LENGTHS_COUNT, MUSTER_FIELD_LENGTHS_COUNT, comm_size, lengths_count,
            "lengths_count: expected %" PRId32 ", the size of the communicator, came %" PRId32,
            comm_size, lengths_count);
    if (lengths == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_LENGTHS, comm_size,
                                0, "lengths: expected an array of %" PRId32 ", came NULL",
                                comm_size);
    int32_t index = 0;
    const muster_status status = check_sum(lengths, lengths_count, &index, error);
    if (status != MUSTER_OK)
        return status;
    if (own_rows != lengths[own_rank])
        return muster_error_set(error, MUSTER_ERR_OWN_ROWS, MUSTER_FIELD_OWN_ROWS,
                                lengths[own_rank], own_rows,
                                "own rows: expected %" PRId64 ", which is lengths[%" PRId32
                                "], came a tensor of %" PRId64,
                                lengths[own_rank], own_rank, own_rows);
    return muster_error_set_ok(error);
}

uint64_t muster_lengths_hash(const int64_t *lengths, int32_t lengths_count)
{
    return muster_hash_bytes(lengths, (size_t)lengths_count * sizeof(*lengths),
                             (uint64_t)lengths_count);
}

int64_t muster_lengths_total(const int64_t *lengths, int32_t lengths_count)
{
    int64_t total = 0;
    for (int32_t i = 0; i < lengths_count; i++)
        total += lengths[i];
    return total;
}
