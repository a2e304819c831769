/* SPDX-License-Identifier: Apache-2.0 */
/* With MUSTER_TEST_HOSTS=N in the environment the slots are divided into N pretended hosts.
 *
 * A job inside one test program: a coordinator on a thread, and ranks as threads or as forked
 * processes. Nothing of it is installed. */
#ifndef MUSTER_TESTS_HARNESS_H
#define MUSTER_TESTS_HARNESS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include <muster/muster.h>

#include "core/message.h"

/* Rank code runs outside the test's own thread (or process), where cmocka's assertions may not be
 * used: a failed check ends the whole program, loudly. */
#define CHECK(expression) \
    do { \
        if (!(expression)) { \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #expression); \
            fflush(stderr); \
            _exit(99); \
        } \
    } while (0)

#define CHECK_STATUS(expected, call) \
    do { \
        muster_status check_status = (call); \
        if (check_status != (expected)) { \
            fprintf(stderr, "%s:%d: %s gave %s instead of %s\n", __FILE__, __LINE__, #call, \
                    muster_status_name(check_status), muster_status_name(expected)); \
            fflush(stderr); \
            _exit(99); \
        } \
    } while (0)

typedef struct harness_options {
    int32_t slot_count;
    muster_policy policy; /* slot_count is filled in */
    bool progress_thread;
    const char *events; /* file for the coordinator's notes, or NULL */
    /* Changes what a rank joins with, on its thread; or NULL. */
    void (*adapt)(muster_job_options *join, void *argument);
    /* Takes what a join that failed says, in place of the end of the program; the rank is through then. */
    void (*not_joined)(const muster_error *error, int32_t slot, void *argument);
} harness_options;

void harness_options_init(harness_options *options, int32_t slot_count);

/* What one rank gets. */
typedef struct harness_rank {
    int32_t slot;
    muster_job *job;
    muster_comm *world;
    void *argument;
} harness_rank;

typedef void (*harness_body)(harness_rank *rank);

/* Runs body in slot_count threads, each joined to the same new job; each leaves afterwards. Returns
 * when all are through. */
void harness_run_threads(const harness_options *options, harness_body body, void *argument);

/* The same in forked processes. The parent runs `meanwhile` (may be NULL) once all are forked; it may
 * kill some by pids[slot]. exit_statuses[slot] gets wait(2)'s status. Call it before the program has
 * any other thread. */
void harness_run_processes(const harness_options *options, harness_body body, void *argument,
                           void (*meanwhile)(const pid_t *pids, void *argument),
                           int *exit_statuses);

/* Monotonic ns. */
int64_t harness_now_ns(void);

/* A small deterministic generator; print the seed of a failing test. */
uint64_t harness_random(uint64_t *state);

#endif
