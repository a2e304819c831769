/* SPDX-License-Identifier: Apache-2.0 */
/* What NCCL's host code does when ranks die, stop or leave: abort ends what waits, and the survivors connect anew;
 * shrink takes a healthy communicator on without some of its ranks. Judged by outcome, never by time. */
#include "raw_rank.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_BYTES = 3000000, FINISH_S = 60 };

typedef struct rows {
    unsigned char *from;
    unsigned char *to;
} rows;

static uint64_t seed_of(int from, int to)
{
    return (uint64_t)from << 32 | (uint64_t)to;
}

/* Every member sends rows to every other; the numbers are those of the process, not of the communicator. What the
 * group's end says: with a peer that was killed it may know already. */
static int enqueue(raw_rank *rank, nccl_comm comm, unsigned members, rows *exchange)
{
    size_t all = (size_t)rank->count * ROWS_BYTES;
    raw_rank_cuda(rank, "cudaMalloc", cudaMalloc((void **)&exchange->from, all));
    raw_rank_cuda(rank, "cudaMalloc", cudaMalloc((void **)&exchange->to, all));
    raw_rank_nccl(rank, "ncclGroupStart", rank->nccl->ncclGroupStart());
    for (int i = 0, peer = 0; i < rank->count; i++) {
        if ((members & (1U << i)) == 0) {
            continue;
        }
        if (i != rank->rank) {
            unsigned char *from = exchange->from + (size_t)i * ROWS_BYTES;
            raw_rank_fill(from, ROWS_BYTES, seed_of(rank->rank, i));
            raw_rank_nccl(
                rank, "ncclSend",
                rank->nccl->ncclSend(from, ROWS_BYTES, NCCL_CHAR, peer, comm, rank->stream));
            raw_rank_nccl(rank, "ncclRecv",
                          rank->nccl->ncclRecv(exchange->to + (size_t)i * ROWS_BYTES, ROWS_BYTES,
                                               NCCL_CHAR, peer, comm, rank->stream));
        }
        peer++;
    }
    int result = rank->nccl->ncclGroupEnd();
    if (result == NCCL_IN_PROGRESS) {
        result = raw_rank_settle(rank, comm, FINISH_S);
    }
    return result;
}

static void give_back(raw_rank *rank, rows *exchange)
{
    raw_rank_cuda(rank, "cudaFree", cudaFree(exchange->from));
    raw_rank_cuda(rank, "cudaFree", cudaFree(exchange->to));
}

static void exchange_well(raw_rank *rank, nccl_comm comm, unsigned members)
{
    rows taken;
    raw_rank_nccl(rank, "ncclGroupEnd", enqueue(rank, comm, members, &taken));
    RAW_CHECK(rank, raw_rank_drain(rank, FINISH_S), "an exchange among %x did not end", members);
    for (int i = 0; i < rank->count; i++) {
        if (i != rank->rank && (members & (1U << i)) != 0) {
            size_t wrong = raw_rank_first_wrong(taken.to + (size_t)i * ROWS_BYTES, ROWS_BYTES,
                                                seed_of(i, rank->rank));
            RAW_CHECK(rank, wrong == ROWS_BYTES, "byte %zu from rank %d is wrong", wrong, i);
        }
    }
    give_back(rank, &taken);
}

static void abort_and_drain(raw_rank *rank, nccl_comm comm)
{
    raw_rank_nccl(rank, "ncclCommAbort", rank->nccl->ncclCommAbort(comm));
    RAW_CHECK(rank, raw_rank_drain(rank, FINISH_S), "the stream still works after an abort");
}

enum { MEMBERS_ALL = 0xf, VICTIM = 2, MEMBERS_LEFT = MEMBERS_ALL & ~(1 << VICTIM) };

/* The survivors' part after a loss: abort, connect anew, and the right bytes. Only then the victim, if it is
 * merely stopped, is ended. */
static void go_on(raw_rank *rank, nccl_comm comm)
{
    rows taken;
    if (enqueue(rank, comm, MEMBERS_ALL, &taken) == NCCL_SUCCESS) {
        RAW_CHECK(rank, !raw_rank_drain(rank, 1), "an exchange ended without the lost rank");
    }
    abort_and_drain(rank, comm);
    give_back(rank, &taken);
    nccl_comm next = raw_rank_connect(rank, MEMBERS_LEFT, 2, false);
    exchange_well(rank, next, MEMBERS_LEFT);
    raw_rank_meet(rank, MEMBERS_LEFT, 3);
    if (rank->rank == 0) {
        kill(raw_rank_process(rank, VICTIM), SIGKILL);
    }
    raw_rank_nccl(rank, "ncclCommAbort", rank->nccl->ncclCommAbort(next));
}

/* A rank that is killed after its part of an exchange was accepted. */
static void killed_in_exchange(raw_rank *rank)
{
    nccl_comm comm = raw_rank_connect(rank, MEMBERS_ALL, 0, false);
    exchange_well(rank, comm, MEMBERS_ALL);
    raw_rank_meet(rank, MEMBERS_ALL, 1);
    if (rank->rank == VICTIM) {
        void *
            from; /* sends, and receives nothing: so nobody's exchange can end, however late the signal */
        raw_rank_cuda(rank, "cudaMalloc", cudaMalloc(&from, ROWS_BYTES));
        (void)rank->nccl->ncclSend(from, ROWS_BYTES, NCCL_CHAR, 0, comm, rank->stream);
        kill(getpid(), SIGKILL);
    }
    go_on(rank, comm);
}

static void stopped_in_exchange(raw_rank *rank)
{
    nccl_comm comm = raw_rank_connect(rank, MEMBERS_ALL, 0, false);
    exchange_well(rank, comm, MEMBERS_ALL);
    raw_rank_meet(rank, MEMBERS_ALL, 1);
    if (rank->rank == VICTIM) {
        kill(getpid(), SIGSTOP);
    }
    go_on(rank, comm);
}

/* A rank that never comes: the others' connection is in progress, and ends by abort. */
static void killed_before_connect(raw_rank *rank)
{
    if (rank->rank == VICTIM) {
        kill(getpid(), SIGKILL);
    }
    nccl_id id;
    raw_rank_ids(rank, &id, 1);
    nccl_config config = raw_api_config(rank->version, false);
    nccl_comm comm = NULL;
    int result = rank->nccl->ncclCommInitRankConfig(&comm, rank->count, id, rank->rank, &config);
    RAW_CHECK(rank, result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS,
              "ncclCommInitRankConfig: %d", result);
    result = raw_rank_settle(rank, comm, 1);
    RAW_CHECK(rank, result == NCCL_IN_PROGRESS, "connected without rank %d: %d", VICTIM, result);
    raw_rank_nccl(rank, "ncclCommAbort", rank->nccl->ncclCommAbort(comm));
    nccl_comm next = raw_rank_connect(rank, MEMBERS_LEFT, 2, false);
    exchange_well(rank, next, MEMBERS_LEFT);
    raw_rank_nccl(rank, "ncclCommAbort", rank->nccl->ncclCommAbort(next));
}

static nccl_comm shrink(raw_rank *rank, nccl_comm comm, int flags)
{
    int without = VICTIM;
    nccl_comm next = NULL;
    nccl_config config = raw_api_config(rank->version, true);
    int result = rank->nccl->ncclCommShrink(comm, &without, 1, &next, &config, flags);
    if (result == NCCL_IN_PROGRESS) { /* a parent that does not block has children that do not */
        result = raw_rank_settle(rank, comm, FINISH_S);
    }
    raw_rank_nccl(rank, "ncclCommShrink", result);
    raw_rank_nccl(rank, "shrunk", raw_rank_settle(rank, next, FINISH_S));
    return next;
}

/* Without a failure: one rank leaves, the others go on and release the parent. */
static void shrink_healthy(raw_rank *rank)
{
    nccl_comm comm = raw_rank_connect(rank, MEMBERS_ALL, 0, true);
    exchange_well(rank, comm, MEMBERS_ALL);
    if (rank->rank != VICTIM) {
        nccl_comm next = shrink(rank, comm, NCCL_SHRINK_DEFAULT);
        exchange_well(rank, next, MEMBERS_LEFT);
        raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(next));
    }
    raw_rank_meet(rank, MEMBERS_ALL, 1);
    raw_rank_nccl(rank, "ncclCommAbort", rank->nccl->ncclCommAbort(comm));
}

/* With an exchange under way that one rank never joined: the shrink ends it. */
static void shrink_with_abort(raw_rank *rank)
{
    nccl_comm comm = raw_rank_connect(rank, MEMBERS_ALL, 0, true);
    exchange_well(rank, comm, MEMBERS_ALL);
    if (rank->rank != VICTIM) {
        rows taken;
        raw_rank_nccl(rank, "ncclGroupEnd", enqueue(rank, comm, MEMBERS_ALL, &taken));
        nccl_comm next = shrink(rank, comm, NCCL_SHRINK_ABORT);
        RAW_CHECK(rank, raw_rank_drain(rank, FINISH_S),
                  "the stream still works after a shrink with abort");
        exchange_well(rank, next, MEMBERS_LEFT);
        raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(next));
        give_back(rank, &taken);
    }
    raw_rank_meet(rank, MEMBERS_ALL, 1);
    raw_rank_nccl(rank, "ncclCommAbort", rank->nccl->ncclCommAbort(comm));
}

static int count_entries(const char *folder)
{
    int count = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return count;
}

/* The workers of streams end on their own, a little after the streams. */
static int settled_entries(const char *folder, int wanted)
{
    int count = count_entries(folder);
    for (int i = 0; i < 1000 && count > wanted; i++) {
        usleep(10000);
        count = count_entries(folder);
    }
    return count;
}

/* Rounds of abort and connect in the same processes: what a round takes, it gives back. */
static void rounds(raw_rank *rank)
{
    enum { ROUNDS = 10, WARM = 3, EVERYONE = 3 };
    int descriptors = 0;
    int threads = 0;
    for (int round = 0; round < ROUNDS; round++) {
        nccl_comm comm = raw_rank_connect(rank, EVERYONE, 2 * round, false);
        exchange_well(rank, comm, EVERYONE);
        rows waiting = {0};
        if (rank->rank == 0) {
            /* the other does not come */
            raw_rank_nccl(rank, "ncclGroupEnd", enqueue(rank, comm, EVERYONE, &waiting));
        }
        abort_and_drain(rank, comm);
        if (rank->rank == 0) {
            give_back(rank, &waiting);
        }
        raw_rank_meet(rank, EVERYONE, 2 * round + 1);
        if (round == WARM) {
            descriptors = count_entries("/proc/self/fd");
            threads = count_entries("/proc/self/task");
        }
    }
    int descriptors_now = settled_entries("/proc/self/fd", descriptors);
    int threads_now = settled_entries("/proc/self/task", threads);
    RAW_CHECK(rank, descriptors_now <= descriptors, "%d descriptors became %d", descriptors,
              descriptors_now);
    RAW_CHECK(rank, threads_now <= threads, "%d threads became %d", threads, threads_now);
}

int main(void)
{
    unsigned victim = 1U << VICTIM;
    bool well = raw_rank_run("a rank of 4 is killed in an exchange", 4, killed_in_exchange, victim);
    well = raw_rank_run("a rank of 4 is stopped in an exchange", 4, stopped_in_exchange, victim) &&
           well;
    well = raw_rank_run("a rank of 4 is killed before it connects", 4, killed_before_connect,
                        victim) &&
           well;
    well = raw_rank_run("4 ranks shrink to 3", 4, shrink_healthy, 0) && well;
    well = raw_rank_run("4 ranks shrink to 3, with abort", 4, shrink_with_abort, 0) && well;
    well = raw_rank_run("2 ranks abort and connect 10 times", 2, rounds, 0) && well;
    return well ? 0 : 1;
}
