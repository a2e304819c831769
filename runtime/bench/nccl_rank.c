/* SPDX-License-Identifier: Apache-2.0 */
/* What each rank of `muster bench nccl` does. Rank 0 prints, and writes figures that the next step wants to a
 * file: "name value" a line. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/muster.h>

#include "bench/measure.h"
#include "bench/nccl_bench.h"
#include "bench/nccl_raw.h"
#include "comm/clock.h"

enum { RANKS_MOST = 64, TENSORS_MOST = 16, SAMPLES = 60, SMALL_CALLS_A_SAMPLE = 20 };

typedef struct nccl_rank {
    muster_job *job;
    muster_comm *world;
    int32_t rank;
    int32_t size;
    const char *figures; /* file */
    int64_t lengths[RANKS_MOST];
    muster_tensor rows[TENSORS_MOST];
    muster_tensor whole[TENSORS_MOST];
    muster_root_rows at_root[TENSORS_MOST];
} nccl_rank;

static void must(muster_status status, const muster_error *error)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "muster bench: %s: %s\n", muster_status_name(status), error->message);
    exit(1);
}

static void must_be(bool well, const char *what)
{
    if (well)
        return;
    fprintf(stderr, "muster bench: %s failed\n", what);
    exit(1);
}

static void note(const nccl_rank *self, const char *name, double value)
{
    if (self->rank != 0)
        return;
    FILE *file = fopen(self->figures, "ae");
    must_be(file != NULL, "opening the file of figures");
    fprintf(file, "%s %.9g\n", name, value);
    fclose(file);
}

static void barrier(const nccl_rank *self)
{
    muster_error error;
    muster_error_init(&error);
    must(muster_barrier(self->world, &error), &error);
}

static double since_us(int64_t began_ns)
{
    return (double)(muster_clock_now_ns() - began_ns) / 1e3;
}

static void report(const nccl_rank *self, const char *what, const char *figure,
                   const muster_samples *samples)
{
    if (self->rank != 0)
        return;
    char name[96];
    snprintf(name, sizeof(name), "%s, %d ranks", what, self->size);
    muster_measure_print_time(name, samples, 0);
    /* The least: what two ranks need when both have a core to themselves. */
    if (figure != NULL)
        note(self, figure, muster_samples_least(samples));
}

static muster_device_facts device_facts(const nccl_rank *self)
{
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    must_be(muster_job_device_facts(self->job, &facts) == MUSTER_OK, "the device plane");
    return facts;
}

/* Tensors of `bytes` a rank, all in the same memory: what is moved is not looked at. */
static void describe(nccl_rank *self, bool on_device, void *mine, void *whole, size_t bytes)
{
    const int32_t device = on_device ? device_facts(self).device : -1;
    for (int32_t i = 0; i < self->size; i++)
        self->lengths[i] = (int64_t)bytes;
    for (int i = 0; i < TENSORS_MOST; i++) {
        const int64_t rows = (int64_t)bytes;
        char *own = (char *)mine + (size_t)i * bytes;
        char *all = (char *)whole + (size_t)i * bytes * (size_t)self->size;
        self->rows[i] = on_device ? muster_tensor_device(own, MUSTER_DTYPE_UINT8, rows, 1, device)
                                  : muster_tensor_host(own, MUSTER_DTYPE_UINT8, rows, 1);
        self->whole[i] =
            on_device ? muster_tensor_device(all, MUSTER_DTYPE_UINT8, rows * self->size, 1, device)
                      : muster_tensor_host(all, MUSTER_DTYPE_UINT8, rows * self->size, 1);
        self->at_root[i] = (muster_root_rows){.struct_bytes = sizeof(muster_root_rows),
                                              .contiguous = &self->whole[i]};
    }
}

static void gather(const nccl_rank *self, int tensors, bool on_device)
{
    muster_error error;
    muster_error_init(&error);
    if (tensors == 1) {
        must(muster_gatherv(self->world, &self->rows[0], self->lengths, self->size, 0,
                            self->rank == 0 ? &self->at_root[0] : NULL, &error),
             &error);
    } else {
        muster_batch *batch = NULL;
        must(muster_batch_gatherv_begin(self->world, self->lengths, self->size, 0, &batch, &error),
             &error);
        for (int i = 0; i < tensors; i++)
            must(muster_batch_add(batch, &self->rows[i], self->rank == 0 ? &self->at_root[i] : NULL,
                                  &error),
                 &error);
        must(muster_batch_run(batch, &error), &error);
    }
    if (on_device)
        must(muster_comm_synchronize(self->world, &error), &error);
}

static void measure_rounds(const nccl_rank *self, const char *what, const char *figure)
{
    muster_samples samples;
    muster_samples_init(&samples);
    for (int i = -5; i < SAMPLES; i++) {
        const int64_t began_ns = muster_clock_now_ns();
        for (int k = 0; k < SMALL_CALLS_A_SAMPLE; k++)
            barrier(self);
        if (i >= 0)
            muster_samples_add(&samples, since_us(began_ns) / SMALL_CALLS_A_SAMPLE);
    }
    report(self, what, figure, &samples);
    muster_samples_clean_up(&samples);
}

static void measure_gathers(const nccl_rank *self, bool on_device, const char *what,
                            const char *figure)
{
    muster_samples samples;
    muster_samples_init(&samples);
    for (int i = -5; i < SAMPLES; i++) {
        const int64_t began_ns = muster_clock_now_ns();
        for (int k = 0; k < SMALL_CALLS_A_SAMPLE; k++)
            gather(self, 1, on_device);
        if (i >= 0)
            muster_samples_add(&samples, since_us(began_ns) / SMALL_CALLS_A_SAMPLE);
    }
    report(self, what, figure, &samples);
    muster_samples_clean_up(&samples);
}

/* ---- a job without a device plane ---- */

static void run_host(nccl_rank *self)
{
    static char mine[8 * TENSORS_MOST], whole[8 * TENSORS_MOST * RANKS_MOST];
    measure_rounds(self, "agreement round, host plane", "host_round_us");
    describe(self, false, mine, whole, 8);
    measure_gathers(self, false, "gather of 8 bytes a rank, host plane", "host_gather_us");
}

/* ---- over stand-ins, which take no time ---- */

static void take(nccl_rank *self, muster_nccl_raw *raw, size_t bytes)
{
    const char *nccl = getenv("MUSTER_NCCL_LIBRARY"), *cuda = getenv("MUSTER_CUDA_LIBRARY");
    must_be(muster_nccl_raw_open(raw, nccl, cuda, device_facts(self).device),
            "opening NCCL and CUDA");
    void *mine = muster_nccl_raw_alloc(raw, bytes * TENSORS_MOST);
    void *whole = muster_nccl_raw_alloc(raw, bytes * TENSORS_MOST * (size_t)self->size);
    must_be(mine != NULL && whole != NULL, "cudaMalloc");
    describe(self, true, mine, whole, bytes);
}

static void give_back(const nccl_rank *self, muster_nccl_raw *raw)
{
    (void)raw->free(self->rows[0].data);
    (void)raw->free(self->whole[0].data);
    muster_nccl_raw_close(raw);
}

static void run_stand_in(nccl_rank *self)
{
    muster_nccl_raw raw;
    measure_rounds(self, "agreement round, job with a device plane", "device_round_us");
    take(self, &raw, 8);
    measure_gathers(self, true, "gather of 8 bytes a rank, NCCL and CUDA free of charge",
                    "free_gather_us");
    give_back(self, &raw);
}

/* ---- over what is there: a GPU, or the emulated device ---- */

static double gather_raw(const nccl_rank *self, const muster_nccl_raw *raw, size_t bytes,
                         double *enqueue_us)
{
    struct ncclComm *native = NULL;
    int64_t enqueue_ns = 0;
    muster_error error;
    muster_error_init(&error);
    must(muster_comm_borrow_nccl(self->world, &native, &error), &error);
    const int64_t began_ns = muster_clock_now_ns();
    must_be(muster_nccl_raw_gather(raw, native, self->rank, self->size, self->rows[0].data,
                                   self->whole[0].data, bytes, &enqueue_ns),
            "a raw gather");
    const double us = since_us(began_ns);
    must(muster_comm_return_nccl(self->world), &error);
    *enqueue_us = (double)enqueue_ns / 1e3;
    return us;
}

/* In turn, so that both see the same machine. */
static void measure_beside_raw(nccl_rank *self, size_t bytes, const char *size_text)
{
    muster_nccl_raw raw;
    muster_samples ours, theirs, enqueues;
    char what[80];
    muster_samples_init(&ours);
    muster_samples_init(&theirs);
    muster_samples_init(&enqueues);
    take(self, &raw, bytes);
    for (int i = -5; i < SAMPLES; i++) {
        double enqueue_us = 0;
        barrier(self);
        const double raw_us = gather_raw(self, &raw, bytes, &enqueue_us);
        barrier(self);
        const int64_t began_ns = muster_clock_now_ns();
        gather(self, 1, true);
        const double our_us = since_us(began_ns);
        if (i < 0)
            continue;
        muster_samples_add(&ours, our_us);
        muster_samples_add(&theirs, raw_us);
        muster_samples_add(&enqueues, enqueue_us);
    }
    const bool small = bytes == 8;
    if (small)
        report(self, "NCCL's own enqueue of a gather", "enqueue_us", &enqueues);
    snprintf(what, sizeof(what), "gather of %s a rank, bare NCCL calls", size_text);
    report(self, what, small ? "raw_gather_us" : NULL, &theirs);
    snprintf(what, sizeof(what), "gather of %s a rank, Muster", size_text);
    report(self, what, small ? "muster_gather_us" : NULL, &ours);
    barrier(self);
    give_back(self, &raw);
    muster_samples_clean_up(&ours);
    muster_samples_clean_up(&theirs);
    muster_samples_clean_up(&enqueues);
}

static void run_latency(nccl_rank *self)
{
    const muster_device_facts facts = device_facts(self);
    if (self->rank == 0)
        printf("# NCCL %d, CUDA runtime %d, driver %d\n", facts.nccl_version, facts.runtime_version,
               facts.driver_version);
    measure_beside_raw(self, 8, "8 bytes");
    measure_beside_raw(self, (size_t)1 << 20, "1 MiB");
}

/* ---- counted by callgrind ---- */

void muster_bench_counted(const nccl_rank *self, int tensors);

/* By this name callgrind knows what to count: each call into a file of its own. */
__attribute__((noinline)) void muster_bench_counted(const nccl_rank *self, int tensors)
{
    gather(self, tensors, true);
}

static void run_counted(nccl_rank *self, int tensors)
{
    muster_nccl_raw raw;
    take(self, &raw, 8);
    for (int i = 0; i < 3; i++)
        gather(self, tensors, true);
    for (int i = 0; i < MUSTER_NCCL_BENCH_BATCHES; i++)
        muster_bench_counted(self, tensors);
    give_back(self, &raw);
}

/* Only rank 0, whose calls are counted, runs under callgrind: the others wait for it, not it for them. */
static void run_under_callgrind(char **argv, const char *count_file)
{
    char out[4096], self[4096];
    const char *slot = getenv("MUSTER_SLOT");
    if (slot == NULL || strcmp(slot, "0") != 0 || getenv("MUSTER_BENCH_COUNTED") != NULL)
        return;
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    must_be(length > 0, "finding its own program");
    self[length] = '\0';
    setenv("MUSTER_BENCH_COUNTED", "1", 1);
    snprintf(out, sizeof(out), "--callgrind-out-file=%s", count_file);
    execlp("valgrind", "valgrind", "--tool=callgrind", "-q", "--collect-atstart=no",
           "--toggle-collect=muster_bench_counted", "--dump-after=muster_bench_counted", out, self,
           "bench", argv[0], argv[1], argv[2], argv[3], argv[4], (char *)NULL);
    perror("muster bench: valgrind");
    exit(1);
}

int muster_nccl_bench_rank_main(int argc, char **argv)
{
    nccl_rank self = {0};
    muster_error error;
    muster_error_init(&error);
    if (argc < 3) {
        fprintf(stderr, "muster bench nccl-rank: started by `muster bench nccl` only\n");
        return 2;
    }
    const char *mode = argv[1];
    const bool counted = strcmp(mode, "counted") == 0 && argc == 5;
    self.figures = argv[2];
    if (counted)
        run_under_callgrind(argv, argv[4]);
    must(muster_job_join(NULL, &self.job, &error), &error);
    self.world = muster_job_world(self.job);
    self.rank = muster_comm_rank(self.world);
    self.size = muster_comm_size(self.world);
    must_be(self.size <= RANKS_MOST, "a group of that many ranks");
    if (counted)
        run_counted(&self, atoi(argv[3]));
    else if (strcmp(mode, "host") == 0)
        run_host(&self);
    else if (strcmp(mode, "stand-in") == 0)
        run_stand_in(&self);
    else
        run_latency(&self);
    barrier(&self);
    must(muster_job_leave(self.job, &error), &error);
    return 0;
}
