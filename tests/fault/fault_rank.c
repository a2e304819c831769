/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest rank with a state: commits steps, and goes on where a rebuild says.
 *
 *   fault_rank STEPS DELAY_MS [crash SLOT STEP]    (crash: that slot dies before that step, always)
 *   fault_rank STEPS DELAY_MS [pause SLOT STEP]    (pause: that slot waits before that step, outside of
 *                                                  all calls, for a file named "go")
 *
 * The root prints "step S of epoch E" for each step that was committed. Each rank checks that the state
 * that it restores is the one that was committed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <muster/muster.h>

typedef struct fault_rank {
    muster_job *job;
    uint64_t steps;
    long delay_ms;
    int32_t crash_slot;
    uint64_t crash_step;
    int32_t pause_slot;
    uint64_t pause_step;
    uint64_t next;
    uint64_t state[4]; /* what step and slot say it must be */
    muster_error error;
} fault_rank;

static void fill_state(uint64_t *state, uint64_t step, int32_t slot)
{
    for (uint64_t i = 0; i < 4; i++)
        state[i] = step * 1000003u + (uint64_t)slot * 101u + i;
}

static muster_status commit(fault_rank *rank, uint64_t step)
{
    fill_state(rank->state, step, muster_job_slot(rank->job));
    const muster_state_part part = {rank->state, sizeof rank->state};
    return muster_step_commit(muster_job_world(rank->job), step, &part, 1, &rank->error);
}

/* Everybody fetches everybody's state, so that all make the same calls. */
static muster_status restore(fault_rank *rank)
{
    muster_comm *world = muster_job_world(rank->job);
    muster_restore_point point = {.struct_bytes = sizeof point};
    int32_t slots[64];
    muster_status status = muster_step_restore_point(world, &point, slots, 64);
    rank->next = 1;
    if (status != MUSTER_OK || !point.has_step)
        return status;
    for (int32_t i = 0; i < point.slot_count && status == MUSTER_OK; i++) {
        uint64_t state[4] = {0};
        uint64_t wanted[4];
        fill_state(wanted, point.step, slots[i]);
        status = muster_step_fetch(world, slots[i], state, sizeof state, NULL, &rank->error);
        if (status == MUSTER_OK && memcmp(state, wanted, sizeof state) != 0) {
            fprintf(stderr, "fault_rank: the state of slot %d is not that of step %" PRIu64 "\n",
                    slots[i], point.step);
            exit(70);
        }
    }
    if (status != MUSTER_OK)
        return status;
    rank->next = point.step + 1;
    return commit(rank, point.step);
}

static muster_status step(fault_rank *rank)
{
    muster_comm *world = muster_job_world(rank->job);
    const struct timespec delay = {.tv_sec = rank->delay_ms / 1000,
                                   .tv_nsec = rank->delay_ms % 1000 * 1000000};
    nanosleep(&delay, NULL);
    if (rank->crash_slot == muster_job_slot(rank->job) && rank->next == rank->crash_step)
        abort();
    const struct timespec while_paused = {.tv_nsec = 10000000};
    while (rank->pause_slot == muster_job_slot(rank->job) && rank->next == rank->pause_step &&
           access("go", F_OK) != 0)
        nanosleep(&while_paused, NULL);
    int64_t word = (int64_t)rank->next;
    muster_tensor rows = muster_tensor_host(&word, MUSTER_DTYPE_INT64, 1, 1);
    muster_status status = muster_broadcast(world, &rows, 0, &rank->error);
    if (status == MUSTER_OK)
        status = commit(rank, rank->next);
    if (status != MUSTER_OK)
        return status;
    if (muster_comm_rank(world) == 0) {
        printf("step %" PRIu64 " of epoch %" PRIu64 "\n", rank->next,
               muster_comm_epoch(world).value);
        fflush(stdout);
    }
    rank->next++;
    return MUSTER_OK;
}

static muster_status run(fault_rank *rank)
{
    muster_status status = restore(rank);
    for (;;) {
        while (status == MUSTER_OK && rank->next <= rank->steps)
            status = step(rank);
        if (status == MUSTER_OK)
            status = muster_barrier(muster_job_world(rank->job), &rank->error);
        if (muster_status_advice(status) != MUSTER_ADVICE_RECOVER)
            return status;
        status = muster_comm_rebuild(muster_job_world(rank->job), NULL, &rank->error);
        if (status == MUSTER_OK)
            status = restore(rank);
    }
}

int main(int argc, char **argv)
{
    fault_rank rank = {.crash_slot = -1, .pause_slot = -1};
    if (argc < 3)
        return 64;
    muster_error_init(&rank.error);
    rank.steps = strtoull(argv[1], NULL, 10);
    rank.delay_ms = strtol(argv[2], NULL, 10);
    if (argc == 6) {
        bool pause = strcmp(argv[3], "pause") == 0;
        *(pause ? &rank.pause_slot : &rank.crash_slot) = (int32_t)strtol(argv[4], NULL, 10);
        *(pause ? &rank.pause_step : &rank.crash_step) = strtoull(argv[5], NULL, 10);
    }
    muster_status status = muster_job_join(NULL, &rank.job, &rank.error);
    if (status == MUSTER_OK)
        status = run(&rank);
    if (status != MUSTER_OK)
        fprintf(stderr, "fault_rank: %s: %s\n", muster_status_name(status), rank.error.message);
    muster_job_leave(rank.job, NULL);
    return status == MUSTER_OK ? 0 : 69;
}
