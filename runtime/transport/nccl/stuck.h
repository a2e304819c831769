/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL did not let go of this rank's buffers: nothing in this process can help that. */
#ifndef MUSTER_TRANSPORT_NCCL_STUCK_H
#define MUSTER_TRANSPORT_NCCL_STUCK_H

#include <stdbool.h>

#include "transport/nccl/device.h"

/* Both return MUSTER_ERR_DEVICE_STUCK, or with exit_when_stuck end the process. */
/* inside: a thread is inside NCCL, or keeps a borrowed communicator; else the abort itself takes too long. */
muster_status muster_nccl_stuck_late(const muster_device *device, bool inside, muster_error *error);
muster_status muster_nccl_stuck_failed(const muster_device *device, ncclResult_t result,
                                       muster_error *error);

#endif
