/* SPDX-License-Identifier: Apache-2.0 */
/* A rank that commits a few steps; the victim stays out of the next batch until the others wait in it,
 * writes the time, and kills itself, stops, or hangs. The rest is a recovery as any job does it. */
#include "bench/recovery_bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <muster/muster.h>

enum { STEP_OF_DEATH = 3, STEPS_AFTER = 3, ROWS = 256, RANKS_MOST = 64 };

typedef struct victim {
    const char *loss; /* "kill", "stop", "hang", "none" */
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

static long long number_of(const char *variable, long long otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoll(text, NULL, 10);
}

static victim read_victim(void)
{
    const char *loss = getenv("MUSTER_BENCH_LOSS");
    return (victim){
        .loss = loss == NULL ? "none" : loss,
        .slot = (int32_t)number_of("MUSTER_BENCH_VICTIM", -1),
        .resident_bytes = (size_t)number_of("MUSTER_BENCH_RESIDENT_BYTES", 0),
        .mark_path = getenv("MUSTER_BENCH_MARK"),
    };
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void mark(const victim *self)
{
    int file = open(self->mark_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (dprintf(file, "%lld\n", (long long)now_ns()) <= 0)
        exit(1);
}

/* Is lost with the time of it on disk; the time is taken after everything that could delay the signal. A
 * thread that hangs is lost to the others from the moment at which they wait for it: it says so first. */
static void be_lost(const victim *self)
{
    const struct timespec until_others_wait = {.tv_nsec = 100000000};
    bool hangs = strcmp(self->loss, "hang") == 0;
    if (hangs)
        mark(self);
    nanosleep(&until_others_wait, NULL);
    if (!hangs)
        mark(self);
    if (strcmp(self->loss, "stop") == 0)
        raise(SIGSTOP);
    else if (!hangs)
        raise(SIGKILL);
    for (;;)
        pause(); /* until the launcher ends what was declared dead */
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
            muster_job_slot(job) == doomed->slot && strcmp(doomed->loss, "none") != 0)
            be_lost(doomed);
        if (status == MUSTER_OK)
            status = gather(world, error);
        if (status == MUSTER_OK)
            ++*step;
    }
    return status;
}

/* CPU time of this process's agent: its thread, and those that libzmq runs for it. */
static int64_t agent_cpu_ns(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int64_t sum_ns = 0;
    struct dirent *task;
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        char path[300];
        char name[32] = "";
        long long ran_ns = 0;
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
        FILE *comm = fopen(path, "re");
        bool named = comm != NULL && fgets(name, sizeof(name), comm) != NULL;
        if (comm != NULL)
            fclose(comm);
        snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", task->d_name);
        FILE *ran = fopen(path, "re");
        if (named && ran != NULL && fscanf(ran, "%lld", &ran_ns) == 1 &&
            (strncmp(name, "muster-agent", 12) == 0 || strncmp(name, "ZMQ", 3) == 0))
            sum_ns += ran_ns;
        if (ran != NULL)
            fclose(ran);
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum_ns;
}

/* A job that loses nobody: batches and a little computing in turn, for busy_ms; then each rank says what its
 * agent took of it. All run the same number of rounds, so rank 0 says when it is over. */
static void work_undisturbed(muster_job *job, int64_t busy_ms, muster_error *error)
{
    const struct timespec compute = {.tv_nsec = 2000000};
    muster_comm *world = muster_job_world(job);
    int64_t began_ns = now_ns();
    int64_t cpu_before_ns = agent_cpu_ns();
    int32_t over = 0;
    while (over == 0) {
        must(gather(world, error), error, "gather");
        nanosleep(&compute, NULL);
        over = now_ns() - began_ns > busy_ms * 1000000;
        muster_tensor flag = muster_tensor_host(&over, MUSTER_DTYPE_INT32, 1, 1);
        must(muster_broadcast(world, &flag, 0, error), error, "broadcast");
    }
    const char *path = getenv("MUSTER_BENCH_SHARES");
    int file = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (dprintf(file, "%d %lld %lld\n", muster_job_slot(job),
                (long long)(agent_cpu_ns() - cpu_before_ns), (long long)(now_ns() - began_ns)) <= 0)
        exit(1);
    close(file);
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
    if (strcmp(doomed.loss, "none") == 0)
        work_undisturbed(job, number_of("MUSTER_BENCH_BUSY_MS", 1000), &error);
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
