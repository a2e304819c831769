/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/print.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "collective/record.h"

#define NS_PER_MS 1e6

static void print_wall_time(FILE *file, int64_t wall_offset_ns, int64_t time_ns)
{
    int64_t wall_ns = time_ns + wall_offset_ns;
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm parts;
    char text[32];
    if (wall_offset_ns != 0 && gmtime_r(&seconds, &parts) != NULL &&
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) > 0)
        fprintf(file, ", verdict at %s.%03d UTC", text, (int)(wall_ns / 1000000 % 1000));
}

static void print_death(FILE *file, int64_t wall_offset_ns, const muster_death_finding *death)
{
    fprintf(file, "  lost: slot %d incarnation %u: %s", death->slot, death->incarnation,
            muster_evidence_text((muster_evidence)death->evidence));
    if (death->signal != 0)
        fprintf(file, "; ended by signal %d (%s)", death->signal, strsignal(death->signal));
    else if (death->exit_code >= 0)
        fprintf(file, "; ended with exit code %d", death->exit_code);
    print_wall_time(file, wall_offset_ns, death->verdict_ns);
    fputc('\n', file);
    if (death->text[0] != '\0')
        fprintf(file, "    the coordinator said: %s\n", death->text);
}

static void print_batch(FILE *file, const muster_event_record *batch)
{
    fprintf(file, "%s, sequence %" PRId64 " of communicator 0x%" PRIx64 ", epoch %" PRId64,
            muster_call_text((muster_call)batch->call), batch->sequence,
            (uint64_t)batch->communicator, batch->epoch);
}

static void print_stand(FILE *file, const muster_stand_finding *stand)
{
    switch (stand->state) {
    case MUSTER_STAND_IN_BATCH:
        fprintf(file, "in ");
        print_batch(file, &stand->batch);
        if (stand->open_count > 1)
            fprintf(file, " (and %d more in flight)", stand->open_count - 1);
        break;
    case MUSTER_STAND_BETWEEN:
        fprintf(file, "between batches, after ");
        print_batch(file, &stand->batch);
        break;
    case MUSTER_STAND_UNKNOWN:
        fprintf(file, "not known: its ring holds no batch of that epoch");
        break;
    }
    fputc('\n', file);
}

static bool has_batch(const muster_event_record *event)
{
    return event->kind <= MUSTER_RECORD_KIND_batch_failed;
}

static void print_last_event(FILE *file, const muster_death_finding *death)
{
    if (!death->has_last_event) {
        fprintf(file, "    its last event: not known, nothing of it was recorded or can be read\n");
        return;
    }
    const muster_event_record *event = &death->last_event;
    fprintf(file, "    its last event: %s",
            muster_record_kind_text((muster_record_kind)event->kind));
    if (has_batch(event))
        fprintf(file, ", sequence %" PRId64 " of communicator 0x%" PRIx64, event->sequence,
                (uint64_t)event->communicator);
    fprintf(file, ", epoch %" PRId64, event->epoch);
    if (death->last_clock.state == MUSTER_CLOCK_BROKEN)
        fprintf(file, ", at a time that cannot be compared");
    else
        fprintf(file, ", %.3f ms before the verdict",
                (double)(death->verdict_ns - event->time_ns) / NS_PER_MS);
    if (death->last_clock.state == MUSTER_CLOCK_SHIFTED)
        fprintf(file, " (give or take %.3f ms)",
                (double)death->last_clock.uncertainty_ns / NS_PER_MS);
    fputc('\n', file);
    fprintf(file, "    it stood ");
    print_stand(file, &death->stand);
}

/* A step takes what it adds to all before it: one that was through earlier held nothing up. */
static void print_steps(FILE *file, const muster_recovery_finding *recovery)
{
    int64_t start_ns = recovery->steps[MUSTER_RECOVERY_STEP_EVIDENCE].time_ns;
    int64_t latest_ns = start_ns;
    fprintf(file, "  steps, in ms:       took     since the evidence\n");
    for (int which = 0; which < MUSTER_RECOVERY_STEP_COUNT; which++) {
        const muster_step_finding *step = &recovery->steps[which];
        const char *text = muster_recovery_step_text((muster_recovery_step)which);
        if (step->count == 0) {
            fprintf(file, "    %-12s         -            -\n", text);
            continue;
        }
        int64_t took_ns = step->time_ns > latest_ns ? step->time_ns - latest_ns : 0;
        fprintf(file, "    %-12s %9.3f %12.3f", text, (double)took_ns / NS_PER_MS,
                (double)(step->time_ns - start_ns) / NS_PER_MS);
        if (step->count > 1)
            fprintf(file, "   (%s of %d)", which <= MUSTER_RECOVERY_STEP_VERDICT ? "first" : "last",
                    step->count);
        if (step->uncertainty_ns > 0)
            fprintf(file, "   give or take %.3f", (double)step->uncertainty_ns / NS_PER_MS);
        fputc('\n', file);
        latest_ns += took_ns;
    }
}

static void print_recovery(FILE *file, size_t number, int64_t wall_offset_ns,
                           const muster_recovery_finding *recovery)
{
    fprintf(file, "\nrecovery %zu: epoch %" PRIu64, number, recovery->epoch_before);
    if (recovery->gave_up)
        fprintf(file, ", the job was given up%s%s\n", recovery->gave_up_text[0] != '\0' ? ": " : "",
                recovery->gave_up_text);
    else if (recovery->epoch_after == 0)
        fprintf(file, ", no later epoch was established\n");
    else
        fprintf(file, " became epoch %" PRIu64 "\n", recovery->epoch_after);
    for (size_t i = 0; i < recovery->death_count; i++) {
        print_death(file, wall_offset_ns, &recovery->deaths[i]);
        print_last_event(file, &recovery->deaths[i]);
    }
    if (recovery->stand_count > 0)
        fprintf(file, "  when the verdict fell, the others stood:\n");
    for (size_t i = 0; i < recovery->stand_count; i++) {
        fprintf(file, "    slot %d incarnation %u: ", recovery->stands[i].slot,
                recovery->stands[i].incarnation);
        print_stand(file, &recovery->stands[i]);
    }
    print_steps(file, recovery);
}

/* Of another host; nothing is said where the clock is the coordinator's. */
static void print_clock(FILE *file, const muster_clock_finding *clock)
{
    if (clock->state == MUSTER_CLOCK_SHIFTED)
        fprintf(file, "; its clock is %.6f s %s the coordinator's, give or take %.3f ms",
                (double)(clock->ahead_ns < 0 ? -clock->ahead_ns : clock->ahead_ns) / 1e9,
                clock->ahead_ns < 0 ? "behind" : "ahead of",
                (double)clock->uncertainty_ns / NS_PER_MS);
    else if (clock->state == MUSTER_CLOCK_BROKEN)
        fprintf(file, "; its clock cannot be compared with the coordinator's: one of them was "
                      "changed, or a file is damaged");
}

static void print_ring(FILE *file, const muster_ring_finding *ring)
{
    if (ring->slot >= 0)
        fprintf(file, "  slot %d incarnation %u: ", ring->slot, ring->incarnation);
    else if (ring->slot == MUSTER_SLOT_NONE)
        fprintf(file, "  coordinator: ");
    else if (ring->slot == MUSTER_SLOT_SPARE_WIRE)
        fprintf(file, "  a spare that took no slot: ");
    else
        fprintf(file, "  unknown process: ");
    if (ring->snapshot_count == 0 && ring->event_count == 0) {
        fprintf(file, "no snapshot: its traces are missing\n");
        return;
    }
    fprintf(file, "%" PRId64 " events in %d snapshot%s", ring->event_count, ring->snapshot_count,
            ring->snapshot_count == 1 ? "" : "s");
    if (ring->event_count > 0)
        fprintf(file, ", over %.3f ms", (double)(ring->last_ns - ring->first_ns) / NS_PER_MS);
    if (ring->event_count > 0)
        print_clock(file, &ring->clock);
    if (ring->discarded_events > 0)
        fprintf(file, "; %" PRId64 " events were discarded", ring->discarded_events);
    if (ring->discarded_packets > 0)
        fprintf(file, "; %" PRId64 " packets were lost", ring->discarded_packets);
    if (ring->damaged_count > 0)
        fprintf(file, "; %d cannot be read to the end: %s", ring->damaged_count, ring->damage);
    fputc('\n', file);
}

void muster_print_text(FILE *file, const char *directory, const muster_records *records,
                       const muster_findings *findings)
{
    fprintf(file, "post-mortem of %s\n", directory);
    if (records->job_name[0] != '\0')
        fprintf(file, "job %s", records->job_name);
    if (records->job_name[0] != '\0' && records->slot_count > 0)
        fprintf(file, ": %d slots, on loss %s", records->slot_count, records->on_loss);
    if (records->job_name[0] != '\0')
        fputc('\n', file);
    if (findings->recovery_count == 0)
        fprintf(file, "no rank was lost%s\n",
                records->note_count > 0 ? "" : ", as far as the traces say: no note is here");
    if (findings->has_committed_step)
        fprintf(file, "last committed step: %" PRId64 "\n", findings->committed_step);
    for (size_t i = 0; i < findings->recovery_count; i++)
        print_recovery(file, i + 1, findings->wall_offset_ns, &findings->recoveries[i]);

    fputc('\n', file);
    if (!findings->has_event_log)
        fprintf(file, "events.jsonl is missing: what the coordinator saw is not known\n");
    if (findings->damaged_lines > 0)
        fprintf(file, "events.jsonl: %" PRId64 " line%s cannot be read\n", findings->damaged_lines,
                findings->damaged_lines == 1 ? "" : "s");
    if (!findings->has_traces) {
        fprintf(file, "no traces are here: the job ran untraced, or no snapshot was recorded\n");
        return;
    }
    fprintf(file,
            "traces: %" PRId64 " batches, %" PRId64 " events; a ring keeps the newest and "
            "overwrites the rest\n",
            findings->batch_count, findings->event_count);
    for (size_t i = 0; i < findings->ring_count; i++)
        print_ring(file, &findings->rings[i]);
}
