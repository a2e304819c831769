/* SPDX-License-Identifier: Apache-2.0 */
/* What the analysis says, as values: the printers only choose words. */
#ifndef MUSTER_TRACING_POSTMORTEM_FINDINGS_H
#define MUSTER_TRACING_POSTMORTEM_FINDINGS_H

#include "tracing/postmortem/records.h"

/* Steps of a recovery in the order in which they are told. X(name, text). Each is the time at which
 * the last rank was through, except evidence and verdict: the first. */
#define MUSTER_RECOVERY_STEP_LIST(X) \
    X(EVIDENCE, "evidence") \
    X(VERDICT, "verdict") \
    X(RELEASED, "released") \
    X(QUIET, "quiet") \
    X(GONE, "gone") \
    X(AGREED, "agreed") \
    X(ESTABLISHED, "established") \
    X(RESUMED, "resumed") \
    X(FIRST_BATCH, "first_batch")

typedef enum muster_recovery_step {
#define MUSTER_RECOVERY_STEP_ENUM(name, text) MUSTER_RECOVERY_STEP_##name,
    MUSTER_RECOVERY_STEP_LIST(MUSTER_RECOVERY_STEP_ENUM)
#undef MUSTER_RECOVERY_STEP_ENUM
        MUSTER_RECOVERY_STEP_COUNT
} muster_recovery_step;

const char *muster_recovery_step_text(muster_recovery_step step);

/* X(name, text). */
#define MUSTER_CLOCK_STATE_LIST(X) \
    X(UNKNOWN, "unknown") /* nothing bounds it from both sides */ \
    X(SAME, "same")       /* the coordinator's, as far as can be told: no difference fits */ \
    X(SHIFTED, "shifted") /* another host's */ \
    X(BROKEN, "broken")   /* what was seen fits no clock: it was set, or a file is damaged */

typedef enum muster_clock_state {
#define MUSTER_CLOCK_STATE_ENUM(name, text) MUSTER_CLOCK_##name,
    MUSTER_CLOCK_STATE_LIST(MUSTER_CLOCK_STATE_ENUM)
#undef MUSTER_CLOCK_STATE_ENUM
} muster_clock_state;

const char *muster_clock_state_text(muster_clock_state state);

/* A rank's clock beside the coordinator's, to which all times of findings belong. */
typedef struct muster_clock_finding {
    muster_clock_state state;
    int64_t ahead_ns;       /* of the coordinator's; with SHIFTED, else 0 */
    int64_t uncertainty_ns; /* it lies within so much of ahead_ns; likewise */
} muster_clock_finding;

typedef struct muster_step_finding {
    int64_t time_ns;        /* 0: nobody said so */
    int64_t uncertainty_ns; /* of that time: it came from another host's clock */
    int32_t count;          /* how many said so */
} muster_step_finding;

typedef enum muster_stand_state {
    MUSTER_STAND_UNKNOWN = 0,  /* no event of that epoch is in its ring, or there is no ring */
    MUSTER_STAND_IN_BATCH = 1, /* begun, neither complete nor failed when the revoke came */
    MUSTER_STAND_BETWEEN = 2   /* its last batch was complete */
} muster_stand_state;

/* Where a rank stood in the epoch that was revoked. */
typedef struct muster_stand_finding {
    int32_t slot;
    uint32_t incarnation;
    muster_stand_state state;
    muster_event_record batch; /* event of the batch that tells most; not with UNKNOWN */
    int32_t open_count;        /* batches in flight at once */
} muster_stand_finding;

typedef struct muster_death_finding {
    int32_t slot;
    uint32_t incarnation;
    uint32_t evidence; /* muster_evidence of the verdict */
    uint64_t epoch;
    int64_t evidence_ns;
    int64_t verdict_ns;
    char text[MUSTER_NOTE_TEXT_BYTES]; /* the coordinator's own sentence */
    int32_t signal;                    /* that ended the process, as its launcher saw it; 0: none */
    int32_t exit_code;                 /* -1: it did not exit, or nobody saw */
    bool has_last_event;
    muster_event_record last_event;  /* from its ring, its time on the coordinator's clock */
    muster_clock_finding last_clock; /* by which that was found */
    muster_stand_finding stand;
} muster_death_finding;

typedef struct muster_recovery_finding {
    uint64_t epoch_before;
    uint64_t epoch_after; /* 0: no epoch was established any more */
    muster_death_finding *deaths;
    size_t death_count;
    muster_stand_finding *stands; /* of the others, by slot */
    size_t stand_count;
    muster_step_finding steps[MUSTER_RECOVERY_STEP_COUNT];
    bool gave_up;
    char gave_up_text[MUSTER_NOTE_TEXT_BYTES];
} muster_recovery_finding;

/* One incarnation and what is left of what it said. */
typedef struct muster_ring_finding {
    int32_t slot;
    uint32_t incarnation;
    int32_t snapshot_count; /* 0: missing */
    int64_t event_count;
    int64_t first_ns; /* older events were overwritten, or there were none */
    int64_t last_ns;
    int64_t discarded_events;
    int64_t discarded_packets;
    muster_clock_finding clock; /* at last_ns, which is the ring's own, as first_ns */
    int32_t damaged_count;
    char damage[160]; /* of the first damaged one */
} muster_ring_finding;

typedef struct muster_findings {
    muster_recovery_finding *recoveries;
    size_t recovery_count;
    muster_ring_finding *rings; /* by slot and incarnation */
    size_t ring_count;
    int64_t batch_count; /* distinct batches with at least one event */
    int64_t event_count;
    bool has_event_log;
    bool has_traces;
    int64_t damaged_lines;
    int64_t wall_offset_ns; /* wall clock minus the coordinator's CLOCK_MONOTONIC; 0: not known */
    bool has_committed_step;
    int64_t committed_step; /* the last that a note tells of */
} muster_findings;

void muster_findings_clean_up(muster_findings *findings);

#endif
