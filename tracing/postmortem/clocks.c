/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/clocks.h"

#include <stdlib.h>
#include <string.h>

/* The kernel lets no clock run faster or slower than by 500 millionths; two of them, one each way. */
#define CLOCK_DRIFT_DIVISOR 1000

/* When an epoch was first agreed and established, on the coordinator's clock; 0: no note says so. */
typedef struct clock_epoch {
    uint64_t epoch;
    int64_t agreed_ns;
    int64_t established_ns;
} clock_epoch;

typedef struct clock_epochs {
    clock_epoch *items; /* ascending */
    size_t count;
} clock_epochs;

/* Times come from files: any number may stand there. */
static int64_t clock_minus(int64_t one, int64_t other)
{
    int64_t difference = 0;
    if (__builtin_sub_overflow(one, other, &difference))
        return one < other ? INT64_MIN : INT64_MAX;
    return difference;
}

static int64_t clock_plus(int64_t one, int64_t other)
{
    int64_t sum = 0;
    if (__builtin_add_overflow(one, other, &sum))
        return one < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static bool clocks_add(muster_clocks *clocks, int32_t slot, uint32_t incarnation, int64_t rank_ns,
                       int64_t coordinator_ns, bool at_most)
{
    if (clocks->count == clocks->capacity) {
        size_t wanted = clocks->capacity > 0 ? 2 * clocks->capacity : 64;
        void *grown = reallocarray(clocks->bounds, wanted, sizeof *clocks->bounds);
        if (grown == NULL)
            return false;
        clocks->bounds = grown;
        clocks->capacity = wanted;
    }
    clocks->bounds[clocks->count++] =
        (muster_clock_bound){.slot = slot,
                             .incarnation = incarnation,
                             .rank_ns = rank_ns,
                             .difference_ns = clock_minus(rank_ns, coordinator_ns),
                             .at_most = at_most};
    return true;
}

/* ---- what the notes say ---- */

static clock_epoch *epochs_find(const clock_epochs *epochs, uint64_t epoch)
{
    size_t begin = 0;
    size_t end = epochs->count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (epochs->items[middle].epoch < epoch)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < epochs->count && epochs->items[begin].epoch == epoch ? &epochs->items[begin]
                                                                        : NULL;
}

/* Epochs only grow; a number that does not is of a damaged file. */
static void epochs_take(clock_epochs *epochs, const muster_note *note)
{
    clock_epoch *last = epochs->count > 0 ? &epochs->items[epochs->count - 1] : NULL;
    if (note->slot != MUSTER_SLOT_NONE || (last != NULL && note->epoch < last->epoch))
        return;
    if (last == NULL || last->epoch != note->epoch) {
        last = &epochs->items[epochs->count++];
        *last = (clock_epoch){.epoch = note->epoch};
    }
    int64_t *time_ns = note->kind == MUSTER_NOTE_AGREED ? &last->agreed_ns : &last->established_ns;
    if (*time_ns == 0)
        *time_ns = (int64_t)note->time_ns;
}

static bool clocks_take_note(muster_clocks *clocks, const clock_epochs *epochs,
                             const muster_note *note)
{
    const bool after_established =
        note->kind == MUSTER_NOTE_RESUMED || note->kind == MUSTER_NOTE_FIRST_BATCH;
    if (note->slot < 0 || note->value <= 0 ||
        (!after_established && note->kind != MUSTER_NOTE_RELEASED))
        return true;
    /* It was said after it had happened. */
    if (!clocks_add(clocks, note->slot, note->incarnation, note->value, (int64_t)note->time_ns,
                    false))
        return false;
    const clock_epoch *epoch = after_established ? epochs_find(epochs, note->epoch) : NULL;
    return epoch == NULL || epoch->established_ns == 0 ||
           clocks_add(clocks, note->slot, note->incarnation, note->value, epoch->established_ns,
                      true);
}

/* ---- what the rings say ---- */

/* Whose clock it was: pings name the slot only. */
static bool clocks_incarnation(const muster_records *records, int32_t slot, int64_t coordinator_ns,
                               uint32_t *incarnation)
{
    bool joined = false;
    for (size_t i = 0; i < records->note_count; i++) {
        const muster_note *note = &records->notes[i];
        if ((int64_t)note->time_ns > coordinator_ns)
            break;
        if (note->kind == MUSTER_NOTE_JOINED && note->slot == slot) {
            *incarnation = note->incarnation;
            joined = true;
        }
    }
    return joined;
}

static bool clocks_take_ping(muster_clocks *clocks, const muster_records *records,
                             const muster_event_record *ping)
{
    uint32_t incarnation = 0;
    const int32_t slot = (int32_t)ping->about_slot;
    if (slot < 0 || !clocks_incarnation(records, slot, ping->sent_ns, &incarnation))
        return true;
    return clocks_add(clocks, slot, incarnation, ping->received_ns, ping->sent_ns, true) &&
           clocks_add(clocks, slot, incarnation, ping->answered_ns, ping->back_ns, false);
}

/* A rank hears of an epoch after the coordinator has said it. */
static bool clocks_take_recovery(muster_clocks *clocks, const clock_epochs *epochs,
                                 const muster_event_record *event)
{
    const clock_epoch *epoch = epochs_find(epochs, (uint64_t)event->about_epoch);
    int64_t said_ns = 0;
    if (epoch != NULL && event->note == MUSTER_NOTE_AGREED)
        said_ns = epoch->agreed_ns;
    else if (epoch != NULL && event->note == MUSTER_NOTE_ESTABLISHED)
        said_ns = epoch->established_ns;
    return said_ns == 0 || clocks_add(clocks, (int32_t)event->slot, (uint32_t)event->incarnation,
                                      event->time_ns, said_ns, true);
}

static bool clocks_take_event(muster_clocks *clocks, const muster_records *records,
                              const clock_epochs *epochs, const muster_event_record *event)
{
    if (event->kind == MUSTER_RECORD_KIND_clock_ping)
        return clocks_take_ping(clocks, records, event);
    if (event->kind == MUSTER_RECORD_KIND_recovery && event->slot >= 0)
        return clocks_take_recovery(clocks, epochs, event);
    return true;
}

static int compare_bounds(const void *left, const void *right)
{
    const muster_clock_bound *one = left;
    const muster_clock_bound *other = right;
    if (one->slot != other->slot)
        return one->slot < other->slot ? -1 : 1;
    return (one->incarnation > other->incarnation) - (one->incarnation < other->incarnation);
}

bool muster_clocks_gather(const muster_records *records, muster_clocks *clocks)
{
    memset(clocks, 0, sizeof *clocks);
    clock_epochs epochs = {.items = calloc(records->note_count + 1, sizeof *epochs.items)};
    bool enough = epochs.items != NULL;
    for (size_t i = 0; enough && i < records->note_count; i++) {
        const muster_note *note = &records->notes[i];
        if (note->kind == MUSTER_NOTE_AGREED || note->kind == MUSTER_NOTE_ESTABLISHED)
            epochs_take(&epochs, note);
        enough = clocks_take_note(clocks, &epochs, note);
    }
    for (size_t i = 0; enough && i < records->event_count; i++)
        enough = clocks_take_event(clocks, records, &epochs, &records->events[i]);
    free(epochs.items);
    if (enough && clocks->count > 0)
        qsort(clocks->bounds, clocks->count, sizeof *clocks->bounds, compare_bounds);
    return enough;
}

void muster_clocks_clean_up(muster_clocks *clocks)
{
    free(clocks->bounds);
    memset(clocks, 0, sizeof *clocks);
}

static size_t clocks_first(const muster_clocks *clocks, const muster_clock_bound *wanted)
{
    size_t begin = 0;
    size_t end = clocks->count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (compare_bounds(&clocks->bounds[middle], wanted) < 0)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static muster_clock_finding clocks_between(int64_t least_ns, int64_t most_ns)
{
    if (least_ns == INT64_MIN || most_ns == INT64_MAX)
        return (muster_clock_finding){.state = MUSTER_CLOCK_UNKNOWN};
    if (least_ns > most_ns)
        return (muster_clock_finding){.state = MUSTER_CLOCK_BROKEN};
    /* Clocks of two hosts count from their own boot: that they agree is no chance. */
    if (least_ns <= 0 && most_ns >= 0)
        return (muster_clock_finding){.state = MUSTER_CLOCK_SAME};
    const int64_t half_ns = clock_minus(most_ns, least_ns) / 2;
    return (muster_clock_finding){.state = MUSTER_CLOCK_SHIFTED,
                                  .ahead_ns = least_ns + half_ns,
                                  .uncertainty_ns = half_ns + 1};
}

muster_clock_finding muster_clocks_at(const muster_clocks *clocks, int32_t slot,
                                      uint32_t incarnation, int64_t rank_ns)
{
    const muster_clock_bound wanted = {.slot = slot, .incarnation = incarnation};
    int64_t least_ns = INT64_MIN;
    int64_t most_ns = INT64_MAX;
    for (size_t i = clocks_first(clocks, &wanted);
         i < clocks->count && compare_bounds(&clocks->bounds[i], &wanted) == 0; i++) {
        const muster_clock_bound *bound = &clocks->bounds[i];
        const int64_t away_ns = bound->rank_ns > rank_ns ? clock_minus(bound->rank_ns, rank_ns)
                                                         : clock_minus(rank_ns, bound->rank_ns);
        const int64_t drift_ns = away_ns / CLOCK_DRIFT_DIVISOR;
        if (bound->at_most && clock_plus(bound->difference_ns, drift_ns) < most_ns)
            most_ns = clock_plus(bound->difference_ns, drift_ns);
        if (!bound->at_most && clock_minus(bound->difference_ns, drift_ns) > least_ns)
            least_ns = clock_minus(bound->difference_ns, drift_ns);
    }
    return clocks_between(least_ns, most_ns);
}
