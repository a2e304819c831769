/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/deaths.h"

static void add(muster_deaths *deaths, uint64_t epoch, int32_t slot, uint32_t incarnation)
{
    muster_death death = {.slot = slot,
                          .incarnation = incarnation,
                          .evidence = MUSTER_EVIDENCE_SILENCE,
                          .wait_status = -1};
    assert_true(muster_deaths_add(deaths, epoch, &death));
}

static void listed_by_epoch_and_slot(void **state)
{
    (void)state;
    muster_deaths deaths;
    muster_deaths_init(&deaths);
    for (int32_t slot = 19; slot >= 0; slot--) {
        add(&deaths, 2, slot, 0);
    }
    add(&deaths, 1, 3, 7);
    add(&deaths, 3, 3, 1);
    muster_death list[20];
    assert_int_equal(muster_deaths_list(&deaths, 2, list, 20), 20);
    for (int32_t slot = 0; slot < 20; slot++) {
        assert_int_equal(list[slot].slot, slot);
    }
    assert_int_equal(muster_deaths_list(&deaths, 1, list, 20), 1);
    assert_int_equal(list[0].incarnation, 7);
    assert_int_equal(muster_deaths_list(&deaths, 2, NULL, 0), 20);
    assert_int_equal(muster_deaths_list(&deaths, 4, list, 20), 0);
    muster_deaths_clean_up(&deaths);
}

static void a_process_dies_once(void **state)
{
    (void)state;
    muster_deaths deaths;
    muster_deaths_init(&deaths);
    add(&deaths, 1, 3, 0);
    muster_death exited = {.slot = 3, .evidence = MUSTER_EVIDENCE_EXITED, .wait_status = 9};
    assert_true(muster_deaths_add(&deaths, 2, &exited)); /* told again with the next epoch */
    muster_death list[2];
    assert_int_equal(muster_deaths_list(&deaths, 2, list, 2), 0);
    assert_int_equal(muster_deaths_list(&deaths, 1, list, 2), 1);
    assert_int_equal(list[0].wait_status, 9);
    assert_int_equal(list[0].evidence, MUSTER_EVIDENCE_EXITED);
    add(&deaths, 1, 3, 0); /* knows less: what was seen of its end stays */
    assert_int_equal(muster_deaths_list(&deaths, 1, list, 2), 1);
    assert_int_equal(list[0].wait_status, 9);
    muster_deaths_clean_up(&deaths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_by_epoch_and_slot),
        cmocka_unit_test(a_process_dies_once),
    };
    return cmocka_run_group_tests_name("agent_deaths", tests, NULL, NULL);
}
