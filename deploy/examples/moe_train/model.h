/* SPDX-License-Identifier: Apache-2.0 */
/* The maths of the shared part: embedding, blocks (a causal mixing layer and the router), output head
 * and loss, each forward and backward, for one sequence at a time. The experts are in experts.h.
 * Nothing here knows of ranks.
 *
 * A byte t of a sequence goes through
 *   x = embedding[byte]
 *   each block:  u = tanh(bias + sum over taps j of mix[j] x[t - j]);  h = x + u
 *                the router picks the CHOICES experts with the largest gate[e] . h; their weights are
 *                the softmax over those
 *                x = h + sum over choices k of weight[k] expert[chosen[k]](h)
 *   loss = -log softmax(head x + head bias)[next byte] */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#include "matrix.h"

enum {
    MODEL_VOCABULARY = 256,
    MODEL_HIDDEN = 32,
    MODEL_TAPS = 4,
    MODEL_EXPERTS = 8,
    MODEL_CHOICES = 2,
    MODEL_LAYERS = 2,
    MODEL_CONTEXT = 32 /* longest sequence, in rows */
};

/* The shared parameters come in groups; a group is what is gathered at once. */
enum {
    MODEL_GROUP_EMBEDDING = 0,
    MODEL_GROUP_BLOCK = 1, /* .. MODEL_GROUP_BLOCK + MODEL_LAYERS - 1 */
    MODEL_GROUP_HEAD = MODEL_GROUP_BLOCK + MODEL_LAYERS,
    MODEL_GROUPS = MODEL_GROUP_HEAD + 1
};

/* Where the tensors of a group lie in it. */
enum {
    MODEL_EMBEDDING_COUNT = MODEL_VOCABULARY * MODEL_HIDDEN,

    MODEL_BLOCK_MIX = 0,
    MODEL_BLOCK_BIAS = MODEL_TAPS * MODEL_HIDDEN * MODEL_HIDDEN,
    MODEL_BLOCK_GATE = MODEL_BLOCK_BIAS + MODEL_HIDDEN,
    MODEL_BLOCK_COUNT = MODEL_BLOCK_GATE + MODEL_EXPERTS * MODEL_HIDDEN,

    MODEL_HEAD_WEIGHTS = 0,
    MODEL_HEAD_BIAS = MODEL_VOCABULARY * MODEL_HIDDEN,
    MODEL_HEAD_COUNT = MODEL_HEAD_BIAS + MODEL_VOCABULARY,

    MODEL_SHARED_COUNT = MODEL_EMBEDDING_COUNT + MODEL_LAYERS * MODEL_BLOCK_COUNT + MODEL_HEAD_COUNT
};

/* Elements of a group, and where it begins among all MODEL_SHARED_COUNT. */
int64_t model_group_count(int group);
int64_t model_group_begin(int group);

/* Fills all MODEL_SHARED_COUNT parameters for a seed. */
void model_init(uint64_t seed, real *shared);

/* What a block's forward leaves behind for the experts and for backward. Arrays of rows. */
struct model_routing {
    real *mixed;     /* u, [rows][HIDDEN] */
    real *hidden;    /* h, [rows][HIDDEN]: what the experts get */
    int32_t *chosen; /* [rows][CHOICES] */
    real *weights;   /* [rows][CHOICES] */
};

/* The same, from a row on. */
struct model_routing model_routing_at(const struct model_routing *routing, int64_t row);

void model_embed(const real *embedding, const uint8_t *bytes, int64_t rows, real *x);
void model_embed_backward(const uint8_t *bytes, int64_t rows, const real *x_gradient,
                          real *embedding_gradient);

void model_block(const real *block, const real *x, int64_t rows,
                 const struct model_routing *routing);

/* hidden_gradient: of h by every way (the residual and the experts' rows); changed here by the
 * router's share. weight_gradient: of the weights. Adds to block_gradient; writes x_gradient. */
void model_block_backward(const real *block, const real *x, int64_t rows,
                          const struct model_routing *routing, real *hidden_gradient,
                          const real *weight_gradient, real *x_gradient, real *block_gradient);

/* Sum of the losses of the rows. Writes x_gradient and adds to head_gradient those of
 * scale * (sum of the losses). */
double model_head(const real *head, const real *x, const uint8_t *next_bytes, int64_t rows,
                  real scale, real *x_gradient, real *head_gradient);

#endif
