/* SPDX-License-Identifier: Apache-2.0 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "launcher/report.h"

/* Building ends at the first failure; what was made is released with its parent. */
typedef struct report_writer {
    bool failed;
} report_writer;

static void report_add(report_writer *writer, json_object *parent, const char *name,
                       json_object *value)
{
    if (writer->failed || parent == NULL || json_object_object_add(parent, name, value) != 0) {
        json_object_put(value);
        writer->failed = true;
    }
}

static void report_add_int(report_writer *writer, json_object *parent, const char *name,
                           int64_t value)
{
    report_add(writer, parent, name, json_object_new_int64(value));
}

static void report_add_text(report_writer *writer, json_object *parent, const char *name,
                            const char *value)
{
    json_object *text = json_object_new_string(value);
    writer->failed = writer->failed || text == NULL;
    report_add(writer, parent, name, text);
}

/* null: not known, or did not happen. */
static void report_add_ms(report_writer *writer, json_object *parent, const char *name, double ms)
{
    char text[64];
    snprintf(text, sizeof text, "%.3f", ms);
    json_object *value = ms < 0 ? NULL : json_object_new_double_s(ms, text);
    writer->failed = writer->failed || (ms >= 0 && value == NULL);
    report_add(writer, parent, name, value);
}

static void report_append_to(report_writer *writer, json_object *array, json_object *item)
{
    if (item == NULL || array == NULL || json_object_array_add(array, item) != 0) {
        json_object_put(item);
        writer->failed = true;
    }
}

static json_object *report_loss(report_writer *writer, const muster_report *report,
                                const muster_report_loss *loss)
{
    json_object *object = json_object_new_object();
    report_add_int(writer, object, "slot", loss->slot);
    report_add_int(writer, object, "incarnation", loss->incarnation);
    report_add_text(writer, object, "reason",
                    muster_evidence_text((muster_evidence)loss->evidence));
    report_add(writer, object, "by_drill", json_object_new_boolean(loss->by_drill));
    if (loss->by_drill)
        report_add_int(writer, object, "drill_signal", loss->signal_number);
    report_add_int(writer, object, "died_ns", loss->died_ns);
    report_add_int(writer, object, "verdict_ns", loss->verdict_ns);
    for (size_t i = 0; i < report->death_count; i++) {
        const muster_report_death *death = &report->deaths[i];
        if (death->exited && death->slot == loss->slot && death->incarnation == loss->incarnation)
            report_add_int(writer, object, "wait_status", death->wait_status);
    }
    return object;
}

static json_object *report_recovery(report_writer *writer, const muster_report *report,
                                    const muster_recovery *recovery)
{
    const muster_recovery_timing timing = muster_recovery_timing_of(recovery);
    json_object *object = json_object_new_object();
    json_object *losses = json_object_new_array();
    for (size_t i = 0; i < recovery->loss_count; i++)
        report_append_to(writer, losses, report_loss(writer, report, &recovery->losses[i]));
    report_add(writer, object, "losses", losses);
    report_add_int(writer, object, "lost_epoch", (int64_t)recovery->lost_epoch);
    report_add_int(writer, object, "new_epoch", (int64_t)recovery->new_epoch);
    report_add_int(writer, object, "members", recovery->member_count);
    report_add(writer, object, "complete",
               json_object_new_boolean(recovery->member_count > 0 &&
                                       recovery->resumed_count == recovery->member_count));
    report_add(writer, object, "spare", json_object_new_boolean(recovery->spare));
    report_add_ms(writer, object, "detect_ms", timing.detect_ms);
    report_add_ms(writer, object, "release_ms", timing.release_ms);
    report_add_ms(writer, object, "rebuild_ms", timing.rebuild_ms);
    report_add_ms(writer, object, "start_ms", timing.start_ms);
    report_add_ms(writer, object, "first_batch_ms", timing.first_batch_ms);
    return object;
}

char *muster_report_json(const muster_report *report, const muster_report_job *job)
{
    report_writer writer = {false};
    char *text = NULL;
    json_object *root = json_object_new_object();
    json_object *recoveries = json_object_new_array();
    for (size_t i = 0; i < report->recovery_count; i++)
        report_append_to(&writer, recoveries,
                         report_recovery(&writer, report, &report->recoveries[i]));
    report_add_text(&writer, root, "job_name", job->job_name);
    report_add_int(&writer, root, "slot_count", job->slot_count);
    report_add_text(&writer, root, "on_loss", job->on_loss);
    report_add_text(&writer, root, "detected_until",
                    report->two_clocks ? "the launcher was told" : "the verdict");
    report_add_int(&writer, root, "exit_code", job->exit_code);
    report_add(&writer, root, "recoveries", recoveries);
    const char *json = writer.failed ? NULL
                                     : json_object_to_json_string_ext(
                                           root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
    if (json != NULL)
        text = strdup(json);
    json_object_put(root);
    return text;
}
