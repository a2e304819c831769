/* SPDX-License-Identifier: Apache-2.0 */
/* Events of one communicator, used again and again: making one takes longer than a batch. */
#ifndef MUSTER_TRANSPORT_NCCL_EVENTS_H
#define MUSTER_TRANSPORT_NCCL_EVENTS_H

#include <stddef.h>

#include "transport/nccl/device.h"

typedef struct muster_nccl_events {
    cudaEvent_t *idle;
    size_t idle_count;
    size_t capacity;
    size_t made; /* idle or taken */
} muster_nccl_events;

/* The device must be current. MUSTER_ERR_NO_MEMORY, MUSTER_ERR_DEVICE_CALL. */
muster_status muster_nccl_events_take(muster_nccl_events *events, const muster_device *device,
                                      cudaEvent_t *event, muster_error *error);
/* An event that is still pending may be put back: the next record overwrites it. */
void muster_nccl_events_put(muster_nccl_events *events, cudaEvent_t event);
/* Destroys the idle ones; all must be back. */
void muster_nccl_events_clean_up(muster_nccl_events *events, const muster_device *device);

#endif
