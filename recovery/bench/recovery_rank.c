/* SPDX-License-Identifier: Apache-2.0 */
/* A rank that commits a few steps; the victim stays out of the next batch until the others wait in it,
 * writes the time, and kills itself. The rest is a recovery as any job does it. */
#include "bench/recovery_bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <muster/muster.h>

enum { STEP_OF_DEATH = 3, STEPS_AFTER = 3, ROWS = 256, RANKS_MOST = 64 };

typedef struct victim {
    int32_t slot;
    size_t resident_bytes;
    const char *mark_path;
} victim;

static void must(muster_status status, const muster_error *error, const char *what)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "muster bench: %s: %s: %s\n", what, muster_status_name(status), error->message);
    exit(1);
}

static victim read_victim(void)
{
    const char *slot = getenv("MUSTER_BENCH_VICTIM");
    const char *resident = getenv("MUSTER_BENCH_RESIDENT_BYTES");
    return (victim){
        .slot = slot == NULL ? -1 : (int32_t)strtol(slot, NULL, 10),
        .resident_bytes = resident == NULL ? 0 : strtoull(resident, NULL, 10),
        .mark_path = getenv("MUSTER_BENCH_MARK"),
    };
}

/* Dies with the time of it on disk; the time is taken after everything that could delay the signal. */
static void die(const victim *self)
{
    const struct timespec until_others_wait = {.tv_nsec = 100000000};
    nanosleep(&until_others_wait, NULL);
    int file = open(self->mark_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (dprintf(file, "%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec) <= 0)
        exit(1);
    raise(SIGKILL);
}

static muster_status gather(muster_comm *world, muster_error *error)
{
    static int32_t mine[ROWS];
    static int32_t whole[ROWS * RANKS_MOST];
    int64_t lengths[RANKS_MOST];
    const int32_t size = muster_comm_size(world);
    for (int32_t rank = 0; rank < size; rank++)
        lengths[rank] = ROWS;
    muster_tensor rows = muster_tensor_host(mine, MUSTER_DTYPE_INT32, ROWS, 1);
    muster_tensor all = muster_tensor_host(whole, MUSTER_DTYPE_INT32, (int64_t)ROWS * size, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
    return muster_gatherv(world, &rows, lengths, size, 0,
                          muster_comm_rank(world) == 0 ? &root_rows : NULL, error);
}

static muster_status work(muster_job *job, const victim *doomed, uint64_t *step, uint64_t end,
                          muster_error *error)
{
    muster_comm *world = muster_job_world(job);
    muster_state_part state = {.data = step, .bytes = sizeof(*step)};
    muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && *step < end) {
        status = muster_step_commit(world, *step, &state, 1, error);
        if (status == MUSTER_OK && *step == STEP_OF_DEATH && muster_job_epoch(job).value == 1 &&
            muster_job_slot(job) == doomed->slot)
            die(doomed);
        if (status == MUSTER_OK)
            status = gather(world, error);
        if (status == MUSTER_OK)
            ++*step;
    }
    return status;
}

int muster_recovery_bench_rank_main(void)
{
    victim doomed = read_victim();
    char *resident = NULL;
    const char *own_slot = getenv("MUSTER_SLOT");
    if (doomed.resident_bytes > 0 && own_slot != NULL &&
        strtol(own_slot, NULL, 10) == doomed.slot) {
        resident = malloc(doomed.resident_bytes);
        if (resident == NULL) {
            fprintf(stderr, "muster bench: no memory for %zu bytes\n", doomed.resident_bytes);
            return 1;
        }
        memset(resident, 1, doomed.resident_bytes);
    }
    muster_error error;
    muster_error_init(&error);
    muster_job *job = NULL;
    must(muster_job_join(NULL, &job, &error), &error, "join");
    muster_comm *world = muster_job_world(job);
    uint64_t step = 0;
    uint64_t end = STEP_OF_DEATH + STEPS_AFTER;
    for (;;) {
        muster_restore_point point = {.struct_bytes = sizeof(point)};
        must(muster_step_restore_point(world, &point, NULL, 0), &error, "restore point");
        if (point.has_step)
            step = point.step;
        muster_status status = work(job, &doomed, &step, end, &error);
        if (status == MUSTER_OK)
            break;
        if (muster_status_advice(status) != MUSTER_ADVICE_RECOVER)
            must(status, &error, "step");
        must(muster_comm_rebuild(world, NULL, &error), &error, "rebuild");
    }
    must(muster_barrier(world, &error), &error, "barrier");
    must(muster_job_leave(job, &error), &error, "leave");
    free(resident);
    return 0;
}
