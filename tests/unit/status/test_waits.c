/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for whom, and for what the next epoch waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sample.h"

#define WORLD MUSTER_COMMUNICATOR_WORLD
#define SPLIT UINT64_C(77)

static void assert_slots(const int32_t *slots, int32_t count, const char *expected)
{
    char text[64] = "";
    for (int32_t i = 0; i < count; i++)
        text[i] = (char)('0' + slots[i]);
    assert_string_equal(text, expected);
}

static void assert_wait(const muster_overview_wait *wait, const char *waiting, const char *awaited)
{
    assert_slots(wait->waiting, wait->waiting_count, waiting);
    assert_slots(wait->awaited, wait->awaited_count, awaited);
}

static void one_that_computes_is_awaited(void **state)
{
    (void)state;
    muster_overview_wait waits[MUSTER_OVERVIEW_WAITS_MAX];
    muster_overview *overview = sample_overview("train", 5);
    muster_view *view = &overview->jobs[0].view;
    assert_int_equal(muster_overview_waits(view, waits), 0);
    sample_waits(view, 0, WORLD, 9, 20);
    sample_waits(view, 3, WORLD, 9, 40);
    sample_has_completed(view, 1, WORLD, 8);
    sample_has_completed(view, 4, WORLD, 9); /* has it behind itself */
    int count = muster_overview_waits(view, waits);
    assert_int_equal(count, 1);
    assert_wait(&waits[0], "03", "12");
    assert_int_equal(waits[0].longest_ns, 40000000);
    muster_overview_waits_clean_up(waits, count);
    muster_overview_free(overview);
}

static void ranks_in_different_calls_wait_for_each_other(void **state)
{
    (void)state;
    muster_overview_wait waits[MUSTER_OVERVIEW_WAITS_MAX];
    muster_overview *overview = sample_overview("train", 3);
    muster_view *view = &overview->jobs[0].view;
    sample_waits(view, 0, WORLD, 9, 20);
    sample_waits(view, 1, WORLD, 10, 50);
    sample_waits(view, 2, SPLIT, 4, 10);
    int count = muster_overview_waits(view, waits);
    assert_int_equal(count, 3);
    assert_wait(&waits[0], "1", "02"); /* the longest wait first */
    assert_wait(&waits[1], "0", "2");  /* slot 1 is past it */
    assert_wait(&waits[2], "2", "");   /* nobody else is known to be in that one */
    muster_overview_waits_clean_up(waits, count);
    muster_overview_free(overview);
}

static void of_a_split_only_its_known_ranks_are_awaited(void **state)
{
    (void)state;
    muster_overview_wait waits[MUSTER_OVERVIEW_WAITS_MAX];
    muster_overview *overview = sample_overview("train", 4);
    muster_view *view = &overview->jobs[0].view;
    sample_waits(view, 0, SPLIT, 5, 1);
    sample_has_completed(view, 2, SPLIT, 4);
    sample_has_completed(view, 3, WORLD, 2);
    int count = muster_overview_waits(view, waits);
    assert_int_equal(count, 1);
    assert_wait(&waits[0], "0", "2");
    muster_overview_waits_clean_up(waits, count);
    muster_overview_free(overview);
}

static void the_lost_and_the_left_are_not_awaited(void **state)
{
    (void)state;
    muster_overview_wait waits[MUSTER_OVERVIEW_WAITS_MAX];
    muster_overview *overview = sample_overview("train", 4);
    muster_view *view = &overview->jobs[0].view;
    sample_waits(view, 0, WORLD, 5, 1);
    view->slots[1].seat = MUSTER_VIEW_SEAT_OPEN;
    view->slots[2].seat = MUSTER_VIEW_SEAT_LEFT;
    view->slots[3].rank = MUSTER_SLOT_NONE;
    int count = muster_overview_waits(view, waits);
    assert_int_equal(count, 1);
    assert_wait(&waits[0], "0", "");
    muster_overview_waits_clean_up(waits, count);
    muster_overview_free(overview);
}

static void more_groups_than_are_shown_are_cut(void **state)
{
    (void)state;
    muster_overview_wait waits[MUSTER_OVERVIEW_WAITS_MAX];
    muster_overview *overview = sample_overview("train", 100);
    muster_view *view = &overview->jobs[0].view;
    for (int32_t i = 0; i < 100; i++)
        sample_waits(view, i, WORLD, 100 + (uint64_t)i, 1);
    int count = muster_overview_waits(view, waits);
    assert_int_equal(count, MUSTER_OVERVIEW_WAITS_MAX);
    muster_overview_waits_clean_up(waits, count);
    muster_overview_free(overview);
}

static void the_next_epoch_waits_for_what_its_state_says(void **state)
{
    (void)state;
    muster_overview *overview = sample_overview("train", 3);
    muster_view *view = &overview->jobs[0].view;
    view->slots[1].seat = MUSTER_VIEW_SEAT_STARTING;
    view->slots[2].quiet = true;
    view->slots[2].connected = true;
    view->death_count = 1;
    view->deaths[0].death.slot = 1;
    static const struct {
        const char *state;
        int32_t slot;
        muster_overview_pending what;
        bool pending;
    } cases[] = {
        {"running", 0, MUSTER_OVERVIEW_PENDING_QUIET, false},
        {"forming", 1, MUSTER_OVERVIEW_PENDING_JOIN, true},
        {"forming", 0, MUSTER_OVERVIEW_PENDING_JOIN, false},
        {"revoked", 0, MUSTER_OVERVIEW_PENDING_QUIET, true},
        {"revoked", 2, MUSTER_OVERVIEW_PENDING_QUIET, false},
        {"revoked", 1, MUSTER_OVERVIEW_PENDING_GONE, true},
        {"revoked", 1, MUSTER_OVERVIEW_PENDING_SEAT, true},
        {"revoked", 0, MUSTER_OVERVIEW_PENDING_SEAT, false},
        {"connecting", 0, MUSTER_OVERVIEW_PENDING_CONNECT, true},
        {"connecting", 2, MUSTER_OVERVIEW_PENDING_CONNECT, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        view->state = cases[i].state;
        assert_int_equal(muster_overview_is_pending(view, cases[i].slot, cases[i].what),
                         cases[i].pending);
    }
    view->state = "revoked";
    view->deaths[0].death.proven_gone = true;
    assert_false(muster_overview_is_pending(view, 1, MUSTER_OVERVIEW_PENDING_GONE));
    muster_overview_free(overview);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_computes_is_awaited),
        cmocka_unit_test(ranks_in_different_calls_wait_for_each_other),
        cmocka_unit_test(of_a_split_only_its_known_ranks_are_awaited),
        cmocka_unit_test(the_lost_and_the_left_are_not_awaited),
        cmocka_unit_test(more_groups_than_are_shown_are_cut),
        cmocka_unit_test(the_next_epoch_waits_for_what_its_state_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
