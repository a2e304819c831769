/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/emulated_device/kernel_reduce.h"

static void halves_survive_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        float half = kernel_float16_to_float((uint16_t)bits);
        float brain = kernel_bfloat16_to_float((uint16_t)bits);

        if (isnan(half))
            assert_int_equal(kernel_float16_from_float(half), 0x7fff);
        else
            assert_int_equal(kernel_float16_from_float(half), bits);
        if (isnan(brain))
            assert_int_equal(kernel_bfloat16_from_float(brain), 0x7fff);
        else
            assert_int_equal(kernel_bfloat16_from_float(brain), bits);
    }
}

typedef uint16_t from_float(float value);
typedef float to_float(uint16_t bits);

/* Between two neighbours: the nearer one, and of the middle the even one. */
static void rounds_to_nearest(to_float *to, from_float *from, uint16_t first, uint16_t last)
{
    for (uint32_t bits = first; bits < last; bits++) {
        double low = (double)to((uint16_t)bits);
        double high = (double)to((uint16_t)(bits + 1));
        float middle = (float)((low + high) / 2);
        uint16_t even = (uint16_t)(bits % 2 == 0 ? bits : bits + 1);

        assert_int_equal(from(middle), even);
        assert_int_equal(from(-middle), even | 0x8000);
        assert_int_equal(from(nextafterf(middle, 0)), bits);
        assert_int_equal(from(nextafterf(middle, INFINITY)), bits + 1);
    }
}

static void conversions_round_to_nearest(void **state)
{
    (void)state;
    rounds_to_nearest(kernel_float16_to_float, kernel_float16_from_float, 0, 0x7bff);
    rounds_to_nearest(kernel_bfloat16_to_float, kernel_bfloat16_from_float, 0x0080, 0x7f7f);
    assert_int_equal(kernel_float16_from_float(65519.0F), 0x7bff);
    assert_int_equal(kernel_float16_from_float(65520.0F), 0x7c00);
    assert_int_equal(kernel_float16_from_float(-1e30F), 0xfc00);
    assert_int_equal(kernel_bfloat16_from_float(3.4e38F), 0x7f80);
}

static void reduce(kernel_operation operation, kernel_type type, uint64_t argument, void *own,
                   const void *other, size_t count)
{
    kernel_reduction reduction;

    assert_true(kernel_reduction_init(&reduction, operation, type, argument));
    kernel_reduce_begin(&reduction, own, own, count);
    kernel_reduce_add(&reduction, own, other, count);
    kernel_reduce_finish(&reduction, own, count);
}

static void integers_wrap(void **state)
{
    uint8_t bytes[3] = {250, 3, 16};
    const uint8_t more_bytes[3] = {10, 4, 17};
    uint32_t words[2] = {UINT32_MAX, 70000};
    const uint32_t more_words[2] = {2, 70001};

    (void)state;
    reduce(KERNEL_SUM, KERNEL_UINT8, 0, bytes, more_bytes, 3);
    assert_int_equal(bytes[0], 4);
    assert_int_equal(bytes[1], 7);
    assert_int_equal(bytes[2], 33);
    reduce(KERNEL_PRODUCT, KERNEL_UINT32, 0, words, more_words, 2);
    assert_int_equal(words[0], UINT32_MAX - 1);
    assert_int_equal(words[1], (uint32_t)(70000ULL * 70001ULL));
}

/* The argument as NCCL's host code makes it: the sign bit for signed types, all bits turned for a maximum. */
static void minimum_and_maximum_know_signs(void **state)
{
    int64_t longs[2] = {-5, 7};
    const int64_t more_longs[2] = {3, -9};
    int8_t bytes[2] = {-5, 7};
    const int8_t more_bytes[2] = {3, -9};
    float floats[2] = {-5, 7};
    const float more_floats[2] = {3, NAN};

    (void)state;
    reduce(KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_UINT64, 1ULL << 63, longs, more_longs, 2);
    assert_int_equal(longs[0], -5);
    assert_int_equal(longs[1], -9);
    reduce(KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_UINT8, 0x7f, bytes, more_bytes, 2);
    assert_int_equal(bytes[0], 3);
    assert_int_equal(bytes[1], 7);
    reduce(KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_FLOAT32, 0xffffffff, floats, more_floats, 2);
    assert_true(floats[0] == 3);
    assert_true(floats[1] == 7);
}

static void averages_of_integers_are_cut_towards_zero(void **state)
{
    int32_t words[3] = {-8, 8, INT32_MIN};
    const int32_t more_words[3] = {1, -1, 0};
    uint64_t longs[1] = {UINT64_MAX - 1};
    const uint64_t more_longs[1] = {1};

    (void)state;
    reduce(KERNEL_DIVIDED_SUM, KERNEL_UINT32, 3 << 1 | 1, words, more_words, 3);
    assert_int_equal(words[0], -2);
    assert_int_equal(words[1], 2);
    assert_int_equal(words[2], INT32_MIN / 3);
    reduce(KERNEL_DIVIDED_SUM, KERNEL_UINT64, 3 << 1, longs, more_longs, 1);
    assert_true(longs[0] == UINT64_MAX / 3);
}

static void averages_of_floats_are_scaled_first(void **state)
{
    double own[2] = {3, 5};
    const double other[2] = {1, 1};
    double factor = 0.5;
    uint64_t argument;
    uint16_t halves[1] = {kernel_float16_from_float(3)};
    uint16_t brains[1] = {kernel_bfloat16_from_float(3)};
    const uint16_t one_half[1] = {kernel_float16_from_float(1)};
    const uint16_t one_brain[1] = {kernel_bfloat16_from_float(1)};

    (void)state;
    memcpy(&argument, &factor, sizeof(argument));
    reduce(KERNEL_SCALED_SUM, KERNEL_FLOAT64, argument, own, other, 2);
    assert_true(own[0] == 2.5);
    assert_true(own[1] == 3.5);
    reduce(KERNEL_SCALED_SUM, KERNEL_FLOAT16, kernel_float16_from_float(0.5F), halves, one_half, 1);
    assert_true(kernel_float16_to_float(halves[0]) == 2.5F);
    reduce(KERNEL_SCALED_SUM, KERNEL_BFLOAT16, kernel_bfloat16_from_float(0.5F), brains, one_brain,
           1);
    assert_true(kernel_bfloat16_to_float(brains[0]) == 2.5F);
}

static void bytes_of_floats_are_refused(void **state)
{
    kernel_reduction reduction;

    (void)state;
    assert_false(kernel_reduction_init(&reduction, KERNEL_SUM, KERNEL_FLOAT8E4M3, 0));
    assert_false(kernel_reduction_init(&reduction, KERNEL_SUM, KERNEL_TYPES, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_survive_a_round_trip),
        cmocka_unit_test(conversions_round_to_nearest),
        cmocka_unit_test(integers_wrap),
        cmocka_unit_test(minimum_and_maximum_know_signs),
        cmocka_unit_test(averages_of_integers_are_cut_towards_zero),
        cmocka_unit_test(averages_of_floats_are_scaled_first),
        cmocka_unit_test(bytes_of_floats_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
