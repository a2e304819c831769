/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's initialisation between processes: the plain one, the one that does not block, the scalable one, splits,
 * and several communicators in one process. */
#include "raw_rank.h"

#include <pthread.h>
#include <stdio.h>

static void check_shape(raw_rank *rank, nccl_comm comm, int count, int own)
{
    int found = -1;
    raw_rank_nccl(rank, "ncclCommCount", rank->nccl->ncclCommCount(comm, &found));
    RAW_CHECK(rank, found == count, "%d ranks instead of %d", found, count);
    raw_rank_nccl(rank, "ncclCommUserRank", rank->nccl->ncclCommUserRank(comm, &found));
    RAW_CHECK(rank, found == own, "rank %d instead of %d", found, own);
    raw_rank_nccl(rank, "ncclCommCuDevice", rank->nccl->ncclCommCuDevice(comm, &found));
    RAW_CHECK(rank, found == rank->rank, "device %d instead of %d", found, rank->rank);
}

static void connect_blocking(raw_rank *rank)
{
    nccl_comm comm = raw_rank_connect(rank, (1U << rank->count) - 1, 0, true);
    check_shape(rank, comm, rank->count, rank->rank);
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

/* Everyone's number, gathered over the communicator: that it carries data, and among whom. */
static void check_members(raw_rank *rank, nccl_comm comm, const int *members, int count)
{
    int *from;
    int *to;
    raw_rank_cuda(rank, "cudaMalloc", cudaMalloc((void **)&from, sizeof *from));
    raw_rank_cuda(rank, "cudaMalloc", cudaMalloc((void **)&to, (size_t)count * sizeof *to));
    *from = 1000 + rank->rank;
    int result = rank->nccl->ncclAllGather(from, to, 1, NCCL_INT32, comm, rank->stream);
    if (result == NCCL_IN_PROGRESS) {
        result = raw_rank_settle(rank, comm, 60);
    }
    raw_rank_nccl(rank, "ncclAllGather", result);
    RAW_CHECK(rank, raw_rank_drain(rank, 60), "an all-gather among %d did not end", count);
    for (int i = 0; i < count; i++) {
        RAW_CHECK(rank, to[i] == 1000 + members[i], "%d instead of %d in place %d", to[i],
                  1000 + members[i], i);
    }
    raw_rank_cuda(rank, "cudaFree", cudaFree(from));
    raw_rank_cuda(rank, "cudaFree", cudaFree(to));
}

static void connect_without_blocking(raw_rank *rank)
{
    static const int members[] = {0, 1, 2, 3, 4, 5, 6, 7};
    nccl_comm comm = raw_rank_connect(rank, (1U << rank->count) - 1, 0, false);
    check_shape(rank, comm, rank->count, rank->rank);
    check_members(rank, comm, members, rank->count);
    int result = rank->nccl->ncclCommFinalize(comm);
    RAW_CHECK(rank, result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS, "ncclCommFinalize: %d",
              result);
    raw_rank_nccl(rank, "finalize", raw_rank_settle(rank, comm, 60));
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

static void connect_with_several_ids(raw_rank *rank)
{
    enum { IDS = 2 };
    static const int members[] = {0, 1, 2, 3, 4, 5, 6, 7};
    nccl_id ids[IDS];
    raw_rank_ids(rank, ids, IDS);
    nccl_config config = raw_api_config(rank->version, true);
    nccl_comm comm;
    raw_rank_nccl(
        rank, "ncclCommInitRankScalable",
        rank->nccl->ncclCommInitRankScalable(&comm, rank->count, rank->rank, IDS, ids, &config));
    check_members(rank, comm, members, rank->count);
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

/* Odd and even ranks part, in reverse order; the last rank of all takes no part. Parent and children work side by
 * side afterwards. */
static void split(raw_rank *rank)
{
    static const int everyone[] = {0, 1, 2, 3, 4, 5, 6, 7};
    nccl_comm comm = raw_rank_connect(rank, (1U << rank->count) - 1, 0, true);
    bool outside = rank->rank == rank->count - 1;
    nccl_comm child = NULL;
    nccl_config config = raw_api_config(rank->version, true);
    raw_rank_nccl(rank, "ncclCommSplit",
                  rank->nccl->ncclCommSplit(comm, outside ? NCCL_NO_COLOR : rank->rank % 2,
                                            -rank->rank, &child, &config));
    RAW_CHECK(rank, (child == NULL) == outside,
              "a communicator for a rank without a color, or none");
    if (child != NULL) {
        int members[RAW_RANKS_MAX];
        int count = 0;
        for (int i = rank->count - 2; i >= 0; i--) {
            if (i % 2 == rank->rank % 2) {
                members[count++] = i;
            }
        }
        check_members(rank, child, members, count);
        check_members(rank, child, members, count);
    }
    check_members(rank, comm, everyone, rank->count);
    if (child != NULL) {
        raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(child));
    }
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

/* Several communicators in a process, used in turn on one stream. */
static void connect_twice(raw_rank *rank)
{
    static const int members[] = {0, 1, 2, 3, 4, 5, 6, 7};
    unsigned all = (1U << rank->count) - 1;
    nccl_comm first = raw_rank_connect(rank, all, 0, true);
    nccl_comm second = raw_rank_connect(rank, all, 1, true);
    for (int i = 0; i < 3; i++) {
        check_members(rank, first, members, rank->count);
        check_members(rank, second, members, rank->count);
    }
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(second));
    check_members(rank, first, members, rank->count);
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(first));
}

typedef struct thread_rank {
    raw_rank rank;
    nccl_id id;
    pthread_t thread;
} thread_rank;

/* Each thread has a current device of its own, as CUDA gives it. */
static void *be_thread(void *argument)
{
    static const int members[] = {0, 1, 2, 3, 4, 5, 6, 7};
    thread_rank *thread = argument;
    raw_rank *rank = &thread->rank;
    raw_rank_cuda(rank, "cudaSetDevice", cudaSetDevice(rank->rank));
    raw_rank_cuda(rank, "cudaStreamCreate", cudaStreamCreate(&rank->stream));
    nccl_comm comm;
    raw_rank_nccl(rank, "ncclCommInitRank",
                  rank->nccl->ncclCommInitRank(&comm, rank->count, thread->id, rank->rank));
    check_shape(rank, comm, rank->count, rank->rank);
    check_members(rank, comm, members, rank->count);
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
    raw_rank_cuda(rank, "cudaStreamDestroy", cudaStreamDestroy(rank->stream));
    return NULL;
}

static void connect_threads(raw_rank *process)
{
    enum { THREADS = 4 };
    thread_rank threads[THREADS];
    nccl_id id;
    raw_rank_nccl(process, "ncclGetUniqueId", process->nccl->ncclGetUniqueId(&id));
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (thread_rank){.rank = *process, .id = id};
        threads[i].rank.rank = i;
        threads[i].rank.count = THREADS;
        RAW_CHECK(process, pthread_create(&threads[i].thread, NULL, be_thread, &threads[i]) == 0,
                  "no thread %d", i);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
    }
}

int main(void)
{
    bool well = raw_rank_run("2 ranks connect", 2, connect_blocking, 0);
    well = raw_rank_run("8 ranks connect", 8, connect_blocking, 0) && well;
    well = raw_rank_run("3 ranks connect without blocking", 3, connect_without_blocking, 0) && well;
    well = raw_rank_run("4 ranks connect with two ids", 4, connect_with_several_ids, 0) && well;
    well = raw_rank_run("5 ranks split", 5, split, 0) && well;
    well = raw_rank_run("2 ranks with two communicators", 2, connect_twice, 0) && well;
    well = raw_rank_run("4 threads of one process connect", 1, connect_threads, 0) && well;
    return well ? 0 : 1;
}
