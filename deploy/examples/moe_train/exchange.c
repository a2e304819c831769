/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "experts.h"

enum {
    ROOT = 0,
    H = MODEL_HIDDEN,
    K = MODEL_CHOICES,
    ROWS_BETWEEN_MARKS = 64 /* how many the experts see before the root says "alive" again */
};

static const struct {
    muster_dtype dtype;
    size_t features; /* of 4 bytes each */
} kinds[EXCHANGE_KINDS] = {[EXCHANGE_HIDDEN] = {MUSTER_DTYPE_FLOAT32, H},
                           [EXCHANGE_CHOSEN] = {MUSTER_DTYPE_INT32, K},
                           [EXCHANGE_WEIGHTS] = {MUSTER_DTYPE_FLOAT32, K},
                           [EXCHANGE_OUT] = {MUSTER_DTYPE_FLOAT32, H},
                           [EXCHANGE_HIDDEN_GRADIENT] = {MUSTER_DTYPE_FLOAT32, H},
                           [EXCHANGE_WEIGHT_GRADIENT] = {MUSTER_DTYPE_FLOAT32, K}};

static size_t bytes_of(enum exchange_kind kind, int64_t rows)
{
    return (size_t)rows * kinds[kind].features * sizeof(real);
}

muster_status exchange_open(struct exchange *exchange, struct device *device, muster_error *error)
{
    exchange->device = device;
    muster_status status = MUSTER_OK;
    for (int i = 0; i < EXCHANGE_KINDS && status == MUSTER_OK; i++) {
        const size_t bytes = bytes_of(i, BATCH_ROWS_MAX);
        status = device_allocate(device, bytes, &exchange->device_own[i], error);
        if (status == MUSTER_OK) {
            status = device_allocate(device, bytes, &exchange->device_all[i], error);
        }
    }
    return status;
}

void exchange_free(struct exchange *exchange)
{
    for (int i = 0; i < EXCHANGE_KINDS; i++) {
        if (exchange->all[i] != NULL) {
            (void)muster_memory_free(exchange->job, exchange->all[i]);
        }
        exchange->all[i] = NULL;
    }
    free(exchange->lengths);
    exchange->lengths = NULL;
}

muster_status exchange_make(struct exchange *exchange, muster_job *job, muster_error *error)
{
    exchange_free(exchange);
    exchange->job = job;
    exchange->world = muster_job_world(job);
    exchange->size = muster_comm_size(exchange->world);
    exchange->lengths = calloc((size_t)exchange->size, sizeof *exchange->lengths);
    if (exchange->lengths == NULL) {
        return MUSTER_ERR_NO_MEMORY;
    }
    muster_status status = MUSTER_OK;
    if (muster_comm_rank(exchange->world) == ROOT) {
        for (int i = 0; i < EXCHANGE_KINDS && status == MUSTER_OK; i++) {
            status =
                muster_memory_alloc(job, bytes_of(i, BATCH_ROWS_MAX), &exchange->all[i], error);
        }
    }
    return status;
}

/* Rows of one kind that travel together with others: where the maths of this rank has its own. */
struct part {
    enum exchange_kind kind;
    void *own;
};

/* Adds rows of one kind to a batch: own rows here, all rows on the root (told by its capacity, so that
 * too many rows are refused). On an error the batch is gone. */
static muster_status add(const struct exchange *exchange, muster_batch *batch, struct part part,
                         int64_t own_rows, muster_error *error)
{
    const muster_dtype dtype = kinds[part.kind].dtype;
    const int64_t features = (int64_t)kinds[part.kind].features;
    muster_tensor own = device_tensor(exchange->device, part.own, exchange->device_own[part.kind],
                                      dtype, own_rows, features);
    muster_tensor all =
        device_tensor(exchange->device, exchange->all[part.kind], exchange->device_all[part.kind],
                      dtype, BATCH_ROWS_MAX, features);
    muster_root_rows root_rows = {.struct_bytes = sizeof root_rows, .contiguous = &all};
    muster_status status = muster_batch_add(batch, &own, &root_rows, error);
    if (status != MUSTER_OK) {
        muster_batch_abandon(batch);
    }
    return status;
}

/* With a device plane OK means agreed and enqueued; a rank that wants to look at the rows waits first. */
static muster_status arrive(const struct exchange *exchange, muster_error *error)
{
    return device_in_use(exchange->device) ? muster_comm_synchronize(exchange->world, error)
                                           : MUSTER_OK;
}

/* Several kinds of rows of one layout, in one batch, to exchange->all of the root. */
static muster_status gather(struct exchange *exchange, const struct part *parts, int count,
                            int64_t own_rows, muster_error *error)
{
    muster_status status = MUSTER_OK;
    for (int i = 0; i < count && status == MUSTER_OK; i++) {
        status = device_write(exchange->device, exchange->device_own[parts[i].kind], parts[i].own,
                              bytes_of(parts[i].kind, own_rows), error);
    }
    muster_batch *batch = NULL;
    if (status == MUSTER_OK) {
        status = muster_batch_gatherv_begin(exchange->world, exchange->lengths, exchange->size,
                                            ROOT, &batch, error);
    }
    for (int i = 0; i < count && status == MUSTER_OK; i++) {
        status = add(exchange, batch, parts[i], own_rows, error);
    }
    if (status == MUSTER_OK) {
        status = muster_batch_run(batch, error);
    }
    /* Nobody but the root looks at anything: its scatter comes next on the same stream. */
    if (status != MUSTER_OK || muster_comm_rank(exchange->world) != ROOT) {
        return status;
    }
    status = arrive(exchange, error);
    for (int i = 0; i < count && status == MUSTER_OK; i++) {
        status = device_read(exchange->device, exchange->all[parts[i].kind],
                             exchange->device_all[parts[i].kind],
                             bytes_of(parts[i].kind, exchange->rows), error);
    }
    return status;
}

/* From exchange->all of the root to everyone. */
static muster_status scatter(struct exchange *exchange, const struct part *parts, int count,
                             int64_t own_rows, muster_error *error)
{
    muster_status status = MUSTER_OK;
    if (muster_comm_rank(exchange->world) == ROOT) {
        for (int i = 0; i < count && status == MUSTER_OK; i++) {
            status = device_write(exchange->device, exchange->device_all[parts[i].kind],
                                  exchange->all[parts[i].kind],
                                  bytes_of(parts[i].kind, exchange->rows), error);
        }
    }
    muster_batch *batch = NULL;
    if (status == MUSTER_OK) {
        status = muster_batch_scatterv_begin(exchange->world, exchange->lengths, exchange->size,
                                             ROOT, &batch, error);
    }
    for (int i = 0; i < count && status == MUSTER_OK; i++) {
        status = add(exchange, batch, parts[i], own_rows, error);
    }
    if (status == MUSTER_OK) {
        status = muster_batch_run(batch, error);
    }
    if (status == MUSTER_OK) {
        status = arrive(exchange, error);
    }
    for (int i = 0; i < count && status == MUSTER_OK; i++) {
        status = device_read(exchange->device, parts[i].own, exchange->device_own[parts[i].kind],
                             bytes_of(parts[i].kind, own_rows), error);
    }
    return status;
}

static void run_experts(struct exchange *exchange, const real *experts)
{
    const real *hidden = exchange->all[EXCHANGE_HIDDEN];
    const int32_t *chosen = exchange->all[EXCHANGE_CHOSEN];
    const real *weights = exchange->all[EXCHANGE_WEIGHTS];
    real *out = exchange->all[EXCHANGE_OUT];
    for (int64_t t = 0; t < exchange->rows; t += ROWS_BETWEEN_MARKS) {
        int64_t left = exchange->rows - t;
        muster_progress(exchange->job);
        experts_forward(experts, hidden + t * H, chosen + t * K, weights + t * K,
                        left < ROWS_BETWEEN_MARKS ? left : ROWS_BETWEEN_MARKS, out + t * H);
    }
}

static void run_experts_backward(struct exchange *exchange, const real *experts,
                                 real *experts_gradient)
{
    const real *hidden = exchange->all[EXCHANGE_HIDDEN];
    const int32_t *chosen = exchange->all[EXCHANGE_CHOSEN];
    const real *weights = exchange->all[EXCHANGE_WEIGHTS];
    const real *out_gradient = exchange->all[EXCHANGE_OUT];
    real *hidden_gradient = exchange->all[EXCHANGE_HIDDEN_GRADIENT];
    real *weight_gradient = exchange->all[EXCHANGE_WEIGHT_GRADIENT];
    for (int64_t t = 0; t < exchange->rows; t += ROWS_BETWEEN_MARKS) {
        int64_t left = exchange->rows - t;
        muster_progress(exchange->job);
        experts_backward(experts, hidden + t * H, chosen + t * K, weights + t * K,
                         left < ROWS_BETWEEN_MARKS ? left : ROWS_BETWEEN_MARKS,
                         out_gradient + t * H, hidden_gradient + t * H, weight_gradient + t * K,
                         experts_gradient);
    }
}

muster_status exchange_forward(struct exchange *exchange, const real *experts, int64_t own_rows,
                               const struct model_routing *routing, real *out, muster_error *error)
{
    muster_status status = muster_allgather_lengths(exchange->world, own_rows, exchange->lengths,
                                                    exchange->size, error);
    if (status != MUSTER_OK) {
        return status;
    }
    exchange->rows = 0;
    for (int32_t r = 0; r < exchange->size; r++) {
        exchange->rows += exchange->lengths[r];
    }
    const struct part routed[] = {{EXCHANGE_HIDDEN, routing->hidden},
                                  {EXCHANGE_CHOSEN, routing->chosen},
                                  {EXCHANGE_WEIGHTS, routing->weights}};
    status = gather(exchange, routed, 3, own_rows, error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (muster_comm_rank(exchange->world) == ROOT) {
        run_experts(exchange, experts);
    }
    const struct part returned = {EXCHANGE_OUT, out};
    return scatter(exchange, &returned, 1, own_rows, error);
}

muster_status exchange_backward(struct exchange *exchange, const real *experts, int64_t own_rows,
                                const real *out_gradient, real *hidden_gradient,
                                real *weight_gradient, real *experts_gradient, muster_error *error)
{
    /* The result was scattered long ago: its room takes its gradient. A gather only reads the own rows, so
     * the const may be cast away. */
    const struct part out = {EXCHANGE_OUT, (void *)(uintptr_t)out_gradient};
    muster_status status = gather(exchange, &out, 1, own_rows, error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (muster_comm_rank(exchange->world) == ROOT) {
        run_experts_backward(exchange, experts, experts_gradient);
    }
    const struct part gradients[] = {{EXCHANGE_HIDDEN_GRADIENT, hidden_gradient},
                                     {EXCHANGE_WEIGHT_GRADIENT, weight_gradient}};
    return scatter(exchange, gradients, 2, own_rows, error);
}
