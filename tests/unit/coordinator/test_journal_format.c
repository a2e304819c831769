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

static void *copy_of(const char *text, size_t bytes)
{
    void *copy = malloc(bytes > 0 ? bytes : 1);
    memcpy(copy, text, bytes);
    return copy;
}

static void fill(muster_journal_content *content)
{
    memset(content, 0, sizeof *content);
    content->term = 42;
    assert_int_equal(
        muster_journal_content_put(content, 7, "train", copy_of("first state", 11), 11, NULL),
        MUSTER_OK);
    assert_int_equal(muster_journal_content_put(content, 8, "", copy_of("", 0), 0, NULL),
                     MUSTER_OK);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    muster_journal_content content;
    muster_journal_content read;
    void *bytes = NULL;
    size_t byte_count = 0;
    fill(&content);
    assert_int_equal(muster_journal_encode(&content, &bytes, &byte_count), MUSTER_OK);
    assert_int_equal(muster_journal_decode(bytes, byte_count, &read, NULL), MUSTER_OK);
    assert_int_equal(read.term, 42);
    assert_int_equal(read.count, 2);
    const muster_journal_entry *entry = muster_journal_content_find(&read, 7);
    assert_non_null(entry);
    assert_string_equal(entry->name, "train");
    assert_int_equal(entry->state_bytes, 11);
    assert_memory_equal(entry->state, "first state", 11);
    assert_int_equal(muster_journal_content_find(&read, 8)->state_bytes, 0);
    assert_null(muster_journal_content_find(&read, 9));
    muster_journal_content_clean_up(&read);
    muster_journal_content_clean_up(&content);
    free(bytes);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    muster_journal_content content;
    muster_journal_content read;
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    fill(&content);
    assert_int_equal(muster_journal_encode(&content, (void **)&bytes, &byte_count), MUSTER_OK);
    for (size_t bit = 0; bit < byte_count * 8; bit++) {
        muster_error error;
        muster_error_init(&error);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(muster_journal_decode(bytes, byte_count, &read, &error),
                         MUSTER_ERR_ENVIRONMENT);
        assert_non_null(strstr(error.message, "at offset"));
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(muster_journal_decode(bytes, byte_count, &read, NULL), MUSTER_OK);
    muster_journal_content_clean_up(&read);
    muster_journal_content_clean_up(&content);
    free(bytes);
}

static void every_torn_length_is_refused(void **state)
{
    (void)state;
    muster_journal_content content;
    muster_journal_content read;
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    fill(&content);
    assert_int_equal(muster_journal_encode(&content, (void **)&bytes, &byte_count), MUSTER_OK);
    for (size_t length = 0; length < byte_count; length++) {
        /* In memory of its own, so that a read beyond its end is found. */
        void *torn = copy_of((const char *)bytes, length);
        assert_int_equal(muster_journal_decode(torn, length, &read, NULL), MUSTER_ERR_ENVIRONMENT);
        free(torn);
    }
    uint8_t *longer = malloc(byte_count + 1);
    memcpy(longer, bytes, byte_count);
    longer[byte_count] = 0;
    assert_int_equal(muster_journal_decode(longer, byte_count + 1, &read, NULL),
                     MUSTER_ERR_ENVIRONMENT);
    free(longer);
    muster_journal_content_clean_up(&content);
    free(bytes);
}

static void a_field_that_is_wrong_is_named(void **state)
{
    (void)state;
    muster_journal_content content;
    muster_journal_content read;
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    muster_error error;
    muster_error_init(&error);
    fill(&content);
    assert_int_equal(muster_journal_encode(&content, (void **)&bytes, &byte_count), MUSTER_OK);
    bytes[8] = 9;
    assert_int_equal(muster_journal_decode(bytes, byte_count, &read, &error),
                     MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "at offset 8, version: expected 1, came 9"));
    bytes[0] = 'X';
    assert_int_equal(muster_journal_decode(bytes, byte_count, &read, &error),
                     MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "magic"));
    muster_journal_content_clean_up(&content);
    free(bytes);
}

static void a_job_is_replaced_and_removed(void **state)
{
    (void)state;
    muster_journal_content content;
    fill(&content);
    assert_int_equal(
        muster_journal_content_put(&content, 7, "train", copy_of("second", 6), 6, NULL), MUSTER_OK);
    assert_int_equal(content.count, 2);
    assert_int_equal(muster_journal_content_find(&content, 7)->state_bytes, 6);
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
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_torn_length_is_refused),
        cmocka_unit_test(a_field_that_is_wrong_is_named),
        cmocka_unit_test(a_job_is_replaced_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
