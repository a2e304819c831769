/* SPDX-License-Identifier: Apache-2.0 */
/* The current device of the calling thread, which is the application's: changed for a moment, put back. */
#ifndef MUSTER_TRANSPORT_NCCL_CURRENT_H
#define MUSTER_TRANSPORT_NCCL_CURRENT_H

#include <muster/status.h>

#include "transport/nccl/device.h"

typedef struct muster_nccl_current {
    int before;
} muster_nccl_current;

muster_status muster_nccl_current_set(const muster_device *device, muster_nccl_current *current,
                                      muster_error *error);
/* Only after a set that succeeded. */
void muster_nccl_current_restore(const muster_device *device, const muster_nccl_current *current);

#endif
