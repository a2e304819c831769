/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/analysis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tracing/postmortem/clocks.h"
#include "tracing/postmortem/losses.h"
#include "tracing/postmortem/stand.h"

static int compare_notes(const void *left, const void *right)
{
    const muster_note *one = left;
    const muster_note *other = right;
    return one->time_ns < other->time_ns ? -1 : one->time_ns > other->time_ns;
}

/* The coordinator's trace has the notes too, less their sentences. */
static bool notes_from_trace(muster_records *records)
{
    for (size_t i = 0; i < records->event_count; i++) {
        const muster_event_record *event = &records->events[i];
        if (event->kind != MUSTER_RECORD_KIND_recovery || event->slot != MUSTER_SLOT_NONE)
            continue;
        muster_note *note = muster_records_add_note(records);
        if (note == NULL)
            return false;
        note->kind = (uint32_t)event->note;
        note->time_ns = (uint64_t)event->time_ns;
        note->epoch = (uint64_t)event->about_epoch;
        note->slot = (int32_t)event->about_slot;
        note->incarnation = (uint32_t)event->about_incarnation;
        note->evidence = (uint32_t)event->evidence;
        note->value = event->value;
    }
    if (records->note_count > 0)
        qsort(records->notes, records->note_count, sizeof *records->notes, compare_notes);
    return true;
}

/* ---- recoveries out of notes ---- */

static void step_first(muster_recovery_finding *recovery, muster_recovery_step which,
                       int64_t time_ns)
{
    muster_step_finding *step = &recovery->steps[which];
    if (step->count++ == 0 || time_ns < step->time_ns)
        step->time_ns = time_ns;
}

static void step_last(muster_recovery_finding *recovery, muster_recovery_step which,
                      int64_t time_ns)
{
    muster_step_finding *step = &recovery->steps[which];
    step->count++;
    if (time_ns > step->time_ns)
        step->time_ns = time_ns;
}

/* What the note's value says was seen on the rank's own clock; 0: it was not. */
static void step_last_of_rank(muster_recovery_finding *recovery, muster_recovery_step which,
                              const muster_clocks *clocks, const muster_note *note)
{
    if (note->value <= 0)
        return;
    const muster_clock_finding clock =
        muster_clocks_at(clocks, note->slot, note->incarnation, note->value);
    const int64_t before_ns = recovery->steps[which].time_ns;
    step_last(recovery, which, note->value - clock.ahead_ns);
    if (recovery->steps[which].time_ns != before_ns)
        recovery->steps[which].uncertainty_ns = clock.uncertainty_ns;
}

/* The recovery that is still going on. */
static muster_recovery_finding *recovery_open(muster_findings *findings)
{
    if (findings->recovery_count == 0)
        return NULL;
    muster_recovery_finding *last = &findings->recoveries[findings->recovery_count - 1];
    return last->epoch_after == 0 && !last->gave_up ? last : NULL;
}

static muster_recovery_finding *recovery_of_epoch(muster_findings *findings, uint64_t epoch)
{
    for (size_t i = 0; i < findings->recovery_count; i++)
        if (findings->recoveries[i].epoch_after == epoch)
            return &findings->recoveries[i];
    return NULL;
}

/* The first sign that this incarnation was lost; the verdict itself where there was none before. */
static int64_t evidence_time(const muster_records *records, size_t verdict)
{
    const muster_note *note = &records->notes[verdict];
    for (size_t i = 0; i < verdict; i++) {
        const muster_note *earlier = &records->notes[i];
        if (earlier->kind == MUSTER_NOTE_EVIDENCE && earlier->slot == note->slot &&
            earlier->incarnation == note->incarnation)
            return (int64_t)earlier->time_ns;
    }
    return (int64_t)note->time_ns;
}

static bool recovery_add_death(muster_recovery_finding *recovery, const muster_records *records,
                               size_t verdict)
{
    const muster_note *note = &records->notes[verdict];
    for (size_t i = 0; i < recovery->death_count; i++)
        if (recovery->deaths[i].slot == note->slot &&
            recovery->deaths[i].incarnation == note->incarnation)
            return true;
    muster_death_finding *grown =
        reallocarray(recovery->deaths, recovery->death_count + 1, sizeof *grown);
    if (grown == NULL)
        return false;
    recovery->deaths = grown;
    muster_death_finding *death = &grown[recovery->death_count++];
    memset(death, 0, sizeof *death);
    death->slot = note->slot;
    death->incarnation = note->incarnation;
    death->evidence = note->evidence;
    death->epoch = note->epoch;
    death->verdict_ns = (int64_t)note->time_ns;
    death->evidence_ns = evidence_time(records, verdict);
    memcpy(death->text, note->text, sizeof death->text);
    step_first(recovery, MUSTER_RECOVERY_STEP_EVIDENCE, death->evidence_ns);
    step_first(recovery, MUSTER_RECOVERY_STEP_VERDICT, death->verdict_ns);
    return true;
}

static muster_recovery_finding *recovery_add(muster_findings *findings, uint64_t epoch)
{
    muster_recovery_finding *grown =
        reallocarray(findings->recoveries, findings->recovery_count + 1, sizeof *grown);
    if (grown == NULL)
        return NULL;
    findings->recoveries = grown;
    muster_recovery_finding *added = &grown[findings->recovery_count++];
    memset(added, 0, sizeof *added);
    added->epoch_before = epoch;
    return added;
}

/* A note that belongs to the recovery that is going on, whatever epoch it names. */
static void recovery_take(muster_recovery_finding *recovery, const muster_clocks *clocks,
                          const muster_note *note)
{
    int64_t time_ns = (int64_t)note->time_ns;
    switch (note->kind) {
    case MUSTER_NOTE_RELEASED:
        /* Without a value: no call was in flight. */
        step_last_of_rank(recovery, MUSTER_RECOVERY_STEP_RELEASED, clocks, note);
        break;
    case MUSTER_NOTE_QUIET:
        step_last(recovery, MUSTER_RECOVERY_STEP_QUIET, time_ns);
        break;
    case MUSTER_NOTE_GONE:
    case MUSTER_NOTE_ABANDONED:
        step_last(recovery, MUSTER_RECOVERY_STEP_GONE, time_ns);
        break;
    case MUSTER_NOTE_AGREED:
        step_last(recovery, MUSTER_RECOVERY_STEP_AGREED, time_ns);
        break;
    case MUSTER_NOTE_ESTABLISHED:
        step_last(recovery, MUSTER_RECOVERY_STEP_ESTABLISHED, time_ns);
        recovery->epoch_after = note->epoch;
        break;
    case MUSTER_NOTE_GAVE_UP:
        recovery->gave_up = true;
        memcpy(recovery->gave_up_text, note->text, sizeof recovery->gave_up_text);
        break;
    default:
        break;
    }
}

static bool take_note(const muster_records *records, const muster_clocks *clocks, size_t index,
                      muster_findings *findings)
{
    const muster_note *note = &records->notes[index];
    muster_recovery_finding *recovery = recovery_open(findings);
    switch (note->kind) {
    case MUSTER_NOTE_VERDICT:
        if (recovery == NULL)
            recovery = recovery_add(findings, note->epoch);
        return recovery != NULL && recovery_add_death(recovery, records, index);
    case MUSTER_NOTE_RESUMED:
    case MUSTER_NOTE_FIRST_BATCH:
        recovery = recovery_of_epoch(findings, note->epoch);
        if (recovery != NULL)
            step_last_of_rank(recovery,
                              note->kind == MUSTER_NOTE_RESUMED ? MUSTER_RECOVERY_STEP_RESUMED
                                                                : MUSTER_RECOVERY_STEP_FIRST_BATCH,
                              clocks, note);
        return true;
    case MUSTER_NOTE_COMMITTED:
        findings->has_committed_step = true;
        findings->committed_step = note->value;
        return true;
    default:
        if (recovery != NULL)
            recovery_take(recovery, clocks, note);
        return true;
    }
}

/* ---- where everyone stood ---- */

static bool died_by(const muster_findings *findings, size_t recovery, int32_t slot,
                    uint32_t incarnation)
{
    for (size_t i = 0; i <= recovery; i++)
        for (size_t k = 0; k < findings->recoveries[i].death_count; k++)
            if (findings->recoveries[i].deaths[k].slot == slot &&
                findings->recoveries[i].deaths[k].incarnation == incarnation)
                return true;
    return false;
}

static bool note_before(const muster_records *records, uint32_t kind, int32_t slot,
                        uint32_t incarnation, int64_t time_ns)
{
    for (size_t i = 0; i < records->note_count; i++) {
        const muster_note *note = &records->notes[i];
        if (note->kind == kind && note->slot == slot && note->incarnation == incarnation &&
            (int64_t)note->time_ns <= time_ns)
            return true;
    }
    return false;
}

static void death_end(const muster_records *records, muster_death_finding *death)
{
    death->exit_code = -1;
    for (size_t i = 0; i < records->process_count; i++) {
        const muster_process_end *end = &records->processes[i];
        if (end->slot == death->slot && end->incarnation == death->incarnation) {
            death->signal = end->signal;
            death->exit_code = end->exit_code;
        }
    }
}

static void death_last_event(const muster_clocks *clocks, muster_event_slice slice,
                             muster_death_finding *death)
{
    death->has_last_event = slice.count > 0;
    if (slice.count == 0)
        return;
    death->last_event = slice.events[slice.count - 1];
    death->last_clock =
        muster_clocks_at(clocks, death->slot, death->incarnation, death->last_event.time_ns);
    death->last_event.time_ns -= death->last_clock.ahead_ns;
}

static bool recovery_stands(const muster_records *records, const muster_clocks *clocks,
                            muster_findings *findings, size_t index)
{
    muster_recovery_finding *recovery = &findings->recoveries[index];
    int64_t verdict_ns = recovery->steps[MUSTER_RECOVERY_STEP_VERDICT].time_ns;
    for (size_t i = 0; i < recovery->death_count; i++) {
        muster_death_finding *death = &recovery->deaths[i];
        muster_event_slice slice = muster_stand_slice(records, death->slot, death->incarnation);
        death->stand =
            muster_stand_find(slice, death->slot, death->incarnation, recovery->epoch_before);
        death_end(records, death);
        death_last_event(clocks, slice, death);
    }
    recovery->stands = calloc(findings->ring_count + 1, sizeof *recovery->stands);
    if (recovery->stands == NULL)
        return false;
    for (size_t i = 0; i < findings->ring_count; i++) {
        int32_t slot = findings->rings[i].slot;
        uint32_t incarnation = findings->rings[i].incarnation;
        if (slot < 0 || died_by(findings, index, slot, incarnation))
            continue;
        muster_stand_finding stand =
            muster_stand_find(muster_stand_slice(records, slot, incarnation), slot, incarnation,
                              recovery->epoch_before);
        /* Of a rank with no such event: was it there at all? */
        if (stand.state == MUSTER_STAND_UNKNOWN &&
            (!note_before(records, MUSTER_NOTE_JOINED, slot, incarnation, verdict_ns) ||
             note_before(records, MUSTER_NOTE_LEFT, slot, incarnation, verdict_ns)))
            continue;
        recovery->stands[recovery->stand_count++] = stand;
    }
    return true;
}

/* The wall clock that is known is that of the first launcher's host, and so is its ranks' clock. */
static void find_clocks(const muster_records *records, const muster_clocks *clocks,
                        muster_findings *findings)
{
    for (size_t i = 0; i < findings->ring_count; i++) {
        muster_ring_finding *ring = &findings->rings[i];
        ring->clock = muster_clocks_at(clocks, ring->slot, ring->incarnation, ring->last_ns);
    }
    findings->wall_offset_ns = records->wall_offset_ns;
    if (records->wall_offset_ns != 0 && records->wall_process < records->process_count) {
        const muster_process_end *process = &records->processes[records->wall_process];
        for (size_t i = 0; i < findings->ring_count; i++)
            if (findings->rings[i].slot == process->slot &&
                findings->rings[i].incarnation == process->incarnation)
                findings->wall_offset_ns += findings->rings[i].clock.ahead_ns;
    }
}

static bool analyse(const muster_records *records, const muster_clocks *clocks,
                    muster_findings *findings)
{
    bool enough = true;
    for (size_t i = 0; enough && i < records->note_count; i++)
        enough = take_note(records, clocks, i, findings);
    enough = enough && muster_losses_find(records, findings);
    for (size_t i = 0; enough && i < findings->recovery_count; i++)
        enough = recovery_stands(records, clocks, findings, i);
    if (enough)
        find_clocks(records, clocks, findings);
    return enough;
}

muster_status muster_analysis_run(muster_records *records, muster_findings *findings,
                                  muster_error *error)
{
    memset(findings, 0, sizeof *findings);
    findings->has_event_log = records->has_event_log;
    findings->has_traces = records->snapshot_count > 0;
    findings->damaged_lines = records->damaged_lines;
    muster_clocks clocks = {0};
    bool enough = records->note_count > 0 || notes_from_trace(records);
    enough =
        enough && muster_clocks_gather(records, &clocks) && analyse(records, &clocks, findings);
    muster_clocks_clean_up(&clocks);
    return enough ? muster_error_set_ok(error)
                  : muster_error_set_errno(error, ENOMEM, "the analysis of the traces");
}
