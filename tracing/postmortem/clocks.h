/* SPDX-License-Identifier: Apache-2.0 */
/* By how much the clock of a rank's host is ahead of the coordinator's. Pure.
 *
 * What was said first and heard later bounds it from one side: a rank that resumed in an epoch had heard
 * that it was established, so its clock then was past that moment; what it said of it was heard later.
 * The notes alone bound it within a few round trips; the coordinator's clock pings, where its trace was
 * recorded, within one. Clocks drift, so a bound counts for less the farther away in time it was seen. */
#ifndef MUSTER_TRACING_POSTMORTEM_CLOCKS_H
#define MUSTER_TRACING_POSTMORTEM_CLOCKS_H

#include "tracing/postmortem/findings.h"

typedef struct muster_clock_bound {
    int32_t slot;
    uint32_t incarnation;
    int64_t rank_ns;       /* when, on the rank's clock */
    int64_t difference_ns; /* its clock less the coordinator's is at most, or at least, this */
    bool at_most;
} muster_clock_bound;

typedef struct muster_clocks {
    muster_clock_bound *bounds; /* by slot and incarnation */
    size_t count;
    size_t capacity;
} muster_clocks;

/* From notes and sorted events. False when memory ran out; *clocks is the caller's to clean up anyway. */
bool muster_clocks_gather(const muster_records *records, muster_clocks *clocks);
void muster_clocks_clean_up(muster_clocks *clocks);

/* At rank_ns of that rank's clock. */
muster_clock_finding muster_clocks_at(const muster_clocks *clocks, int32_t slot,
                                      uint32_t incarnation, int64_t rank_ns);

#endif
