/* SPDX-License-Identifier: Apache-2.0 */
/* Memberships as differences: what is made from two of them brings the first to the second, and nothing else to
 * anything. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/difference.h"

#define SLOTS 40

static uint64_t random_state = 20261123;

static uint64_t draw(uint64_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % below;
}

static muster_member member_of(int32_t slot, uint32_t incarnation)
{
    muster_member member = {.slot = slot,
                            .incarnation = incarnation,
                            .process_id = 1000 + slot * 10 + (int32_t)incarnation,
                            .host = (uint64_t)slot / 8,
                            .blob = {.bytes = 16}};
    memset(member.blob.data, slot + (int)incarnation, member.blob.bytes);
    return member;
}

/* Some of the slots, each with an incarnation. */
static int32_t some_members(muster_member *members, uint64_t out_of, uint64_t there)
{
    int32_t count = 0;
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        if (draw(out_of) < there) {
            members[count++] = member_of(slot, (uint32_t)draw(2));
        }
    }
    return count;
}

static void a_difference_brings_one_to_the_other(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        muster_member before[SLOTS];
        muster_member after[SLOTS];
        muster_member *came = NULL;
        int32_t came_count = 0;
        muster_difference difference;
        uint64_t there = draw(11);
        int32_t before_count = some_members(before, 10, there);
        int32_t after_count = some_members(after, 10, draw(11));
        assert_true(muster_difference_make(before, before_count, after, after_count, &difference));
        assert_int_equal(
            muster_difference_apply(before, before_count, &difference, &came, &came_count),
            MUSTER_OK);
        assert_int_equal(came_count, after_count);
        for (int32_t i = 0; i < came_count; i++) {
            assert_memory_equal(&came[i], &after[i], sizeof after[i]);
        }
        free(came);
        free(difference.changed);
        free(difference.without);
    }
}

static void one_lost_rank_is_one_change(void **state)
{
    (void)state;
    muster_member before[SLOTS];
    muster_member after[SLOTS];
    muster_difference difference;
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        before[slot] = member_of(slot, 0);
        after[slot] = member_of(slot, slot == 7);
    }
    assert_true(muster_difference_make(before, SLOTS, after, SLOTS, &difference));
    assert_int_equal(difference.changed_count, 1);
    assert_int_equal(difference.changed[0].slot, 7);
    assert_int_equal(difference.without_count, 0);
    free(difference.changed);
    free(difference.without);
    memmove(&after[7], &after[8], (SLOTS - 8) * sizeof after[0]);
    assert_true(muster_difference_make(before, SLOTS, after, SLOTS - 1, &difference));
    assert_int_equal(difference.changed_count, 0);
    assert_int_equal(difference.without_count, 1);
    assert_int_equal(difference.without[0], 7);
    free(difference.changed);
    free(difference.without);
}

static void assert_refused(const muster_member *base, int32_t base_count,
                           const muster_difference *difference)
{
    muster_member *came = NULL;
    int32_t came_count = 0;
    assert_int_equal(muster_difference_apply(base, base_count, difference, &came, &came_count),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_null(came);
    assert_int_equal(came_count, 0);
}

static void another_base_is_noticed(void **state)
{
    (void)state;
    muster_member before[SLOTS];
    muster_member after[SLOTS];
    muster_difference difference;
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        before[slot] = member_of(slot, 0);
        after[slot] = member_of(slot, slot == 7);
    }
    assert_true(muster_difference_make(before, SLOTS, after, SLOTS - 1, &difference));
    for (int32_t slot = 0; slot < SLOTS - 1; slot++) {
        if (slot != 7) { /* that one is replaced, whatever it was */
            before[slot].blob.data[3] ^= 1;
            assert_refused(before, SLOTS, &difference);
            before[slot].blob.data[3] ^= 1;
        }
    }
    assert_refused(before, SLOTS - 1, &difference); /* the last one cannot go twice */
    assert_refused(&before[1], SLOTS - 1, &difference);
    difference.members_hash ^= 1;
    assert_refused(before, SLOTS, &difference);
    difference.members_hash ^= 1;
    difference.without_count = 0;
    assert_refused(before, SLOTS, &difference);
    free(difference.changed);
    free(difference.without);
}

static void lists_that_do_not_ascend_are_refused(void **state)
{
    (void)state;
    const muster_member before[] = {member_of(1, 0), member_of(2, 0), member_of(3, 0)};
    muster_member changed[] = {member_of(3, 1), member_of(2, 1)};
    int32_t without[] = {3, 1};
    const muster_member wanted[] = {member_of(1, 0), member_of(2, 1), member_of(3, 1)};
    muster_difference difference = {.changed = changed,
                                    .changed_count = 2,
                                    .without = without,
                                    .members_hash = muster_difference_hash(wanted, 3)};
    assert_refused(before, 3, &difference);
    changed[0] = changed[1];
    assert_refused(before, 3, &difference);
    difference.changed_count = 0;
    difference.without_count = 2;
    assert_refused(before, 3, &difference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_difference_brings_one_to_the_other),
        cmocka_unit_test(one_lost_rank_is_one_change),
        cmocka_unit_test(another_base_is_noticed),
        cmocka_unit_test(lists_that_do_not_ascend_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
