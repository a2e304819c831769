/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <muster/lengths.h>

#include "layout/tensor.h"

static void assert_offsets_refused(const int64_t *lengths, int32_t count, int64_t *offsets,
                                   muster_status status, muster_field field, int32_t rank)
{
    int64_t before[8];
    muster_error error;
    muster_error_init(&error);
    if (offsets != NULL)
        memcpy(before, offsets, sizeof(before));
    assert_int_equal(muster_lengths_to_offsets(lengths, count, offsets, &error), status);
    assert_int_equal(muster_lengths_to_offsets(lengths, count, offsets, NULL), status);
    assert_int_equal(error.status, status);
    assert_int_equal(error.field, field);
    assert_int_equal(error.rank, rank);
    assert_true(strlen(error.message) > 10);
    if (offsets != NULL)
        assert_memory_equal(before, offsets, sizeof(before));
}

static void offsets_are_exclusive_sums_with_the_total_last(void **state)
{
    (void)state;
    const int64_t lengths[] = {3, 0, 5, 1};
    int64_t offsets[5] = {-1, -1, -1, -1, -1};
    assert_int_equal(muster_lengths_to_offsets(lengths, 4, offsets, NULL), MUSTER_OK);
    const int64_t expected[] = {0, 3, 3, 8, 9};
    assert_memory_equal(offsets, expected, sizeof(expected));
    assert_int_equal(muster_lengths_to_offsets(NULL, 0, offsets, NULL), MUSTER_OK);
    assert_int_equal(offsets[0], 0);
    assert_int_equal(offsets[1], 3);
    const int64_t largest[] = {INT64_MAX - 1, 1, 0};
    assert_int_equal(muster_lengths_to_offsets(largest, 3, offsets, NULL), MUSTER_OK);
    assert_true(offsets[3] == INT64_MAX);
}

static void offsets_refuse_and_stay_untouched(void **state)
{
    (void)state;
    int64_t offsets[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const int64_t fine[] = {1, 2};
    const int64_t negative[] = {1, 2, -4, -5};
    const int64_t large[] = {1, INT64_MAX - 1, 0, 1};
    assert_offsets_refused(fine, -1, offsets, MUSTER_ERR_INVALID_ARGUMENT,
                           MUSTER_FIELD_LENGTHS_COUNT, -1);
    assert_offsets_refused(NULL, 2, offsets, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT,
                           -1);
    assert_offsets_refused(fine, 2, NULL, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, -1);
    assert_offsets_refused(negative, 4, offsets, MUSTER_ERR_NEGATIVE_LENGTH, MUSTER_FIELD_LENGTHS,
                           2);
    assert_offsets_refused(large, 4, offsets, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_LENGTHS, 3);
}

static void an_error_that_was_not_initialised_is_not_written(void **state)
{
    (void)state;
    muster_error error;
    memset(&error, 0, sizeof(error));
    const muster_error before = error;
    int64_t offsets[2];
    const int64_t negative[] = {-1};
    assert_int_equal(muster_lengths_to_offsets(negative, 1, offsets, &error),
                     MUSTER_ERR_NEGATIVE_LENGTH);
    assert_memory_equal(&error, &before, sizeof(error));
}

static void assert_check(const int64_t *lengths, int32_t count, int32_t size, int32_t own_rank,
                         int64_t own_rows, muster_status status, muster_field field,
                         int64_t expected, int64_t came)
{
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_lengths_check(lengths, count, size, own_rank, own_rows, &error),
                     status);
    assert_int_equal(error.status, status);
    assert_int_equal(error.field, field);
    assert_int_equal(error.expected, expected);
    assert_int_equal(error.came, came);
    assert_int_equal(error.rank, -1);
}

static void a_collective_checks_its_lengths(void **state)
{
    (void)state;
    const int64_t lengths[] = {3, 0, 5};
    const int64_t negative[] = {3, -1, 5};
    const int64_t large[] = {3, INT64_MAX, 5};
    assert_check(lengths, 3, 3, 2, 5, MUSTER_OK, MUSTER_FIELD_NONE, 0, 0);
    assert_check(lengths, 2, 3, 2, 5, MUSTER_ERR_LENGTHS_COUNT, MUSTER_FIELD_LENGTHS_COUNT, 3, 2);
    assert_check(lengths, 4, 3, 2, 5, MUSTER_ERR_LENGTHS_COUNT, MUSTER_FIELD_LENGTHS_COUNT, 3, 4);
    assert_check(lengths, -1, 3, 2, 5, MUSTER_ERR_LENGTHS_COUNT, MUSTER_FIELD_LENGTHS_COUNT, 3, -1);
    assert_check(NULL, 3, 3, 2, 5, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_LENGTHS, 3, 0);
    assert_check(negative, 3, 3, 2, 5, MUSTER_ERR_NEGATIVE_LENGTH, MUSTER_FIELD_LENGTHS, 0, -1);
    assert_check(large, 3, 3, 0, 3, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_LENGTHS, INT64_MAX,
                 INT64_MAX);
    assert_check(lengths, 3, 3, 2, 4, MUSTER_ERR_OWN_ROWS, MUSTER_FIELD_OWN_ROWS, 5, 4);
    assert_check(lengths, 3, 3, 1, 1, MUSTER_ERR_OWN_ROWS, MUSTER_FIELD_OWN_ROWS, 0, 1);
}

static void the_hash_tells_lengths_of_one_sum_apart(void **state)
{
    (void)state;
    const int64_t lengths[] = {3, 0, 5};
    const int64_t swapped[] = {0, 3, 5};
    const int64_t zeros[3] = {0, 0, 0};
    assert_int_equal(muster_lengths_total(lengths, 3), 8);
    assert_int_equal(muster_lengths_total(swapped, 3), 8);
    assert_int_equal(muster_lengths_total(lengths, 0), 0);
    assert_true(muster_lengths_hash(lengths, 3) != muster_lengths_hash(swapped, 3));
    assert_true(muster_lengths_hash(zeros, 2) != muster_lengths_hash(zeros, 3));
    assert_true(muster_lengths_hash(lengths, 3) == muster_lengths_hash(lengths, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_exclusive_sums_with_the_total_last),
        cmocka_unit_test(offsets_refuse_and_stay_untouched),
        cmocka_unit_test(an_error_that_was_not_initialised_is_not_written),
        cmocka_unit_test(a_collective_checks_its_lengths),
        cmocka_unit_test(the_hash_tells_lengths_of_one_sum_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
