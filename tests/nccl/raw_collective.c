/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's rings: all-gather, all-reduce, broadcast, reduce and reduce-scatter, from one element to some megabytes,
 * among 2 to 8 ranks. */
#include "raw_rank.h"

#include <stdio.h>
#include <string.h>

/* Small whole numbers: their sums are exact in float, so every value can be compared. */
static float value_of(int rank, size_t index)
{
    return (float)((index * 7 + (size_t)rank * 13) % 101);
}

static float sum_of(int count, size_t index)
{
    float sum = 0;
    for (int i = 0; i < count; i++) {
        sum += value_of(i, index);
    }
    return sum;
}

typedef struct ring_buffers {
    float *from;
    float *to;
} ring_buffers;

static void fill(raw_rank *rank, ring_buffers *buffers, size_t from, size_t to)
{
    for (size_t i = 0; i < from; i++) {
        buffers->from[i] = value_of(rank->rank, i);
    }
    for (size_t i = 0; i < to; i++) {
        buffers->to[i] = -1;
    }
}

static void drain(raw_rank *rank, const char *what, size_t elements)
{
    RAW_CHECK(rank, raw_rank_drain(rank, 60), "%s of %zu elements did not end", what, elements);
}

static void all_gather(raw_rank *rank, nccl_comm comm, ring_buffers *buffers, size_t elements)
{
    fill(rank, buffers, elements, elements * (size_t)rank->count);
    raw_rank_nccl(rank, "ncclAllGather",
                  rank->nccl->ncclAllGather(buffers->from, buffers->to, elements, NCCL_FLOAT32,
                                            comm, rank->stream));
    drain(rank, "all-gather", elements);
    for (int peer = 0; peer < rank->count; peer++) {
        for (size_t i = 0; i < elements; i++) {
            RAW_CHECK(rank, buffers->to[(size_t)peer * elements + i] == value_of(peer, i),
                      "all-gather of %zu: element %zu of rank %d is %g", elements, i, peer,
                      (double)buffers->to[(size_t)peer * elements + i]);
        }
    }
}

static void all_reduce(raw_rank *rank, nccl_comm comm, ring_buffers *buffers, size_t elements)
{
    fill(rank, buffers, elements, elements);
    raw_rank_nccl(rank, "ncclAllReduce",
                  rank->nccl->ncclAllReduce(buffers->from, buffers->to, elements, NCCL_FLOAT32,
                                            NCCL_SUM, comm, rank->stream));
    drain(rank, "all-reduce", elements);
    for (size_t i = 0; i < elements; i++) {
        RAW_CHECK(rank, buffers->to[i] == sum_of(rank->count, i),
                  "all-reduce of %zu: element %zu is %g", elements, i, (double)buffers->to[i]);
    }
}

static void broadcast(raw_rank *rank, nccl_comm comm, ring_buffers *buffers, size_t elements)
{
    int root = (int)(elements % (size_t)rank->count);
    fill(rank, buffers, elements, elements);
    raw_rank_nccl(rank, "ncclBroadcast",
                  rank->nccl->ncclBroadcast(buffers->from, buffers->to, elements, NCCL_FLOAT32,
                                            root, comm, rank->stream));
    drain(rank, "broadcast", elements);
    for (size_t i = 0; i < elements; i++) {
        RAW_CHECK(rank, buffers->to[i] == value_of(root, i),
                  "broadcast of %zu from %d: element %zu is %g", elements, root, i,
                  (double)buffers->to[i]);
    }
}

static void reduce(raw_rank *rank, nccl_comm comm, ring_buffers *buffers, size_t elements)
{
    int root = (int)((elements + 1) % (size_t)rank->count);
    fill(rank, buffers, elements, elements);
    raw_rank_nccl(rank, "ncclReduce",
                  rank->nccl->ncclReduce(buffers->from, buffers->to, elements, NCCL_FLOAT32,
                                         NCCL_SUM, root, comm, rank->stream));
    drain(rank, "reduce", elements);
    for (size_t i = 0; rank->rank == root && i < elements; i++) {
        RAW_CHECK(rank, buffers->to[i] == sum_of(rank->count, i),
                  "reduce of %zu to %d: element %zu is %g", elements, root, i,
                  (double)buffers->to[i]);
    }
}

static void reduce_scatter(raw_rank *rank, nccl_comm comm, ring_buffers *buffers, size_t elements)
{
    fill(rank, buffers, elements * (size_t)rank->count, elements);
    raw_rank_nccl(rank, "ncclReduceScatter",
                  rank->nccl->ncclReduceScatter(buffers->from, buffers->to, elements, NCCL_FLOAT32,
                                                NCCL_SUM, comm, rank->stream));
    drain(rank, "reduce-scatter", elements);
    for (size_t i = 0; i < elements; i++) {
        RAW_CHECK(rank, buffers->to[i] == sum_of(rank->count, (size_t)rank->rank * elements + i),
                  "reduce-scatter of %zu: element %zu is %g", elements, i, (double)buffers->to[i]);
    }
}

static void all_rings(raw_rank *rank)
{
    static const size_t sizes[] = {1, 3, 255, 1024, 10007, 300001};
    size_t most = sizes[sizeof sizes / sizeof sizes[0] - 1] * (size_t)rank->count * sizeof(float);
    nccl_comm comm = raw_rank_connect(rank, (1U << rank->count) - 1, 0, true);
    ring_buffers buffers;
    raw_rank_cuda(rank, "cudaMalloc", cudaMalloc((void **)&buffers.from, most));
    raw_rank_cuda(rank, "cudaMalloc", cudaMalloc((void **)&buffers.to, most));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        all_gather(rank, comm, &buffers, sizes[i]);
        all_reduce(rank, comm, &buffers, sizes[i]);
        broadcast(rank, comm, &buffers, sizes[i]);
        reduce(rank, comm, &buffers, sizes[i]);
        reduce_scatter(rank, comm, &buffers, sizes[i]);
    }
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

int main(void)
{
    static const int counts[] = {2, 3, 5, 8};
    bool well = true;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%d ranks: the five rings", counts[i]);
        well = raw_rank_run(name, counts[i], all_rings, 0) && well;
    }
    return well ? 0 : 1;
}
