/* SPDX-License-Identifier: Apache-2.0 */
/* What one call moves between hosts: SENDs and RECEIVEs. A mesh has one batch, used again and again. */
#ifndef MUSTER_TRANSPORT_TCP_BATCH_H
#define MUSTER_TRANSPORT_TCP_BATCH_H

#include "transport/tcp/mesh.h"

typedef struct muster_tcp_step {
    muster_transport_operation operation;
    size_t moved_bytes;
    bool expected; /* RECEIVE: the flow knows its memory */
    bool complete;
} muster_tcp_step;

typedef struct muster_tcp_batch {
    muster_tcp_mesh *mesh;
    muster_tcp_step *steps;
    size_t step_count;
    size_t step_capacity;
    size_t first_open;
    uint64_t pass;
    bool live;
} muster_tcp_batch;

void muster_tcp_batch_init(muster_tcp_batch *batch, muster_tcp_mesh *mesh);
void muster_tcp_batch_clean_up(muster_tcp_batch *batch);

/* False when memory ran out. */
bool muster_tcp_batch_reserve(muster_tcp_batch *batch, size_t operation_count);
/* One operation of the next batch; within what was reserved. */
void muster_tcp_batch_add(muster_tcp_batch *batch, const muster_transport_operation *operation);
void muster_tcp_batch_begin(muster_tcp_batch *batch);
void muster_tcp_batch_progress(muster_tcp_batch *batch, bool *done, bool *moved);
/* Adds the ranks that it waits for. */
void muster_tcp_batch_missing(const muster_tcp_batch *batch, muster_rank_set *missing);
/* On return nothing of the batch is touched any more; an incomplete one breaks its mesh. */
void muster_tcp_batch_release(muster_tcp_batch *batch);

#endif
