/* SPDX-License-Identifier: Apache-2.0 */
#include "group.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SPINS 300
#define YIELDS 20
#define HANG_NS (50 * SECOND_NS)

_Noreturn void group_check_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expression);
    fflush(stderr);
    _exit(99);
}

int64_t group_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

uint64_t group_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

group_shared *group_share(void)
{
    group_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(shared != MAP_FAILED);
    return shared;
}

void group_unshare(group_shared *shared)
{
    munmap(shared, sizeof *shared);
}

static void note_dying(void *context, int32_t slot, uint32_t incarnation)
{
    group_rank *self = context;

    self->dying_slot = slot;
    self->dying_incarnation = incarnation;
    self->dying_ranks |= (uint64_t)1 << (slot - 100);
    self->dying_count++;
}

static void nap(void)
{
    struct timespec millisecond = {.tv_nsec = 1000000};

    nanosleep(&millisecond, NULL);
}

void group_meet(group_rank *self, int index)
{
    int64_t hang_ns = group_now_ns() + HANG_NS;

    self->shared->arrived[index]++;
    while (self->shared->arrived[index] < (uint32_t)self->rank_count) {
        CHECK(group_now_ns() < hang_ns);
        nap();
    }
}

void group_open(group_rank *self, group_shared *shared, int32_t rank, int32_t rank_count)
{
    muster_transport_endpoint_options options = {.job = GROUP_JOB,
                                                 .slot = rank + 100,
                                                 .incarnation = (uint32_t)rank + 7,
                                                 .on_peer_dying = note_dying,
                                                 .context = self};

    const char *hosts = getenv("MUSTER_TEST_HOSTS");
    char host_id[16];

    memset(self, 0, sizeof *self);
    self->table = muster_host_table();
    if (hosts != NULL) {
        self->table = muster_plane_table();
        snprintf(host_id, sizeof host_id, "%ld", rank % strtol(hosts, NULL, 10));
        options.host_id = host_id;
        options.host_address = "127.0.0.1";
    }
    self->rank = rank;
    self->rank_count = rank_count;
    self->random = (uint64_t)rank * 7919 + 12345;
    self->shared = shared;
    CHECK(self->table->endpoint_open(&options, &self->endpoint, NULL) == MUSTER_OK);
    self->table->endpoint_blob(self->endpoint, &shared->blobs[rank]);
    group_meet(self, 0);
    for (int32_t r = 0; r < rank_count; r++) {
        self->members[r].slot = r + 100;
        self->members[r].incarnation = (uint32_t)r + 7;
        self->members[r].blob = shared->blobs[r];
    }
}

void group_connect(group_rank *self, uint64_t epoch, uint64_t communicator, bool watch_peers)
{
    muster_transport_connect_options options = {.epoch = epoch,
                                                .communicator = communicator,
                                                .members = self->members,
                                                .member_count = self->rank_count,
                                                .own_rank = self->rank,
                                                .watch_peers = watch_peers,
                                                .deadline_ns = group_now_ns() + 20 * SECOND_NS};
    muster_error error;

    muster_error_init(&error);
    self->round = 0;
    if (self->table->connect(self->endpoint, &options, &self->transport, &error) != MUSTER_OK) {
        fprintf(stderr, "connect: %s\n", error.message);
        CHECK(!"connected");
    }
}

void group_close(group_rank *self)
{
    if (self->transport != NULL)
        self->table->close(self->transport);
    self->transport = NULL;
    self->table->endpoint_close(self->endpoint);
}

typedef struct thread_start {
    pthread_t thread;
    group_shared *shared;
    int32_t rank;
    int32_t rank_count;
    group_body body;
    void *argument;
} thread_start;

static void run_rank(group_shared *shared, int32_t rank, int32_t rank_count, group_body body,
                     void *argument)
{
    group_rank *self = malloc(sizeof *self);

    CHECK(self != NULL);
    group_open(self, shared, rank, rank_count);
    self->argument = argument;
    group_connect(self, 1, 1, true);
    body(self);
    group_close(self);
    free(self);
}

static void *run_thread(void *argument)
{
    thread_start *start = argument;

    run_rank(start->shared, start->rank, start->rank_count, start->body, start->argument);
    return NULL;
}

void group_run_threads(int32_t rank_count, group_body body, void *argument)
{
    thread_start starts[GROUP_RANKS_MAX];
    group_shared *shared = group_share();

    for (int32_t rank = 0; rank < rank_count; rank++) {
        starts[rank] = (thread_start){.shared = shared,
                                      .rank = rank,
                                      .rank_count = rank_count,
                                      .body = body,
                                      .argument = argument};
        CHECK(pthread_create(&starts[rank].thread, NULL, run_thread, &starts[rank]) == 0);
    }
    for (int32_t rank = 0; rank < rank_count; rank++)
        pthread_join(starts[rank].thread, NULL);
    group_unshare(shared);
}

pid_t group_fork(group_shared *shared, int32_t rank, int32_t rank_count, group_body body,
                 void *argument)
{
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        /* A test that fails must not leave ranks behind that wait to be killed. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_rank(shared, rank, rank_count, body, argument);
        _exit(0);
    }
    return child;
}

void group_expect_exit(pid_t child, int exit_code)
{
    int status;

    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == exit_code);
}

void group_run_processes(int32_t rank_count, group_body body, void *argument)
{
    group_shared *shared = group_share();
    pid_t children[GROUP_RANKS_MAX];

    for (int32_t rank = 0; rank < rank_count; rank++)
        children[rank] = group_fork(shared, rank, rank_count, body, argument);
    for (int32_t rank = 0; rank < rank_count; rank++)
        group_expect_exit(children[rank], 0);
    group_unshare(shared);
}

const void *group_round(group_rank *self, const void *payload)
{
    int64_t hang_ns = group_now_ns() + HANG_NS;
    uint64_t round = ++self->round;
    const void *all;
    int tries = 0;

    self->table->round_post(self->transport, round, payload);
    while ((all = self->table->round_poll(self->transport, round)) == NULL) {
        uint32_t ticket;

        if (++tries < SPINS)
            continue;
        if (tries < SPINS + YIELDS) {
            sched_yield();
            continue;
        }
        CHECK(group_now_ns() < hang_ns);
        ticket = self->table->arm(self->transport);
        if (self->table->round_poll(self->transport, round) == NULL)
            self->table->sleep(self->transport, ticket, SECOND_NS);
        self->table->disarm(self->transport);
    }
    return all;
}

void group_batch(group_rank *self, const muster_transport_operation *operations, size_t count)
{
    int64_t hang_ns = group_now_ns() + HANG_NS;
    muster_transport_batch *batch;
    bool done = false;
    int tries = 0;

    CHECK(self->table->submit(self->transport, operations, count, &batch, NULL) == MUSTER_OK);
    for (;;) {
        bool moved;
        uint32_t ticket;

        CHECK(self->table->progress(batch, &done, &moved, NULL) == MUSTER_OK);
        if (done)
            break;
        tries = moved ? 0 : tries + 1;
        if (tries < SPINS)
            continue;
        if (tries < SPINS + YIELDS) {
            sched_yield();
            continue;
        }
        CHECK(group_now_ns() < hang_ns);
        ticket = self->table->arm(self->transport);
        CHECK(self->table->progress(batch, &done, &moved, NULL) == MUSTER_OK);
        if (!done && !moved)
            self->table->sleep(self->transport, ticket, SECOND_NS);
        self->table->disarm(self->transport);
        if (done)
            break;
    }
    self->table->release(batch);
}

static uint64_t word_at(uint64_t seed, size_t index)
{
    uint64_t word = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

    word ^= word >> 29;
    word *= UINT64_C(0xbf58476d1ce4e5b9);
    return word ^ (word >> 32);
}

void group_fill(uint8_t *bytes, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i += 8) {
        uint64_t word = word_at(seed, i / 8);

        memcpy(bytes + i, &word, count - i < 8 ? count - i : 8);
    }
}

bool group_same(const uint8_t *bytes, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i += 8) {
        uint64_t word = word_at(seed, i / 8);

        if (memcmp(bytes + i, &word, count - i < 8 ? count - i : 8) != 0)
            return false;
    }
    return true;
}

int group_count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    CHECK(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

int group_count_maps(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    CHECK(file != NULL);
    /* Only what Muster maps: malloc and thread stacks come and go. */
    while (fgets(line, sizeof line, file) != NULL)
        if (strstr(line, "/memfd:muster") != NULL)
            count++;
    fclose(file);
    return count;
}
