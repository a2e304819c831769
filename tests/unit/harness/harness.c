/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/harness/harness.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "coordinator/coordinator.h"

#define MOST_RANKS 64

int64_t harness_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t harness_random(uint64_t *state)
{
    /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void harness_options_init(harness_options *options, int32_t slot_count)
{
    memset(options, 0, sizeof(*options));
    muster_coordinator_options defaults;
    muster_coordinator_options_init(&defaults);
    options->slot_count = slot_count;
    options->policy = defaults.policy;
    options->policy.slot_count = slot_count;
}

typedef struct harness_place {
    char folder[64];
    char endpoint[128];
} harness_place;

static void make_place(harness_place *place)
{
    snprintf(place->folder, sizeof(place->folder), "/tmp/muster-test-XXXXXX");
    CHECK(mkdtemp(place->folder) != NULL);
    snprintf(place->endpoint, sizeof(place->endpoint), "ipc://%s/coordinator", place->folder);
}

static void remove_place(const harness_place *place)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/coordinator", place->folder);
    unlink(path);
    rmdir(place->folder);
}

static muster_coordinator *start_coordinator(const harness_place *place,
                                             const harness_options *options)
{
    muster_coordinator_options coordinator_options;
    muster_coordinator_options_init(&coordinator_options);
    coordinator_options.endpoint = place->endpoint;
    coordinator_options.policy = options->policy;
    coordinator_options.policy.slot_count = options->slot_count;
    coordinator_options.events = options->events;
    muster_coordinator *coordinator = NULL;
    muster_error error;
    muster_error_init(&error);
    if (muster_coordinator_start(&coordinator_options, &coordinator, &error) != MUSTER_OK) {
        fprintf(stderr, "coordinator: %s\n", error.message);
        _exit(99);
    }
    return coordinator;
}

/* One rank's life: join, body, leave. */
static void live(const harness_place *place, const harness_options *options, int32_t slot,
                 harness_body body, void *argument)
{
    muster_job_options join;
    muster_job_options_init(&join);
    snprintf(join.coordinator, sizeof(join.coordinator), "%s", place->endpoint);
    snprintf(join.job_name, sizeof(join.job_name), "test");
    join.slot = slot;
    join.slot_count = options->slot_count;
    const char *hosts = getenv("MUSTER_TEST_HOSTS");
    if (hosts != NULL) {
        long count = strtol(hosts, NULL, 10);
        snprintf(join.host_id, sizeof(join.host_id), "%ld", slot * count / options->slot_count);
        snprintf(join.host_address, sizeof(join.host_address), "127.0.0.1");
    }
    join.progress_thread = options->progress_thread;
    if (options->adapt != NULL)
        options->adapt(&join, argument);
    harness_rank rank = {.slot = slot, .argument = argument};
    muster_error error;
    muster_error_init(&error);
    muster_status joined = muster_job_join(&join, &rank.job, &error);
    if (joined != MUSTER_OK && options->not_joined != NULL) {
        CHECK(error.status == joined && rank.job == NULL);
        options->not_joined(&error, slot, argument);
        return;
    }
    if (joined != MUSTER_OK) {
        fprintf(stderr, "slot %d: join: %s: %s\n", slot, muster_status_name(error.status),
                error.message);
        _exit(99);
    }
    rank.world = muster_job_world(rank.job);
    body(&rank);
    if (rank.job != NULL)
        CHECK_STATUS(MUSTER_OK, muster_job_leave(rank.job, &error));
}

typedef struct harness_thread {
    const harness_place *place;
    const harness_options *options;
    int32_t slot;
    harness_body body;
    void *argument;
} harness_thread;

static void *thread_main(void *context)
{
    const harness_thread *self = context;
    live(self->place, self->options, self->slot, self->body, self->argument);
    return NULL;
}

void harness_run_threads(const harness_options *options, harness_body body, void *argument)
{
    CHECK(options->slot_count <= MOST_RANKS);
    harness_place place;
    make_place(&place);
    muster_coordinator *coordinator = start_coordinator(&place, options);
    pthread_t threads[MOST_RANKS];
    harness_thread contexts[MOST_RANKS];
    for (int32_t slot = 0; slot < options->slot_count; slot++) {
        contexts[slot] = (harness_thread){&place, options, slot, body, argument};
        CHECK(pthread_create(&threads[slot], NULL, thread_main, &contexts[slot]) == 0);
    }
    for (int32_t slot = 0; slot < options->slot_count; slot++)
        CHECK(pthread_join(threads[slot], NULL) == 0);
    muster_coordinator_stop(coordinator);
    remove_place(&place);
}

void harness_run_processes(const harness_options *options, harness_body body, void *argument,
                           void (*meanwhile)(const pid_t *pids, void *argument), int *exit_statuses)
{
    CHECK(options->slot_count <= MOST_RANKS);
    harness_place place;
    make_place(&place);
    int gate[2];
    CHECK(pipe(gate) == 0);
    pid_t pids[MOST_RANKS];
    for (int32_t slot = 0; slot < options->slot_count; slot++) {
        fflush(NULL);
        pids[slot] = fork();
        CHECK(pids[slot] >= 0);
        if (pids[slot] == 0) {
            char go;
            close(gate[1]);
            while (read(gate[0], &go, 1) < 0 && errno == EINTR)
                continue;
            live(&place, options, slot, body, argument);
            fflush(NULL);
            _exit(0);
        }
    }
    close(gate[0]);
    muster_coordinator *coordinator = start_coordinator(&place, options);
    close(gate[1]);
    if (meanwhile != NULL)
        meanwhile(pids, argument);
    for (int32_t slot = 0; slot < options->slot_count; slot++)
        while (waitpid(pids[slot], &exit_statuses[slot], 0) < 0)
            CHECK(errno == EINTR);
    muster_coordinator_stop(coordinator);
    remove_place(&place);
}
