/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rank_set.h"

static void members_come_and_go(void **state)
{
    (void)state;
    muster_rank_set set;
    assert_true(muster_rank_set_init(&set, 130));
    assert_int_equal(muster_rank_set_count(&set), 0);
    assert_int_equal(muster_rank_set_next(&set, 0), -1);
    const int32_t members[] = {0, 63, 64, 65, 127, 128, 129};
    for (size_t i = 0; i < 7; i++)
        muster_rank_set_add(&set, members[i]);
    muster_rank_set_add(&set, 64);
    assert_int_equal(muster_rank_set_count(&set), 7);
    int32_t rank = -1;
    for (size_t i = 0; i < 7; i++) {
        rank = muster_rank_set_next(&set, rank + 1);
        assert_int_equal(rank, members[i]);
        assert_true(muster_rank_set_has(&set, rank));
    }
    assert_int_equal(muster_rank_set_next(&set, rank + 1), -1);
    muster_rank_set_remove(&set, 64);
    muster_rank_set_remove(&set, 64);
    assert_false(muster_rank_set_has(&set, 64));
    assert_int_equal(muster_rank_set_next(&set, 64), 65);
    muster_rank_set_clear(&set);
    assert_int_equal(muster_rank_set_count(&set), 0);
    muster_rank_set_clean_up(&set);
}

static void outside_is_no_member(void **state)
{
    (void)state;
    muster_rank_set set;
    assert_true(muster_rank_set_init(&set, 64));
    muster_rank_set_add(&set, 63);
    assert_false(muster_rank_set_has(&set, -1));
    assert_false(muster_rank_set_has(&set, 64));
    assert_int_equal(muster_rank_set_next(&set, -5), 63);
    assert_int_equal(muster_rank_set_next(&set, 64), -1);
    assert_int_equal(muster_rank_set_next(&set, INT32_MAX), -1);
    muster_rank_set_clean_up(&set);
}

static void a_list_is_cut_but_the_count_is_whole(void **state)
{
    (void)state;
    muster_rank_set set;
    assert_true(muster_rank_set_init(&set, 200));
    for (int32_t rank = 1; rank < 200; rank += 66)
        muster_rank_set_add(&set, rank);
    int32_t ranks[3] = {-7, -7, -7};
    assert_int_equal(muster_rank_set_list(&set, ranks, 2), 4);
    assert_int_equal(ranks[0], 1);
    assert_int_equal(ranks[1], 67);
    assert_int_equal(ranks[2], -7);
    assert_int_equal(muster_rank_set_list(&set, NULL, 0), 4);
    muster_rank_set_clean_up(&set);
}

static void an_empty_set_is_a_set(void **state)
{
    (void)state;
    muster_rank_set set;
    assert_true(muster_rank_set_init(&set, 0));
    muster_rank_set_clear(&set);
    assert_int_equal(muster_rank_set_count(&set), 0);
    assert_int_equal(muster_rank_set_next(&set, 0), -1);
    assert_false(muster_rank_set_has(&set, 0));
    muster_rank_set_clean_up(&set);
    muster_rank_set_clean_up(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_and_go),
        cmocka_unit_test(outside_is_no_member),
        cmocka_unit_test(a_list_is_cut_but_the_count_is_whole),
        cmocka_unit_test(an_empty_set_is_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
