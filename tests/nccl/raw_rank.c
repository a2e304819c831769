/* SPDX-License-Identifier: Apache-2.0 */
#include "raw_rank.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 60, SKIPPED = 77 };

struct raw_shared {
    _Atomic pid_t processes[RAW_RANKS_MAX];
    struct {
        _Atomic int arrived;
        _Atomic int ready;
        nccl_id id;
    } meetings[RAW_MEETINGS_MAX];
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

void raw_rank_fail(const raw_rank *rank, const char *condition, const char *file, int line,
                   const char *format, ...)
{
    char sentence[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: rank %d of %d: %s (%s)\n", file, line, rank->rank, rank->count,
            sentence, condition);
    _exit(1);
}

void raw_rank_nccl(const raw_rank *rank, const char *call, int result)
{
    if (result != NCCL_SUCCESS) {
        fprintf(stderr, "rank %d of %d: %s: %d, %s: %s\n", rank->rank, rank->count, call, result,
                rank->nccl->ncclGetErrorString(result), rank->nccl->ncclGetLastError(NULL));
        _exit(1);
    }
}

void raw_rank_cuda(const raw_rank *rank, const char *call, cuda_error error)
{
    if (error != CUDA_SUCCESS) {
        fprintf(stderr, "rank %d of %d: %s: %s\n", rank->rank, rank->count, call,
                cudaGetErrorString(error));
        _exit(1);
    }
}

pid_t raw_rank_process(const raw_rank *rank, int other)
{
    return rank->shared->processes[other];
}

void raw_rank_meet(raw_rank *rank, unsigned members, int meeting)
{
    int all = __builtin_popcount(members);
    double end = now_s() + PATIENCE_S;
    rank->shared->meetings[meeting].arrived++;
    while (rank->shared->meetings[meeting].arrived < all) {
        RAW_CHECK(rank, now_s() < end, "the others did not come to meeting %d", meeting);
        pause_ms(1);
    }
}

nccl_comm raw_rank_connect(raw_rank *rank, unsigned members, int meeting, bool blocking)
{
    int first = __builtin_ctz(members);
    if (rank->rank == first) {
        raw_rank_nccl(rank, "ncclGetUniqueId",
                      rank->nccl->ncclGetUniqueId(&rank->shared->meetings[meeting].id));
        rank->shared->meetings[meeting].ready = 1;
    }
    double end = now_s() + PATIENCE_S;
    while (rank->shared->meetings[meeting].ready == 0) {
        RAW_CHECK(rank, now_s() < end, "no unique id at meeting %d", meeting);
        pause_ms(1);
    }
    nccl_config config = raw_api_config(rank->version, blocking);
    nccl_comm comm = NULL;
    int own = __builtin_popcount(members & ((1U << rank->rank) - 1));
    int result = rank->nccl->ncclCommInitRankConfig(
        &comm, __builtin_popcount(members), rank->shared->meetings[meeting].id, own, &config);
    if (result == NCCL_IN_PROGRESS) {
        result = raw_rank_settle(rank, comm, PATIENCE_S);
    }
    raw_rank_nccl(rank, "ncclCommInitRankConfig", result);
    return comm;
}

void raw_rank_ids(raw_rank *rank, nccl_id *ids, int count)
{
    double end = now_s() + PATIENCE_S;
    for (int i = 0; i < count; i++) {
        if (rank->rank == i) {
            raw_rank_nccl(rank, "ncclGetUniqueId",
                          rank->nccl->ncclGetUniqueId(&rank->shared->meetings[i].id));
            rank->shared->meetings[i].ready = 1;
        }
    }
    for (int i = 0; i < count; i++) {
        while (rank->shared->meetings[i].ready == 0) {
            RAW_CHECK(rank, now_s() < end, "no unique id from rank %d", i);
            pause_ms(1);
        }
        ids[i] = rank->shared->meetings[i].id;
    }
}

int raw_rank_settle(raw_rank *rank, nccl_comm comm, int seconds)
{
    int result = NCCL_IN_PROGRESS;
    double end = now_s() + seconds;
    while (result == NCCL_IN_PROGRESS && now_s() < end) {
        int called = rank->nccl->ncclCommGetAsyncError(comm, &result);
        if (called != NCCL_SUCCESS) {
            return called;
        }
        if (result == NCCL_IN_PROGRESS) {
            pause_ms(1);
        }
    }
    return result;
}

bool raw_rank_drain(raw_rank *rank, int seconds)
{
    double end = now_s() + seconds;
    cuda_error error = CUDA_NOT_READY;
    while (now_s() < end) {
        error = cudaStreamQuery(rank->stream);
        if (error != CUDA_NOT_READY) {
            break;
        }
        pause_ms(1);
    }
    RAW_CHECK(rank, error == CUDA_SUCCESS || error == CUDA_NOT_READY, "the stream failed: %s",
              cudaGetErrorString(error));
    return error == CUDA_SUCCESS;
}

/* Never returns; ends as a program does, with the libraries' own endings. */
static void be_rank(raw_rank *rank, raw_body body)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rank->nccl = raw_api_open();
    if (rank->nccl == NULL) {
        _exit(SKIPPED);
    }
    raw_rank_nccl(rank, "ncclGetVersion", rank->nccl->ncclGetVersion(&rank->version));
    raw_rank_cuda(rank, "cudaSetDevice", cudaSetDevice(rank->rank));
    raw_rank_cuda(rank, "cudaStreamCreateWithFlags",
                  cudaStreamCreateWithFlags(&rank->stream, CUDA_STREAM_NON_BLOCKING));
    body(rank);
    fflush(NULL);
    exit(0);
}

/* Tells of one rank's end; false when it is not as it should be. */
static bool judge(const char *name, int rank, int status, bool expect_killed)
{
    if (WIFSIGNALED(status) && expect_killed && WTERMSIG(status) == SIGKILL) {
        return true;
    }
    if (WIFSIGNALED(status)) {
        printf("%s: rank %d was ended by signal %d\n", name, rank, WTERMSIG(status));
        return false;
    }
    if (WEXITSTATUS(status) != 0) {
        printf("%s: rank %d ended with %d\n", name, rank, WEXITSTATUS(status));
        return false;
    }
    if (expect_killed) {
        printf("%s: rank %d was to be killed and ended by itself\n", name, rank);
    }
    return !expect_killed;
}

bool raw_rank_run(const char *name, int count, raw_body body, unsigned expect_killed)
{
    fflush(NULL);
    double begin = now_s();
    struct raw_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return false;
    }
    pid_t processes[RAW_RANKS_MAX];
    for (int i = 0; i < count; i++) {
        processes[i] = fork();
        if (processes[i] == 0) {
            raw_rank rank = {.rank = i, .count = count, .shared = shared};
            while (shared->processes[count - 1] == 0) {
                pause_ms(1);
            }
            be_rank(&rank, body);
        }
        shared->processes[i] = processes[i];
    }
    bool well = true;
    bool skipped = false;
    double end = now_s() + 2 * PATIENCE_S;
    for (int left = count; left > 0;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended <= 0) {
            if (now_s() > end) {
                printf("%s: %d ranks did not end\n", name, left);
                for (int i = 0; i < count; i++) {
                    kill(processes[i], SIGKILL);
                }
                end = now_s() + PATIENCE_S;
                well = false;
            }
            pause_ms(2);
            continue;
        }
        for (int i = 0; i < count; i++) {
            if (processes[i] == ended) {
                left--;
                skipped = skipped || (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED);
                if (!judge(name, i, status, (expect_killed & (1U << i)) != 0) && well) {
                    well = false;
                    end = now_s() + 5; /* the others may wait for this one for ever */
                }
            }
        }
    }
    munmap(shared, sizeof *shared);
    if (skipped) {
        printf("skip: no libnccl.so.2 here; run through tests/emulated_device/run\n");
        exit(SKIPPED);
    }
    printf("%-60s %s (%.1f s)\n", name, well ? "ok" : "FAILED", now_s() - begin);
    return well;
}

/* One multiplication for eight bytes: 64 MiB are checked in some ten milliseconds. */
static uint64_t word_at(uint64_t index, uint64_t seed)
{
    return (index + seed * 0x9e3779b97f4a7c15U) * 0xd1342543de82ef95U + (seed ^ (index >> 7));
}

void raw_rank_fill(unsigned char *bytes, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
        uint64_t word = word_at(i, seed);
        memcpy(bytes + i, &word, count - i < sizeof word ? count - i : sizeof word);
    }
}

size_t raw_rank_first_wrong(const unsigned char *bytes, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
        uint64_t word = word_at(i, seed);
        if (memcmp(bytes + i, &word, count - i < sizeof word ? count - i : sizeof word) != 0) {
            return i;
        }
    }
    return count;
}
