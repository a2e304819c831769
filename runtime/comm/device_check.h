/* SPDX-License-Identifier: Apache-2.0 */
/* What this rank can find out alone about device memory. The findings go into the round. */
#ifndef MUSTER_COMM_DEVICE_CHECK_H
#define MUSTER_COMM_DEVICE_CHECK_H

#include <stdbool.h>

#include "comm/comm.h"

/* True where comm moves device tensors. */
bool muster_device_check_allowed(const muster_comm *comm);

/* That `bytes` of a tensor (checked by muster_tensor_check) lie where its kind of memory says, which is
 * also that of its batch; *kind is the batch's, 0 before its first tensor. MUSTER_OK;
 * MUSTER_ERR_MEMORY_KIND; MUSTER_ERR_WRONG_DEVICE; MUSTER_ERR_DEVICE_CALL. */
muster_status muster_device_check_tensor(const muster_comm *comm, const muster_tensor *tensor,
                                         size_t bytes, int32_t *kind, muster_error *error);

/* That the communicator's stream takes work. MUSTER_OK; MUSTER_ERR_STREAM; MUSTER_ERR_DEVICE_CALL. */
muster_status muster_device_check_stream(const muster_comm *comm, muster_error *error);

/* That data may be read by the host: for calls that take host memory only. MUSTER_ERR_MEMORY_KIND. */
muster_status muster_device_check_host(const muster_job *job, const void *data, size_t bytes,
                                       const char *call, muster_error *error);

#endif
