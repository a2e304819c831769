/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/journal_format.h"

#define RECORDS 4 /* that are appended to a whole file */

static muster_journal_state state_of(const char *core, const char *claims)
{
    return (muster_journal_state){.core = strdup(core),
                                  .core_bytes = strlen(core),
                                  .claims = strdup(claims),
                                  .claims_bytes = strlen(claims)};
}

static void put(muster_journal_content *content, uint64_t job, const char *name, const char *core,
                const char *claims)
{
    muster_journal_state state = state_of(core, claims);
    assert_int_equal(muster_journal_content_put(content, job, name, &state, NULL), MUSTER_OK);
}

/* A file with two jobs, and what was appended to it. */
typedef struct written {
    uint8_t bytes[4096];
    size_t byte_count;
    size_t ends[RECORDS + 1]; /* of the whole part, and of each record */
} written;

static void append(written *file, size_t at, muster_status status, void *bytes, size_t byte_count)
{
    assert_int_equal(status, MUSTER_OK);
    assert_true(file->byte_count + byte_count <= sizeof file->bytes);
    memcpy(file->bytes + file->byte_count, bytes, byte_count);
    file->byte_count += byte_count;
    file->ends[at] = file->byte_count;
    free(bytes);
}

static void write_file(written *file)
{
    muster_journal_content content = {.term = 42};
    muster_journal_position position = {.identity = 0x1234567890abcdef, .inode = 77};
    void *bytes = NULL;
    size_t byte_count = 0;
    memset(file, 0, sizeof *file);
    put(&content, 7, "train", "first state", "");
    put(&content, 8, "", "", "who holds it");
    muster_status status = muster_journal_encode_whole(&content, &position, &bytes, &byte_count);
    append(file, 0, status, bytes, byte_count);
    put(&content, 7, "train", "second", "claims\n");
    status = muster_journal_encode_job(muster_journal_content_find(&content, 7), &position, &bytes,
                                       &byte_count);
    append(file, 1, status, bytes, byte_count);
    status = muster_journal_encode_term(43, &position, &bytes, &byte_count);
    append(file, 2, status, bytes, byte_count);
    status = muster_journal_encode_end(8, &position, &bytes, &byte_count);
    append(file, 3, status, bytes, byte_count);
    /* Ends in zeros, as a state may. */
    muster_journal_entry entry = {.job = 9, .name = "zeros", .state = {.core = calloc(1, 40)}};
    entry.state.core_bytes = 40;
    status = muster_journal_encode_job(&entry, &position, &bytes, &byte_count);
    append(file, 4, status, bytes, byte_count);
    assert_int_equal(position.byte_count, file->byte_count);
    muster_journal_state_clean_up(&entry.state);
    muster_journal_content_clean_up(&content);
}

/* What must be known when the first of the records are there. */
static void assert_knows(const muster_journal_content *content, int records)
{
    const muster_journal_entry *train = muster_journal_content_find(content, 7);
    assert_non_null(train);
    assert_string_equal(train->name, "train");
    const char *core = records >= 1 ? "second" : "first state";
    assert_int_equal(train->state.core_bytes, strlen(core));
    assert_memory_equal(train->state.core, core, strlen(core));
    assert_int_equal(train->state.claims_bytes, records >= 1 ? 7 : 0);
    assert_int_equal(content->term, records >= 2 ? 43 : 42);
    const muster_journal_entry *other = muster_journal_content_find(content, 8);
    assert_true((other == NULL) == (records >= 3));
    if (other != NULL)
        assert_memory_equal(other->state.claims, "who holds it", 12);
    assert_true((muster_journal_content_find(content, 9) != NULL) == (records >= 4));
}

/* In memory of its own, so that a read beyond its end is found. */
static muster_status decode(const uint8_t *bytes, size_t byte_count,
                            muster_journal_content *content, muster_journal_position *position,
                            muster_error *error)
{
    uint8_t *own = malloc(byte_count > 0 ? byte_count : 1);
    memcpy(own, bytes, byte_count);
    muster_status status = muster_journal_decode(own, byte_count, content, position, error);
    free(own);
    return status;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    written file;
    muster_journal_content content;
    muster_journal_position position;
    write_file(&file);
    assert_int_equal(decode(file.bytes, file.byte_count, &content, &position, NULL), MUSTER_OK);
    assert_knows(&content, RECORDS);
    assert_int_equal(position.byte_count, file.byte_count);
    assert_int_equal(position.torn_bytes, 0);
    assert_int_equal(position.inode, 77);
    assert_int_equal(position.sequence, 3 + RECORDS);
    assert_null(muster_journal_content_find(&content, 10));
    muster_journal_content_clean_up(&content);
}

static void every_flipped_bit_is_refused_with_its_offset(void **state)
{
    (void)state;
    written file;
    muster_journal_content content;
    muster_journal_position position;
    write_file(&file);
    for (size_t bit = 0; bit < file.byte_count * 8; bit++) {
        muster_error error;
        muster_error_init(&error);
        file.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(decode(file.bytes, file.byte_count, &content, &position, &error),
                         MUSTER_ERR_ENVIRONMENT);
        const char *said = strstr(error.message, "at offset ");
        assert_non_null(said);
        /* Of the record in which it is, or before it in the header. */
        size_t offset = strtoul(said + strlen("at offset "), NULL, 10);
        assert_true(offset <= bit / 8 || offset < file.ends[0]);
        if (bit / 8 >= file.ends[0]) {
            int record = 0;
            while (file.ends[record + 1] <= bit / 8)
                record++;
            assert_int_equal(offset, file.ends[record]);
        }
        file.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(decode(file.bytes, file.byte_count, &content, &position, NULL), MUSTER_OK);
    muster_journal_content_clean_up(&content);
}

static void every_torn_tail_is_cut(void **state)
{
    (void)state;
    written file;
    muster_journal_content content;
    muster_journal_position position;
    write_file(&file);
    for (size_t length = 0; length < file.byte_count; length++) {
        muster_error error;
        muster_error_init(&error);
        muster_status status = decode(file.bytes, length, &content, &position, &error);
        if (length < file.ends[0]) {
            /* This was written at once: it cannot be torn. */
            assert_int_equal(status, MUSTER_ERR_ENVIRONMENT);
            assert_non_null(strstr(error.message, "at offset"));
            continue;
        }
        int records = 0;
        while (records < RECORDS && file.ends[records + 1] <= length)
            records++;
        assert_int_equal(status, MUSTER_OK);
        assert_knows(&content, records);
        assert_int_equal(position.byte_count, file.ends[records]);
        assert_int_equal(position.torn_bytes, length - file.ends[records]);
        muster_journal_content_clean_up(&content);
    }
}

/* A file whose length was durable and whose last bytes were not ends in zeros. */
static void a_tail_of_zeros_is_cut(void **state)
{
    (void)state;
    written file;
    muster_journal_content content;
    muster_journal_position position;
    write_file(&file);
    const size_t lengths[] = {1, 23, 24, 25, 200, 1000};
    for (int records = 0; records <= RECORDS; records++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            uint8_t torn[sizeof file.bytes] = {0};
            memcpy(torn, file.bytes, file.ends[records]);
            assert_int_equal(
                decode(torn, file.ends[records] + lengths[i], &content, &position, NULL),
                MUSTER_OK);
            assert_knows(&content, records);
            assert_int_equal(position.torn_bytes, lengths[i]);
            muster_journal_content_clean_up(&content);
        }
    }
    /* The last record's sectors up to some place, then zeros. */
    for (size_t place = file.ends[RECORDS - 1]; place < file.byte_count - 8; place++) {
        uint8_t torn[sizeof file.bytes] = {0};
        memcpy(torn, file.bytes, place);
        muster_status status = decode(torn, file.byte_count, &content, &position, NULL);
        if (status == MUSTER_OK) {
            assert_knows(&content, RECORDS - 1);
            muster_journal_content_clean_up(&content);
        } else {
            /* In the middle of a checksum: it cannot be told from damage, and so it is that. */
            size_t within = place - file.ends[RECORDS - 1];
            assert_true(within > 16 && within < 24);
        }
    }
}

static void a_field_that_is_wrong_is_named(void **state)
{
    (void)state;
    written file;
    muster_journal_content content;
    muster_journal_position position;
    muster_error error;
    muster_error_init(&error);
    write_file(&file);
    file.bytes[8] = 9;
    assert_int_equal(decode(file.bytes, file.byte_count, &content, &position, &error),
                     MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "at offset 8, version: expected 2, came 9"));
    file.bytes[0] = 'X';
    assert_int_equal(decode(file.bytes, file.byte_count, &content, &position, &error),
                     MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "magic"));
}

/* A record of another journal, or of another place of this one, is none: blocks of a deleted file. */
static void records_pass_at_their_own_place_only(void **state)
{
    (void)state;
    written file;
    muster_journal_content content;
    muster_journal_position position;
    write_file(&file);
    size_t record_bytes = file.ends[2] - file.ends[1];
    memcpy(file.bytes + file.ends[2], file.bytes + file.ends[1], record_bytes);
    assert_int_equal(decode(file.bytes, file.ends[2] + record_bytes, &content, &position, NULL),
                     MUSTER_ERR_ENVIRONMENT);
    write_file(&file);
    void *bytes = NULL;
    size_t byte_count = 0;
    muster_journal_position other = {.identity = 5, .sequence = 3};
    assert_int_equal(muster_journal_encode_term(99, &other, &bytes, &byte_count), MUSTER_OK);
    memcpy(file.bytes + file.ends[0], bytes, byte_count);
    free(bytes);
    assert_int_equal(decode(file.bytes, file.ends[0] + byte_count, &content, &position, NULL),
                     MUSTER_ERR_ENVIRONMENT);
}

static void a_job_is_replaced_and_removed(void **state)
{
    (void)state;
    muster_journal_content content = {.term = 1};
    put(&content, 7, "train", "first", "");
    put(&content, 8, "other", "x", "");
    put(&content, 7, "train", "second", "c");
    assert_int_equal(content.count, 2);
    assert_int_equal(muster_journal_content_find(&content, 7)->state.core_bytes, 6);
    muster_journal_content_remove(&content, 7);
    muster_journal_content_remove(&content, 7);
    assert_int_equal(content.count, 1);
    assert_null(muster_journal_content_find(&content, 7));
    assert_non_null(muster_journal_content_find(&content, 8));
    muster_journal_content_clean_up(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_flipped_bit_is_refused_with_its_offset),
        cmocka_unit_test(every_torn_tail_is_cut),
        cmocka_unit_test(a_tail_of_zeros_is_cut),
        cmocka_unit_test(a_field_that_is_wrong_is_named),
        cmocka_unit_test(records_pass_at_their_own_place_only),
        cmocka_unit_test(a_job_is_replaced_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
