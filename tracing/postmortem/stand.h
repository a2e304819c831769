/* SPDX-License-Identifier: Apache-2.0 */
/* In which batch a rank stood when its epoch was revoked. Pure. */
#ifndef MUSTER_TRACING_POSTMORTEM_STAND_H
#define MUSTER_TRACING_POSTMORTEM_STAND_H

#include "tracing/postmortem/findings.h"

/* The events of one incarnation, ascending in time: a slice of the sorted records. */
typedef struct muster_event_slice {
    const muster_event_record *events;
    size_t count;
} muster_event_slice;

muster_event_slice muster_stand_slice(const muster_records *records, int32_t slot,
                                      uint32_t incarnation);

/* No clock is compared: the epoch in each event says to which membership it belongs, and a batch that
 * the revoke reached ends with RANK_LOST or not at all. */
muster_stand_finding muster_stand_find(muster_event_slice slice, int32_t slot, uint32_t incarnation,
                                       uint64_t epoch);

#endif
