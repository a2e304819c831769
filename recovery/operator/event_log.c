/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/event_log.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

muster_status muster_event_log_open(muster_event_log *log, const char *path, muster_error *error)
{
    log->file = NULL;
    if (path == NULL)
        return muster_error_set_ok(error);
    log->file = fopen(path, "ae");
    if (log->file == NULL)
        return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_OPTION, 0, 0,
                                "cannot append to the events file '%.120s': %s", path,
                                strerror(errno));
    return muster_error_set_ok(error);
}

/* False when memory ran out; value is then released. */
static bool event_add(json_object *line, const char *name, json_object *value)
{
    if (value != NULL && json_object_object_add(line, name, value) == 0)
        return true;
    json_object_put(value);
    return false;
}

/* The text of a note came over the wire: only its first NUL ends it. */
static json_object *event_text(const muster_note *note)
{
    return json_object_new_string_len(note->text, (int)strnlen(note->text, sizeof note->text));
}

char *muster_event_line(const char *job_name, const muster_note *note)
{
    char *text = NULL;
    json_object *line = json_object_new_object();
    if (line != NULL && event_add(line, "job", json_object_new_string(job_name)) &&
        event_add(line, "kind",
                  json_object_new_string(muster_note_text((muster_note_kind)note->kind))) &&
        event_add(line, "time_ns", json_object_new_int64((int64_t)note->time_ns)) &&
        event_add(line, "epoch", json_object_new_int64((int64_t)note->epoch)) &&
        event_add(line, "slot", json_object_new_int(note->slot)) &&
        event_add(line, "incarnation", json_object_new_int64(note->incarnation)) &&
        event_add(line, "evidence",
                  json_object_new_string(muster_evidence_text((muster_evidence)note->evidence))) &&
        event_add(line, "value", json_object_new_int64(note->value)) &&
        event_add(line, "text", event_text(note))) {
        const char *json = json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN);
        if (json != NULL)
            text = strdup(json);
    }
    json_object_put(line);
    return text;
}

static char *event_numbers_line(const char *kind, int64_t time_ns,
                                const muster_event_number *numbers, size_t count)
{
    char *text = NULL;
    json_object *line = json_object_new_object();
    bool whole = line != NULL && event_add(line, "kind", json_object_new_string(kind)) &&
                 event_add(line, "time_ns", json_object_new_int64(time_ns));
    for (size_t i = 0; i < count && whole; i++)
        whole = event_add(line, numbers[i].name, json_object_new_uint64(numbers[i].value));
    const char *json = whole ? json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN) : NULL;
    if (json != NULL)
        text = strdup(json);
    json_object_put(line);
    return text;
}

bool muster_event_log_write_numbers(muster_event_log *log, const char *kind, int64_t time_ns,
                                    const muster_event_number *numbers, size_t count)
{
    if (log->file == NULL)
        return true;
    char *line = event_numbers_line(kind, time_ns, numbers, count);
    bool written = line != NULL && fprintf(log->file, "%s\n", line) > 0 && fflush(log->file) == 0;
    free(line);
    return written;
}

bool muster_event_log_write(muster_event_log *log, const char *job_name, const muster_note *note)
{
    if (log->file == NULL)
        return true;
    char *line = muster_event_line(job_name, note);
    bool written = line != NULL && fprintf(log->file, "%s\n", line) > 0 && fflush(log->file) == 0;
    free(line);
    return written;
}

void muster_event_log_close(muster_event_log *log)
{
    if (log->file != NULL)
        fclose(log->file);
    log->file = NULL;
}
