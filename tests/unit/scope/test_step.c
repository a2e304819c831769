/* SPDX-License-Identifier: Apache-2.0 */
/* Steps over a job of threads: what is committed and mirrored, what a loss at an exact place leaves,
 * and what can be fetched afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/collective.h>
#include <muster/request.h>
#include <muster/step.h>

#include "fake_job.h"

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

#define RANKS 3
#define STATE_BYTES_MAX 4096

/* The state of a slot at a step: its size is ragged, slot 0 has none at step 0. */
static size_t state_bytes(int32_t slot, uint64_t step)
{
    return (size_t)slot * 100 + (size_t)step * 7;
}

static void fill_state(unsigned char *state, int32_t slot, uint64_t step)
{
    for (size_t i = 0; i < state_bytes(slot, step); i++)
        state[i] = (unsigned char)((size_t)slot * 31 + (size_t)step * 17 + i);
}

static bool is_state(const unsigned char *state, size_t bytes, int32_t slot, uint64_t step)
{
    unsigned char wanted[STATE_BYTES_MAX];
    fill_state(wanted, slot, step);
    return bytes == state_bytes(slot, step) && memcmp(state, wanted, bytes) == 0;
}

/* In three pieces, one of them empty; overwritten at once when the commit has returned. */
static muster_status commit(fake_rank *self, uint64_t step, muster_error *error)
{
    unsigned char state[STATE_BYTES_MAX];
    size_t bytes = state_bytes(self->slot, step);
    size_t half = bytes / 2;
    fill_state(state, self->slot, step);
    const muster_state_part parts[] = {
        {.data = state, .bytes = half}, {0}, {.data = state + half, .bytes = bytes - half}};
    muster_status status = muster_step_commit(self->world, step, parts, 3, error);
    memset(state, 0xEE, sizeof(state));
    return status;
}

static void expect_fetched(fake_rank *self, int32_t slot, uint64_t step)
{
    unsigned char state[STATE_BYTES_MAX];
    size_t bytes = 0;
    memset(state, 0xEE, sizeof(state));
    EXPECT_STATUS(muster_step_fetch(self->world, slot, state, sizeof(state), &bytes, NULL),
                  MUSTER_OK);
    EXPECT(is_state(state, bytes, slot, step));
}

static bool holds(const fake_rank *self, int32_t slot, uint64_t epoch, uint64_t step, bool mirror,
                  bool committed)
{
    muster_holding holdings[4];
    int32_t count = muster_step_store_holdings(self->job.steps, holdings, 4);
    for (int32_t i = 0; i < count; i++)
        if (holdings[i].slot == slot && holdings[i].epoch == epoch && holdings[i].step == step &&
            holdings[i].mirror == mirror && holdings[i].committed == committed)
            return true;
    return false;
}

static bool holds_any_of_step(const fake_rank *self, uint64_t step)
{
    muster_holding holdings[4];
    int32_t count = muster_step_store_holdings(self->job.steps, holdings, 4);
    for (int32_t i = 0; i < count; i++)
        if (holdings[i].step == step)
            return true;
    return false;
}

static int set_up(void **state)
{
    *state = fake_job_new(RANKS);
    return 0;
}

static int tear_down(void **state)
{
    fake_job_free(*state);
    return 0;
}

static void restore_to(fake_job *fake, uint64_t step, int32_t lost_rank, bool replace)
{
    const int32_t slots[RANKS] = {0, 1, 2};
    const muster_restore restore = {
        .has_step = true, .step = step, .epoch = 1, .slot_count = RANKS};
    fake_job_rebuild(fake, lost_rank, replace, &restore, slots);
}

/* ---- commits ---- */

static void body_commit_five(fake_rank *self)
{
    for (uint64_t step = 0; step < 5; step++) {
        EXPECT_STATUS(commit(self, step, NULL), MUSTER_OK);
        int32_t before = (self->slot + RANKS - 1) % RANKS;
        EXPECT(holds(self, self->slot, 1, step, false, true));
        EXPECT(holds(self, before, 1, step, true, true));
        if (step > 0) {
            EXPECT(holds(self, self->slot, 1, step - 1, false, true));
            EXPECT(holds(self, before, 1, step - 1, true, true));
        }
    }
}

static void each_commit_is_mirrored_and_two_are_kept(void **state)
{
    fake_job_run(*state, body_commit_five);
    assert_int_equal(fake_failures, 0);
    assert_int_equal(fake_job_counts(*state)->steps_staged, 5 * RANKS);
    assert_int_equal(fake_job_counts(*state)->steps_committed, 5 * RANKS);
    assert_int_equal(fake_job_counts(*state)->commits_reported, 5 * RANKS);
}

static void body_commit_equal_sizes(fake_rank *self)
{
    unsigned char piece[64] = {(unsigned char)self->slot};
    const muster_state_part part = {.data = piece, .bytes = sizeof(piece)};
    for (uint64_t step = 1; step <= 6; step++)
        EXPECT_STATUS(muster_step_commit(self->world, step, &part, 1, NULL), MUSTER_OK);
}

static void a_steady_commit_is_two_calls(void **state)
{
    fake_job_run(*state, body_commit_equal_sizes);
    assert_int_equal(fake_failures, 0);
    /* The first commit of each generation makes room: one call more. */
    assert_int_equal(fake_job_counts(*state)->batches_begun, (6 * 2 + 2) * RANKS);
}

static void body_commit_nothing(fake_rank *self)
{
    EXPECT_STATUS(muster_step_commit(self->world, 4, NULL, 0, NULL), MUSTER_OK);
    EXPECT(holds(self, self->slot, 1, 4, false, true));
}

static void a_step_without_state_is_a_step(void **state)
{
    fake_job_run(*state, body_commit_nothing);
    assert_int_equal(fake_failures, 0);
    fake_job *alone = fake_job_new(1);
    fake_job_run(alone, body_commit_nothing);
    assert_int_equal(fake_failures, 0);
    assert_int_equal(muster_step_store_holdings(fake_job_rank(alone, 0)->job.steps, NULL, 0), 1);
    fake_job_free(alone);
}

static void body_refusals(fake_rank *self)
{
    bool odd = self->world->rank == 1;
    unsigned char byte = 1;
    const muster_state_part missing = {.data = odd ? NULL : &byte, .bytes = 1};
    const muster_state_part huge[] = {{.data = &byte, .bytes = INT64_MAX},
                                      {.data = &byte, .bytes = 1}};
    muster_error error;
    muster_error_init(&error);
    EXPECT_STATUS(commit(self, 5, &error), MUSTER_OK);
    EXPECT_STATUS(commit(self, odd ? 7 : 6, &error), MUSTER_ERR_STEP);
    EXPECT(error.rank == 1);
    EXPECT(error.field == MUSTER_FIELD_STEP);
    EXPECT(error.expected == 6);
    EXPECT(error.came == 7);
    EXPECT_STATUS(commit(self, 5, &error), MUSTER_ERR_STEP);
    EXPECT(error.rank == 0);
    EXPECT_STATUS(commit(self, 4, &error), MUSTER_ERR_STEP);
    EXPECT_STATUS(muster_step_commit(self->world, 6, &missing, 1, &error),
                  MUSTER_ERR_INVALID_ARGUMENT);
    EXPECT(error.rank == 1);
    EXPECT_STATUS(muster_step_commit(self->world, 6, &missing, odd ? -1 : 1, &error),
                  MUSTER_ERR_INVALID_ARGUMENT);
    EXPECT_STATUS(muster_step_commit(self->world, 6, huge, odd ? 2 : 0, &error),
                  MUSTER_ERR_OVERFLOW);
    /* More than the machine has, said before anything is read from it. */
    const muster_state_part too_much = {.data = &byte, .bytes = (size_t)1 << 50};
    EXPECT_STATUS(muster_step_commit(self->world, 6, &too_much, odd ? 1 : 0, &error),
                  MUSTER_ERR_NO_MEMORY);
    EXPECT(error.rank == 1);
    /* Another call than the others'. */
    EXPECT_STATUS(odd ? muster_barrier(self->world, &error) : commit(self, 6, &error),
                  MUSTER_ERR_CALL);
    /* The last commit has survived all that, and the next one works. */
    EXPECT(holds(self, self->slot, 1, 5, false, true));
    EXPECT_STATUS(commit(self, 9, &error), MUSTER_OK);
    EXPECT(holds(self, self->slot, 1, 5, false, true));
    EXPECT(holds(self, self->slot, 1, 9, false, true));
}

static void mistakes_are_the_same_refusal_everywhere(void **state)
{
    fake_job_run(*state, body_refusals);
    assert_int_equal(fake_failures, 0);
}

static void body_in_flight(fake_rank *self)
{
    muster_request *barrier = NULL;
    /* The last rank to start it completes it at once, to the others it is in flight. */
    EXPECT_STATUS(muster_barrier_start(self->world, &barrier, NULL), MUSTER_OK);
    EXPECT_STATUS(commit(self, 1, NULL), MUSTER_ERR_IN_FLIGHT);
    EXPECT_STATUS(muster_request_free(barrier), MUSTER_OK);
    EXPECT_STATUS(commit(self, 1, NULL), MUSTER_OK);
}

static void requests_in_flight_are_waited_for_first(void **state)
{
    fake_job_run(*state, body_in_flight);
    assert_int_equal(fake_failures, 0);
}

static void body_not_world(fake_rank *self)
{
    size_t bytes = 0;
    self->world->is_world = false;
    EXPECT_STATUS(commit(self, 1, NULL), MUSTER_ERR_INVALID_ARGUMENT);
    EXPECT_STATUS(muster_step_fetch(self->world, 0, NULL, 0, &bytes, NULL),
                  MUSTER_ERR_INVALID_ARGUMENT);
    self->world->is_world = true;
}

static void steps_belong_to_world(void **state)
{
    muster_restore_point point = {.struct_bytes = sizeof(point)};
    fake_job_run(*state, body_not_world);
    assert_int_equal(fake_failures, 0);
    assert_int_equal(muster_step_commit(NULL, 1, NULL, 0, NULL), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_step_fetch(NULL, 1, NULL, 0, NULL, NULL), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_step_restore_point(NULL, &point, NULL, 0), MUSTER_ERR_INVALID_ARGUMENT);
}

/* ---- losses ---- */

static void body_commit_one_then_two(fake_rank *self)
{
    EXPECT_STATUS(commit(self, 1, NULL), MUSTER_OK);
    EXPECT_STATUS(commit(self, 2, NULL), MUSTER_OK);
}

static void body_commit_three_in_vain(fake_rank *self)
{
    EXPECT_STATUS(commit(self, 3, NULL), MUSTER_ERR_RANK_LOST);
    EXPECT_STATUS(commit(self, 3, NULL), MUSTER_ERR_RANK_LOST);
}

static void expect_restored(const fake_rank *self, uint64_t step)
{
    int32_t slots[4] = {-9, -9, -9, -9};
    muster_restore_point point = {.struct_bytes = sizeof(point)};
    EXPECT_STATUS(muster_step_restore_point(self->world, &point, slots, 4), MUSTER_OK);
    EXPECT(point.has_step);
    EXPECT(!point.state_lost);
    EXPECT(point.step == step);
    EXPECT(point.epoch.value == 1);
    EXPECT(point.slot_count == RANKS);
    EXPECT(slots[0] == 0 && slots[1] == 1 && slots[2] == 2 && slots[3] == -9);
}

/* Everyone takes up at step 2, and commits it anew. */
static void body_restore_two(fake_rank *self)
{
    expect_restored(self, 2);
    for (int32_t slot = 0; slot < RANKS; slot++)
        expect_fetched(self, slot, 2);
    EXPECT_STATUS(commit(self, 1, NULL), MUSTER_ERR_STEP);
    EXPECT_STATUS(commit(self, 2, NULL), MUSTER_OK);
    EXPECT_STATUS(commit(self, 3, NULL), MUSTER_OK);
    EXPECT(holds(self, self->slot, self->world->epoch, 3, false, true));
}

static void a_rank_that_stays_out_of_a_commit_leaves_the_last_one(void **state)
{
    const muster_call calls[RANKS] = {MUSTER_CALL_STEP_STAGE, MUSTER_CALL_NONE,
                                      MUSTER_CALL_STEP_STAGE};
    fake_job_run(*state, body_commit_one_then_two);
    fake_job_run_and_lose(*state, body_commit_three_in_vain, 1, calls);
    assert_int_equal(fake_failures, 0);
    for (int32_t rank = 0; rank < RANKS; rank += 2) {
        const fake_rank *survivor = fake_job_rank(*state, rank);
        assert_true(holds(survivor, rank, 1, 2, false, true));
        assert_true(holds(survivor, (rank + 2) % RANKS, 1, 2, true, true));
        assert_false(holds_any_of_step(survivor, 3));
    }
    restore_to(*state, 2, 1, true);
    fake_job_run(*state, body_restore_two);
    assert_int_equal(fake_failures, 0);
}

static void with_shrink_the_mirror_gives_the_lost_state(void **state)
{
    const muster_call calls[RANKS] = {MUSTER_CALL_STEP_STAGE, MUSTER_CALL_STEP_STAGE,
                                      MUSTER_CALL_NONE};
    fake_job_run(*state, body_commit_one_then_two);
    fake_job_run_and_lose(*state, body_commit_three_in_vain, 2, calls);
    restore_to(*state, 2, 2, false);
    fake_job_run(*state, body_restore_two);
    assert_int_equal(fake_failures, 0);
}

/* Rank 0's bytes never come: rank 1 stays in the stage, 0 and 2 have staged and wait for it. */
static void lose_half_way_through_the_mirror(fake_job *fake)
{
    const muster_call calls[RANKS] = {MUSTER_CALL_STEP_COMMIT, MUSTER_CALL_STEP_STAGE,
                                      MUSTER_CALL_STEP_COMMIT};
    fake_job_run(fake, body_commit_one_then_two);
    fake_job_withhold_sends_of(fake, 0);
    fake_job_run_and_lose(fake, body_commit_three_in_vain, -1, calls);
    assert_int_equal(fake_failures, 0);
    assert_true(holds(fake_job_rank(fake, 0), 0, 1, 3, false, false));
    assert_true(holds(fake_job_rank(fake, 0), 2, 1, 3, true, false));
    assert_true(holds(fake_job_rank(fake, 2), 2, 1, 3, false, false));
    assert_true(holds(fake_job_rank(fake, 2), 1, 1, 3, true, false));
    for (int32_t rank = 0; rank < RANKS; rank++)
        assert_true(holds(fake_job_rank(fake, rank), rank, 1, 2, false, true));
}

static void a_half_received_mirror_is_not_staged(void **state)
{
    lose_half_way_through_the_mirror(*state);
    assert_false(holds_any_of_step(fake_job_rank(*state, 1), 3));
    /* Rank 0 is lost: a survivor has not staged step 3, so the job goes back to 2, and what the others
     * had staged is dropped. */
    restore_to(*state, 2, 0, true);
    assert_false(holds_any_of_step(fake_job_rank(*state, 2), 3));
    fake_job_run(*state, body_restore_two);
    assert_int_equal(fake_failures, 0);
}

static void body_restore_three(fake_rank *self)
{
    expect_restored(self, 3);
    for (int32_t slot = 0; slot < RANKS; slot++)
        expect_fetched(self, slot, 3);
    EXPECT_STATUS(commit(self, 3, NULL), MUSTER_OK);
    EXPECT_STATUS(commit(self, 4, NULL), MUSTER_OK);
}

static void a_step_that_all_survivors_staged_can_be_taken(void **state)
{
    lose_half_way_through_the_mirror(*state);
    /* Rank 1 is the lost one: its state is at rank 2, and both survivors have staged. */
    restore_to(*state, 3, 1, true);
    fake_job_run(*state, body_restore_three);
    assert_int_equal(fake_failures, 0);
}

/* The commit anew is interrupted too: the restore point must still be there. */
static void body_commit_two_again_in_vain(fake_rank *self)
{
    EXPECT_STATUS(commit(self, 2, NULL), MUSTER_ERR_RANK_LOST);
}

static void a_second_loss_during_the_commit_anew(void **state)
{
    const muster_call lost_in_stage[RANKS] = {MUSTER_CALL_STEP_STAGE, MUSTER_CALL_NONE,
                                              MUSTER_CALL_STEP_STAGE};
    fake_job_run(*state, body_commit_one_then_two);
    fake_job_run_and_lose(*state, body_commit_three_in_vain, 1, lost_in_stage);
    restore_to(*state, 2, 1, true);
    fake_job_withhold_sends_of(*state, 1);
    const muster_call half_way[RANKS] = {MUSTER_CALL_STEP_COMMIT, MUSTER_CALL_STEP_COMMIT,
                                         MUSTER_CALL_STEP_STAGE};
    fake_job_run_and_lose(*state, body_commit_two_again_in_vain, -1, half_way);
    restore_to(*state, 2, 1, true);
    fake_job_run(*state, body_restore_two);
    assert_int_equal(fake_failures, 0);
}

/* ---- fetches ---- */

static void body_fetch(fake_rank *self)
{
    unsigned char state[STATE_BYTES_MAX];
    size_t bytes = 0;
    muster_error error;
    muster_error_init(&error);
    memset(state, 0xEE, sizeof(state));
    bool odd = self->world->rank == 1;

    /* Only the size. */
    EXPECT_STATUS(muster_step_fetch(self->world, 2, NULL, 0, &bytes, &error), MUSTER_OK);
    EXPECT(bytes == state_bytes(2, 2));
    EXPECT_STATUS(muster_step_fetch(self->world, 2, NULL, 0, NULL, &error), MUSTER_OK);
    /* Only one rank wants it; exactly enough room. */
    EXPECT_STATUS(muster_step_fetch(self->world, 2, odd ? state : NULL, odd ? state_bytes(2, 2) : 0,
                                    &bytes, &error),
                  MUSTER_OK);
    EXPECT(!odd || is_state(state, bytes, 2, 2));
    EXPECT(odd || state[0] == 0xEE);
    EXPECT(state[state_bytes(2, 2)] == 0xEE);

    EXPECT_STATUS(muster_step_fetch(self->world, 2, state,
                                    odd ? state_bytes(2, 2) - 1 : sizeof(state), &bytes, &error),
                  MUSTER_ERR_CAPACITY);
    EXPECT(error.rank == 1);
    EXPECT(error.expected == (int64_t)state_bytes(2, 2));
    EXPECT(error.came == (int64_t)state_bytes(2, 2) - 1);
    EXPECT(bytes == state_bytes(2, 2));

    EXPECT_STATUS(muster_step_fetch(self->world, 7, state, sizeof(state), &bytes, &error),
                  MUSTER_ERR_STEP_STATE);
    EXPECT(error.came == 7);
    EXPECT_STATUS(muster_step_fetch(self->world, -1, state, sizeof(state), &bytes, &error),
                  MUSTER_ERR_STEP_STATE);
    EXPECT_STATUS(muster_step_fetch(self->world, odd ? 0 : 2, state, sizeof(state), &bytes, &error),
                  MUSTER_ERR_INVALID_ARGUMENT);
    EXPECT(error.rank == 1);
    EXPECT_STATUS(
        muster_step_fetch(self->world, 2, odd ? NULL : state, sizeof(state), &bytes, &error),
        MUSTER_ERR_NULL_BUFFER);
    expect_fetched(self, 2, 2);
}

static void fetch_says_sizes_and_refuses_alike(void **state)
{
    fake_job_run(*state, body_commit_one_then_two);
    restore_to(*state, 2, -1, false);
    fake_job_run(*state, body_fetch);
    assert_int_equal(fake_failures, 0);
}

/* Slot 2 wants its own state; rank 0 mirrors it and has the lower number. */
static void body_fetch_own(fake_rank *self)
{
    unsigned char state[STATE_BYTES_MAX];
    size_t bytes = 0;
    bool wants = self->slot == 2;
    EXPECT_STATUS(muster_step_fetch(self->world, 2, wants ? state : NULL, wants ? sizeof(state) : 0,
                                    &bytes, NULL),
                  MUSTER_OK);
    EXPECT(!wants || is_state(state, bytes, 2, 2));
}

static void a_slots_own_rank_comes_before_its_mirror(void **state)
{
    fake_job_run(*state, body_commit_one_then_two);
    restore_to(*state, 2, -1, false);
    uint64_t sent = fake_job_counts(*state)->bytes_sent;
    fake_job_run(*state, body_fetch_own);
    assert_int_equal(fake_failures, 0);
    assert_int_equal(fake_job_counts(*state)->bytes_sent, sent);
}

static void body_nothing_to_fetch(fake_rank *self)
{
    size_t bytes = 99;
    muster_restore_point point = {.struct_bytes = sizeof(point)};
    EXPECT_STATUS(muster_step_fetch(self->world, 0, NULL, 0, &bytes, NULL), MUSTER_ERR_STEP_STATE);
    EXPECT(bytes == 99);
    EXPECT_STATUS(muster_step_restore_point(self->world, &point, NULL, 0), MUSTER_OK);
    EXPECT(!point.has_step);
    EXPECT(point.slot_count == 0);
    point.struct_bytes = 3;
    EXPECT_STATUS(muster_step_restore_point(self->world, &point, NULL, 0), MUSTER_ERR_STRUCT_SIZE);
    EXPECT_STATUS(muster_step_restore_point(self->world, NULL, NULL, 0),
                  MUSTER_ERR_INVALID_ARGUMENT);
}

static void without_a_restore_point_there_is_nothing(void **state)
{
    fake_job_run(*state, body_nothing_to_fetch);
    assert_int_equal(fake_failures, 0);
}

static void body_fetch_lost(fake_rank *self)
{
    unsigned char state[STATE_BYTES_MAX];
    EXPECT_STATUS(muster_step_fetch(self->world, 1, state, sizeof(state), NULL, NULL),
                  MUSTER_ERR_STEP_STATE);
    expect_fetched(self, 0, 2);
}

static void a_slot_lost_with_its_mirror_is_said_so(void **state)
{
    fake_job_run(*state, body_commit_one_then_two);
    /* Slot 1 and then slot 2, which mirrored it. */
    restore_to(*state, 2, 1, true);
    restore_to(*state, 2, 2, true);
    fake_job_run(*state, body_fetch_lost);
    assert_int_equal(fake_failures, 0);
}

#define JOB_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOB_TEST(each_commit_is_mirrored_and_two_are_kept),
        JOB_TEST(a_steady_commit_is_two_calls),
        JOB_TEST(a_step_without_state_is_a_step),
        JOB_TEST(mistakes_are_the_same_refusal_everywhere),
        JOB_TEST(requests_in_flight_are_waited_for_first),
        JOB_TEST(steps_belong_to_world),
        JOB_TEST(a_rank_that_stays_out_of_a_commit_leaves_the_last_one),
        JOB_TEST(with_shrink_the_mirror_gives_the_lost_state),
        JOB_TEST(a_half_received_mirror_is_not_staged),
        JOB_TEST(a_step_that_all_survivors_staged_can_be_taken),
        JOB_TEST(a_second_loss_during_the_commit_anew),
        JOB_TEST(fetch_says_sizes_and_refuses_alike),
        JOB_TEST(a_slots_own_rank_comes_before_its_mirror),
        JOB_TEST(without_a_restore_point_there_is_nothing),
        JOB_TEST(a_slot_lost_with_its_mirror_is_said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
