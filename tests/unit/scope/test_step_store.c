/* SPDX-License-Identifier: Apache-2.0 */
/* The step store: which generation is written, what counts as held, what a rebuild leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scope/step_store.h"

/* The sanitizers' allocators end the process where malloc would return NULL; here NULL is wanted. */
MUSTER_API const char *__asan_default_options(void);
MUSTER_API const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

#define OWN_SLOT 2
#define MIRRORED_SLOT 1

static int set_up(void **state)
{
    *state = muster_step_store_new();
    return *state == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    muster_step_store_free(*state);
    return 0;
}

/* A state of bytes that say where they come from. */
static muster_step_generation *stage(muster_step_store *store, uint64_t epoch, uint64_t step,
                                     size_t bytes)
{
    muster_step_generation *generation =
        muster_step_store_begin(store, epoch, step, OWN_SLOT, bytes);
    assert_non_null(generation);
    assert_true(muster_step_generation_expect_mirror(generation, MIRRORED_SLOT, bytes + 1));
    if (bytes > 0)
        memset(generation->own.data, (int)(10 * epoch + step), bytes);
    memset(generation->mirror.data, (int)(100 + 10 * epoch + step), bytes + 1);
    muster_step_generation_stage(generation);
    return generation;
}

static void commit(muster_step_store *store, uint64_t epoch, uint64_t step, size_t bytes)
{
    muster_step_store_commit(store, stage(store, epoch, step, bytes));
}

static bool holds(const muster_step_store *store, int32_t slot, uint64_t epoch, uint64_t step,
                  bool mirror, bool committed)
{
    muster_holding holdings[4];
    int32_t count = muster_step_store_holdings(store, holdings, 4);
    for (int32_t i = 0; i < count; i++)
        if (holdings[i].slot == slot && holdings[i].epoch == epoch && holdings[i].step == step &&
            holdings[i].mirror == mirror && holdings[i].committed == committed)
            return true;
    return false;
}

static void restore_to(muster_step_store *store, uint64_t epoch, uint64_t step)
{
    const int32_t slots[] = {0, 1, 2};
    const muster_restore restore = {
        .has_step = true, .step = step, .epoch = epoch, .slot_count = 3};
    assert_true(muster_step_store_set_restore(store, &restore, slots));
}

static void an_empty_store_holds_nothing(void **state)
{
    muster_step_store *store = *state;
    uint64_t step;
    bool is_own;
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 0);
    assert_false(muster_step_store_last_committed(store, 1, &step));
    assert_null(muster_step_store_find(store, OWN_SLOT, &is_own));
    assert_false(muster_step_store_restore(store, NULL)->has_step);
}

static void held_only_when_staged(void **state)
{
    muster_step_store *store = *state;
    muster_step_generation *generation = muster_step_store_begin(store, 1, 1, OWN_SLOT, 8);
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 0);
    assert_true(muster_step_generation_expect_mirror(generation, MIRRORED_SLOT, 8));
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 0);
    muster_step_generation_stage(generation);
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 2);
    assert_true(holds(store, OWN_SLOT, 1, 1, false, false));
    assert_true(holds(store, MIRRORED_SLOT, 1, 1, true, false));
    muster_step_store_commit(store, generation);
    assert_true(holds(store, OWN_SLOT, 1, 1, false, true));
    assert_true(holds(store, MIRRORED_SLOT, 1, 1, true, true));
    /* A full count whatever the capacity. */
    muster_holding one;
    assert_int_equal(muster_step_store_holdings(store, &one, 1), 2);
    assert_int_equal(one.slot, OWN_SLOT);
}

static void alone_there_is_no_mirror(void **state)
{
    muster_step_store *store = *state;
    muster_step_generation *generation = muster_step_store_begin(store, 1, 1, OWN_SLOT, 0);
    muster_step_generation_stage(generation);
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 1);
    assert_true(holds(store, OWN_SLOT, 1, 1, false, false));
}

static void two_generations_and_never_the_newest_committed(void **state)
{
    muster_step_store *store = *state;
    commit(store, 1, 1, 8);
    commit(store, 1, 2, 8);
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 4);
    commit(store, 1, 3, 8);
    assert_true(holds(store, OWN_SLOT, 1, 2, false, true));
    assert_true(holds(store, OWN_SLOT, 1, 3, false, true));
    /* Begun and given up, as often as you like: step 3 stays. */
    for (int i = 0; i < 3; i++) {
        assert_non_null(muster_step_store_begin(store, 1, 4, OWN_SLOT, 8));
        assert_int_equal(muster_step_store_holdings(store, NULL, 0), 2);
        assert_true(holds(store, OWN_SLOT, 1, 3, false, true));
    }
    (void)stage(store, 1, 4, 8);
    assert_true(holds(store, OWN_SLOT, 1, 3, false, true));
    assert_true(holds(store, OWN_SLOT, 1, 4, false, false));
    (void)stage(store, 1, 4, 8);
    assert_true(holds(store, OWN_SLOT, 1, 3, false, true));
}

static void no_memory_leaves_the_committed_one(void **state)
{
    muster_step_store *store = *state;
    commit(store, 1, 1, 8);
    assert_null(muster_step_store_begin(store, 1, 2, OWN_SLOT, (size_t)PTRDIFF_MAX));
    muster_step_generation *generation = muster_step_store_begin(store, 1, 2, OWN_SLOT, 8);
    assert_non_null(generation);
    assert_false(
        muster_step_generation_expect_mirror(generation, MIRRORED_SLOT, (size_t)PTRDIFF_MAX));
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 2);
    assert_true(holds(store, OWN_SLOT, 1, 1, false, true));
    /* And the next try works. */
    commit(store, 1, 2, 16);
    assert_true(holds(store, OWN_SLOT, 1, 2, false, true));
}

static void last_commit_is_of_its_epoch(void **state)
{
    muster_step_store *store = *state;
    uint64_t step = 0;
    commit(store, 1, 7, 8);
    assert_true(muster_step_store_last_committed(store, 1, &step));
    assert_int_equal(step, 7);
    assert_false(muster_step_store_last_committed(store, 2, &step));
    restore_to(store, 1, 7);
    assert_false(muster_step_store_last_committed(store, 1, &step));
}

static void a_restored_step_in_doubt_counts_as_committed(void **state)
{
    muster_step_store *store = *state;
    bool is_own = false;
    commit(store, 1, 1, 8);
    (void)stage(store, 1, 2, 8); /* and its commit returned RANK_LOST */
    restore_to(store, 1, 2);
    assert_true(holds(store, OWN_SLOT, 1, 2, false, true));
    const muster_step_state *own = muster_step_store_find(store, OWN_SLOT, &is_own);
    assert_non_null(own);
    assert_true(is_own);
    assert_int_equal(own->bytes, 8);
    assert_int_equal(((unsigned char *)own->data)[7], 12);
    const muster_step_state *mirror = muster_step_store_find(store, MIRRORED_SLOT, &is_own);
    assert_non_null(mirror);
    assert_false(is_own);
    assert_int_equal(mirror->bytes, 9);
    assert_int_equal(((unsigned char *)mirror->data)[8], 112);
    assert_null(muster_step_store_find(store, 0, &is_own));
    /* Its repetition in the new epoch leaves it alone until that is committed. */
    (void)stage(store, 2, 2, 8);
    assert_non_null(muster_step_store_find(store, MIRRORED_SLOT, &is_own));
}

static void a_step_that_was_not_taken_is_dropped(void **state)
{
    muster_step_store *store = *state;
    bool is_own = false;
    commit(store, 1, 1, 8);
    (void)stage(store, 1, 2, 8);
    restore_to(store, 1, 1);
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 2);
    assert_true(holds(store, OWN_SLOT, 1, 1, false, true));
    const muster_step_state *own = muster_step_store_find(store, OWN_SLOT, &is_own);
    assert_non_null(own);
    assert_int_equal(((unsigned char *)own->data)[0], 11);
    /* The next commit goes where the dropped one was. */
    (void)stage(store, 2, 1, 8);
    assert_non_null(muster_step_store_find(store, OWN_SLOT, &is_own));
}

static void a_second_loss_before_the_first_commit(void **state)
{
    muster_step_store *store = *state;
    bool is_own = false;
    commit(store, 1, 4, 8);
    commit(store, 1, 5, 8);
    restore_to(store, 1, 5);
    (void)stage(store, 2, 5, 8); /* repeated, in doubt, and not taken */
    restore_to(store, 1, 5);
    assert_true(holds(store, OWN_SLOT, 1, 5, false, true));
    assert_int_equal(muster_step_store_holdings(store, NULL, 0), 2);
    commit(store, 3, 5, 8);
    commit(store, 3, 6, 8);
    assert_true(holds(store, OWN_SLOT, 3, 5, false, true));
    assert_true(holds(store, OWN_SLOT, 3, 6, false, true));
    assert_null(muster_step_store_find(store, OWN_SLOT, &is_own));
}

static void lost_state_keeps_what_is_left(void **state)
{
    muster_step_store *store = *state;
    bool is_own = false;
    commit(store, 1, 1, 8);
    const muster_restore restore = {.state_lost = true};
    assert_true(muster_step_store_set_restore(store, &restore, NULL));
    assert_true(muster_step_store_restore(store, NULL)->state_lost);
    assert_null(muster_step_store_find(store, OWN_SLOT, &is_own));
    /* So that another loss before the next commit is still a loss of state, not a fresh start. */
    assert_true(holds(store, OWN_SLOT, 1, 1, false, true));
    commit(store, 2, 1, 8);
    commit(store, 2, 2, 8);
    assert_false(holds(store, OWN_SLOT, 1, 1, false, true));
}

static void restore_slots_are_copied(void **state)
{
    muster_step_store *store = *state;
    int32_t slots[] = {0, 3, 9};
    const int32_t *held = NULL;
    const muster_restore restore = {.has_step = true, .step = 5, .epoch = 2, .slot_count = 3};
    assert_true(muster_step_store_set_restore(store, &restore, slots));
    memset(slots, 0, sizeof(slots));
    assert_int_equal(muster_step_store_restore(store, &held)->slot_count, 3);
    assert_int_equal(held[1], 3);
    assert_int_equal(held[2], 9);
}

static void sizes_may_change(void **state)
{
    muster_step_store *store = *state;
    bool is_own = false;
    commit(store, 1, 1, 4);
    commit(store, 1, 2, 4000);
    commit(store, 1, 3, 0);
    commit(store, 1, 4, 70000);
    restore_to(store, 1, 3);
    /* 4 was newer than the restore point. */
    const muster_step_state *own = muster_step_store_find(store, OWN_SLOT, &is_own);
    assert_non_null(own);
    assert_int_equal(own->bytes, 0);
    assert_int_equal(muster_step_store_find(store, MIRRORED_SLOT, &is_own)->bytes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_store_holds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(held_only_when_staged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(alone_there_is_no_mirror, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_generations_and_never_the_newest_committed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_memory_leaves_the_committed_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(last_commit_is_of_its_epoch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restored_step_in_doubt_counts_as_committed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_step_that_was_not_taken_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_loss_before_the_first_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_state_keeps_what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(restore_slots_are_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_may_change, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
