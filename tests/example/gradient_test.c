/* SPDX-License-Identifier: Apache-2.0 */
/* The example's gradients, every tensor of them, against central differences, in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "network.h"
#include "random.h"

static uint8_t text[512];
static struct batch batch;
static struct network *network;

static int make_network(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(random_at(7, 0, i) % 256);
    }
    /* Few short sequences, so that two losses for each of many parameters take no time; with more
     * than MODEL_TAPS rows, so that every tap is used. */
    batch_make(3, 1, sizeof text, &batch);
    batch.rows = 0;
    for (int i = 0; i < BATCH_SEQUENCES; i++) {
        batch.sequences[i].rows = 1 + i % 7;
        batch.rows += batch.sequences[i].rows;
    }
    network = calloc(1, sizeof *network);
    assert_non_null(network);
    image_init(11, &network->image);
    /* Biases begin at zero; nothing should be at a special place here. */
    for (int i = 0; i < MODEL_SHARED_COUNT; i++) {
        network->image.shared[ADAM_VALUE][i] += 0.05 * random_signed_at(13, 0, (uint64_t)i);
    }
    for (int i = 0; i < EXPERTS_COUNT; i++) {
        network->image.experts[ADAM_VALUE][i] += 0.05 * random_signed_at(13, 1, (uint64_t)i);
    }
    return 0;
}

static int free_network(void **state)
{
    (void)state;
    free(network);
    return 0;
}

static void assert_close(double difference, double gradient)
{
    if (fabs(difference - gradient) > 1e-8 + 1e-5 * fabs(gradient)) {
        fail_msg("difference %.12g, gradient %.12g", difference, gradient);
    }
}

/* Checks up to 8 elements of a tensor, spread over it, preferring those that the batch touches; the
 * whole tensor by one step along its gradient. */
static void check_tensor(real *values, const real *gradients, int64_t count)
{
    const double small = 1e-5;
    real gradient[MODEL_VOCABULARY * MODEL_HIDDEN];
    assert_true(count <= (int64_t)(sizeof gradient / sizeof *gradient));
    double square = 0;
    for (int64_t i = 0; i < count; i++) { /* network_loss clears them */
        gradient[i] = gradients[i];
        square += gradient[i] * gradient[i];
    }
    assert_true(square > 0); /* else nothing would be tested */

    int checked = 0;
    for (uint64_t draw = 0; draw < 4000 && checked < 8; draw++) {
        int64_t i = (int64_t)(random_at(17, (uint64_t)count, draw) % (uint64_t)count);
        if (gradient[i] == 0) {
            continue;
        }
        real before = values[i];
        values[i] = before + small;
        double above = network_loss(network, text, &batch, 0);
        values[i] = before - small;
        double below = network_loss(network, text, &batch, 0);
        values[i] = before;
        double difference = (above - below) / (2 * small);
        assert_close(difference, gradient[i]);
        checked++;
    }
    assert_true(checked > 0);

    const double length = sqrt(square);
    double both[2];
    for (int side = 0; side < 2; side++) {
        const double by = (side == 0 ? small : -small) / length;
        for (int64_t i = 0; i < count; i++) {
            values[i] += by * gradient[i];
        }
        both[side] = network_loss(network, text, &batch, 0);
        for (int64_t i = 0; i < count; i++) {
            values[i] -= by * gradient[i];
        }
    }
    assert_close((both[0] - both[1]) / (2 * small), length);
}

static void check_shared(int group, int64_t begin, int64_t end)
{
    int64_t at = model_group_begin(group) + begin;
    network_loss(network, text, &batch, 1);
    check_tensor(network->image.shared[ADAM_VALUE] + at, network->shared_gradient + at,
                 end - begin);
}

static void embedding_gradient_matches_differences(void **state)
{
    (void)state;
    check_shared(MODEL_GROUP_EMBEDDING, 0, MODEL_EMBEDDING_COUNT);
}

static void block_gradients_match_differences(void **state)
{
    (void)state;
    for (int layer = 0; layer < MODEL_LAYERS; layer++) {
        check_shared(MODEL_GROUP_BLOCK + layer, MODEL_BLOCK_MIX, MODEL_BLOCK_BIAS);
        check_shared(MODEL_GROUP_BLOCK + layer, MODEL_BLOCK_BIAS, MODEL_BLOCK_GATE);
        check_shared(MODEL_GROUP_BLOCK + layer, MODEL_BLOCK_GATE, MODEL_BLOCK_COUNT);
    }
}

static void head_gradients_match_differences(void **state)
{
    (void)state;
    check_shared(MODEL_GROUP_HEAD, MODEL_HEAD_WEIGHTS, MODEL_HEAD_BIAS);
    check_shared(MODEL_GROUP_HEAD, MODEL_HEAD_BIAS, MODEL_HEAD_COUNT);
}

static void expert_gradients_match_differences(void **state)
{
    (void)state;
    static const int64_t ends[] = {EXPERTS_IN_BIAS, EXPERTS_OUT, EXPERTS_OUT_BIAS,
                                   EXPERTS_ONE_COUNT};
    int with_rows = 0;
    for (int i = 0; i < MODEL_LAYERS * MODEL_EXPERTS; i++) {
        int64_t begin = 0;
        network_loss(network, text, &batch, 1);
        if (network->experts_gradient[i * EXPERTS_ONE_COUNT + EXPERTS_OUT_BIAS] == 0) {
            continue; /* no row chose it */
        }
        with_rows++;
        for (int j = 0; j < 4; j++) {
            int64_t at = i * EXPERTS_ONE_COUNT + begin;
            network_loss(network, text, &batch, 1);
            check_tensor(network->image.experts[ADAM_VALUE] + at, network->experts_gradient + at,
                         ends[j] - begin);
            begin = ends[j];
        }
    }
    assert_true(with_rows >= MODEL_EXPERTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_gradient_matches_differences),
        cmocka_unit_test(block_gradients_match_differences),
        cmocka_unit_test(head_gradients_match_differences),
        cmocka_unit_test(expert_gradients_match_differences),
    };
    return cmocka_run_group_tests(tests, make_network, free_network);
}
