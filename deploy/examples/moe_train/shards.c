/* SPDX-License-Identifier: Apache-2.0 */
#include "shards.h"

#include <stdlib.h>
#include <string.h>

enum { ROOT = 0 };

int64_t shards_group_begin(int group, int32_t size)
{
    int64_t begin = 0;
    for (int i = 0; i < group; i++) {
        begin += muster_param_shard_elements(model_group_count(i), size);
    }
    return begin;
}

int64_t shards_element_count(int32_t size)
{
    return shards_group_begin(MODEL_GROUPS, size);
}

void shards_free(struct shards *shards)
{
    shards_abandon(shards);
    for (int kind = 0; kind < ADAM_KINDS; kind++) {
        for (int group = 0; group < MODEL_GROUPS; group++) {
            (void)muster_param_free(shards->params[kind][group]); /* no scope is open */
        }
        free(shards->values[kind]);
    }
    memset(shards, 0, sizeof *shards);
}

muster_status shards_make(struct shards *shards, muster_comm *world, muster_error *error)
{
    shards_free(shards);
    shards->world = world;
    shards->rank = muster_comm_rank(world);
    shards->size = muster_comm_size(world);
    shards->element_count = shards_element_count(shards->size);
    for (int kind = 0; kind < ADAM_KINDS; kind++) {
        shards->values[kind] = calloc((size_t)shards->element_count, sizeof(real));
        if (shards->values[kind] == NULL) {
            return MUSTER_ERR_NO_MEMORY;
        }
        for (int group = 0; group < MODEL_GROUPS; group++) {
            muster_status status =
                muster_param_create(world, MUSTER_DTYPE_FLOAT32, model_group_count(group),
                                    shards->values[kind] + shards_group_begin(group, shards->size),
                                    &shards->params[kind][group], error);
            if (status != MUSTER_OK) {
                return status;
            }
        }
    }
    return MUSTER_OK;
}

muster_status shards_open(struct shards *shards, int group, const real **full, muster_error *error)
{
    muster_status status = muster_params_gather(shards->world, &shards->params[ADAM_VALUE][group],
                                                1, MUSTER_RANK_NONE, &shards->scope, error);
    if (status == MUSTER_OK) {
        *full = muster_params_full(shards->scope, 0);
    } else {
        shards->scope = NULL;
    }
    return status;
}

muster_status shards_close(struct shards *shards, muster_error *error)
{
    /* After RANK_LOST too the handle is gone; only an unbalanced release, which would be our own
     * mistake, leaves it. */
    muster_params_scope *scope = shards->scope;
    shards->scope = NULL;
    return muster_params_release(scope, error);
}

void shards_abandon(struct shards *shards)
{
    muster_params_abandon(shards->scope);
    shards->scope = NULL;
}

/* All parameters and moments at once. modifier: whose edits reach the shards. */
static muster_status open_all(struct shards *shards, int32_t modifier, muster_error *error)
{
    muster_status status =
        muster_params_gather(shards->world, &shards->params[0][0], ADAM_KINDS * MODEL_GROUPS,
                             modifier, &shards->scope, error);
    if (status != MUSTER_OK) {
        shards->scope = NULL;
    }
    return status;
}

static real *full_of(struct shards *shards, int kind, int group)
{
    return muster_params_full(shards->scope, kind * MODEL_GROUPS + group);
}

muster_status shards_spread(struct shards *shards, const struct image *image, muster_error *error)
{
    muster_status status = open_all(shards, ROOT, error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (shards->rank == ROOT) {
        for (int kind = 0; kind < ADAM_KINDS; kind++) {
            for (int group = 0; group < MODEL_GROUPS; group++) {
                matrix_copy(image->shared[kind] + model_group_begin(group),
                            (size_t)model_group_count(group), full_of(shards, kind, group));
            }
        }
    }
    return shards_close(shards, error);
}

muster_status shards_collect(struct shards *shards, struct image *image, muster_error *error)
{
    muster_status status = open_all(shards, MUSTER_RANK_NONE, error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (shards->rank == ROOT) {
        for (int kind = 0; kind < ADAM_KINDS; kind++) {
            for (int group = 0; group < MODEL_GROUPS; group++) {
                matrix_copy(full_of(shards, kind, group), (size_t)model_group_count(group),
                            image->shared[kind] + model_group_begin(group));
            }
        }
    }
    return shards_close(shards, error);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void shards_take(struct shards *shards, const real *values, int32_t from_rank, int32_t from_size)
{
    const int64_t from_element_count = shards_element_count(from_size);
    for (int group = 0; group < MODEL_GROUPS; group++) {
        int64_t count = model_group_count(group);
        int64_t from_elements = muster_param_shard_elements(count, from_size);
        int64_t own_elements = muster_param_shard_elements(count, shards->size);
        int64_t from_first = from_rank * from_elements; /* elements of the full tensor */
        int64_t own_first = shards->rank * own_elements;
        int64_t first = most(from_first, own_first);
        int64_t end = least(least(from_first + from_elements, own_first + own_elements), count);
        for (int kind = 0; first < end && kind < ADAM_KINDS; kind++) {
            const real *from = values + kind * from_element_count +
                               shards_group_begin(group, from_size) + (first - from_first);
            matrix_copy(from, (size_t)(end - first),
                        shards->values[kind] + shards_group_begin(group, shards->size) +
                            (first - own_first));
        }
    }
}

void shards_update(struct shards *shards, uint64_t step, const real *gradient_rows, int64_t rows,
                   int64_t row_elements)
{
    for (int group = 0; group < MODEL_GROUPS; group++) {
        int64_t count = model_group_count(group);
        int64_t elements = muster_param_shard_elements(count, shards->size);
        int64_t first = shards->rank * elements;
        int64_t own = least(elements, count - first); /* the last shard's tail is padding */
        const real *gradients = gradient_rows + model_group_begin(group) + first;
        int64_t at = shards_group_begin(group, shards->size);
        for (int64_t begin = 0; begin < own; begin += 256) {
            real sum[256] = {0};
            int64_t some = least(256, own - begin);
            for (int64_t row = 0; row < rows; row++) {
                for (int64_t i = 0; i < some; i++) {
                    sum[i] += gradients[row * row_elements + begin + i];
                }
            }
            adam_update(step, some, sum, shards->values[ADAM_VALUE] + at + begin,
                        shards->values[ADAM_FIRST_MOMENT] + at + begin,
                        shards->values[ADAM_SECOND_MOMENT] + at + begin);
        }
    }
}
