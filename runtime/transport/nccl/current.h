/* SPDX-License-Identifier: Apache-2.0 */
/* What CUDA keeps for the calling thread, which is the application's: changed for a moment, put back.
 *
 * The current device. It is put back as a context of the driver, and as none where the thread had none:
 * since CUDA 12 cudaSetDevice makes the device's context, and every rank of a host would hold some hundred
 * megabytes of device 0, which is current where nobody has chosen one. Every call that may need a context is
 * made in between, also the query of an event: the runtime would make the one of the current device.
 *
 * The mode of captures. While any thread captures a stream in the global mode, which is the default, a query of
 * an event by another thread fails, and that capture with it; relaxed, the thread may ask. */
#ifndef MUSTER_TRANSPORT_NCCL_CURRENT_H
#define MUSTER_TRANSPORT_NCCL_CURRENT_H

#include <muster/status.h>

#include "transport/nccl/device.h"

typedef struct muster_nccl_current {
    int device;    /* without contexts */
    void *context; /* NULL: none */
    enum cudaStreamCaptureMode capture_mode;
} muster_nccl_current;

muster_status muster_nccl_current_set(const muster_device *device, muster_nccl_current *current,
                                      muster_error *error);
/* Only after a set that succeeded. */
void muster_nccl_current_restore(const muster_device *device, const muster_nccl_current *current);

/* For the device's own thread, once: makes the device's context, and both current for good. What cudaSetDevice
 * said. */
cudaError_t muster_nccl_current_begin(muster_device *device);

#endif
