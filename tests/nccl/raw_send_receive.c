/* SPDX-License-Identifier: Apache-2.0 */
/* Sends and receives of 0 B to 64 MiB among 2 to 8 ranks; every byte that arrives is checked, and so is that
 * none behind it was touched. */
#include "raw_rank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 64, GUARD = 0xa5 };

static uint64_t seed_of(int from, int to, size_t bytes, int round)
{
    return (uint64_t)from << 48 ^ (uint64_t)to << 40 ^ (uint64_t)round << 32 ^ bytes;
}

static unsigned char *device_bytes(raw_rank *rank, size_t bytes)
{
    void *memory;
    raw_rank_cuda(rank, "cudaMalloc", cudaMalloc(&memory, bytes));
    return memory;
}

/* Everyone sends to everyone, itself included where to_self; sizes[i] bytes in round i. */
static void exchange(raw_rank *rank, nccl_comm comm, const size_t *sizes, int rounds, bool to_self)
{
    size_t most = 0;
    for (int i = 0; i < rounds; i++) {
        most = sizes[i] > most ? sizes[i] : most;
    }
    size_t room = most + GUARD_BYTES;
    unsigned char *from = device_bytes(rank, room * (size_t)rank->count);
    unsigned char *to = device_bytes(rank, room * (size_t)rank->count);
    for (int round = 0; round < rounds; round++) {
        size_t bytes = sizes[round];
        for (int peer = 0; peer < rank->count; peer++) {
            raw_rank_fill(from + room * (size_t)peer, bytes,
                          seed_of(rank->rank, peer, bytes, round));
            memset(to + room * (size_t)peer, GUARD, bytes + GUARD_BYTES);
        }
        raw_rank_nccl(rank, "ncclGroupStart", rank->nccl->ncclGroupStart());
        for (int peer = 0; peer < rank->count; peer++) {
            if (peer != rank->rank || to_self) {
                raw_rank_nccl(rank, "ncclSend",
                              rank->nccl->ncclSend(from + room * (size_t)peer, bytes, NCCL_CHAR,
                                                   peer, comm, rank->stream));
                raw_rank_nccl(rank, "ncclRecv",
                              rank->nccl->ncclRecv(to + room * (size_t)peer, bytes, NCCL_CHAR, peer,
                                                   comm, rank->stream));
            }
        }
        raw_rank_nccl(rank, "ncclGroupEnd", rank->nccl->ncclGroupEnd());
        RAW_CHECK(rank, raw_rank_drain(rank, 60), "%zu bytes did not arrive", bytes);
        for (int peer = 0; peer < rank->count; peer++) {
            const unsigned char *got = to + room * (size_t)peer;
            size_t here = peer != rank->rank || to_self ? bytes : 0;
            size_t wrong = raw_rank_first_wrong(got, here, seed_of(peer, rank->rank, bytes, round));
            RAW_CHECK(rank, wrong == here, "byte %zu of %zu from rank %d is wrong, round %d", wrong,
                      here, peer, round);
            for (size_t i = here; i < bytes + GUARD_BYTES; i++) {
                RAW_CHECK(rank, got[i] == GUARD, "byte %zu behind %zu from rank %d was written", i,
                          here, peer);
            }
        }
    }
    raw_rank_cuda(rank, "cudaFree", cudaFree(from));
    raw_rank_cuda(rank, "cudaFree", cudaFree(to));
}

static const size_t small_sizes[] = {0,    1,    7,     8,     9,     63,    64,     1000,
                                     4096, 8191, 16384, 32768, 65536, 65537, 262144, 1000003};
static const size_t large_sizes[] = {4 << 20, (16 << 20) + 5, 64 << 20};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static nccl_comm connect_all(raw_rank *rank)
{
    return raw_rank_connect(rank, (1U << rank->count) - 1, 0, true);
}

static void exchange_small(raw_rank *rank)
{
    nccl_comm comm = connect_all(rank);
    exchange(rank, comm, small_sizes, COUNT(small_sizes), true);
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

static void exchange_large(raw_rank *rank)
{
    nccl_comm comm = connect_all(rank);
    exchange(rank, comm, large_sizes, COUNT(large_sizes), false);
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

/* Rows of different lengths to a root and back, the shape that Muster's own calls have: receives at offsets of
 * one buffer, ranks without rows skipped on both sides, many launches in a row without a wait between them. */
static void gather_ragged(raw_rank *rank)
{
    enum { ROUNDS = 40 };
    nccl_comm comm = connect_all(rank);
    size_t lengths[RAW_RANKS_MAX];
    size_t offsets[RAW_RANKS_MAX];
    size_t all = 0;
    for (int i = 0; i < rank->count; i++) {
        lengths[i] = i % 3 == 1 ? 0 : (size_t)(i + 1) * 7001;
        offsets[i] = all;
        all += lengths[i];
    }
    size_t own = lengths[rank->rank];
    unsigned char *rows = device_bytes(rank, own + 1);
    unsigned char *back = device_bytes(rank, own + 1);
    unsigned char *root_rows = device_bytes(rank, all);
    raw_rank_fill(rows, own, seed_of(rank->rank, 0, own, 0));
    for (int round = 0; round < ROUNDS; round++) {
        for (int way = 0; way < 2; way++) { /* gather, then scatter */
            raw_rank_nccl(rank, "ncclGroupStart", rank->nccl->ncclGroupStart());
            for (int peer = 1; rank->rank == 0 && peer < rank->count; peer++) {
                if (lengths[peer] > 0) {
                    unsigned char *there = root_rows + offsets[peer];
                    raw_rank_nccl(rank, "root's part",
                                  way == 0 ? rank->nccl->ncclRecv(there, lengths[peer], NCCL_CHAR,
                                                                  peer, comm, rank->stream)
                                           : rank->nccl->ncclSend(there, lengths[peer], NCCL_CHAR,
                                                                  peer, comm, rank->stream));
                }
            }
            if (rank->rank != 0 && own > 0) {
                raw_rank_nccl(
                    rank, "own part",
                    way == 0 ? rank->nccl->ncclSend(rows, own, NCCL_CHAR, 0, comm, rank->stream)
                             : rank->nccl->ncclRecv(back, own, NCCL_CHAR, 0, comm, rank->stream));
            }
            raw_rank_nccl(rank, "ncclGroupEnd", rank->nccl->ncclGroupEnd());
        }
    }
    RAW_CHECK(rank, raw_rank_drain(rank, 60), "%d rounds did not end", ROUNDS);
    if (rank->rank != 0) {
        size_t wrong = raw_rank_first_wrong(back, own, seed_of(rank->rank, 0, own, 0));
        RAW_CHECK(rank, wrong == own, "byte %zu of %zu came back wrong", wrong, own);
    }
    for (int peer = 1; rank->rank == 0 && peer < rank->count; peer++) {
        size_t wrong = raw_rank_first_wrong(root_rows + offsets[peer], lengths[peer],
                                            seed_of(peer, 0, lengths[peer], 0));
        RAW_CHECK(rank, wrong == lengths[peer], "byte %zu of rank %d's rows is wrong", wrong, peer);
    }
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

int main(void)
{
    bool well = true;
    for (int count = 2; count <= RAW_RANKS_MAX; count += count < 3 ? 1 : count < 5 ? 2 : 3) {
        char name[64];
        snprintf(name, sizeof name, "%d ranks exchange 0 B to 1 MB with everyone", count);
        well = raw_rank_run(name, count, exchange_small, 0) && well;
    }
    well = raw_rank_run("2 ranks exchange 4 to 64 MiB", 2, exchange_large, 0) && well;
    well = raw_rank_run("8 ranks gather and scatter ragged rows", 8, gather_ragged, 0) && well;
    return well ? 0 : 1;
}
