/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "layout/ranges.h"

static unsigned char memory[1024];

static void add(muster_range_list *list, size_t offset, size_t bytes, bool written)
{
    assert_true(muster_range_list_add(list, memory + offset, bytes, written));
}

static void assert_found(muster_range_list *list, int32_t one_ordinal, int32_t other_ordinal)
{
    muster_range one;
    muster_range other;
    assert_true(muster_range_list_find_overlap(list, &one, &other));
    assert_int_equal(one.ordinal, one_ordinal);
    assert_int_equal(other.ordinal, other_ordinal);
    assert_true(muster_range_list_overlaps(list));
    muster_range_list_clean_up(list);
}

static void neighbours_and_empty_ranges_are_apart(void **state)
{
    (void)state;
    muster_range_list list;
    muster_range_list_init(&list);
    assert_false(muster_range_list_overlaps(&list));
    assert_true(muster_range_list_add(&list, NULL, 0, true));
    add(&list, 100, 50, true);
    assert_false(muster_range_list_overlaps(&list));
    add(&list, 150, 10, true);
    add(&list, 120, 0, true);
    add(&list, 0, 100, true);
    assert_false(muster_range_list_overlaps(&list));
    assert_int_equal(list.count, 3);
    assert_int_equal(list.added, 5);
    muster_range_list_clean_up(&list);
    assert_int_equal(list.count, 0);
}

static void a_shared_byte_is_found_and_both_are_named(void **state)
{
    (void)state;
    muster_range_list list;
    muster_range_list_init(&list);
    add(&list, 500, 1, true);
    add(&list, 100, 50, true);
    add(&list, 149, 10, true);
    assert_found(&list, 1, 2);
    add(&list, 10, 1, true);
    add(&list, 0, 100, true);
    assert_found(&list, 1, 0);
    add(&list, 7, 0, true);
    add(&list, 10, 4, true);
    add(&list, 10, 4, true);
    assert_found(&list, 1, 2);
}

static void two_reads_may_meet_but_nothing_else(void **state)
{
    (void)state;
    muster_range_list list;
    muster_range_list_init(&list);
    add(&list, 10, 100, false);
    add(&list, 20, 10, false);
    assert_false(muster_range_list_overlaps(&list));
    add(&list, 109, 1, true); /* inside the long read, not beside its neighbour */
    assert_found(&list, 0, 2);
    add(&list, 10, 100, true);
    add(&list, 20, 5, false);
    assert_found(&list, 0, 1);
}

/* Against the plain comparison of every pair. */
static void random_ranges_agree_with_every_pair(void **state)
{
    (void)state;
    unsigned seed = 20240611;
    print_message("seed %u\n", seed);
    int found = 0;
    for (int round = 0; round < 4000; round++) {
        size_t offsets[12];
        size_t bytes[12];
        bool written[12];
        const size_t count = (size_t)(rand_r(&seed) % 12);
        bool expected = false;
        muster_range_list list;
        muster_range_list_init(&list);
        for (size_t i = 0; i < count; i++) {
            offsets[i] = (size_t)(rand_r(&seed) % 200);
            bytes[i] = (size_t)(rand_r(&seed) % 14);
            written[i] = rand_r(&seed) % 2 == 0;
            add(&list, offsets[i], bytes[i], written[i]);
            for (size_t j = 0; j < i; j++)
                expected =
                    expected ||
                    (bytes[i] > 0 && bytes[j] > 0 && (written[i] || written[j]) &&
                     offsets[i] < offsets[j] + bytes[j] && offsets[j] < offsets[i] + bytes[i]);
        }
        muster_range one;
        muster_range other;
        const bool came = muster_range_list_find_overlap(&list, &one, &other);
        assert_int_equal(came, expected);
        if (came) {
            found++;
            assert_true(one.begin < other.end && other.begin < one.end);
            assert_true(one.written || other.written);
            assert_true(one.ordinal != other.ordinal);
            assert_true(one.begin == (uintptr_t)(memory + offsets[one.ordinal]));
        }
        muster_range_list_clean_up(&list);
    }
    assert_true(found > 500 && found < 3500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_and_empty_ranges_are_apart),
        cmocka_unit_test(a_shared_byte_is_found_and_both_are_named),
        cmocka_unit_test(two_reads_may_meet_but_nothing_else),
        cmocka_unit_test(random_ranges_agree_with_every_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
