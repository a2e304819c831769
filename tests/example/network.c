/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

enum { H = MODEL_HIDDEN, ROWS = MODEL_CONTEXT };

/* Everything of one block for one sequence. */
struct block {
    real input[ROWS * H];
    real mixed[ROWS * H];
    real hidden[ROWS * H];
    int32_t chosen[ROWS * MODEL_CHOICES];
    real weights[ROWS * MODEL_CHOICES];
    real returned[ROWS * H];
};

static struct model_routing routing_of(struct block *block)
{
    return (struct model_routing){.mixed = block->mixed,
                                  .hidden = block->hidden,
                                  .chosen = block->chosen,
                                  .weights = block->weights};
}

static const real *group(const struct network *network, int number)
{
    return network->image.shared[ADAM_VALUE] + model_group_begin(number);
}

static const real *experts(const struct network *network, int layer)
{
    return network->image.experts[ADAM_VALUE] + (int64_t)layer * EXPERTS_LAYER_COUNT;
}

static void backward(struct network *network, struct block *blocks, const uint8_t *bytes,
                     int64_t rows, real *gradient)
{
    for (int layer = MODEL_LAYERS - 1; layer >= 0; layer--) {
        struct block *block = &blocks[layer];
        struct model_routing routing = routing_of(block);
        real hidden_gradient[ROWS * H];
        real weight_gradient[ROWS * MODEL_CHOICES];
        experts_backward(experts(network, layer), block->hidden, block->chosen, block->weights,
                         rows, gradient, hidden_gradient, weight_gradient,
                         network->experts_gradient + (int64_t)layer * EXPERTS_LAYER_COUNT);
        for (int64_t i = 0; i < rows * H; i++) {
            hidden_gradient[i] += gradient[i];
        }
        model_block_backward(group(network, MODEL_GROUP_BLOCK + layer), block->input, rows,
                             &routing, hidden_gradient, weight_gradient, gradient,
                             network->shared_gradient +
                                 model_group_begin(MODEL_GROUP_BLOCK + layer));
    }
    model_embed_backward(bytes, rows, gradient,
                         network->shared_gradient + model_group_begin(MODEL_GROUP_EMBEDDING));
}

static double sequence_loss(struct network *network, const uint8_t *bytes, int64_t rows, real scale,
                            int with_gradient)
{
    struct block blocks[MODEL_LAYERS];
    real last[ROWS * H];
    real gradient[ROWS * H];
    model_embed(group(network, MODEL_GROUP_EMBEDDING), bytes, rows, blocks[0].input);
    for (int layer = 0; layer < MODEL_LAYERS; layer++) {
        struct block *block = &blocks[layer];
        struct model_routing routing = routing_of(block);
        real *next = layer + 1 < MODEL_LAYERS ? blocks[layer + 1].input : last;
        model_block(group(network, MODEL_GROUP_BLOCK + layer), block->input, rows, &routing);
        experts_forward(experts(network, layer), block->hidden, block->chosen, block->weights, rows,
                        block->returned);
        for (int64_t i = 0; i < rows * H; i++) {
            next[i] = block->hidden[i] + block->returned[i];
        }
    }
    double loss =
        model_head(group(network, MODEL_GROUP_HEAD), last, bytes + 1, rows, scale, gradient,
                   network->shared_gradient + model_group_begin(MODEL_GROUP_HEAD));
    if (with_gradient) {
        backward(network, blocks, bytes, rows, gradient);
    }
    return loss;
}

double network_loss(struct network *network, const uint8_t *text, const struct batch *batch,
                    int with_gradient)
{
    matrix_clear(network->shared_gradient, MODEL_SHARED_COUNT);
    matrix_clear(network->experts_gradient, EXPERTS_COUNT);
    double loss = 0;
    for (int i = 0; i < BATCH_SEQUENCES; i++) {
        loss += sequence_loss(network, text + batch->sequences[i].begin, batch->sequences[i].rows,
                              1 / (real)batch->rows, with_gradient);
    }
    return loss / (double)batch->rows;
}

void network_update(struct network *network, uint64_t step)
{
    adam_update(step, MODEL_SHARED_COUNT, network->shared_gradient,
                network->image.shared[ADAM_VALUE], network->image.shared[ADAM_FIRST_MOMENT],
                network->image.shared[ADAM_SECOND_MOMENT]);
    adam_update(step, EXPERTS_COUNT, network->experts_gradient, network->image.experts[ADAM_VALUE],
                network->image.experts[ADAM_FIRST_MOMENT],
                network->image.experts[ADAM_SECOND_MOMENT]);
}
