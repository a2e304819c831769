/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of sharded parameters: how large, and who sends which part to whom. Pure. A shard is
 * one row of the full tensor, so that who-sends-what is the same as for any other rows. */
#ifndef MUSTER_SCOPE_SHARD_H
#define MUSTER_SCOPE_SHARD_H

#include "collective/pattern.h"

/* Bytes of one shard, and of the full tensor with its padding. False where a count leaves 64 bits;
 * element_count >= 0, comm_size >= 1, element_bytes >= 1. */
bool muster_shard_bytes(int64_t element_count, int32_t comm_size, size_t element_bytes,
                        size_t *shard_bytes, size_t *full_bytes);

/* One parameter as this rank has it. */
typedef struct muster_shard {
    int32_t own_rank;
    int32_t rank_count;
    const int64_t *ones; /* rank_count of them: every rank has one shard */
    size_t shard_bytes;
    void *shard;
    void *full; /* rank_count shards */
} muster_shard;

/* Everyone's shard to everyone's full tensor. False: no memory. */
bool muster_shard_append_gather(muster_operation_list *list, const muster_shard *shard);

/* The modifier's full tensor to everyone's shard: each rank gets its own part of it and no more. In
 * effect it is "broadcast, then shard again", at one rank_count-th of the bytes. False: no memory. */
bool muster_shard_append_release(muster_operation_list *list, const muster_shard *shard,
                                 int32_t modifier);

#endif
