/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/stand.h"

muster_event_slice muster_stand_slice(const muster_records *records, int32_t slot,
                                      uint32_t incarnation)
{
    size_t first = 0;
    while (first < records->event_count && (records->events[first].slot != slot ||
                                            records->events[first].incarnation != incarnation))
        first++;
    size_t end = first;
    while (end < records->event_count && records->events[end].slot == slot &&
           records->events[end].incarnation == incarnation)
        end++;
    return (muster_event_slice){.events = records->events + first, .count = end - first};
}

static bool same_batch(const muster_event_record *one, const muster_event_record *other)
{
    return one->communicator == other->communicator && one->sequence == other->sequence &&
           one->epoch == other->epoch;
}

static bool batch_has_end(muster_event_slice slice, size_t begin)
{
    for (size_t i = begin + 1; i < slice.count; i++) {
        const muster_event_record *event = &slice.events[i];
        if ((event->kind == MUSTER_RECORD_KIND_batch_complete ||
             event->kind == MUSTER_RECORD_KIND_batch_failed) &&
            same_batch(event, &slice.events[begin]))
            return true;
    }
    return false;
}

static void stand_in(muster_stand_finding *stand, const muster_event_record *batch)
{
    if (stand->state != MUSTER_STAND_IN_BATCH) {
        stand->state = MUSTER_STAND_IN_BATCH;
        stand->batch = *batch;
    }
    stand->open_count++;
}

muster_stand_finding muster_stand_find(muster_event_slice slice, int32_t slot, uint32_t incarnation,
                                       uint64_t epoch)
{
    muster_stand_finding stand = {.slot = slot, .incarnation = incarnation};
    for (size_t i = 0; i < slice.count; i++) {
        const muster_event_record *event = &slice.events[i];
        if (event->epoch != (int64_t)epoch)
            continue;
        if (event->kind == MUSTER_RECORD_KIND_batch_failed &&
            event->status == MUSTER_ERR_RANK_LOST) {
            stand_in(&stand, event);
        } else if (event->kind == MUSTER_RECORD_KIND_batch_complete &&
                   stand.state != MUSTER_STAND_IN_BATCH) {
            stand.state = MUSTER_STAND_BETWEEN;
            stand.batch = *event;
        }
    }
    /* Begun and never ended: a killed rank's, or one whose ring was read before it was released. Only
     * the last few can be open, so look from the end and stop at the first that has an end. */
    for (size_t i = slice.count; i-- > 0;) {
        const muster_event_record *event = &slice.events[i];
        if (event->epoch != (int64_t)epoch || event->kind != MUSTER_RECORD_KIND_batch_begin)
            continue;
        if (batch_has_end(slice, i))
            break;
        stand_in(&stand, event);
    }
    return stand;
}
