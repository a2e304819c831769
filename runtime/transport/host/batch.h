/* SPDX-License-Identifier: Apache-2.0 */
/* What one call moves. A transport has one batch, used again and again. */
#ifndef MUSTER_TRANSPORT_HOST_BATCH_H
#define MUSTER_TRANSPORT_HOST_BATCH_H

#include "transport/transport.h"

typedef struct muster_host_step {
    muster_transport_operation operation;
    void *peer_memory; /* WRITE, READ: where the peer's memory is mapped here */
    size_t moved_bytes;
    bool complete;
} muster_host_step;

struct muster_transport_batch {
    muster_transport *transport;
    muster_host_step *steps;
    size_t step_count;
    size_t step_capacity;
    size_t first_open; /* the steps before this one are complete */
    uint64_t pass;
    bool live;
    bool broken; /* an incomplete one was released: counters and rings no longer agree */
};

muster_status muster_host_batch_init(muster_transport_batch *batch, muster_transport *transport,
                                     muster_error *error);
void muster_host_batch_clean_up(muster_transport_batch *batch);

muster_status muster_host_batch_reserve(muster_transport *transport, size_t operation_count,
                                        muster_error *error);
muster_status muster_host_batch_submit(muster_transport *transport,
                                       const muster_transport_operation *operations,
                                       size_t operation_count, muster_transport_batch **batch,
                                       muster_error *error);
muster_status muster_host_batch_progress(muster_transport_batch *batch, bool *done, bool *moved,
                                         muster_error *error);
void muster_host_batch_missing(muster_transport_batch *batch, muster_rank_set *missing);
void muster_host_batch_release(muster_transport_batch *batch);

#endif
