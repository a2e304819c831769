/* SPDX-License-Identifier: Apache-2.0 */
/* Gathered parameters over a job of threads: what is full when, where edits go, and that every mistake
 * is the same refusal on every rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/collective.h>
#include <muster/params.h>

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

/* Element i of a parameter begins as base + i; the padding as -1. */
static float *shard_new(const fake_rank *self, int64_t element_count, float base)
{
    int64_t count = muster_param_shard_elements(element_count, self->world->size);
    float *shard = malloc((size_t)(count + 1) * sizeof(*shard));
    if (shard == NULL)
        abort();
    for (int64_t i = 0; i < count; i++) {
        int64_t element = self->world->rank * count + i;
        shard[i] = element < element_count ? base + (float)element : -1.0F;
    }
    return shard;
}

static void expect_shard(const fake_rank *self, const float *shard, int64_t element_count,
                         float base)
{
    int64_t count = muster_param_shard_elements(element_count, self->world->size);
    for (int64_t i = 0; i < count; i++) {
        int64_t element = self->world->rank * count + i;
        EXPECT(shard[i] == (element < element_count ? base + (float)element : -1.0F));
    }
}

static void expect_full(const float *full, int64_t element_count, float base)
{
    EXPECT(full != NULL);
    for (int64_t i = 0; full != NULL && i < element_count; i++)
        EXPECT(full[i] == base + (float)i);
}

static muster_param *param_new(fake_rank *self, int64_t element_count, float *shard)
{
    muster_param *param = NULL;
    EXPECT_STATUS(
        muster_param_create(self->world, MUSTER_DTYPE_FLOAT32, element_count, shard, &param, NULL),
        MUSTER_OK);
    return param;
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

/* ---- what arrives where ---- */

/* Sizes that leave padding, none, a rank without an element, and nothing at all. */
static const int64_t sizes[] = {7, 6, 1, 0, 1000};
#define SIZES ((int32_t)(sizeof(sizes) / sizeof(sizes[0])))

static void gather_and_release(fake_rank *self, int32_t modifier)
{
    float *shards[SIZES];
    muster_param *params[SIZES];
    muster_params_scope *scope = NULL;
    for (int32_t p = 0; p < SIZES; p++) {
        shards[p] = shard_new(self, sizes[p], (float)(1000 * p));
        params[p] = param_new(self, sizes[p], shards[p]);
    }
    EXPECT_STATUS(muster_params_gather(self->world, params, SIZES, modifier, &scope, NULL),
                  MUSTER_OK);
    for (int32_t p = 0; p < SIZES; p++) {
        float *full = muster_params_full(scope, p);
        expect_full(full, sizes[p], (float)(1000 * p));
        EXPECT(muster_param_free(params[p]) == MUSTER_ERR_IN_FLIGHT);
        /* Everyone edits; only the modifier's edits count. */
        for (int64_t i = 0; i < sizes[p]; i++)
            full[i] += 0.5F + (float)self->world->rank;
    }
    EXPECT(muster_params_full(scope, -1) == NULL);
    EXPECT(muster_params_full(scope, SIZES) == NULL);
    EXPECT_STATUS(muster_params_release(scope, NULL), MUSTER_OK);
    for (int32_t p = 0; p < SIZES; p++) {
        float added = modifier < 0 ? 0.0F : 0.5F + (float)modifier;
        expect_shard(self, shards[p], sizes[p], (float)(1000 * p) + added);
        EXPECT_STATUS(muster_param_free(params[p]), MUSTER_OK);
        free(shards[p]);
    }
    EXPECT(self->world->open_scopes == 0);
    EXPECT(self->world->innermost_scope == NULL);
}

static void body_without_modifier(fake_rank *self)
{
    gather_and_release(self, MUSTER_RANK_NONE);
}

static void body_every_modifier(fake_rank *self)
{
    for (int32_t modifier = 0; modifier < self->world->size; modifier++)
        gather_and_release(self, modifier);
}

static void without_a_modifier_edits_are_dropped(void **state)
{
    fake_job_run(*state, body_without_modifier);
    assert_int_equal(fake_failures, 0);
    assert_int_equal(fake_job_counts(*state)->params_begun, RANKS);
    assert_int_equal(fake_job_counts(*state)->params_ended, RANKS);
}

static void the_modifiers_edits_reach_every_shard(void **state)
{
    fake_job_run(*state, body_every_modifier);
    assert_int_equal(fake_failures, 0);
}

static void alone_it_is_a_copy(void **state)
{
    (void)state;
    fake_job *fake = fake_job_new(1);
    fake_job_run(fake, body_without_modifier);
    fake_job_run(fake, body_every_modifier);
    assert_int_equal(fake_failures, 0);
    assert_int_equal(fake_job_counts(fake)->bytes_sent, 0);
    fake_job_free(fake);
}

static void body_nothing_to_do(fake_rank *self)
{
    muster_params_scope *scope = NULL;
    EXPECT_STATUS(muster_params_gather(self->world, NULL, 0, 1, &scope, NULL), MUSTER_OK);
    EXPECT(muster_params_full(scope, 0) == NULL);
    EXPECT_STATUS(muster_params_release(scope, NULL), MUSTER_OK);
}

static void nothing_to_do_is_still_agreed(void **state)
{
    fake_job_run(*state, body_nothing_to_do);
    assert_int_equal(fake_failures, 0);
    assert_int_equal(fake_job_counts(*state)->batches_begun, 2 * RANKS);
}

/* ---- nesting ---- */

static void body_nesting(fake_rank *self)
{
    float *outer_shard = shard_new(self, 10, 0.0F);
    float *inner_shard = shard_new(self, 5, 100.0F);
    muster_param *outer = param_new(self, 10, outer_shard);
    muster_param *inner = param_new(self, 5, inner_shard);
    muster_param *both[] = {inner, outer};
    muster_params_scope *outer_scope = NULL;
    muster_params_scope *inner_scope = NULL;
    muster_params_scope *refused = NULL;
    muster_error error;
    muster_error_init(&error);

    EXPECT_STATUS(muster_params_gather(self->world, &outer, 1, 1, &outer_scope, NULL), MUSTER_OK);
    /* One of them is gathered already. */
    EXPECT_STATUS(muster_params_gather(self->world, both, 2, 1, &refused, &error),
                  MUSTER_ERR_SCOPE_OVERLAP);
    EXPECT(error.rank == 0);
    EXPECT(error.tensor_index == 1);
    EXPECT(refused == NULL);
    /* The refused call has let go of the other one. */
    EXPECT_STATUS(muster_params_gather(self->world, &inner, 1, 0, &inner_scope, NULL), MUSTER_OK);
    EXPECT_STATUS(muster_params_release(outer_scope, &error), MUSTER_ERR_UNBALANCED);
    ((float *)muster_params_full(outer_scope, 0))[9] = 77.0F;
    ((float *)muster_params_full(inner_scope, 0))[0] = 55.0F;
    EXPECT_STATUS(muster_params_release(inner_scope, NULL), MUSTER_OK);
    EXPECT_STATUS(muster_params_release(outer_scope, NULL), MUSTER_OK);
    EXPECT(self->world->rank != 2 || outer_shard[1] == 77.0F);
    EXPECT(self->world->rank != 0 || inner_shard[0] == 55.0F);
    /* Twice in one call overlaps too. */
    both[1] = inner;
    EXPECT_STATUS(muster_params_gather(self->world, both, 2, -1, &refused, &error),
                  MUSTER_ERR_SCOPE_OVERLAP);
    EXPECT_STATUS(muster_param_free(outer), MUSTER_OK);
    EXPECT_STATUS(muster_param_free(inner), MUSTER_OK);
    free(outer_shard);
    free(inner_shard);
}

static void disjoint_scopes_nest_and_overlapping_ones_are_refused(void **state)
{
    fake_job_run(*state, body_nesting);
    assert_int_equal(fake_failures, 0);
}

/* ---- disagreements ---- */

static void body_disagreements(fake_rank *self)
{
    bool odd = self->world->rank == 1;
    float *shard = shard_new(self, 12, 0.0F);
    float *other_shard = shard_new(self, 12, 0.0F);
    muster_param *param = param_new(self, 12, shard);
    muster_param *other = param_new(self, odd ? 11 : 12, other_shard);
    muster_param *ints = NULL;
    muster_param *pair[] = {param, other};
    muster_params_scope *scope = NULL;
    muster_error error;
    muster_error_init(&error);
    EXPECT_STATUS(
        muster_param_create(self->world, MUSTER_DTYPE_INT32, 12, other_shard, &ints, NULL),
        MUSTER_OK);

    EXPECT_STATUS(muster_params_gather(self->world, &param, 1, odd ? 1 : 0, &scope, &error),
                  MUSTER_ERR_MODIFIER);
    EXPECT(error.rank == 1);
    EXPECT(error.expected == 0);
    EXPECT(error.came == 1);
    EXPECT_STATUS(muster_params_gather(self->world, &param, 1, odd ? 3 : 0, &scope, &error),
                  MUSTER_ERR_MODIFIER);
    EXPECT(error.expected == 2);
    EXPECT(error.came == 3);
    EXPECT_STATUS(muster_params_gather(self->world, pair, odd ? 1 : 2, 0, &scope, &error),
                  MUSTER_ERR_TENSOR_COUNT);
    EXPECT_STATUS(muster_params_gather(self->world, odd ? &ints : &param, 1, 0, &scope, &error),
                  MUSTER_ERR_DTYPE);
    EXPECT_STATUS(muster_params_gather(self->world, &other, 1, 0, &scope, &error),
                  MUSTER_ERR_FEATURE_DIMENSIONS);
    EXPECT(error.expected == 12);
    EXPECT(error.came == 11);
    /* The second one differs: a digest finds it, a second round names it. */
    EXPECT_STATUS(muster_params_gather(self->world, pair, 2, 0, &scope, &error),
                  MUSTER_ERR_FEATURE_DIMENSIONS);
    EXPECT(error.rank == 1);
    EXPECT(error.tensor_index == 1);
    EXPECT(error.expected == 12);
    EXPECT(error.came == 11);
    EXPECT_STATUS(muster_params_gather(self->world, odd ? NULL : &param, 1, 0, &scope, &error),
                  MUSTER_ERR_INVALID_ARGUMENT);
    EXPECT_STATUS(muster_params_gather(self->world, &param, odd ? -1 : 1, 0, &scope, &error),
                  MUSTER_ERR_INVALID_ARGUMENT);
    EXPECT_STATUS(muster_params_gather(self->world, &param, 1, 0, odd ? NULL : &scope, &error),
                  MUSTER_ERR_INVALID_ARGUMENT);
    EXPECT(scope == NULL);
    EXPECT(self->world->open_scopes == 0);
    /* Nothing of all that has left a parameter held, or moved a byte. */
    expect_shard(self, shard, 12, 0.0F);
    EXPECT_STATUS(muster_params_gather(self->world, &param, 1, 0, &scope, &error), MUSTER_OK);
    EXPECT_STATUS(muster_params_release(scope, &error), MUSTER_OK);
    EXPECT_STATUS(muster_param_free(param), MUSTER_OK);
    EXPECT_STATUS(muster_param_free(other), MUSTER_OK);
    EXPECT_STATUS(muster_param_free(ints), MUSTER_OK);
    free(shard);
    free(other_shard);
}

static void disagreements_are_the_same_refusal_everywhere(void **state)
{
    fake_job_run(*state, body_disagreements);
    assert_int_equal(fake_failures, 0);
}

static void body_no_memory(fake_rank *self)
{
    float *shard = shard_new(self, 12, 0.0F);
    muster_param *params[] = {param_new(self, 12, shard), NULL};
    muster_params_scope *scope = NULL;
    muster_error error;
    muster_error_init(&error);
    /* Rank 1 alone cannot have the second one; it must not find out after the others have sent. */
    params[1] = param_new(self, self->world->rank == 1 ? INT64_C(1) << 48 : 12, shard);
    EXPECT_STATUS(muster_params_gather(self->world, params, 2, 0, &scope, &error),
                  MUSTER_ERR_NO_MEMORY);
    EXPECT(error.rank == 1);
    EXPECT(error.tensor_index == 1);
    EXPECT(scope == NULL);
    EXPECT_STATUS(muster_params_gather(self->world, params, 1, 0, &scope, &error), MUSTER_OK);
    EXPECT_STATUS(muster_params_release(scope, &error), MUSTER_OK);
    EXPECT_STATUS(muster_param_free(params[0]), MUSTER_OK);
    EXPECT_STATUS(muster_param_free(params[1]), MUSTER_OK);
    free(shard);
}

static void memory_that_runs_out_is_said_before_the_bytes(void **state)
{
    fake_job_run(*state, body_no_memory);
    assert_int_equal(fake_failures, 0);
}

static void body_only_some_enter(fake_rank *self)
{
    float *shard = shard_new(self, 12, 0.0F);
    muster_param *param = param_new(self, 12, shard);
    muster_params_scope *scope = NULL;
    bool odd = self->world->rank == 2;
    if (odd)
        EXPECT_STATUS(muster_barrier(self->world, NULL), MUSTER_ERR_SCOPE);
    else
        EXPECT_STATUS(muster_params_gather(self->world, &param, 1, 0, &scope, NULL),
                      MUSTER_ERR_SCOPE);
    EXPECT_STATUS(muster_params_gather(self->world, &param, 1, 0, &scope, NULL), MUSTER_OK);
    float *full = muster_params_full(scope, 0);
    full[4] = 44.0F;
    /* A refused release keeps the scope and its edits. */
    if (odd)
        EXPECT_STATUS(muster_barrier(self->world, NULL), MUSTER_ERR_SCOPE);
    else
        EXPECT_STATUS(muster_params_release(scope, NULL), MUSTER_ERR_SCOPE);
    EXPECT(self->world->open_scopes == 1);
    EXPECT_STATUS(muster_params_release(scope, NULL), MUSTER_OK);
    EXPECT(self->world->rank != 1 || shard[0] == 44.0F);
    EXPECT_STATUS(muster_param_free(param), MUSTER_OK);
    free(shard);
}

static void only_some_ranks_enter_or_leave(void **state)
{
    fake_job_run(*state, body_only_some_enter);
    assert_int_equal(fake_failures, 0);
}

/* ---- foreign and stale ---- */

static void body_foreign(fake_rank *self)
{
    const fake_rank *other = self->context;
    muster_params_scope *scope = NULL;
    muster_param *foreign = NULL;
    float shard[8] = {0};
    muster_error error;
    muster_error_init(&error);
    EXPECT_STATUS(
        muster_param_create(other->world, MUSTER_DTYPE_FLOAT32, 12, shard, &foreign, &error),
        MUSTER_OK);
    EXPECT_STATUS(muster_params_gather(self->world, &foreign, 1, 0, &scope, &error),
                  MUSTER_ERR_FOREIGN);
    EXPECT_STATUS(muster_param_free(foreign), MUSTER_OK);
}

static void a_parameter_of_another_communicator_is_refused(void **state)
{
    fake_job *other = fake_job_new(RANKS);
    for (int32_t rank = 0; rank < RANKS; rank++)
        fake_job_rank(*state, rank)->context = fake_job_rank(other, rank);
    fake_job_run(*state, body_foreign);
    assert_int_equal(fake_failures, 0);
    fake_job_free(other);
}

/* What a rank keeps over a loss. */
typedef struct kept_handles {
    float *shard;
    muster_param *param;
    muster_params_scope *scope;
} kept_handles;

static void body_open_a_scope(fake_rank *self)
{
    kept_handles *kept = self->context;
    kept->shard = shard_new(self, 12, 0.0F);
    kept->param = param_new(self, 12, kept->shard);
    EXPECT_STATUS(muster_params_gather(self->world, &kept->param, 1, 0, &kept->scope, NULL),
                  MUSTER_OK);
}

static void body_lost_in_release(fake_rank *self)
{
    kept_handles *kept = self->context;
    muster_params_scope *inner = NULL;
    EXPECT_STATUS(muster_params_gather(self->world, NULL, 0, 0, &inner, NULL),
                  MUSTER_ERR_RANK_LOST);
    EXPECT(inner == NULL);
    EXPECT_STATUS(muster_params_gather(self->world, &kept->param, 1, 0, &inner, NULL),
                  MUSTER_ERR_RANK_LOST);
    EXPECT(inner == NULL);
    /* With the epoch gone the scope is not to be released any more: the handle is gone. */
    if (self->world->rank == 0) {
        EXPECT_STATUS(muster_params_release(kept->scope, NULL), MUSTER_ERR_RANK_LOST);
        kept->scope = NULL;
    }
}

static void body_stale(fake_rank *self)
{
    kept_handles *kept = self->context;
    muster_params_scope *scope = NULL;
    muster_error error;
    muster_error_init(&error);
    EXPECT_STATUS(muster_params_gather(self->world, &kept->param, 1, 0, &scope, &error),
                  MUSTER_ERR_EPOCH);
    EXPECT(error.rank == 0);
    if (kept->scope != NULL)
        EXPECT_STATUS(muster_params_release(kept->scope, &error), MUSTER_ERR_EPOCH);
    muster_params_abandon(kept->scope);
    EXPECT_STATUS(muster_param_free(kept->param), MUSTER_OK);
    expect_shard(self, kept->shard, 0, 0.0F);
    free(kept->shard);
    /* The sequence is the same on all ranks still. */
    kept->shard = shard_new(self, 12, 5.0F);
    kept->param = param_new(self, 12, kept->shard);
    EXPECT_STATUS(muster_params_gather(self->world, &kept->param, 1, 0, &scope, &error), MUSTER_OK);
    expect_full(muster_params_full(scope, 0), 12, 5.0F);
    EXPECT_STATUS(muster_params_release(scope, &error), MUSTER_OK);
}

static void drop_kept(kept_handles *kept)
{
    muster_params_abandon(kept->scope);
    assert_int_equal(muster_param_free(kept->param), MUSTER_OK);
    free(kept->shard);
}

static void after_a_shrink_parameters_are_stale(void **state)
{
    const muster_restore restore = {0};
    const muster_call calls[RANKS] = {MUSTER_CALL_PARAMS_GATHER, MUSTER_CALL_PARAMS_GATHER,
                                      MUSTER_CALL_PARAMS_GATHER};
    kept_handles kept[RANKS] = {{0}};
    for (int32_t rank = 0; rank < RANKS; rank++)
        fake_job_rank(*state, rank)->context = &kept[rank];
    fake_job_run(*state, body_open_a_scope);
    fake_job_run_and_lose(*state, body_lost_in_release, 1, calls);
    drop_kept(&kept[1]); /* what the lost process had */
    fake_job_rebuild(*state, 1, false, &restore, NULL);
    fake_job_run(*state, body_stale);
    assert_int_equal(fake_failures, 0);
    kept[0].scope = NULL;
    kept[2].scope = NULL;
    drop_kept(&kept[0]);
    drop_kept(&kept[2]);
}

static void body_same_size(fake_rank *self)
{
    kept_handles *kept = self->context;
    muster_params_scope *scope = NULL;
    if (kept->param == NULL) {
        kept->shard = shard_new(self, 12, 0.0F);
        kept->param = param_new(self, 12, kept->shard);
    }
    muster_params_abandon(kept->scope);
    kept->scope = NULL;
    EXPECT_STATUS(muster_params_gather(self->world, &kept->param, 1, 0, &scope, NULL), MUSTER_OK);
    expect_full(muster_params_full(scope, 0), 12, 0.0F);
    EXPECT_STATUS(muster_params_release(scope, NULL), MUSTER_OK);
}

static void after_a_replacement_they_are_not(void **state)
{
    const muster_restore restore = {0};
    const muster_call calls[RANKS] = {MUSTER_CALL_PARAMS_GATHER, MUSTER_CALL_PARAMS_GATHER,
                                      MUSTER_CALL_PARAMS_GATHER};
    kept_handles kept[RANKS] = {{0}};
    for (int32_t rank = 0; rank < RANKS; rank++)
        fake_job_rank(*state, rank)->context = &kept[rank];
    fake_job_run(*state, body_open_a_scope);
    fake_job_run_and_lose(*state, body_lost_in_release, 1, calls);
    drop_kept(&kept[1]);
    kept[1].param = NULL;
    kept[1].scope = NULL;
    fake_job_rebuild(*state, 1, true, &restore, NULL);
    fake_job_rank(*state, 1)->context = &kept[1];
    fake_job_run(*state, body_same_size);
    assert_int_equal(fake_failures, 0);
    for (int32_t rank = 0; rank < RANKS; rank++)
        drop_kept(&kept[rank]);
}

/* ---- local mistakes ---- */

static void local_mistakes_of_create(void **state)
{
    muster_comm *world = fake_job_rank(*state, 0)->world;
    muster_param *param = NULL;
    muster_error error;
    float shard[8] = {0};
    muster_error_init(&error);
    assert_int_equal(muster_param_create(NULL, MUSTER_DTYPE_FLOAT32, 4, shard, &param, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_param_create(world, MUSTER_DTYPE_FLOAT32, 4, shard, NULL, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_param_create(world, MUSTER_DTYPE_FLOAT32, -4, shard, &param, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(muster_param_create(world, (muster_dtype)99, 4, shard, &param, &error),
                     MUSTER_ERR_DTYPE);
    assert_int_equal(muster_param_create(world, MUSTER_DTYPE_FLOAT32, 4, NULL, &param, &error),
                     MUSTER_ERR_NULL_BUFFER);
    assert_int_equal(
        muster_param_create(world, MUSTER_DTYPE_FLOAT32, 4, (char *)shard + 1, &param, &error),
        MUSTER_ERR_MISALIGNED);
    assert_int_equal(
        muster_param_create(world, MUSTER_DTYPE_FLOAT32, INT64_MAX, shard, &param, &error),
        MUSTER_ERR_OVERFLOW);
    assert_int_equal(error.status, MUSTER_ERR_OVERFLOW);
    assert_null(param);
    assert_int_equal(muster_param_create(world, MUSTER_DTYPE_FLOAT32, 0, NULL, &param, &error),
                     MUSTER_OK);
    assert_int_equal(muster_param_free(param), MUSTER_OK);
    assert_int_equal(muster_param_free(NULL), MUSTER_OK);
    assert_int_equal(muster_params_release(NULL, &error), MUSTER_ERR_INVALID_ARGUMENT);
    assert_null(muster_params_full(NULL, 0));
    muster_params_abandon(NULL);
}

#define JOB_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOB_TEST(without_a_modifier_edits_are_dropped),
        JOB_TEST(the_modifiers_edits_reach_every_shard),
        cmocka_unit_test(alone_it_is_a_copy),
        JOB_TEST(nothing_to_do_is_still_agreed),
        JOB_TEST(disjoint_scopes_nest_and_overlapping_ones_are_refused),
        JOB_TEST(disagreements_are_the_same_refusal_everywhere),
        JOB_TEST(memory_that_runs_out_is_said_before_the_bytes),
        JOB_TEST(only_some_ranks_enter_or_leave),
        JOB_TEST(a_parameter_of_another_communicator_is_refused),
        JOB_TEST(after_a_shrink_parameters_are_stale),
        JOB_TEST(after_a_replacement_they_are_not),
        JOB_TEST(local_mistakes_of_create),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
