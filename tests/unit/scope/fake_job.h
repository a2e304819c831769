/* SPDX-License-Identifier: Apache-2.0 */
/* A job in one process without a control plane: ranks are threads, the transport is a table of mailboxes,
 * the agent says what the test wants it to say. The engine, the verdict and the scopes are the real
 * ones. So a loss can fall at an exact place ("the mirror is on its way") and not at a random one. */
#ifndef TESTS_UNIT_SCOPE_FAKE_JOB_H
#define TESTS_UNIT_SCOPE_FAKE_JOB_H

#include <stdatomic.h>
#include <stdio.h>

#include "comm/comm.h"
#include "scope/step_store.h"

#define FAKE_RANKS_MAX 8

typedef struct fake_job fake_job;

typedef struct fake_rank {
    fake_job *fake;
    int32_t slot; /* stays over a rebuild */
    muster_job job;
    muster_comm *world;
    void *context; /* of the test */
} fake_rank;

/* What the trace provider was told, over all ranks. */
typedef struct fake_counts {
    atomic_int batches_begun;
    atomic_int batches_failed;
    atomic_int params_begun;
    atomic_int params_ended;
    atomic_int steps_staged;
    atomic_int steps_committed;
    atomic_int commits_reported; /* to the agent */
    _Atomic uint64_t bytes_sent;
} fake_counts;

/* Slots 0 .. rank_count-1 are ranks of epoch 1. */
fake_job *fake_job_new(int32_t rank_count);
void fake_job_free(fake_job *fake);

int32_t fake_job_size(const fake_job *fake);
fake_rank *fake_job_rank(fake_job *fake, int32_t rank);
fake_counts *fake_job_counts(fake_job *fake);

/* Runs body on a thread for each rank and joins them. */
void fake_job_run(fake_job *fake, void (*body)(fake_rank *self));
/* The same without rank absent (-1: none); once every thread is done, or sits in a blocking wait of
 * its rank's call in calls, the epoch is revoked. */
void fake_job_run_and_lose(fake_job *fake, void (*body)(fake_rank *self), int32_t absent,
                           const muster_call *calls);
/* From now on what rank sends stays on its way. */
void fake_job_withhold_sends_of(fake_job *fake, int32_t rank);

/* The next epoch: lost ranks' slots are gone (shrink), or empty processes fill them (replace). */
void fake_job_rebuild(fake_job *fake, int32_t lost_rank, bool replace,
                      const muster_restore *restore, const int32_t *slots);

/* Expectations of threads: cmocka's own may not be used outside of the main one. The main thread
 * asserts that none failed. */
extern atomic_int fake_failures;
#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition); \
            atomic_fetch_add(&fake_failures, 1); \
        } \
    } while (0)
#define EXPECT_STATUS(call, wanted) \
    do { \
        muster_status came_ = (call); \
        if (came_ != (wanted)) { \
            fprintf(stderr, "%s:%d: %s gave %s, expected %s\n", __FILE__, __LINE__, #call, \
                    muster_status_name(came_), muster_status_name(wanted)); \
            atomic_fetch_add(&fake_failures, 1); \
        } \
    } while (0)

#endif
