/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of one communicator: a queue, in which
 *
 *   WAITING --> GROUP --------> RECORDED --> DONE
 *   NCCL is     NCCL's thread   an event     the event
 *   busy        enqueues it     stands       has passed
 *               on the stream   behind it
 *
 * Only one group can be in progress on a communicator: NCCL refuses the next one, so that waits here. */
#ifndef MUSTER_TRANSPORT_NCCL_BATCH_H
#define MUSTER_TRANSPORT_NCCL_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "transport/device.h"

muster_status muster_nccl_batch_submit(muster_device_comm *comm, void *stream,
                                       const muster_transport_operation *operations,
                                       size_t operation_count, muster_device_batch **batch,
                                       muster_error *error);
muster_status muster_nccl_batch_progress(muster_device_batch *batch, bool *enqueued, bool *done,
                                         muster_error *error);
/* One that is not done is forgotten by its caller only: it goes on. */
void muster_nccl_batch_release(muster_device_batch *batch);

/* Pushes the queue; *enqueued: nothing is WAITING or in a GROUP. */
muster_status muster_nccl_batch_all_enqueued(muster_device_comm *comm, bool *enqueued,
                                             muster_error *error);
/* That nothing is in flight. Any thread. */
bool muster_nccl_batch_all_done(muster_device_comm *comm);
/* Frees what nobody holds any more; the comm has ended. */
void muster_nccl_batch_drop_all(muster_device_comm *comm);

#endif
