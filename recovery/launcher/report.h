/* SPDX-License-Identifier: Apache-2.0 */
/* How long each recovery took. Pure: what the launcher saw and what the coordinator noted go in, with
 * their times; arithmetic comes out. Times are CLOCK_MONOTONIC: of the launcher's host what it saw itself, of the
 * coordinator's what that noted. They are only compared where both are one; else what is told of a loss is timed by when
 * the launcher heard of it.
 *
 *   died ──detect── verdict ──release── last survivor out of its call ──rebuild── last member resumed
 *                      └──────────start── a replacement was asked for, and joined
 *
 * A further loss before the new epoch is established belongs to the same recovery. */
#ifndef MUSTER_LAUNCHER_REPORT_H
#define MUSTER_LAUNCHER_REPORT_H

#include "core/message.h"

/* One process that died or was signalled, as the launcher saw it. */
typedef struct muster_report_death {
    int32_t slot;
    uint32_t incarnation;
    int64_t at_ns; /* of the signal of a drill, else of the exit */
    bool by_drill;
    int signal_number; /* of the drill */
    bool exited;
    int wait_status;
} muster_report_death;

typedef struct muster_report_loss {
    int32_t slot;
    uint32_t incarnation;
    uint32_t evidence;  /* muster_evidence */
    int64_t died_ns;    /* 0: not known before the verdict */
    int64_t verdict_ns; /* as the coordinator says */
    bool by_drill;
    int signal_number;
} muster_report_loss;

typedef struct muster_recovery {
    uint64_t lost_epoch; /* the one that was revoked */
    uint64_t new_epoch;  /* 0: none was agreed yet */
    int32_t member_count;
    muster_report_loss *losses;
    size_t loss_count;
    int64_t verdict_ns; /* the first, as the coordinator says */
    int64_t
        told_ns; /* the same on the launcher's clock: when it heard of it, where that is another */
    int64_t released_ns;    /* the last after the verdict; 0: nobody was in a call */
    int64_t starting_ns;    /* the first start of a replacement; 0: none */
    int64_t joined_ns;      /* the last join of one */
    bool spare;             /* a spare took a slot */
    int64_t established_ns; /* 0: not yet */
    int64_t resumed_ns;     /* the last */
    int32_t *resumed_slots;
    int32_t resumed_count;
    int64_t first_batch_ns; /* the last rank's first */
    int32_t first_batch_count;
} muster_recovery;

typedef struct muster_report {
    muster_report_death *deaths;
    size_t death_count;
    muster_recovery *recoveries;
    size_t recovery_count;
    bool two_clocks; /* the coordinator's is, or may be, another host's than the launcher's */
    bool incomplete; /* memory ran out: something is missing */
} muster_report;

/* Milliseconds; below 0: not known, or did not happen. */
typedef struct muster_recovery_timing {
    double detect_ms;
    double release_ms;
    double rebuild_ms;
    double start_ms;
    double first_batch_ms; /* from the release to the last rank's first batch */
} muster_recovery_timing;

void muster_report_init(muster_report *report);
void muster_report_clean_up(muster_report *report);

void muster_report_signalled(muster_report *report, int32_t slot, uint32_t incarnation,
                             int signal_number, int64_t at_ns);
void muster_report_exited(muster_report *report, int32_t slot, uint32_t incarnation,
                          int wait_status, int64_t at_ns);

/* A waiting spare took a slot in the recovery at hand. */
void muster_report_spare_taken(muster_report *report);

typedef enum muster_report_news {
    MUSTER_REPORT_NOTHING = 0,
    MUSTER_REPORT_RESUMED = 1,    /* the last member of the last recovery has resumed */
    MUSTER_REPORT_FIRST_BATCH = 2 /* and the last one's first batch is complete */
} muster_report_news;

/* heard_ns: now, on the launcher's clock. */
muster_report_news muster_report_note(muster_report *report, const muster_note *note,
                                      int64_t heard_ns);

/* NULL: none yet. */
const muster_recovery *muster_report_last(const muster_report *report);
muster_recovery_timing muster_recovery_timing_of(const muster_recovery *recovery);

/* Facts of the job that a report carries. */
typedef struct muster_report_job {
    const char *job_name;
    int32_t slot_count;
    const char *on_loss;
    int exit_code;
} muster_report_job;

/* The whole as JSON; the caller frees it. NULL when memory ran out. */
char *muster_report_json(const muster_report *report, const muster_report_job *job);

#endif
