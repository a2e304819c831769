/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/records.h"

#include <stdlib.h>
#include <string.h>

const char *muster_record_kind_text(muster_record_kind kind)
{
    static const char *const texts[] = {
#define MUSTER_RECORD_KIND_TEXT(name) #name,
        MUSTER_RECORD_KIND_LIST(MUSTER_RECORD_KIND_TEXT)
#undef MUSTER_RECORD_KIND_TEXT
    };
    return kind < MUSTER_RECORD_KIND_COUNT ? texts[kind] : "unknown event";
}

void muster_records_init(muster_records *records)
{
    memset(records, 0, sizeof *records);
}

void muster_records_clean_up(muster_records *records)
{
    free(records->events);
    free(records->notes);
    free(records->snapshots);
    free(records->processes);
    muster_records_init(records);
}

static void *records_grow(void *items, size_t item_bytes, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity != 0 ? *capacity * 2 : 256;
    void *grown = reallocarray(items, wanted, item_bytes);
    if (grown != NULL)
        *capacity = wanted;
    return grown;
}

muster_event_record *muster_records_add_event(muster_records *records)
{
    void *grown = records_grow(records->events, sizeof *records->events, records->event_count,
                               &records->event_capacity);
    if (grown == NULL)
        return NULL;
    records->events = grown;
    muster_event_record *added = &records->events[records->event_count++];
    memset(added, 0, sizeof *added);
    return added;
}

muster_note *muster_records_add_note(muster_records *records)
{
    void *grown = records_grow(records->notes, sizeof *records->notes, records->note_count,
                               &records->note_capacity);
    if (grown == NULL)
        return NULL;
    records->notes = grown;
    muster_note *added = &records->notes[records->note_count++];
    memset(added, 0, sizeof *added);
    return added;
}

muster_snapshot_record *muster_records_add_snapshot(muster_records *records)
{
    void *grown = records_grow(records->snapshots, sizeof *records->snapshots,
                               records->snapshot_count, &records->snapshot_capacity);
    if (grown == NULL)
        return NULL;
    records->snapshots = grown;
    muster_snapshot_record *added = &records->snapshots[records->snapshot_count++];
    memset(added, 0, sizeof *added);
    return added;
}

muster_process_end *muster_records_add_process(muster_records *records)
{
    void *grown = records_grow(records->processes, sizeof *records->processes,
                               records->process_count, &records->process_capacity);
    if (grown == NULL)
        return NULL;
    records->processes = grown;
    muster_process_end *added = &records->processes[records->process_count++];
    memset(added, 0, sizeof *added);
    return added;
}

/* A note and where it stood, since qsort keeps no order of equals. */
typedef struct placed_note {
    muster_note note;
    size_t at;
} placed_note;

static int compare_placed(const void *left, const void *right)
{
    const placed_note *one = left;
    const placed_note *other = right;
    if (one->note.time_ns != other->note.time_ns)
        return one->note.time_ns < other->note.time_ns ? -1 : 1;
    return one->at < other->at ? -1 : one->at > other->at;
}

static bool same_note(const muster_note *one, const muster_note *other)
{
    return one->kind == other->kind && one->epoch == other->epoch && one->slot == other->slot &&
           one->incarnation == other->incarnation && one->evidence == other->evidence &&
           one->value == other->value && strcmp(one->text, other->text) == 0;
}

/* Among the kept ones of the same moment. */
static bool records_knows_note(const muster_records *records, size_t kept, const muster_note *note)
{
    while (kept > 0 && records->notes[kept - 1].time_ns == note->time_ns) {
        if (same_note(&records->notes[--kept], note))
            return true;
    }
    return false;
}

bool muster_records_merge_notes(muster_records *records)
{
    if (records->note_count == 0)
        return true;
    placed_note *placed = calloc(records->note_count, sizeof *placed);
    if (placed == NULL)
        return false;
    for (size_t i = 0; i < records->note_count; i++)
        placed[i] = (placed_note){.note = records->notes[i], .at = i};
    qsort(placed, records->note_count, sizeof *placed, compare_placed);
    size_t kept = 0;
    for (size_t i = 0; i < records->note_count; i++) {
        if (!records_knows_note(records, kept, &placed[i].note))
            records->notes[kept++] = placed[i].note;
    }
    records->note_count = kept;
    free(placed);
    return true;
}

static int compare_number(int64_t one, int64_t other)
{
    return one < other ? -1 : one > other;
}

static int compare_events(const void *left, const void *right)
{
    const muster_event_record *one = left;
    const muster_event_record *other = right;
    int order = compare_number(one->slot, other->slot);
    if (order == 0)
        order = compare_number(one->incarnation, other->incarnation);
    if (order == 0)
        order = compare_number(one->time_ns, other->time_ns);
    if (order == 0) /* any order will do, if it is the same for equal ones */
        order = memcmp(one, other, sizeof *one);
    return order;
}

void muster_records_sort(muster_records *records)
{
    if (records->event_count == 0)
        return;
    qsort(records->events, records->event_count, sizeof *records->events, compare_events);
    size_t kept = 1;
    for (size_t i = 1; i < records->event_count; i++) {
        if (memcmp(&records->events[i], &records->events[kept - 1], sizeof *records->events) != 0)
            records->events[kept++] = records->events[i];
    }
    records->event_count = kept;
}
