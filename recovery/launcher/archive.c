/* SPDX-License-Identifier: Apache-2.0 */
/* What stays of a run: the flight recorder's snapshots, job.json and events.jsonl of --trace, the
 * events file, the report. None of it may stop a job: what fails is said once. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launcher/launcher_state.h"

#define ARCHIVE_PATH_BYTES 4096

/* ---- files ---- */

/* The whole file or none of it: a reader may come at any time. */
static bool archive_replace_file(const char *path, const char *text)
{
    char temporary[ARCHIVE_PATH_BYTES];
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return false;
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return false;
    bool written = fprintf(file, "%s\n", text) > 0;
    written = fclose(file) == 0 && written;
    written = written && rename(temporary, path) == 0;
    if (!written)
        unlink(temporary);
    return written;
}

static const char *archive_on_loss(const muster_launcher *launcher)
{
    return launcher->options.policy.on_loss == MUSTER_ON_LOSS_SHRINK ? "shrink" : "replace";
}

/* ---- opening ---- */

static void archive_open_sessions(muster_launcher *launcher)
{
    const muster_run_options *options = &launcher->options;
    const muster_session_options sessions = {
        .directory = options->trace,
        .job_name = options->job_name,
        .session_count = options->slot_count + options->spare_count + 1,
    };
    muster_error error;
    muster_error_init(&error);
    if (muster_session_open(&sessions, &launcher->sessions, &error) != MUSTER_OK) {
        launcher->sessions = NULL;
        muster_launcher_say(launcher, "%s; going on untraced", error.message);
    }
}

void muster_archive_open(muster_launcher *launcher)
{
    const muster_run_options *options = &launcher->options;
    muster_error error;
    muster_error_init(&error);
    if (muster_event_log_open(&launcher->events, options->events, &error) != MUSTER_OK)
        muster_launcher_say(launcher, "%s; going on without", error.message);
    if (options->trace == NULL)
        return;
    char path[ARCHIVE_PATH_BYTES];
    mkdir(options->trace, S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
    snprintf(path, sizeof path, "%s/events.jsonl", options->trace);
    if (muster_event_log_open(&launcher->trace_events, path, &error) != MUSTER_OK) {
        muster_launcher_say(launcher, "%s; going on untraced", error.message);
        return;
    }
    archive_open_sessions(launcher);
}

/* ---- the flight recorder ---- */

void muster_archive_begin(muster_launcher *launcher, muster_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    rank->recorded_slot = rank->slot;
    rank->recorded_incarnation = rank->incarnation;
    if (launcher->sessions == NULL)
        return;
    if (muster_session_begin(launcher->sessions, rank->child.process_id, rank->slot,
                             rank->incarnation, &error) != MUSTER_OK)
        muster_launcher_say(launcher, "slot %d runs untraced: %s", rank->slot, error.message);
}

void muster_archive_end(muster_launcher *launcher, const muster_rank *rank)
{
    muster_session_end(launcher->sessions, rank->recorded_slot, rank->recorded_incarnation, "end");
}

void muster_archive_begin_coordinator(muster_launcher *launcher)
{
    const muster_own_coordinator *own = &launcher->coordinator;
    muster_error error;
    muster_error_init(&error);
    if (launcher->sessions != NULL &&
        muster_session_begin(launcher->sessions, own->child.process_id,
                             MUSTER_SESSION_SLOT_COORDINATOR, own->starts, &error) != MUSTER_OK)
        muster_launcher_say(launcher, "the coordinator runs untraced: %s", error.message);
}

void muster_archive_end_coordinator(muster_launcher *launcher)
{
    muster_session_end(launcher->sessions, MUSTER_SESSION_SLOT_COORDINATOR,
                       launcher->coordinator.starts - 1, "end");
}

void muster_archive_verdict(muster_launcher *launcher, const muster_note *note)
{
    char reason[48];
    snprintf(reason, sizeof reason, "verdict-epoch%llu", (unsigned long long)note->epoch);
    for (size_t i = 0; i < launcher->rank_count; i++) {
        const muster_rank *rank = launcher->ranks[i];
        if (!rank->child.exited)
            muster_session_snapshot(launcher->sessions, rank->recorded_slot,
                                    rank->recorded_incarnation, reason);
    }
    if (launcher->coordinator.running)
        muster_session_snapshot(launcher->sessions, MUSTER_SESSION_SLOT_COORDINATOR,
                                launcher->coordinator.starts - 1, reason);
}

/* ---- notes ---- */

void muster_archive_note(muster_launcher *launcher, const muster_note *note)
{
    const char *job_name = launcher->options.job_name;
    bool written = muster_event_log_write(&launcher->events, job_name, note);
    written = muster_event_log_write(&launcher->trace_events, job_name, note) && written;
    if (!written && !launcher->events_failed) {
        launcher->events_failed = true;
        muster_launcher_say(launcher, "events cannot be written any more: %s; going on without",
                            strerror(errno));
    }
}

/* ---- job.json ---- */

muster_process_record *muster_archive_record(muster_launcher *launcher, int32_t process_id)
{
    /* The last: numbers are used again. */
    for (size_t i = launcher->record_count; i > 0; i--) {
        if (launcher->records[i - 1].process_id == process_id)
            return &launcher->records[i - 1];
    }
    return NULL;
}

static json_object *archive_process(const muster_process_record *record)
{
    json_object *object = json_object_new_object();
    json_object_object_add(object, "slot", json_object_new_int(record->slot));
    json_object_object_add(object, "incarnation", json_object_new_int64(record->incarnation));
    json_object_object_add(object, "process_id", json_object_new_int(record->process_id));
    json_object_object_add(object, "spare", json_object_new_boolean(record->spare));
    json_object_object_add(object, "started_ns", json_object_new_int64(record->started_ns));
    json_object_object_add(object, "ended_ns",
                           record->ended_ns > 0 ? json_object_new_int64(record->ended_ns) : NULL);
    if (record->ended_ns > 0 && WIFSIGNALED(record->wait_status))
        json_object_object_add(object, "signal",
                               json_object_new_int(WTERMSIG(record->wait_status)));
    else if (record->ended_ns > 0)
        json_object_object_add(object, "exit_code",
                               json_object_new_int(WEXITSTATUS(record->wait_status)));
    return object;
}

static json_object *archive_job_object(const muster_launcher *launcher)
{
    const muster_run_options *options = &launcher->options;
    struct timespec wall;
    json_object *job = json_object_new_object();
    json_object *command = json_object_new_array();
    json_object *processes = json_object_new_array();
    clock_gettime(CLOCK_REALTIME, &wall);
    for (char **word = options->command; *word != NULL; word++)
        json_object_array_add(command, json_object_new_string(*word));
    for (size_t i = 0; i < launcher->record_count; i++)
        json_object_array_add(processes, archive_process(&launcher->records[i]));
    json_object_object_add(job, "job_name", json_object_new_string(options->job_name));
    json_object_object_add(job, "slot_count", json_object_new_int(options->policy.slot_count));
    json_object_object_add(job, "first_slot", json_object_new_int(options->first_slot));
    json_object_object_add(job, "launched_slots", json_object_new_int(options->slot_count));
    json_object_object_add(job, "spare_count", json_object_new_int(options->spare_count));
    json_object_object_add(job, "on_loss", json_object_new_string(archive_on_loss(launcher)));
    json_object_object_add(job, "traced", json_object_new_boolean(launcher->sessions != NULL));
    json_object_object_add(job, "launcher_process_id", json_object_new_int((int32_t)getpid()));
    /* One moment on both clocks, so that times of the traces can be told in words. */
    json_object_object_add(job, "written_ns", json_object_new_int64(muster_launcher_clock_ns()));
    json_object_object_add(job, "written_wall_ns",
                           json_object_new_int64((int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec));
    json_object_object_add(job, "over", json_object_new_boolean(launcher->over));
    json_object_object_add(job, "exit_code",
                           launcher->over ? json_object_new_int(launcher->exit_code) : NULL);
    json_object_object_add(job, "command", command);
    json_object_object_add(job, "processes", processes);
    return job;
}

void muster_archive_job(muster_launcher *launcher)
{
    char path[ARCHIVE_PATH_BYTES];
    if (launcher->trace_events.file == NULL)
        return;
    snprintf(path, sizeof path, "%s/job.json", launcher->options.trace);
    json_object *job = archive_job_object(launcher);
    const char *text =
        json_object_to_json_string_ext(job, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
    if ((text == NULL || !archive_replace_file(path, text)) && !launcher->job_failed) {
        launcher->job_failed = true;
        muster_launcher_say(launcher, "%s cannot be written: %s", path, strerror(errno));
    }
    json_object_put(job);
}

/* ---- closing ---- */

static void archive_write_report(muster_launcher *launcher)
{
    const muster_report_job job = {.job_name = launcher->options.job_name,
                                   .slot_count = launcher->options.policy.slot_count,
                                   .on_loss = archive_on_loss(launcher),
                                   .exit_code = launcher->exit_code};
    char *text = muster_report_json(&launcher->report, &job);
    if (text == NULL || !archive_replace_file(launcher->options.report, text))
        muster_launcher_say(launcher, "the report '%s' cannot be written: %s",
                            launcher->options.report, strerror(errno));
    free(text);
}

void muster_archive_close(muster_launcher *launcher)
{
    muster_error error;
    muster_error_init(&error);
    muster_archive_job(launcher);
    if (launcher->options.report != NULL)
        archive_write_report(launcher);
    if (launcher->sessions != NULL && muster_session_close(launcher->sessions, &error) != MUSTER_OK)
        muster_launcher_say(launcher, "traces: %s", error.message);
    launcher->sessions = NULL;
    muster_event_log_close(&launcher->events);
    muster_event_log_close(&launcher->trace_events);
}
