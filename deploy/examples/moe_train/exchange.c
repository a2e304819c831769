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

void exchange_free(struct exchange *exchange)
{
    void *const memory[] = {exchange->hidden, exchange->chosen,          exchange->weights,
                            exchange->out,    exchange->hidden_gradient, exchange->weight_gradient};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        if (memory[i] != NULL) {
            (void)muster_memory_free(exchange->job, memory[i]);
        }
    }
    free(exchange->lengths);
    memset(exchange, 0, sizeof *exchange);
}

static muster_status allocate(muster_job *job, size_t features, void **memory, muster_error *error)
{
    return muster_memory_alloc(job, BATCH_ROWS_MAX * features * sizeof(real), memory, error);
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
    if (muster_comm_rank(exchange->world) != ROOT) {
        return MUSTER_OK;
    }
    void *memory[6] = {NULL};
    static const size_t features[6] = {H, K, K, H, H, K};
    muster_status status = MUSTER_OK;
    for (int i = 0; i < 6 && status == MUSTER_OK; i++) {
        status = allocate(job, features[i], &memory[i], error);
    }
    exchange->hidden = memory[0];
    exchange->chosen = memory[1];
    exchange->weights = memory[2];
    exchange->out = memory[3];
    exchange->hidden_gradient = memory[4];
    exchange->weight_gradient = memory[5];
    return status;
}

/* Adds one tensor of `features` a row to a batch: own rows here, all rows on the root (told by its
 * capacity, so that too many rows are refused). On an error the batch is gone. */
static muster_status add(muster_batch *batch, muster_dtype dtype, int64_t features,
                         int64_t own_rows, void *own, void *all, muster_error *error)
{
    muster_tensor own_tensor = muster_tensor_host(own, dtype, own_rows, features);
    muster_tensor all_tensor = muster_tensor_host(all, dtype, BATCH_ROWS_MAX, features);
    muster_root_rows root_rows = {.struct_bytes = sizeof root_rows, .contiguous = &all_tensor};
    muster_status status = muster_batch_add(batch, &own_tensor, &root_rows, error);
    if (status != MUSTER_OK) {
        muster_batch_abandon(batch);
    }
    return status;
}

/* Hidden rows, choices and weights: three tensors of one layout in one batch. */
static muster_status gather_routed(struct exchange *exchange, int64_t own_rows,
                                   const struct model_routing *routing, muster_error *error)
{
    muster_batch *batch = NULL;
    muster_status status = muster_batch_gatherv_begin(exchange->world, exchange->lengths,
                                                      exchange->size, ROOT, &batch, error);
    if (status != MUSTER_OK) {
        return status;
    }
    status =
        add(batch, MUSTER_DTYPE_FLOAT32, H, own_rows, routing->hidden, exchange->hidden, error);
    if (status != MUSTER_OK) {
        return status;
    }
    status = add(batch, MUSTER_DTYPE_INT32, K, own_rows, routing->chosen, exchange->chosen, error);
    if (status != MUSTER_OK) {
        return status;
    }
    status =
        add(batch, MUSTER_DTYPE_FLOAT32, K, own_rows, routing->weights, exchange->weights, error);
    if (status != MUSTER_OK) {
        return status;
    }
    return muster_batch_run(batch, error);
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
    status = gather_routed(exchange, own_rows, routing, error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (muster_comm_rank(exchange->world) == ROOT) {
        for (int64_t t = 0; t < exchange->rows; t += ROWS_BETWEEN_MARKS) {
            int64_t left = exchange->rows - t;
            muster_progress(exchange->job);
            experts_forward(experts, exchange->hidden + t * H, exchange->chosen + t * K,
                            exchange->weights + t * K,
                            left < ROWS_BETWEEN_MARKS ? left : ROWS_BETWEEN_MARKS,
                            exchange->out + t * H);
        }
    }
    muster_tensor all = muster_tensor_host(exchange->out, MUSTER_DTYPE_FLOAT32, BATCH_ROWS_MAX, H);
    muster_root_rows root_rows = {.struct_bytes = sizeof root_rows, .contiguous = &all};
    muster_tensor own = muster_tensor_host(out, MUSTER_DTYPE_FLOAT32, own_rows, H);
    return muster_scatterv(exchange->world, &root_rows, exchange->lengths, exchange->size, ROOT,
                           &own, error);
}

static void run_experts_backward(struct exchange *exchange, const real *experts,
                                 real *experts_gradient)
{
    for (int64_t t = 0; t < exchange->rows; t += ROWS_BETWEEN_MARKS) {
        int64_t left = exchange->rows - t;
        muster_progress(exchange->job);
        experts_backward(
            experts, exchange->hidden + t * H, exchange->chosen + t * K, exchange->weights + t * K,
            left < ROWS_BETWEEN_MARKS ? left : ROWS_BETWEEN_MARKS, exchange->out + t * H,
            exchange->hidden_gradient + t * H, exchange->weight_gradient + t * K, experts_gradient);
    }
}

muster_status exchange_backward(struct exchange *exchange, const real *experts, int64_t own_rows,
                                const real *out_gradient, real *hidden_gradient,
                                real *weight_gradient, real *experts_gradient, muster_error *error)
{
    /* exchange->out holds the gradient of out from here on; the result was scattered long ago. A
     * gather only reads the own rows, so the const may be cast away. */
    muster_tensor all = muster_tensor_host(exchange->out, MUSTER_DTYPE_FLOAT32, BATCH_ROWS_MAX, H);
    muster_root_rows root_rows = {.struct_bytes = sizeof root_rows, .contiguous = &all};
    muster_tensor own =
        muster_tensor_host((void *)(uintptr_t)out_gradient, MUSTER_DTYPE_FLOAT32, own_rows, H);
    muster_status status = muster_gatherv(exchange->world, &own, exchange->lengths, exchange->size,
                                          ROOT, &root_rows, error);
    if (status != MUSTER_OK) {
        return status;
    }
    if (muster_comm_rank(exchange->world) == ROOT) {
        run_experts_backward(exchange, experts, experts_gradient);
    }
    muster_batch *batch = NULL;
    status = muster_batch_scatterv_begin(exchange->world, exchange->lengths, exchange->size, ROOT,
                                         &batch, error);
    if (status != MUSTER_OK) {
        return status;
    }
    status = add(batch, MUSTER_DTYPE_FLOAT32, H, own_rows, hidden_gradient,
                 exchange->hidden_gradient, error);
    if (status != MUSTER_OK) {
        return status;
    }
    status = add(batch, MUSTER_DTYPE_FLOAT32, K, own_rows, weight_gradient,
                 exchange->weight_gradient, error);
    if (status != MUSTER_OK) {
        return status;
    }
    return muster_batch_run(batch, error);
}
