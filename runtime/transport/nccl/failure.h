/* SPDX-License-Identifier: Apache-2.0 */
/* Failures of CUDA and NCCL as errors of Muster: the native code, its text and the call. */
#ifndef MUSTER_TRANSPORT_NCCL_FAILURE_H
#define MUSTER_TRANSPORT_NCCL_FAILURE_H

#include <muster/status.h>

#include "transport/nccl/library.h"

/* MUSTER_ERR_DEVICE_CALL. */
muster_status muster_nccl_failure(const muster_nccl_library *library, ncclResult_t result,
                                  const char *call, muster_error *error);
/* The same for CUDA; forgets the runtime's last error, which would else be told to the application at its
 * own next check. */
muster_status muster_nccl_failure_cuda(const muster_nccl_library *library, cudaError_t code,
                                       const char *call, muster_error *error);
/* As above with a status and a sentence of the caller's own before the native one. */
muster_status muster_nccl_failure_cuda_as(const muster_nccl_library *library, cudaError_t code,
                                          const char *call, muster_status status,
                                          const char *sentence, muster_error *error);
/* MUSTER_ERR_RANK_LOST: the plane was revoked. */
muster_status muster_nccl_failure_revoked(muster_error *error);

#endif
