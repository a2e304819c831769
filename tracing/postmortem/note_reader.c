/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/note_reader.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/error.h"

typedef struct named_value {
    const char *name;
    const char *text;
    uint32_t value;
} named_value;

#define NAMED_VALUE(name, value, text) {#name, text, value},
static const named_value note_kinds[] = {MUSTER_NOTE_LIST(NAMED_VALUE){NULL, NULL, 0}};
static const named_value evidences[] = {MUSTER_EVIDENCE_LIST(NAMED_VALUE){NULL, NULL, 0}};
#undef NAMED_VALUE

/* "first batch", FIRST_BATCH and first_batch are one word. */
static bool same_word(const char *one, const char *other)
{
    for (;; one++, other++) {
        int left = *one == '_' ? ' ' : tolower((unsigned char)*one);
        int right = *other == '_' ? ' ' : tolower((unsigned char)*other);
        if (left != right)
            return false;
        if (left == '\0')
            return true;
    }
}

static bool note_reader_word(json_object *object, const named_value *list, uint32_t *value)
{
    if (json_object_is_type(object, json_type_int)) {
        int64_t number = json_object_get_int64(object);
        *value = (uint32_t)number;
        return number >= 0 && number <= UINT32_MAX;
    }
    if (!json_object_is_type(object, json_type_string))
        return false;
    const char *word = json_object_get_string(object);
    for (; list->name != NULL; list++) {
        if (same_word(word, list->name) || same_word(word, list->text)) {
            *value = list->value;
            return true;
        }
    }
    return false;
}

/* 0 where the field is missing. */
static int64_t note_reader_number(json_object *object, const char *name)
{
    json_object *field;
    return json_object_object_get_ex(object, name, &field) ? json_object_get_int64(field) : 0;
}

static void note_reader_text(json_object *object, const char *name, char *text, size_t capacity)
{
    json_object *field;
    if (json_object_object_get_ex(object, name, &field) &&
        json_object_is_type(field, json_type_string))
        snprintf(text, capacity, "%s", json_object_get_string(field));
}

static bool note_reader_note(json_object *object, muster_note *note)
{
    json_object *field;
    memset(note, 0, sizeof *note);
    note->slot = MUSTER_SLOT_NONE;
    if (!json_object_is_type(object, json_type_object) ||
        !json_object_object_get_ex(object, "kind", &field) ||
        !note_reader_word(field, note_kinds, &note->kind) ||
        !json_object_object_get_ex(object, "time_ns", &field) ||
        !json_object_is_type(field, json_type_int))
        return false;
    note->time_ns = json_object_get_uint64(field);
    note->epoch = (uint64_t)note_reader_number(object, "epoch");
    if (json_object_object_get_ex(object, "slot", &field))
        note->slot = json_object_get_int(field);
    note->incarnation = (uint32_t)note_reader_number(object, "incarnation");
    if (json_object_object_get_ex(object, "evidence", &field))
        note_reader_word(field, evidences, &note->evidence);
    note->value = note_reader_number(object, "value");
    note_reader_text(object, "text", note->text, sizeof note->text);
    return true;
}

bool muster_note_reader_parse(const char *line, muster_note *note)
{
    json_object *object = json_tokener_parse(line);
    bool parsed = object != NULL && note_reader_note(object, note);
    json_object_put(object);
    return parsed;
}

static muster_status note_reader_lines(FILE *file, muster_records *records, muster_error *error)
{
    char *line = NULL;
    size_t capacity = 0;
    muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && getline(&line, &capacity, file) > 0) {
        muster_note note;
        if (line[strspn(line, " \t\r\n")] == '\0')
            continue;
        if (!muster_note_reader_parse(line, &note)) {
            records->damaged_lines++;
            continue;
        }
        muster_note *added = muster_records_add_note(records);
        if (added != NULL)
            *added = note;
        else
            status = muster_error_set_errno(error, ENOMEM, "the notes of events.jsonl");
    }
    if (status == MUSTER_OK && ferror(file))
        status = muster_error_set_errno(error, errno, "events.jsonl");
    free(line);
    return status;
}

static void note_reader_processes(json_object *job, muster_records *records)
{
    json_object *processes;
    if (!json_object_object_get_ex(job, "processes", &processes) ||
        !json_object_is_type(processes, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(processes); i++) {
        json_object *process = json_object_array_get_idx(processes, i);
        json_object *exit_code;
        if (!json_object_is_type(process, json_type_object))
            continue;
        muster_process_end *end = muster_records_add_process(records);
        if (end == NULL)
            return;
        end->slot = (int32_t)note_reader_number(process, "slot");
        end->incarnation = (uint32_t)note_reader_number(process, "incarnation");
        end->process_id = (int32_t)note_reader_number(process, "process_id");
        end->signal = (int32_t)note_reader_number(process, "signal");
        end->exit_code = json_object_object_get_ex(process, "exit_code", &exit_code)
                             ? json_object_get_int(exit_code)
                             : -1;
    }
}

/* What it says is welcome, nothing of it is needed. */
static void note_reader_job(const char *directory, muster_records *records)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/job.json", directory) >= (int)sizeof path)
        return;
    json_object *job = json_object_from_file(path);
    if (job == NULL || !json_object_is_type(job, json_type_object)) {
        json_object_put(job);
        return;
    }
    note_reader_text(job, "job_name", records->job_name, sizeof records->job_name);
    note_reader_text(job, "on_loss", records->on_loss, sizeof records->on_loss);
    records->slot_count = (int32_t)note_reader_number(job, "slot_count");
    int64_t wall_ns = note_reader_number(job, "written_wall_ns");
    if (wall_ns > 0 && records->wall_offset_ns == 0) {
        records->wall_offset_ns = wall_ns - note_reader_number(job, "written_ns");
        records->wall_process = records->process_count;
    }
    note_reader_processes(job, records);
    json_object_put(job);
}

muster_status muster_note_reader_read(const char *directory, muster_records *records,
                                      muster_error *error)
{
    char path[PATH_MAX];
    note_reader_job(directory, records);
    if (snprintf(path, sizeof path, "%s/events.jsonl", directory) >= (int)sizeof path)
        return muster_error_set_errno(error, ENAMETOOLONG, directory);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return errno == ENOENT ? muster_error_set_ok(error)
                               : muster_error_set_errno(error, errno, path);
    records->has_event_log = true;
    muster_status status = note_reader_lines(file, records, error);
    fclose(file);
    if (status == MUSTER_OK)
        muster_error_set_ok(error);
    return status;
}
