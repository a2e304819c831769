/* SPDX-License-Identifier: Apache-2.0 */
/* The way of the rows: to the experts on the root and back, for one layer at a time. The maths is the
 * CPU's; with a device plane rows travel from the memory of one device to that of another, as they would
 * in a job whose layers run there, and are copied to and from the host at both ends. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdint.h>

#include <muster/muster.h>

#include "device.h"
#include "model.h"

enum exchange_kind {
    EXCHANGE_HIDDEN,
    EXCHANGE_CHOSEN,
    EXCHANGE_WEIGHTS,
    EXCHANGE_OUT, /* what the experts made of the rows; going back, its gradient */
    EXCHANGE_HIDDEN_GRADIENT,
    EXCHANGE_WEIGHT_GRADIENT,
    EXCHANGE_KINDS
};

struct exchange {
    muster_job *job;
    muster_comm *world;
    int32_t size;
    int64_t *lengths; /* rows of each rank in the last exchange; size entries */
    int64_t rows;     /* of all ranks */
    /* On the root, of rows of all ranks, one after another: where the experts find and leave them. On the
     * host plane in memory that the ranks can copy into and out of directly. */
    void *all[EXCHANGE_KINDS];
    /* With a device plane: where this rank's rows, and as the root all ranks', lie while they travel. */
    const struct device *device;
    void *device_own[EXCHANGE_KINDS];
    void *device_all[EXCHANGE_KINDS];
};

/* Once, before the first exchange_make. Device memory for a root too, which any rank may become. */
muster_status exchange_open(struct exchange *exchange, struct device *device, muster_error *error);

/* For the world as it is now. What an earlier exchange_make made is freed. */
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
