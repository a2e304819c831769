/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <stdbool.h>
#include <tgmath.h>

#include "random.h"

enum { H = MODEL_HIDDEN };

int64_t model_group_count(int group)
{
    if (group == MODEL_GROUP_EMBEDDING) {
        return MODEL_EMBEDDING_COUNT;
    }
    return group == MODEL_GROUP_HEAD ? MODEL_HEAD_COUNT : MODEL_BLOCK_COUNT;
}

int64_t model_group_begin(int group)
{
    int64_t begin = 0;
    for (int i = 0; i < group; i++) {
        begin += model_group_count(i);
    }
    return begin;
}

static void init_range(uint64_t seed, uint64_t place, double scale, int64_t count, real *values)
{
    for (int64_t i = 0; i < count; i++) {
        values[i] = (real)(scale * random_signed_at(seed, place, (uint64_t)i));
    }
}

void model_init(uint64_t seed, real *shared)
{
    matrix_clear(shared, MODEL_SHARED_COUNT);
    init_range(seed, 1, 0.5, MODEL_EMBEDDING_COUNT,
               shared + model_group_begin(MODEL_GROUP_EMBEDDING));
    for (int layer = 0; layer < MODEL_LAYERS; layer++) {
        real *block = shared + model_group_begin(MODEL_GROUP_BLOCK + layer);
        uint64_t place = 16 * (uint64_t)(layer + 1);
        init_range(seed, place, 1.0 / sqrt((double)(MODEL_TAPS * H)), MODEL_BLOCK_BIAS, block);
        init_range(seed, place + 1, 1.0 / sqrt((double)H), MODEL_EXPERTS * H,
                   block + MODEL_BLOCK_GATE);
    }
    init_range(seed, 2, 0.5 / sqrt((double)H), MODEL_HEAD_BIAS,
               shared + model_group_begin(MODEL_GROUP_HEAD));
}

struct model_routing model_routing_at(const struct model_routing *routing, int64_t row)
{
    return (struct model_routing){.mixed = routing->mixed + row * H,
                                  .hidden = routing->hidden + row * H,
                                  .chosen = routing->chosen + row * MODEL_CHOICES,
                                  .weights = routing->weights + row * MODEL_CHOICES};
}

void model_embed(const real *embedding, const uint8_t *bytes, int64_t rows, real *x)
{
    for (int64_t t = 0; t < rows; t++) {
        matrix_copy(embedding + bytes[t] * H, H, x + t * H);
    }
}

void model_embed_backward(const uint8_t *bytes, int64_t rows, const real *x_gradient,
                          real *embedding_gradient)
{
    for (int64_t t = 0; t < rows; t++) {
        for (int i = 0; i < H; i++) {
            embedding_gradient[bytes[t] * H + i] += x_gradient[t * H + i];
        }
    }
}

/* The CHOICES experts with the largest scores, the lower number first where scores are equal, and
 * the softmax over them. */
static void route(const real *gate, const real *hidden, int32_t *chosen, real *weights)
{
    real scores[MODEL_EXPERTS] = {0};
    matrix_apply(gate, hidden, MODEL_EXPERTS, H, scores);
    for (int k = 0; k < MODEL_CHOICES; k++) {
        int32_t best = -1;
        for (int32_t e = 0; e < MODEL_EXPERTS; e++) {
            bool taken = false;
            for (int j = 0; j < k; j++) {
                taken = taken || chosen[j] == e;
            }
            if (!taken && (best < 0 || scores[e] > scores[best])) {
                best = e;
            }
        }
        chosen[k] = best;
    }
    real sum = 0;
    for (int k = 0; k < MODEL_CHOICES; k++) {
        weights[k] = exp(scores[chosen[k]] - scores[chosen[0]]);
        sum += weights[k];
    }
    for (int k = 0; k < MODEL_CHOICES; k++) {
        weights[k] /= sum;
    }
}

void model_block(const real *block, const real *x, int64_t rows,
                 const struct model_routing *routing)
{
    const real *mix = block + MODEL_BLOCK_MIX;
    for (int64_t t = 0; t < rows; t++) {
        real *mixed = routing->mixed + t * H;
        real *hidden = routing->hidden + t * H;
        matrix_copy(block + MODEL_BLOCK_BIAS, H, mixed);
        for (int64_t j = 0; j < MODEL_TAPS && j <= t; j++) {
            matrix_apply(mix + j * H * H, x + (t - j) * H, H, H, mixed);
        }
        for (int i = 0; i < H; i++) {
            mixed[i] = tanh(mixed[i]);
            hidden[i] = x[t * H + i] + mixed[i];
        }
        route(block + MODEL_BLOCK_GATE, hidden, routing->chosen + t * MODEL_CHOICES,
              routing->weights + t * MODEL_CHOICES);
    }
}

/* Through the softmax over the chosen experts and their gate rows; the choice itself has no
 * gradient. */
static void route_backward(const real *gate, const real *hidden, const int32_t *chosen,
                           const real *weights, const real *weight_gradient, real *hidden_gradient,
                           real *gate_gradient)
{
    real mean = 0;
    for (int k = 0; k < MODEL_CHOICES; k++) {
        mean += weights[k] * weight_gradient[k];
    }
    for (int k = 0; k < MODEL_CHOICES; k++) {
        real score_gradient = weights[k] * (weight_gradient[k] - mean);
        matrix_add_outer(&score_gradient, hidden, 1, H, gate_gradient + chosen[k] * H);
        matrix_apply_transposed(gate + chosen[k] * H, &score_gradient, 1, H, hidden_gradient);
    }
}

void model_block_backward(const real *block, const real *x, int64_t rows,
                          const struct model_routing *routing, real *hidden_gradient,
                          const real *weight_gradient, real *x_gradient, real *block_gradient)
{
    for (int64_t t = 0; t < rows; t++) {
        route_backward(block + MODEL_BLOCK_GATE, routing->hidden + t * H,
                       routing->chosen + t * MODEL_CHOICES, routing->weights + t * MODEL_CHOICES,
                       weight_gradient + t * MODEL_CHOICES, hidden_gradient + t * H,
                       block_gradient + MODEL_BLOCK_GATE);
    }
    matrix_copy(hidden_gradient, (size_t)(rows * H), x_gradient); /* the residual way */
    for (int64_t t = 0; t < rows; t++) {
        real inner[H];
        for (int i = 0; i < H; i++) {
            real u = routing->mixed[t * H + i];
            inner[i] = hidden_gradient[t * H + i] * (1 - u * u);
            block_gradient[MODEL_BLOCK_BIAS + i] += inner[i];
        }
        for (int64_t j = 0; j < MODEL_TAPS && j <= t; j++) {
            const int64_t tap = MODEL_BLOCK_MIX + j * H * H;
            matrix_add_outer(inner, x + (t - j) * H, H, H, block_gradient + tap);
            matrix_apply_transposed(block + tap, inner, H, H, x_gradient + (t - j) * H);
        }
    }
}

double model_head(const real *head, const real *x, const uint8_t *next_bytes, int64_t rows,
                  real scale, real *x_gradient, real *head_gradient)
{
    double loss = 0;
    for (int64_t t = 0; t < rows; t++) {
        real scores[MODEL_VOCABULARY];
        matrix_copy(head + MODEL_HEAD_BIAS, MODEL_VOCABULARY, scores);
        matrix_apply(head + MODEL_HEAD_WEIGHTS, x + t * H, MODEL_VOCABULARY, H, scores);
        real largest = scores[0];
        for (int v = 1; v < MODEL_VOCABULARY; v++) {
            largest = scores[v] > largest ? scores[v] : largest;
        }
        real score_of_next = scores[next_bytes[t]] - largest;
        real sum = 0;
        for (int v = 0; v < MODEL_VOCABULARY; v++) {
            scores[v] = exp(scores[v] - largest);
            sum += scores[v];
        }
        loss += (double)(log(sum) - score_of_next);
        /* from here on scores holds the gradient of the scores */
        for (int v = 0; v < MODEL_VOCABULARY; v++) {
            scores[v] *= scale / sum;
        }
        scores[next_bytes[t]] -= scale;
        matrix_clear(x_gradient + t * H, H);
        matrix_apply_transposed(head + MODEL_HEAD_WEIGHTS, scores, MODEL_VOCABULARY, H,
                                x_gradient + t * H);
        matrix_add_outer(scores, x + t * H, MODEL_VOCABULARY, H,
                         head_gradient + MODEL_HEAD_WEIGHTS);
        matrix_add_outer(scores, &(real){1}, MODEL_VOCABULARY, 1, head_gradient + MODEL_HEAD_BIAS);
    }
    return loss;
}
