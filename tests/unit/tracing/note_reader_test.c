/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of events.jsonl: good, torn, foreign. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tracing/postmortem/note_reader.h"

static void a_line_of_the_coordinator_is_a_note(void **state)
{
    (void)state;
    muster_note note;
    assert_true(muster_note_reader_parse(
        "{\"job\":\"demo\",\"kind\":\"first batch\",\"time_ns\":123456789012,\"epoch\":4,"
        "\"slot\":2,\"incarnation\":1,\"evidence\":\"its process exited\",\"value\":-7,"
        "\"text\":\"a \\\"sentence\\\"\"}",
        &note));
    assert_int_equal(note.kind, MUSTER_NOTE_FIRST_BATCH);
    assert_int_equal(note.time_ns, 123456789012);
    assert_int_equal(note.epoch, 4);
    assert_int_equal(note.slot, 2);
    assert_int_equal(note.incarnation, 1);
    assert_int_equal(note.evidence, MUSTER_EVIDENCE_EXITED);
    assert_int_equal(note.value, -7);
    assert_string_equal(note.text, "a \"sentence\"");
}

static void kinds_come_as_texts_names_and_numbers(void **state)
{
    (void)state;
    muster_note note;
    assert_true(muster_note_reader_parse("{\"kind\":\"ROBUST\",\"time_ns\":1}", &note) == false);
    assert_true(muster_note_reader_parse("{\"kind\":\"FIRST_BATCH\",\"time_ns\":1}", &note));
    assert_int_equal(note.kind, MUSTER_NOTE_FIRST_BATCH);
    assert_true(muster_note_reader_parse("{\"kind\":4,\"time_ns\":1}", &note));
    assert_int_equal(note.kind, MUSTER_NOTE_VERDICT);
    /* every text of the list comes back as its kind */
    for (uint32_t kind = MUSTER_NOTE_JOINED; kind <= MUSTER_NOTE_TERM; kind++) {
        char line[128];
        snprintf(line, sizeof line, "{\"kind\":\"%s\",\"time_ns\":1}",
                 muster_note_text((muster_note_kind)kind));
        assert_true(muster_note_reader_parse(line, &note));
        assert_int_equal(note.kind, kind);
    }
}

static void missing_fields_are_none_and_zero(void **state)
{
    (void)state;
    muster_note note;
    assert_true(muster_note_reader_parse("{\"kind\":\"verdict\",\"time_ns\":5}", &note));
    assert_int_equal(note.slot, MUSTER_SLOT_NONE);
    assert_int_equal(note.epoch, 0);
    assert_string_equal(note.text, "");
}

static void what_is_no_note_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "{",
        "null",
        "[]",
        "7",
        "{\"kind\":\"verdict\"}",
        "{\"time_ns\":5}",
        "{\"kind\":\"verdict\",\"time_ns\":\"five\"}",
        "{\"kind\":-1,\"time_ns\":5}",
        "{\"kind\":\"verdict\",\"time_ns\":5,\"te",
        "\x01\xff\xfe garbage",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        muster_note note;
        if (muster_note_reader_parse(lines[i], &note))
            fail_msg("taken as a note: %s", lines[i]);
    }
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *directory, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

static void a_torn_last_line_is_counted_and_the_rest_is_read(void **state)
{
    (void)state;
    char directory[] = "/tmp/muster-notes-XXXXXX";
    assert_non_null(mkdtemp(directory));
    muster_records records;
    muster_error error;
    muster_error_init(&error);
    muster_records_init(&records);
    assert_int_equal(muster_note_reader_read(directory, &records, &error), MUSTER_OK);
    assert_false(records.has_event_log);

    write_file(directory, "events.jsonl",
               "{\"kind\":\"joined\",\"time_ns\":1}\n\n{\"kind\":\"verdict\",\"time_ns\":2}\n"
               "{\"kind\":\"agr");
    write_file(directory, "job.json",
               "{\"job_name\":\"demo\",\"slot_count\":4,\"on_loss\":\"replace\"}");
    assert_int_equal(muster_note_reader_read(directory, &records, &error), MUSTER_OK);
    assert_true(records.has_event_log);
    assert_int_equal(records.note_count, 2);
    assert_int_equal(records.damaged_lines, 1);
    assert_string_equal(records.job_name, "demo");
    assert_string_equal(records.on_loss, "replace");
    assert_int_equal(records.slot_count, 4);
    muster_records_clean_up(&records);
    remove_file(directory, "events.jsonl");
    remove_file(directory, "job.json");
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_the_coordinator_is_a_note),
        cmocka_unit_test(kinds_come_as_texts_names_and_numbers),
        cmocka_unit_test(missing_fields_are_none_and_zero),
        cmocka_unit_test(what_is_no_note_is_refused),
        cmocka_unit_test(a_torn_last_line_is_counted_and_the_rest_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
