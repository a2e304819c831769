/* SPDX-License-Identifier: Apache-2.0 */
#include "scope/shard.h"

#include <muster/params.h>

int64_t muster_param_shard_elements(int64_t element_count, int32_t comm_size)
{
    if (element_count < 0 || comm_size < 1)
        return 0;
    return element_count / comm_size + (element_count % comm_size != 0);
}

bool muster_shard_bytes(int64_t element_count, int32_t comm_size, size_t element_bytes,
                        size_t *shard_bytes, size_t *full_bytes)
{
    int64_t elements = muster_param_shard_elements(element_count, comm_size);
    int64_t shard;
    int64_t full;
    /* In signed 64 bits, because records and traces carry the bytes that way. */
    if (__builtin_mul_overflow(elements, element_bytes, &shard) ||
        __builtin_mul_overflow(shard, comm_size, &full))
        return false;
    *shard_bytes = (size_t)shard;
    *full_bytes = (size_t)full;
    return true;
}

static muster_pattern pattern_of(const muster_shard *shard, int32_t root)
{
    return (muster_pattern){
        .own_rank = shard->own_rank,
        .rank_count = shard->rank_count,
        .root = root,
        .lengths = shard->ones,
        .row_bytes = shard->shard_bytes,
        .rows = shard->shard,
        .contiguous = shard->full,
    };
}

bool muster_shard_append_gather(muster_operation_list *list, const muster_shard *shard)
{
    const muster_pattern pattern = pattern_of(shard, MUSTER_RANK_NONE);
    return muster_pattern_allgatherv(list, &pattern);
}

bool muster_shard_append_release(muster_operation_list *list, const muster_shard *shard,
                                 int32_t modifier)
{
    const muster_pattern pattern = pattern_of(shard, modifier);
    return muster_pattern_scatterv(list, &pattern);
}
