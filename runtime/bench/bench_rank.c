/* SPDX-License-Identifier: Apache-2.0 */
/* What each rank of a benchmark does: started by `muster run -- muster bench rank`. Rank 0 prints. */
#include "bench/bench_rank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "bench/measure.h"
#include "comm/clock.h"
#include "transport/host/copy.h"

#define MIB ((size_t)1 << 20)

enum { RANKS_MOST = 64, ROUND_SAMPLES = 300, ROUNDS_A_SAMPLE = 100, LARGE_SAMPLES = 15 };

typedef struct bench_rank {
    muster_job *job;
    muster_comm *world;
    int32_t rank;
    int32_t size;
} bench_rank;

static void must(muster_status status, const muster_error *error)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "muster bench: %s: %s\n", muster_status_name(status), error->message);
    exit(1);
}

static void barrier(const bench_rank *self)
{
    muster_error error;
    muster_error_init(&error);
    must(muster_barrier(self->world, &error), &error);
}

static void measure_rounds(const bench_rank *self)
{
    muster_samples samples;
    muster_samples_init(&samples);
    barrier(self);
    for (int i = 0; i < ROUND_SAMPLES; i++) {
        int64_t began_ns = muster_clock_now_ns();
        for (int k = 0; k < ROUNDS_A_SAMPLE; k++)
            barrier(self);
        muster_samples_add(&samples,
                           (double)(muster_clock_now_ns() - began_ns) / 1e3 / ROUNDS_A_SAMPLE);
    }
    if (self->rank == 0) {
        char name[80];
        snprintf(name, sizeof(name), "agreement round, %d ranks", self->size);
        muster_measure_print_time(name, &samples, self->size == 2 ? 5 : 0);
    }
    muster_samples_clean_up(&samples);
}

/* One gather and one scatter of bytes a rank to rank 0. */
static void gather_scatter(const bench_rank *self, void *mine, void *whole, size_t bytes)
{
    const int64_t own_rows = (int64_t)(bytes / sizeof(int64_t));
    int64_t lengths[RANKS_MOST];
    for (int32_t i = 0; i < self->size; i++)
        lengths[i] = own_rows;
    muster_tensor rows = muster_tensor_host(mine, MUSTER_DTYPE_INT64, own_rows, 1);
    muster_tensor all = muster_tensor_host(whole, MUSTER_DTYPE_INT64, own_rows * self->size, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
    const muster_root_rows *at_root = self->rank == 0 ? &root_rows : NULL;
    muster_error error;
    muster_error_init(&error);
    must(muster_gatherv(self->world, &rows, lengths, self->size, 0, at_root, &error), &error);
    must(muster_scatterv(self->world, at_root, lengths, self->size, 0, &rows, &error), &error);
}

static void measure_small(const bench_rank *self)
{
    int64_t mine[1] = {self->rank};
    int64_t whole[RANKS_MOST];
    muster_samples samples;
    muster_samples_init(&samples);
    barrier(self);
    for (int i = 0; i < ROUND_SAMPLES; i++) {
        int64_t began_ns = muster_clock_now_ns();
        for (int k = 0; k < ROUNDS_A_SAMPLE; k++)
            gather_scatter(self, mine, whole, sizeof(mine));
        muster_samples_add(&samples,
                           (double)(muster_clock_now_ns() - began_ns) / 1e3 / ROUNDS_A_SAMPLE);
    }
    if (self->rank == 0) {
        char name[80];
        snprintf(name, sizeof(name), "gather + scatter of 8 bytes a rank, %d ranks", self->size);
        muster_measure_print_time(name, &samples, self->size == 2 ? 5 : 0);
    }
    muster_samples_clean_up(&samples);
}

/* The best that one thread does with the bytes of one gather and scatter, by libc and by our own
 * copy; both are tried because neither is the limit everywhere. */
static double best_copy_us(void *mine, void *whole, size_t bytes, int32_t size)
{
    double best_us = 0;
    for (int i = 0; i < 12; i++) {
        int64_t began_ns = muster_clock_now_ns();
        for (int32_t k = 0; k < size; k++) {
            char *place = (char *)whole + (size_t)k * bytes;
            if (i % 2 == 0) {
                memcpy(place, mine, bytes);
                memcpy(mine, place, bytes);
            } else {
                muster_host_copy(place, mine, bytes, true);
                muster_host_copy(mine, place, bytes, true);
            }
        }
        double us = (double)(muster_clock_now_ns() - began_ns) / 1e3;
        best_us = i == 0 || us < best_us ? us : best_us;
    }
    return best_us;
}

static void *take(const bench_rank *self, bool direct, size_t bytes)
{
    void *memory = NULL;
    muster_error error;
    muster_error_init(&error);
    if (direct) {
        must(muster_memory_alloc(self->job, bytes, &memory, &error), &error);
    } else if ((memory = malloc(bytes)) == NULL) {
        fprintf(stderr, "muster bench: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    memset(memory, self->rank + 1, bytes);
    return memory;
}

static void measure_large(const bench_rank *self, bool direct, size_t bytes)
{
    void *mine = take(self, direct, bytes);
    void *whole = take(self, direct, bytes * (size_t)self->size);
    muster_samples samples;
    muster_samples_init(&samples);
    double copy_us = 0;
    for (int i = 0; i < 2; i++)
        gather_scatter(self, mine, whole, bytes); /* maps, and warms up */
    for (int i = 0; i < LARGE_SAMPLES; i++) {
        if (i % 5 == 0) {
            /* Side by side in one run: the others sleep in the barrier meanwhile. */
            if (self->rank == 0) {
                double us = best_copy_us(mine, whole, bytes, self->size);
                copy_us = copy_us == 0 || us < copy_us ? us : copy_us;
            }
            barrier(self);
        }
        int64_t began_ns = muster_clock_now_ns();
        gather_scatter(self, mine, whole, bytes);
        muster_samples_add(&samples, (double)(muster_clock_now_ns() - began_ns) / 1e3);
        barrier(self);
    }
    if (self->rank == 0) {
        char name[96];
        snprintf(name, sizeof(name), "gather + scatter of %zu MiB a rank, %d ranks, %s",
                 bytes / MIB, self->size, direct ? "runtime memory" : "any memory");
        muster_measure_print_time(name, &samples, 0);
        muster_measure_print_ratio(name, copy_us / muster_samples_median(&samples),
                                   "the best single-thread copy", self->size == 2 ? 0.5 : 0);
    }
    barrier(self);
    muster_samples_clean_up(&samples);
    muster_error error;
    muster_error_init(&error);
    if (direct) {
        must(muster_memory_free(self->job, mine), &error);
        must(muster_memory_free(self->job, whole), &error);
    } else {
        free(mine);
        free(whole);
    }
}

int muster_bench_rank_main(void)
{
    bench_rank self = {0};
    muster_error error;
    muster_error_init(&error);
    must(muster_job_join(NULL, &self.job, &error), &error);
    self.world = muster_job_world(self.job);
    self.rank = muster_comm_rank(self.world);
    self.size = muster_comm_size(self.world);
    if (self.size > RANKS_MOST) {
        fprintf(stderr, "muster bench: at most %d ranks\n", RANKS_MOST);
        return 1;
    }
    measure_rounds(&self);
    measure_small(&self);
    size_t bytes = self.size == 2 ? 16 * MIB : MIB;
    measure_large(&self, false, bytes);
    measure_large(&self, true, bytes);
    barrier(&self);
    must(muster_job_leave(self.job, &error), &error);
    return 0;
}
