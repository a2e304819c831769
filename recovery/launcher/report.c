/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/report.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1e6
#define REPORT_UNKNOWN (-1.0)

void muster_report_init(muster_report *report)
{
    memset(report, 0, sizeof *report);
}

void muster_report_clean_up(muster_report *report)
{
    for (size_t i = 0; i < report->recovery_count; i++) {
        free(report->recoveries[i].losses);
        free(report->recoveries[i].resumed_slots);
    }
    free(report->recoveries);
    free(report->deaths);
    memset(report, 0, sizeof *report);
}

/* One more item; NULL when memory ran out. */
static void *report_append(void **items, size_t *count, size_t item_bytes)
{
    void *grown = realloc(*items, (*count + 1) * item_bytes);
    if (grown == NULL)
        return NULL;
    *items = grown;
    void *item = (char *)grown + *count * item_bytes;
    memset(item, 0, item_bytes);
    (*count)++;
    return item;
}

static muster_report_death *report_find_death(const muster_report *report, int32_t slot,
                                              uint32_t incarnation)
{
    for (size_t i = 0; i < report->death_count; i++) {
        if (report->deaths[i].slot == slot && report->deaths[i].incarnation == incarnation)
            return &report->deaths[i];
    }
    return NULL;
}

/* The first word on a process counts: a drill's signal, not the exit that follows it. */
static muster_report_death *report_death(muster_report *report, int32_t slot, uint32_t incarnation,
                                         int64_t at_ns)
{
    muster_report_death *death = report_find_death(report, slot, incarnation);
    if (death != NULL)
        return death;
    death = report_append((void **)&report->deaths, &report->death_count, sizeof *death);
    if (death == NULL) {
        report->incomplete = true;
        return NULL;
    }
    death->slot = slot;
    death->incarnation = incarnation;
    death->at_ns = at_ns;
    return death;
}

void muster_report_signalled(muster_report *report, int32_t slot, uint32_t incarnation,
                             int signal_number, int64_t at_ns)
{
    muster_report_death *death = report_death(report, slot, incarnation, at_ns);
    if (death != NULL) {
        death->by_drill = true;
        death->signal_number = signal_number;
    }
}

void muster_report_exited(muster_report *report, int32_t slot, uint32_t incarnation,
                          int wait_status, int64_t at_ns)
{
    muster_report_death *death = report_death(report, slot, incarnation, at_ns);
    if (death != NULL) {
        death->exited = true;
        death->wait_status = wait_status;
    }
}

static muster_recovery *report_last(muster_report *report)
{
    return report->recovery_count > 0 ? &report->recoveries[report->recovery_count - 1] : NULL;
}

const muster_recovery *muster_report_last(const muster_report *report)
{
    return report->recovery_count > 0 ? &report->recoveries[report->recovery_count - 1] : NULL;
}

void muster_report_spare_taken(muster_report *report)
{
    muster_recovery *recovery = report_last(report);
    if (recovery != NULL && recovery->established_ns == 0)
        recovery->spare = true;
}

static void report_verdict(muster_report *report, const muster_note *note, int64_t heard_ns)
{
    const int64_t told_ns = report->two_clocks ? heard_ns : (int64_t)note->time_ns;
    /* A rank that leaves is no loss. */
    if (note->evidence == MUSTER_EVIDENCE_LEFT)
        return;
    muster_recovery *recovery = report_last(report);
    if (recovery == NULL || recovery->established_ns != 0) {
        recovery =
            report_append((void **)&report->recoveries, &report->recovery_count, sizeof *recovery);
        if (recovery == NULL) {
            report->incomplete = true;
            return;
        }
        recovery->lost_epoch = note->epoch;
        recovery->verdict_ns = (int64_t)note->time_ns;
        recovery->told_ns = told_ns;
    }
    muster_report_loss *loss =
        report_append((void **)&recovery->losses, &recovery->loss_count, sizeof *loss);
    if (loss == NULL) {
        report->incomplete = true;
        return;
    }
    loss->slot = note->slot;
    loss->incarnation = note->incarnation;
    loss->evidence = note->evidence;
    loss->verdict_ns = (int64_t)note->time_ns;
    const muster_report_death *death = report_find_death(report, note->slot, note->incarnation);
    if (death != NULL && death->at_ns <= told_ns) {
        loss->died_ns = death->at_ns;
        loss->by_drill = death->by_drill;
        loss->signal_number = death->signal_number;
    }
}

static bool recovery_has_resumed(const muster_recovery *recovery, int32_t slot)
{
    for (int32_t i = 0; i < recovery->resumed_count; i++) {
        if (recovery->resumed_slots[i] == slot)
            return true;
    }
    return false;
}

/* When it was, as the rank's clock says. That of another host says something else altogether; then when
 * the coordinator heard of it is as near as a launcher can tell (the post-mortem comes nearer). */
static int64_t report_when(const muster_note *note, int64_t not_before_ns)
{
    const int64_t heard_ns = (int64_t)note->time_ns;
    return note->value < not_before_ns || note->value > heard_ns ? heard_ns : note->value;
}

static muster_report_news report_resumed(muster_report *report, muster_recovery *recovery,
                                         const muster_note *note)
{
    if (note->epoch != recovery->new_epoch || note->value <= 0 ||
        recovery_has_resumed(recovery, note->slot))
        return MUSTER_REPORT_NOTHING;
    size_t count = (size_t)recovery->resumed_count;
    int32_t *slot = report_append((void **)&recovery->resumed_slots, &count, sizeof *slot);
    if (slot == NULL) {
        report->incomplete = true;
        return MUSTER_REPORT_NOTHING;
    }
    *slot = note->slot;
    recovery->resumed_count = (int32_t)count;
    const int64_t when_ns = report_when(note, recovery->established_ns);
    if (when_ns > recovery->resumed_ns)
        recovery->resumed_ns = when_ns;
    return recovery->resumed_count == recovery->member_count ? MUSTER_REPORT_RESUMED
                                                             : MUSTER_REPORT_NOTHING;
}

static muster_report_news report_first_batch(muster_recovery *recovery, const muster_note *note)
{
    if (note->epoch != recovery->new_epoch || note->value <= 0)
        return MUSTER_REPORT_NOTHING;
    const int64_t when_ns = report_when(note, recovery->established_ns);
    if (when_ns > recovery->first_batch_ns)
        recovery->first_batch_ns = when_ns;
    return ++recovery->first_batch_count == recovery->member_count ? MUSTER_REPORT_FIRST_BATCH
                                                                   : MUSTER_REPORT_NOTHING;
}

muster_report_news muster_report_note(muster_report *report, const muster_note *note,
                                      int64_t heard_ns)
{
    muster_recovery *recovery = report_last(report);
    if (note->kind == MUSTER_NOTE_VERDICT)
        report_verdict(report, note, heard_ns);
    if (recovery == NULL)
        return MUSTER_REPORT_NOTHING;
    switch (note->kind) {
    case MUSTER_NOTE_RELEASED:
        /* One that returned before the verdict had found out by itself. */
        if (recovery->established_ns == 0 && note->value > recovery->verdict_ns) {
            const int64_t when_ns = report_when(note, recovery->verdict_ns);
            if (when_ns > recovery->released_ns)
                recovery->released_ns = when_ns;
        }
        return MUSTER_REPORT_NOTHING;
    case MUSTER_NOTE_STARTING:
        if (recovery->starting_ns == 0)
            recovery->starting_ns = (int64_t)note->time_ns;
        return MUSTER_REPORT_NOTHING;
    case MUSTER_NOTE_JOINED:
        if (recovery->starting_ns != 0 && recovery->established_ns == 0)
            recovery->joined_ns = (int64_t)note->time_ns;
        return MUSTER_REPORT_NOTHING;
    case MUSTER_NOTE_AGREED:
        if (recovery->established_ns == 0) {
            recovery->new_epoch = note->epoch;
            recovery->member_count = (int32_t)note->value;
        }
        return MUSTER_REPORT_NOTHING;
    case MUSTER_NOTE_ESTABLISHED:
        if (note->epoch == recovery->new_epoch)
            recovery->established_ns = (int64_t)note->time_ns;
        return MUSTER_REPORT_NOTHING;
    case MUSTER_NOTE_RESUMED:
        return report_resumed(report, recovery, note);
    case MUSTER_NOTE_FIRST_BATCH:
        return report_first_batch(recovery, note);
    default:
        return MUSTER_REPORT_NOTHING;
    }
}

static double report_ms(int64_t from_ns, int64_t to_ns)
{
    return from_ns > 0 && to_ns >= from_ns ? (double)(to_ns - from_ns) / NS_PER_MS : REPORT_UNKNOWN;
}

muster_recovery_timing muster_recovery_timing_of(const muster_recovery *recovery)
{
    int64_t died_ns = recovery->loss_count > 0 ? recovery->losses[0].died_ns : 0;
    int64_t quiet_ns = recovery->released_ns > 0 ? recovery->released_ns : recovery->verdict_ns;
    const muster_recovery_timing timing = {
        .detect_ms = report_ms(died_ns, recovery->told_ns),
        .release_ms = report_ms(recovery->verdict_ns, quiet_ns),
        .rebuild_ms = report_ms(quiet_ns, recovery->resumed_ns),
        .start_ms = report_ms(recovery->starting_ns, recovery->joined_ns),
        .first_batch_ms = report_ms(quiet_ns, recovery->first_batch_ns),
    };
    return timing;
}
