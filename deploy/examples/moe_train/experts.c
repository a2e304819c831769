/* SPDX-License-Identifier: Apache-2.0 */
#include "experts.h"

#include <tgmath.h>

#include "random.h"

enum { H = MODEL_HIDDEN, F = EXPERTS_INNER };

void experts_init(uint64_t seed, real *experts)
{
    for (int i = 0; i < MODEL_LAYERS * MODEL_EXPERTS; i++) {
        real *one = experts + i * EXPERTS_ONE_COUNT;
        uint64_t place = 4096 + 2 * (uint64_t)i;
        matrix_clear(one, EXPERTS_ONE_COUNT);
        for (int j = 0; j < F * H; j++) {
            one[EXPERTS_IN + j] =
                (real)(random_signed_at(seed, place, (uint64_t)j) / sqrt((double)H));
            one[EXPERTS_OUT + j] =
                (real)(random_signed_at(seed, place + 1, (uint64_t)j) / sqrt((double)F));
        }
    }
}

static void expert_forward(const real *expert, const real *hidden, real *inner, real *out)
{
    matrix_copy(expert + EXPERTS_IN_BIAS, F, inner);
    matrix_apply(expert + EXPERTS_IN, hidden, F, H, inner);
    for (int i = 0; i < F; i++) {
        inner[i] = tanh(inner[i]);
    }
    matrix_copy(expert + EXPERTS_OUT_BIAS, H, out);
    matrix_apply(expert + EXPERTS_OUT, inner, H, F, out);
}

void experts_forward(const real *experts, const real *hidden, const int32_t *chosen,
                     const real *weights, int64_t rows, real *out)
{
    for (int64_t t = 0; t < rows; t++) {
        matrix_clear(out + t * H, H);
        for (int64_t k = t * MODEL_CHOICES; k < (t + 1) * MODEL_CHOICES; k++) {
            real inner[F];
            real one[H];
            expert_forward(experts + chosen[k] * EXPERTS_ONE_COUNT, hidden + t * H, inner, one);
            for (int i = 0; i < H; i++) {
                out[t * H + i] += weights[k] * one[i];
            }
        }
    }
}

static void expert_backward(const real *expert, const real *hidden, const real *inner,
                            const real *one_gradient, real *hidden_gradient, real *gradient)
{
    real inner_gradient[F] = {0};
    matrix_add_outer(one_gradient, inner, H, F, gradient + EXPERTS_OUT);
    matrix_add_outer(one_gradient, &(real){1}, H, 1, gradient + EXPERTS_OUT_BIAS);
    matrix_apply_transposed(expert + EXPERTS_OUT, one_gradient, H, F, inner_gradient);
    for (int i = 0; i < F; i++) {
        inner_gradient[i] *= 1 - inner[i] * inner[i];
    }
    matrix_add_outer(inner_gradient, hidden, F, H, gradient + EXPERTS_IN);
    matrix_add_outer(inner_gradient, &(real){1}, F, 1, gradient + EXPERTS_IN_BIAS);
    matrix_apply_transposed(expert + EXPERTS_IN, inner_gradient, F, H, hidden_gradient);
}

void experts_backward(const real *experts, const real *hidden, const int32_t *chosen,
                      const real *weights, int64_t rows, const real *out_gradient,
                      real *hidden_gradient, real *weight_gradient, real *experts_gradient)
{
    for (int64_t t = 0; t < rows; t++) {
        matrix_clear(hidden_gradient + t * H, H);
        for (int64_t k = t * MODEL_CHOICES; k < (t + 1) * MODEL_CHOICES; k++) {
            const int64_t at = chosen[k] * EXPERTS_ONE_COUNT;
            real inner[F];
            real one[H];
            real one_gradient[H];
            expert_forward(experts + at, hidden + t * H, inner, one);
            weight_gradient[k] = 0;
            for (int i = 0; i < H; i++) {
                weight_gradient[k] += out_gradient[t * H + i] * one[i];
                one_gradient[i] = weights[k] * out_gradient[t * H + i];
            }
            expert_backward(experts + at, hidden + t * H, inner, one_gradient,
                            hidden_gradient + t * H, experts_gradient + at);
        }
    }
}
