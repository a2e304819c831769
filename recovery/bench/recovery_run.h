/* SPDX-License-Identifier: Apache-2.0 */
/* One job of the recovery benchmark: `muster run` over ranks of which one is lost in a given way, and what
 * its events say afterwards. */
#ifndef MUSTER_RECOVERY_RUN_H
#define MUSTER_RECOVERY_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MUSTER_RECOVERY_RUN_OPTIONS_MOST = 16 };

typedef struct muster_recovery_run {
    const char *loss;                                      /* "kill", "stop", "hang" or "none" */
    const char *options[MUSTER_RECOVERY_RUN_OPTIONS_MOST]; /* of muster run, NULL at the end */
    int ranks;
    size_t resident_bytes; /* what the lost rank holds besides */
    int busy_ms;           /* with "none": how long the job works */
} muster_recovery_run;

typedef struct muster_recovery_times {
    double detect_us;  /* from the loss to the verdict */
    double release_us; /* from there until the last survivor is out of its call */
    double rebuild_us; /* from there until the last rank of the next epoch goes on */
} muster_recovery_times;

/* Runs a job with a loss. False, with a line on stderr, where it did not run to its end. */
bool muster_recovery_run_once(const muster_recovery_run *run, muster_recovery_times *times);

/* Runs a job without one. agent_share gets, by slot, the CPU time of the rank's agent threads over the time
 * that the job worked; room for run->ranks. */
bool muster_recovery_run_busy(const muster_recovery_run *run, double *agent_share);

#endif
