/* SPDX-License-Identifier: Apache-2.0 */
/* Mirrors: one for each state, and on another host where that can be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scope/mirror.h"

#define RANKS_MAX 40

typedef struct plan {
    muster_member members[RANKS_MAX];
    int32_t mirrored[RANKS_MAX];
    int32_t holders[RANKS_MAX];
    int32_t count;
} plan;

static void make(plan *made, const uint64_t *hosts, int32_t count)
{
    memset(made, 0, sizeof(*made));
    made->count = count;
    for (int32_t i = 0; i < count; i++)
        made->members[i].host = hosts[i];
    assert_true(muster_mirror_plan(made->members, count, made->mirrored, made->holders));
    /* Each state has one holder, and each rank holds one. */
    for (int32_t i = 0; i < count; i++) {
        assert_in_range(made->holders[i], 0, count - 1);
        assert_int_equal(made->mirrored[made->holders[i]], i);
    }
}

static int32_t on_own_host(const plan *made)
{
    int32_t same = 0;
    for (int32_t i = 0; i < made->count; i++)
        same += made->members[made->holders[i]].host == made->members[i].host;
    return same;
}

static void one_host_is_a_ring(void **state)
{
    const uint64_t hosts[5] = {7, 7, 7, 7, 7};
    plan made;
    (void)state;
    make(&made, hosts, 5);
    for (int32_t i = 0; i < 5; i++)
        assert_int_equal(made.holders[i], (i + 1) % 5);
    make(&made, hosts, 1);
    assert_int_equal(made.holders[0], 0);
}

static void the_other_host_holds_it(void **state)
{
    const uint64_t blocks[4] = {9, 9, 2, 2};
    const uint64_t mixed[6] = {1, 2, 3, 1, 2, 3};
    const uint64_t uneven[7] = {5, 5, 5, 1, 2, 2, 3};
    plan made;
    (void)state;
    make(&made, blocks, 4);
    assert_int_equal(on_own_host(&made), 0);
    make(&made, mixed, 6);
    assert_int_equal(on_own_host(&made), 0);
    make(&made, uneven, 7);
    assert_int_equal(on_own_host(&made), 0);
}

static void a_host_with_more_than_half_keeps_few(void **state)
{
    const uint64_t hosts[5] = {4, 4, 4, 4, 1};
    plan made;
    (void)state;
    make(&made, hosts, 5);
    assert_int_equal(on_own_host(&made), 3);
    for (int32_t i = 0; i < 5; i++)
        assert_int_not_equal(made.holders[i], i);
}

static void any_division_works(void **state)
{
    unsigned seed = 17;
    (void)state;
    for (int tries = 0; tries < 500; tries++) {
        uint64_t hosts[RANKS_MAX];
        int32_t of_host[6] = {0};
        int32_t largest = 0;
        plan made;
        int32_t count = 2 + rand_r(&seed) % (RANKS_MAX - 1);
        count = count > RANKS_MAX ? RANKS_MAX : count;
        for (int32_t i = 0; i < count; i++) {
            hosts[i] = (uint64_t)(rand_r(&seed) % 6);
            of_host[hosts[i]]++;
            largest = of_host[hosts[i]] > largest ? of_host[hosts[i]] : largest;
        }
        make(&made, hosts, count);
        if (2 * largest <= count)
            assert_int_equal(on_own_host(&made), 0);
        for (int32_t i = 0; i < count; i++)
            assert_int_not_equal(made.holders[i], i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_host_is_a_ring),
        cmocka_unit_test(the_other_host_holds_it),
        cmocka_unit_test(a_host_with_more_than_half_keeps_few),
        cmocka_unit_test(any_division_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
