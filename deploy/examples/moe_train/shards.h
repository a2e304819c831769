/* SPDX-License-Identifier: Apache-2.0 */
/* The shared parameters and their moments as this rank holds them: one shard a group, gathered into
 * full tensors for the length of a scope. */
#ifndef SHARDS_H
#define SHARDS_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "adam.h"
#include "image.h"
#include "model.h"

struct shards {
    muster_comm *world;
    int32_t rank;
    int32_t size;
    real *values[ADAM_KINDS]; /* the shards of all groups, one after another; element_count each */
    int64_t element_count;
    muster_param *params[ADAM_KINDS][MODEL_GROUPS];
    muster_params_scope *scope; /* the open one, or NULL */
};

/* Elements of the shard of a group on a communicator of this size, and where it begins in values. */
int64_t shards_group_begin(int group, int32_t size);
int64_t shards_element_count(int32_t size);

/* Makes empty shards for the world as it is now; what *shards held before is freed. */
muster_status shards_make(struct shards *shards, muster_comm *world, muster_error *error);
void shards_free(struct shards *shards);

/* Gathers one group's values: *full is valid until the close. Collective. */
muster_status shards_open(struct shards *shards, int group, const real **full, muster_error *error);
muster_status shards_close(struct shards *shards, muster_error *error);

/* Drops a scope that a lost rank left open. */
void shards_abandon(struct shards *shards);

/* Spreads the root's image over all shards, or collects all shards in the root's image. Collective;
 * image is read or written on the root only. */
muster_status shards_spread(struct shards *shards, const struct image *image, muster_error *error);
muster_status shards_collect(struct shards *shards, struct image *image, muster_error *error);

/* Copies what this rank needs from the shards (kinds of element_count elements, one after another) of
 * a rank of a membership of another size. */
void shards_take(struct shards *shards, const real *values, int32_t from_rank, int32_t from_size);

/* One step of the optimiser on this rank's elements. gradient_rows: rows of gradients of all
 * MODEL_SHARED_COUNT elements, row_elements apart, added up in their order. */
void shards_update(struct shards *shards, uint64_t step, const real *gradient_rows, int64_t rows,
                   int64_t row_elements);

#endif
