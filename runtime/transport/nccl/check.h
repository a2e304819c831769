/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and stream, looked at before a group starts: a bad one inside it would poison the whole group. */
#ifndef MUSTER_TRANSPORT_NCCL_CHECK_H
#define MUSTER_TRANSPORT_NCCL_CHECK_H

#include <stddef.h>

#include "transport/device.h"

muster_status muster_nccl_check_memory(muster_device *device, const void *data, size_t bytes,
                                       muster_error *error);
muster_status muster_nccl_check_stream(muster_device *device, void *stream, muster_error *error);

#endif
