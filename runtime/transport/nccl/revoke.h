/* SPDX-License-Identifier: Apache-2.0 */
/* A loss: all of a device's communicators are ended, but the healthy ones where that is wanted. */
#ifndef MUSTER_TRANSPORT_NCCL_REVOKE_H
#define MUSTER_TRANSPORT_NCCL_REVOKE_H

#include <stdbool.h>

#include "transport/nccl/device.h"

/* As transport/device.h has them. */
void muster_nccl_revoke(muster_device *device, bool keep_healthy);
muster_status muster_nccl_revoke_await(muster_device *device, muster_error *error);
void muster_nccl_revoke_revive(muster_device *device);

#endif
