/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "layout/overlap.h"

static void neighbours_and_empty_ranges_are_apart(void **state)
{
    (void)state;
    muster_byte_range ranges[] = {{300, 0, 0}, {100, 50, 1}, {150, 10, 2}, {120, 0, 3},
                                  {100, 0, 4}, {160, 0, 5},  {0, 100, 6}};
    assert_false(muster_byte_ranges_overlap(ranges, 7, NULL, NULL));
    assert_false(muster_byte_ranges_overlap(ranges, 1, NULL, NULL));
    assert_false(muster_byte_ranges_overlap(NULL, 0, NULL, NULL));
}

static void a_shared_byte_is_found_and_its_owners_named(void **state)
{
    (void)state;
    /* The long one covers a later one that is not its neighbour in the order of addresses. */
    muster_byte_range ranges[] = {{500, 1, 0}, {100, 50, 1}, {149, 10, 2}};
    muster_byte_range one;
    muster_byte_range other;
    assert_true(muster_byte_ranges_overlap(ranges, 3, &one, &other));
    assert_int_equal(one.owner, 1);
    assert_int_equal(other.owner, 2);
    muster_byte_range inside[] = {{10, 1, 0}, {0, 100, 1}};
    assert_true(muster_byte_ranges_overlap(inside, 2, &one, &other));
    assert_int_equal(one.owner, 1);
    assert_int_equal(other.owner, 0);
    muster_byte_range same[] = {{10, 4, 8}, {10, 4, 3}};
    assert_true(muster_byte_ranges_overlap(same, 2, &one, &other));
    assert_int_equal(one.owner, 3);
    assert_int_equal(other.owner, 8);
}

/* Against the plain comparison of every pair. */
static void random_ranges_agree_with_every_pair(void **state)
{
    (void)state;
    const unsigned seed_value = 20240611;
    print_message("seed %u\n", seed_value);
    unsigned seed = seed_value;
    int found = 0;
    for (int round = 0; round < 4000; round++) {
        muster_byte_range ranges[12];
        const size_t count = (size_t)(rand_r(&seed) % 12);
        for (size_t i = 0; i < count; i++) {
            ranges[i].first = (uintptr_t)(rand_r(&seed) % 200);
            ranges[i].bytes = (size_t)(rand_r(&seed) % 12);
            ranges[i].owner = (int32_t)i;
        }
        bool expected = false;
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < i; j++)
                expected = expected || (ranges[i].bytes > 0 && ranges[j].bytes > 0 &&
                                        ranges[i].first < ranges[j].first + ranges[j].bytes &&
                                        ranges[j].first < ranges[i].first + ranges[i].bytes);
        muster_byte_range one;
        muster_byte_range other;
        const bool came = muster_byte_ranges_overlap(ranges, count, &one, &other);
        assert_int_equal(came, expected);
        if (came) {
            found++;
            assert_true(one.first < other.first + other.bytes &&
                        other.first < one.first + one.bytes);
            assert_true(one.owner != other.owner);
        }
    }
    assert_true(found > 500 && found < 3500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_and_empty_ranges_are_apart),
        cmocka_unit_test(a_shared_byte_is_found_and_its_owners_named),
        cmocka_unit_test(random_ranges_agree_with_every_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
