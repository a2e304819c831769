/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a coordinator shows of itself and its jobs at one moment, as plain values; and the
 * three forms in which it is shown. Pure: the coordinator's thread fills it, any thread may render it. */
#ifndef MUSTER_STATUS_OVERVIEW_H
#define MUSTER_STATUS_OVERVIEW_H

#include "core/view.h"
#include "status/history.h"

#define MUSTER_OVERVIEW_NAME_BYTES 64

/* Series of each rank are written for jobs of up to this many slots; a larger job has its sums. */
#define MUSTER_OVERVIEW_METRICS_SLOTS_MAX 512

typedef struct muster_overview_job {
    char name[MUSTER_OVERVIEW_NAME_BYTES];
    muster_view view;
    muster_history history;
} muster_overview_job;

/* A reason for which something was refused: a name that stays, a sentence, how often. */
typedef struct muster_overview_refusal {
    const char *name;
    const char *text;
    uint64_t count;
} muster_overview_refusal;

typedef struct muster_overview {
    int64_t now_ns;  /* CLOCK_MONOTONIC of the coordinator, as the times of notes */
    int64_t wall_ms; /* the same moment for people, since 1970 */
    int64_t up_ns;   /* since the coordinator's start */
    uint64_t term;
    char endpoint[320];
    bool has_journal;
    bool asks_for_keys;
    uint64_t connection_count;
    uint64_t messages_heard;
    muster_overview_refusal *refusals;
    size_t refusal_count;
    muster_overview_job *jobs;
    size_t job_count;
} muster_overview;

/* Zeros, with room for that many jobs and refusals. NULL when memory ran out. */
muster_overview *muster_overview_new(size_t job_count, size_t refusal_count);
void muster_overview_free(muster_overview *overview);

/* Each is allocated, and the caller's to free; NULL when memory ran out. */
char *muster_overview_json(const muster_overview *overview);
char *muster_overview_metrics(const muster_overview *overview); /* Prometheus text, 0.0.4 */
char *muster_overview_table(const muster_overview *overview);   /* for a terminal */

/* The epoch's ranks that wait in one call, and those whose part of it has not come. */
typedef struct muster_overview_wait {
    uint64_t communicator;
    uint64_t sequence;
    uint32_t call;
    int64_t longest_ns;
    int32_t waiting_count;
    int32_t *waiting; /* slots, ascending */
    int32_t awaited_count;
    int32_t *awaited; /* likewise. Of a split communicator only those that are known to be in it */
} muster_overview_wait;

#define MUSTER_OVERVIEW_WAITS_MAX 32

/* Groups of waiting ranks, the longest wait first: returns how many, at most
 * MUSTER_OVERVIEW_WAITS_MAX, below zero when memory ran out. To be ended by
 * muster_overview_waits_clean_up. */
int muster_overview_waits(const muster_view *view, muster_overview_wait *waits);
void muster_overview_waits_clean_up(muster_overview_wait *waits, int count);

/* What the next epoch waits for: X(name, text). */
#define MUSTER_OVERVIEW_PENDING_LIST(X) \
    X(JOIN, "to join") \
    X(QUIET, "to become quiet") \
    X(GONE, "to be proven gone") \
    X(SEAT, "to be replaced") \
    X(CONNECT, "to connect")

typedef enum muster_overview_pending {
#define MUSTER_OVERVIEW_PENDING_ENUM(name, text) MUSTER_OVERVIEW_PENDING_##name,
    MUSTER_OVERVIEW_PENDING_LIST(MUSTER_OVERVIEW_PENDING_ENUM)
#undef MUSTER_OVERVIEW_PENDING_ENUM
        MUSTER_OVERVIEW_PENDING_COUNT
} muster_overview_pending;

/* Does the next epoch wait for this slot to ...? */
bool muster_overview_is_pending(const muster_view *view, int32_t slot,
                                muster_overview_pending what);

/* "world", or the number in hexadecimal. text: at least 24 bytes. */
const char *muster_overview_communicator_text(uint64_t communicator, char *text, size_t bytes);

#endif
