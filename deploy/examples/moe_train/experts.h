/* SPDX-License-Identifier: Apache-2.0 */
/* The experts: they live on the root alone and see rows of all ranks, in rank order. An expert is
 *   out = V tanh(U row + b) + c
 * and a row's result is the sum of its chosen experts' results by their weights. */
#ifndef EXPERTS_H
#define EXPERTS_H

#include <stdint.h>

#include "model.h"

enum {
    EXPERTS_INNER = 64,

    EXPERTS_IN = 0, /* U */
    EXPERTS_IN_BIAS = EXPERTS_INNER * MODEL_HIDDEN,
    EXPERTS_OUT = EXPERTS_IN_BIAS + EXPERTS_INNER, /* V */
    EXPERTS_OUT_BIAS = EXPERTS_OUT + MODEL_HIDDEN * EXPERTS_INNER,
    EXPERTS_ONE_COUNT = EXPERTS_OUT_BIAS + MODEL_HIDDEN,

    EXPERTS_LAYER_COUNT = MODEL_EXPERTS * EXPERTS_ONE_COUNT,
    EXPERTS_COUNT = MODEL_LAYERS * EXPERTS_LAYER_COUNT
};

void experts_init(uint64_t seed, real *experts);

/* experts: the EXPERTS_LAYER_COUNT parameters of one layer. Writes out[rows][HIDDEN]. */
void experts_forward(const real *experts, const real *hidden, const int32_t *chosen,
                     const real *weights, int64_t rows, real *out);

/* Computes the inner values again rather than have them kept. Writes hidden_gradient (the way through
 * the experts only) and weight_gradient; adds to experts_gradient in row order. */
void experts_backward(const real *experts, const real *hidden, const int32_t *chosen,
                      const real *weights, int64_t rows, const real *out_gradient,
                      real *hidden_gradient, real *weight_gradient, real *experts_gradient);

#endif
