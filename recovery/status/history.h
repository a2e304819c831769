/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a job since its coordinator started: the last verdicts and news, how long recoveries
 * took, and counts of all of them. Made from the core's notes, whose times are those of the coordinator;
 * bounded, whatever happens. Plain values: a copy of the struct is a copy. */
#ifndef MUSTER_STATUS_HISTORY_H
#define MUSTER_STATUS_HISTORY_H

#include "core/message.h"

#define MUSTER_HISTORY_VERDICTS 64
#define MUSTER_HISTORY_NEWS 64
#define MUSTER_HISTORY_RECOVERIES 32
#define MUSTER_HISTORY_LOST_SLOTS 8
#define MUSTER_EVIDENCE_COUNT 16 /* more than there are; a test checks */

/* From the first verdict to the established epoch. A further loss on the way belongs to it. */
typedef struct muster_history_recovery {
    uint64_t lost_epoch;
    uint64_t new_epoch; /* 0: not agreed yet */
    int32_t lost_count;
    int32_t lost_slots[MUSTER_HISTORY_LOST_SLOTS]; /* the first of them */
    int32_t member_count;                          /* of the new epoch */
    int64_t verdict_ns;
    int64_t agreed_ns; /* the last agreement; 0: not yet, like those below */
    int64_t established_ns;
    int64_t first_batch_ns; /* heard from the last rank that has told */
    bool gave_up;
} muster_history_recovery;

/* Upper bounds of a histogram, in milliseconds; above the last is one more bucket. */
#define MUSTER_HISTORY_BUCKET_LIST(X) \
    X(5) X(10) X(25) X(50) X(100) X(250) X(500) X(1000) X(2500) X(5000) X(10000) X(30000) X(60000)
#define MUSTER_HISTORY_BUCKET_ONE(bound) 1,
#define MUSTER_HISTORY_BUCKETS \
    ((int)sizeof((const char[]){MUSTER_HISTORY_BUCKET_LIST(MUSTER_HISTORY_BUCKET_ONE)}))

typedef struct muster_history {
    /* Rings: the newest stands at (count - 1) modulo the size. */
    muster_note verdicts[MUSTER_HISTORY_VERDICTS];
    uint64_t verdict_count;
    muster_note news[MUSTER_HISTORY_NEWS];
    uint64_t news_count;
    muster_history_recovery recoveries[MUSTER_HISTORY_RECOVERIES];
    uint64_t recovery_count;
    bool recovering; /* the newest recovery is under way */

    uint64_t verdicts_by_evidence[MUSTER_EVIDENCE_COUNT];
    uint64_t suspicion_count;
    uint64_t established_count;
    uint64_t recovered_count;
    uint64_t recovered_buckets[MUSTER_HISTORY_BUCKETS + 1]; /* each for itself, not summed up */
    int64_t recovered_sum_ns;
} muster_history;

void muster_history_note(muster_history *history, const muster_note *note);

/* The one that is `back` before the newest; NULL: there is none, or it is forgotten. */
const muster_note *muster_history_verdict(const muster_history *history, uint64_t back);
const muster_note *muster_history_news(const muster_history *history, uint64_t back);
const muster_history_recovery *muster_history_recovery_at(const muster_history *history,
                                                          uint64_t back);

/* In milliseconds, of the bucket with that index. */
int64_t muster_history_bucket_ms(int index);

#endif
