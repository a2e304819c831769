/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/failure.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* With the call and NCCL's own text for the code it is about a sentence's length. */
#define LAST_WORDS_BYTES 144

static muster_status set_native(muster_error *error, muster_status status, int native_code)
{
    if (error != NULL && error->struct_bytes >= sizeof(*error))
        error->native_code = (int32_t)native_code;
    return status;
}

muster_status muster_nccl_failure(const muster_nccl_library *library, ncclResult_t result,
                                  const char *call, muster_error *error)
{
    const char *last = library->ncclGetLastError(NULL);
    const bool more = last != NULL && last[0] != '\0';
    char words[LAST_WORDS_BYTES];
    /* Its last words first: they have the cause, and another rank's error has room for less. */
    muster_error_shorten(words, sizeof(words), more ? last : library->ncclGetErrorString(result));
    muster_error_set(error, MUSTER_ERR_DEVICE_CALL, MUSTER_FIELD_NONE, 0, 0,
                     "%s: NCCL error %d: %s%s%s%s", call, (int)result, words, more ? " (" : "",
                     more ? library->ncclGetErrorString(result) : "", more ? ")" : "");
    return set_native(error, MUSTER_ERR_DEVICE_CALL, (int)result);
}

muster_status muster_nccl_failure_cuda_as(const muster_nccl_library *library, cudaError_t code,
                                          const char *call, muster_status status,
                                          const char *sentence, muster_error *error)
{
    (void)library->cudaGetLastError();
    muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0, "%s%s%s: CUDA error %d %s, %s",
                     sentence != NULL ? sentence : "", sentence != NULL ? "; " : "", call,
                     (int)code, library->cudaGetErrorName(code), library->cudaGetErrorString(code));
    return set_native(error, status, (int)code);
}

muster_status muster_nccl_failure_cuda(const muster_nccl_library *library, cudaError_t code,
                                       const char *call, muster_error *error)
{
    return muster_nccl_failure_cuda_as(library, code, call, MUSTER_ERR_DEVICE_CALL, NULL, error);
}

muster_status muster_nccl_failure_revoked(muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_RANK_LOST, MUSTER_FIELD_NONE, 0, 0,
                            "the device plane was revoked: a rank of this epoch was lost; call "
                            "muster_comm_rebuild");
}
