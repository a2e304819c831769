/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>
#include <unistd.h>

#include "operator/event_log.h"

static muster_note sample(void)
{
    muster_note note = {.kind = MUSTER_NOTE_VERDICT,
                        .time_ns = 123456789012345,
                        .epoch = 3,
                        .slot = 2,
                        .incarnation = 1,
                        .evidence = MUSTER_EVIDENCE_SILENCE,
                        .value = -1};
    snprintf(note.text, sizeof note.text, "slot 2 \"is\" lost\n");
    return note;
}

static void a_line_is_json_with_every_field(void **state)
{
    (void)state;
    muster_note note = sample();
    char *line = muster_event_line("train", &note);
    assert_non_null(line);
    assert_null(strchr(line, '\n'));
    json_object *object = json_tokener_parse(line);
    assert_non_null(object);
    json_object *field = NULL;
    assert_true(json_object_object_get_ex(object, "kind", &field));
    assert_string_equal(json_object_get_string(field), "verdict");
    assert_true(json_object_object_get_ex(object, "time_ns", &field));
    assert_int_equal(json_object_get_int64(field), 123456789012345);
    assert_true(json_object_object_get_ex(object, "epoch", &field));
    assert_int_equal(json_object_get_int64(field), 3);
    assert_true(json_object_object_get_ex(object, "slot", &field));
    assert_int_equal(json_object_get_int(field), 2);
    assert_true(json_object_object_get_ex(object, "incarnation", &field));
    assert_int_equal(json_object_get_int(field), 1);
    assert_true(json_object_object_get_ex(object, "evidence", &field));
    assert_string_equal(json_object_get_string(field),
                        muster_evidence_text(MUSTER_EVIDENCE_SILENCE));
    assert_true(json_object_object_get_ex(object, "value", &field));
    assert_int_equal(json_object_get_int(field), -1);
    assert_true(json_object_object_get_ex(object, "text", &field));
    assert_string_equal(json_object_get_string(field), "slot 2 \"is\" lost\n");
    assert_true(json_object_object_get_ex(object, "job", &field));
    assert_string_equal(json_object_get_string(field), "train");
    json_object_put(object);
    free(line);
}

static void a_text_without_end_does_not_run_over(void **state)
{
    (void)state;
    muster_note note = sample();
    memset(note.text, 'x', sizeof note.text);
    char *line = muster_event_line("train", &note);
    json_object *object = json_tokener_parse(line);
    json_object *field = NULL;
    assert_true(json_object_object_get_ex(object, "text", &field));
    assert_int_equal(json_object_get_string_len(field), MUSTER_NOTE_TEXT_BYTES);
    json_object_put(object);
    free(line);
}

static void lines_are_appended_and_seen_at_once(void **state)
{
    (void)state;
    char path[] = "/tmp/muster-events-XXXXXX";
    char text[4096];
    muster_note note = sample();
    close(mkstemp(path));
    for (int i = 0; i < 2; i++) {
        muster_event_log log;
        assert_int_equal(muster_event_log_open(&log, path, NULL), MUSTER_OK);
        assert_true(muster_event_log_write(&log, "train", &note));
        /* Not closed yet: whoever follows the file sees the line. */
        FILE *file = fopen(path, "re");
        size_t bytes = fread(text, 1, sizeof text - 1, file);
        text[bytes] = '\0';
        fclose(file);
        int lines = 0;
        for (const char *c = text; *c != '\0'; c++)
            lines += *c == '\n';
        assert_int_equal(lines, i + 1);
        muster_event_log_close(&log);
    }
    unlink(path);
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    muster_event_log log;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_event_log_open(&log, "/nowhere/at/all", &error), MUSTER_ERR_SYSTEM);
    assert_non_null(strstr(error.message, "/nowhere/at/all"));
    muster_event_log_close(&log);
}

static void no_file_is_no_trouble(void **state)
{
    (void)state;
    muster_event_log log;
    muster_note note = sample();
    assert_int_equal(muster_event_log_open(&log, NULL, NULL), MUSTER_OK);
    assert_true(muster_event_log_write(&log, "train", &note));
    muster_event_log_close(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_json_with_every_field),
        cmocka_unit_test(a_text_without_end_does_not_run_over),
        cmocka_unit_test(lines_are_appended_and_seen_at_once),
        cmocka_unit_test(a_file_that_cannot_be_opened_is_named),
        cmocka_unit_test(no_file_is_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
