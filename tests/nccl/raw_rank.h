/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as processes: each forked before anybody loads NCCL, with a device of its own, a memory shared by all, and
 * a parent that judges how they ended. */
#ifndef MUSTER_TESTS_NCCL_RAW_RANK_H
#define MUSTER_TESTS_NCCL_RAW_RANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "raw_api.h"

enum { RAW_RANKS_MAX = 8, RAW_MEETINGS_MAX = 64 };

typedef struct raw_rank {
    const raw_api *nccl;
    int rank;
    int count;
    int version;
    cuda_stream stream;
    struct raw_shared *shared;
} raw_rank;

typedef void (*raw_body)(raw_rank *rank);

/* Forks count ranks, each runs body and ends; true when all ended well, which a killed one does too where
 * expect_killed names it (a bit set). Skips the whole program, 77, where there is no NCCL. */
bool raw_rank_run(const char *name, int count, raw_body body, unsigned expect_killed);

/* A communicator over the ranks of a bit set, all of which call; meeting is a number of its own for each. */
nccl_comm raw_rank_connect(raw_rank *rank, unsigned members, int meeting, bool blocking);
/* Several unique ids for a scalable connection of all, each made by another rank; takes meetings 0 to count - 1. */
void raw_rank_ids(raw_rank *rank, nccl_id *ids, int count);
/* Where the ranks of a set wait for each other, outside of NCCL. */
void raw_rank_meet(raw_rank *rank, unsigned members, int meeting);
pid_t raw_rank_process(const raw_rank *rank, int other);

/* Ends the process with the sentence when the condition does not hold. */
#define RAW_CHECK(rank, condition, ...) \
    do { \
        if (!(condition)) { \
            raw_rank_fail(rank, #condition, __FILE__, __LINE__, __VA_ARGS__); \
        } \
    } while (0)
_Noreturn void raw_rank_fail(const raw_rank *rank, const char *condition, const char *file,
                             int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* A call of NCCL or CUDA that must succeed. */
void raw_rank_nccl(const raw_rank *rank, const char *call, int result);
void raw_rank_cuda(const raw_rank *rank, const char *call, cuda_error error);
/* Polls a communicator that does not block until its work is done, at most that long; NCCL's result. */
int raw_rank_settle(raw_rank *rank, nccl_comm comm, int seconds);
/* Polls the stream; false when it is not done in time. */
bool raw_rank_drain(raw_rank *rank, int seconds);

/* Bytes that tell who sent them, to whom and when. */
void raw_rank_fill(unsigned char *bytes, size_t count, uint64_t seed);
/* Index of the first wrong byte, count when there is none. */
size_t raw_rank_first_wrong(const unsigned char *bytes, size_t count, uint64_t seed);

#endif
