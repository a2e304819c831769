/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/print.h"

#include <errno.h>
#include <string.h>

#include <json-c/json.h>

#include "base/error.h"
#include "collective/record.h"

/* json-c gives NULL when memory ran out, and NULL is also JSON's null: so the writer remembers. */
typedef struct json_writer {
    bool no_memory;
} json_writer;

static void put(json_writer *writer, json_object *object, const char *name, json_object *value)
{
    if (object == NULL || value == NULL || json_object_object_add(object, name, value) != 0) {
        writer->no_memory = true;
        json_object_put(value);
    }
}

static void append(json_writer *writer, json_object *array, json_object *value)
{
    if (array == NULL || value == NULL || json_object_array_add(array, value) != 0) {
        writer->no_memory = true;
        json_object_put(value);
    }
}

static void put_number(json_writer *writer, json_object *object, const char *name, int64_t value)
{
    put(writer, object, name, json_object_new_int64(value));
}

static void put_text(json_writer *writer, json_object *object, const char *name, const char *text)
{
    put(writer, object, name, json_object_new_string(text));
}

static void put_truth(json_writer *writer, json_object *object, const char *name, bool truth)
{
    put(writer, object, name, json_object_new_boolean(truth));
}

static json_object *event_json(json_writer *writer, const muster_event_record *event)
{
    json_object *object = json_object_new_object();
    put_text(writer, object, "event", muster_record_kind_text((muster_record_kind)event->kind));
    put_number(writer, object, "time_ns", event->time_ns);
    put_number(writer, object, "epoch", event->epoch);
    if (event->kind <= MUSTER_RECORD_KIND_batch_failed) {
        put_number(writer, object, "sequence", event->sequence);
        put(writer, object, "communicator", json_object_new_uint64((uint64_t)event->communicator));
        if (event->kind != MUSTER_RECORD_KIND_batch_op)
            put_text(writer, object, "call", muster_call_text((muster_call)event->call));
    }
    return object;
}

static json_object *stand_json(json_writer *writer, const muster_stand_finding *stand)
{
    static const char *const states[] = {"unknown", "in_batch", "between_batches"};
    json_object *object = json_object_new_object();
    put_number(writer, object, "slot", stand->slot);
    put_number(writer, object, "incarnation", stand->incarnation);
    put_text(writer, object, "state", states[stand->state]);
    if (stand->state != MUSTER_STAND_UNKNOWN)
        put(writer, object, "batch", event_json(writer, &stand->batch));
    if (stand->state == MUSTER_STAND_IN_BATCH)
        put_number(writer, object, "open_count", stand->open_count);
    return object;
}

static json_object *clock_json(json_writer *writer, const muster_clock_finding *clock)
{
    json_object *object = json_object_new_object();
    put_text(writer, object, "state", muster_clock_state_text(clock->state));
    put_number(writer, object, "ahead_ns", clock->ahead_ns);
    put_number(writer, object, "uncertainty_ns", clock->uncertainty_ns);
    return object;
}

static json_object *death_json(json_writer *writer, const muster_death_finding *death)
{
    json_object *object = json_object_new_object();
    put_number(writer, object, "slot", death->slot);
    put_number(writer, object, "incarnation", death->incarnation);
    put_text(writer, object, "evidence", muster_evidence_text((muster_evidence)death->evidence));
    put_text(writer, object, "text", death->text);
    put_number(writer, object, "epoch", (int64_t)death->epoch);
    if (death->signal != 0)
        put_number(writer, object, "signal", death->signal);
    if (death->exit_code >= 0)
        put_number(writer, object, "exit_code", death->exit_code);
    put_number(writer, object, "evidence_ns", death->evidence_ns);
    put_number(writer, object, "verdict_ns", death->verdict_ns);
    if (death->has_last_event)
        put(writer, object, "last_event", event_json(writer, &death->last_event));
    if (death->has_last_event)
        put(writer, object, "last_event_clock", clock_json(writer, &death->last_clock));
    put(writer, object, "stood", stand_json(writer, &death->stand));
    return object;
}

static json_object *recovery_json(json_writer *writer, const muster_recovery_finding *recovery)
{
    json_object *object = json_object_new_object();
    json_object *deaths = json_object_new_array();
    json_object *stands = json_object_new_array();
    json_object *steps = json_object_new_object();
    put_number(writer, object, "epoch_before", (int64_t)recovery->epoch_before);
    put_number(writer, object, "epoch_after", (int64_t)recovery->epoch_after);
    put_truth(writer, object, "gave_up", recovery->gave_up);
    for (size_t i = 0; i < recovery->death_count; i++)
        append(writer, deaths, death_json(writer, &recovery->deaths[i]));
    for (size_t i = 0; i < recovery->stand_count; i++)
        append(writer, stands, stand_json(writer, &recovery->stands[i]));
    for (int which = 0; which < MUSTER_RECOVERY_STEP_COUNT; which++) {
        char name[32];
        snprintf(name, sizeof name, "%s_ns",
                 muster_recovery_step_text((muster_recovery_step)which));
        if (recovery->steps[which].count > 0)
            put_number(writer, steps, name, recovery->steps[which].time_ns);
        snprintf(name, sizeof name, "%s_uncertainty_ns",
                 muster_recovery_step_text((muster_recovery_step)which));
        if (recovery->steps[which].uncertainty_ns > 0)
            put_number(writer, steps, name, recovery->steps[which].uncertainty_ns);
    }
    put(writer, object, "lost", deaths);
    put(writer, object, "others", stands);
    put(writer, object, "steps", steps);
    return object;
}

static json_object *ring_json(json_writer *writer, const muster_ring_finding *ring)
{
    json_object *object = json_object_new_object();
    put_number(writer, object, "slot", ring->slot);
    put_number(writer, object, "incarnation", ring->incarnation);
    put_number(writer, object, "snapshot_count", ring->snapshot_count);
    put_number(writer, object, "event_count", ring->event_count);
    put_number(writer, object, "first_ns", ring->first_ns);
    put_number(writer, object, "last_ns", ring->last_ns);
    put(writer, object, "clock", clock_json(writer, &ring->clock));
    put_number(writer, object, "discarded_events", ring->discarded_events);
    put_number(writer, object, "discarded_packets", ring->discarded_packets);
    put_number(writer, object, "damaged_count", ring->damaged_count);
    put_text(writer, object, "damage", ring->damage);
    return object;
}

muster_status muster_print_json(FILE *file, const char *directory, const muster_records *records,
                                const muster_findings *findings, muster_error *error)
{
    json_writer writer = {false};
    json_object *report = json_object_new_object();
    json_object *recoveries = json_object_new_array();
    json_object *rings = json_object_new_array();
    put_text(&writer, report, "directory", directory);
    put_text(&writer, report, "job_name", records->job_name);
    put_truth(&writer, report, "has_event_log", findings->has_event_log);
    put_truth(&writer, report, "has_traces", findings->has_traces);
    put_number(&writer, report, "damaged_lines", findings->damaged_lines);
    put_number(&writer, report, "batches_traced", findings->batch_count);
    put_number(&writer, report, "event_count", findings->event_count);
    if (findings->has_committed_step)
        put_number(&writer, report, "committed_step", findings->committed_step);
    for (size_t i = 0; i < findings->recovery_count; i++)
        append(&writer, recoveries, recovery_json(&writer, &findings->recoveries[i]));
    for (size_t i = 0; i < findings->ring_count; i++)
        append(&writer, rings, ring_json(&writer, &findings->rings[i]));
    put(&writer, report, "recoveries", recoveries);
    put(&writer, report, "rings", rings);
    const char *text = writer.no_memory
                           ? NULL
                           : json_object_to_json_string_ext(
                                 report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (text != NULL)
        fprintf(file, "%s\n", text);
    json_object_put(report);
    return text != NULL ? muster_error_set_ok(error)
                        : muster_error_set_errno(error, ENOMEM, "the report");
}
