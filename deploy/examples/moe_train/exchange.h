/* SPDX-License-Identifier: Apache-2.0 */
/* The way of the rows: to the experts on the root and back, for one layer at a time. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdint.h>

#include <muster/muster.h>

#include "model.h"

struct exchange {
    muster_job *job;
    muster_comm *world;
    int32_t size;
    int64_t *lengths; /* rows of each rank in the last exchange; size entries */
    int64_t rows;     /* of all ranks */
    /* on the root, of rows of all ranks, one after another; in memory that the ranks can copy into
     * and out of directly */
    real *hidden;
    int32_t *chosen;
    real *weights;
    real *out;
    real *hidden_gradient;
    real *weight_gradient;
};

/* For the world as it is now. What *exchange held before is freed. */
muster_status exchange_make(struct exchange *exchange, muster_job *job, muster_error *error);
void exchange_free(struct exchange *exchange);

/* Asks for everyone's rows, gathers hidden rows, choices and weights to the root, runs the experts
 * there, and scatters what comes out. experts: parameters of the layer, on the root. */
muster_status exchange_forward(struct exchange *exchange, const real *experts, int64_t own_rows,
                               const struct model_routing *routing, real *out, muster_error *error);

/* The way back of the exchange that went forward last. Writes hidden_gradient and weight_gradient of
 * the own rows; adds to experts_gradient on the root. */
muster_status exchange_backward(struct exchange *exchange, const real *experts, int64_t own_rows,
                                const real *out_gradient, real *hidden_gradient,
                                real *weight_gradient, real *experts_gradient, muster_error *error);

#endif
