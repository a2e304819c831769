/* SPDX-License-Identifier: Apache-2.0 */
/* How a communicator comes to be: by ids over the control plane, or out of the one of the epoch before. */
#ifndef MUSTER_TRANSPORT_NCCL_CONNECT_H
#define MUSTER_TRANSPORT_NCCL_CONNECT_H

#include "transport/device.h"

/* As transport/device.h has them. */
int32_t muster_nccl_connect_id_count(const muster_device *device, int32_t rank_count);
int32_t muster_nccl_connect_id_root(int32_t id, int32_t id_count, int32_t rank_count);
muster_status muster_nccl_connect_make_id(muster_device *device, muster_device_id *id,
                                          muster_error *error);
muster_status muster_nccl_connect(muster_device *device,
                                  const muster_device_connect_options *options,
                                  muster_device_comm **comm, muster_error *error);
muster_status muster_nccl_connect_shrink(muster_device_comm *parent, const int32_t *excluded,
                                         int32_t excluded_count,
                                         const muster_device_connect_options *options,
                                         muster_device_comm **comm, muster_error *error);

#endif
