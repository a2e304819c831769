/* SPDX-License-Identifier: Apache-2.0 */
/* The example's model put together in one process, without Muster: what the tests train and
 * differentiate. real is double or float, as the test is compiled. */
#ifndef NETWORK_H
#define NETWORK_H

#include "adam.h"
#include "batch.h"
#include "experts.h"
#include "image.h"
#include "model.h"

struct network {
    struct image image;
    real shared_gradient[MODEL_SHARED_COUNT];
    real experts_gradient[EXPERTS_COUNT];
};

/* Mean loss over the batch; with_gradient: adds it up, from zero. */
double network_loss(struct network *network, const uint8_t *text, const struct batch *batch,
                    int with_gradient);

/* One step of the optimiser with the gradient of the last network_loss. */
void network_update(struct network *network, uint64_t step);

#endif
