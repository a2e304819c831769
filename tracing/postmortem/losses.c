/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/losses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tracing/postmortem/stand.h"

static muster_ring_finding *ring_of(muster_findings *findings, int32_t slot, uint32_t incarnation)
{
    for (size_t i = 0; i < findings->ring_count; i++)
        if (findings->rings[i].slot == slot && findings->rings[i].incarnation == incarnation)
            return &findings->rings[i];
    muster_ring_finding *grown =
        reallocarray(findings->rings, findings->ring_count + 1, sizeof *grown);
    if (grown == NULL)
        return NULL;
    findings->rings = grown;
    muster_ring_finding *added = &grown[findings->ring_count++];
    memset(added, 0, sizeof *added);
    added->slot = slot;
    added->incarnation = incarnation;
    return added;
}

static bool rings_from_snapshots(const muster_records *records, muster_findings *findings)
{
    for (size_t i = 0; i < records->snapshot_count; i++) {
        const muster_snapshot_record *snapshot = &records->snapshots[i];
        muster_ring_finding *ring = ring_of(findings, snapshot->slot, snapshot->incarnation);
        if (ring == NULL)
            return false;
        ring->snapshot_count++;
        ring->discarded_events += snapshot->discarded_events;
        ring->discarded_packets += snapshot->discarded_packets;
        if (snapshot->damage[0] != '\0' && ring->damaged_count++ == 0)
            snprintf(ring->damage, sizeof ring->damage, "%s", snapshot->damage);
    }
    return true;
}

/* Somebody who joined and of whom there is no ring: a loss worth telling. */
static bool rings_from_notes(const muster_records *records, muster_findings *findings)
{
    for (size_t i = 0; i < records->note_count; i++) {
        const muster_note *note = &records->notes[i];
        if (note->kind == MUSTER_NOTE_JOINED && note->slot >= 0 &&
            ring_of(findings, note->slot, note->incarnation) == NULL)
            return false;
    }
    return true;
}

static bool rings_from_events(const muster_records *records, muster_findings *findings)
{
    for (size_t i = 0; i < records->event_count;) {
        int32_t slot = (int32_t)records->events[i].slot;
        uint32_t incarnation = (uint32_t)records->events[i].incarnation;
        size_t end = i;
        while (end < records->event_count && records->events[end].slot == slot &&
               records->events[end].incarnation == incarnation)
            end++;
        muster_ring_finding *ring = ring_of(findings, slot, incarnation);
        if (ring == NULL)
            return false;
        ring->event_count = (int64_t)(end - i);
        ring->first_ns = records->events[i].time_ns;
        ring->last_ns = records->events[end - 1].time_ns;
        i = end;
    }
    return true;
}

static int compare_rings(const void *left, const void *right)
{
    const muster_ring_finding *one = left;
    const muster_ring_finding *other = right;
    if (one->slot != other->slot)
        return one->slot < other->slot ? -1 : 1;
    return one->incarnation < other->incarnation ? -1 : one->incarnation > other->incarnation;
}

typedef struct batch_key {
    int64_t epoch;
    int64_t communicator;
    int64_t sequence;
} batch_key;

static int compare_keys(const void *left, const void *right)
{
    const batch_key *one = left;
    const batch_key *other = right;
    if (one->epoch != other->epoch)
        return one->epoch < other->epoch ? -1 : 1;
    if (one->communicator != other->communicator)
        return one->communicator < other->communicator ? -1 : 1;
    return one->sequence < other->sequence ? -1 : one->sequence > other->sequence;
}

static bool count_batches(const muster_records *records, muster_findings *findings)
{
    batch_key *keys = calloc(records->event_count + 1, sizeof *keys);
    if (keys == NULL)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < records->event_count; i++) {
        const muster_event_record *event = &records->events[i];
        if (event->kind <= MUSTER_RECORD_KIND_batch_failed)
            keys[count++] = (batch_key){event->epoch, event->communicator, event->sequence};
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare_keys(&keys[i], &keys[i - 1]) != 0)
            findings->batch_count++;
    free(keys);
    return true;
}

bool muster_losses_find(const muster_records *records, muster_findings *findings)
{
    findings->event_count = (int64_t)records->event_count;
    if (!rings_from_snapshots(records, findings) || !rings_from_notes(records, findings) ||
        !rings_from_events(records, findings) || !count_batches(records, findings))
        return false;
    if (findings->ring_count > 0)
        qsort(findings->rings, findings->ring_count, sizeof *findings->rings, compare_rings);
    return true;
}
