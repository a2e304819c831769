/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/current.h"

#include "transport/nccl/failure.h"

muster_status muster_nccl_current_set(const muster_device *device, muster_nccl_current *current,
                                      muster_error *error)
{
    const muster_nccl_library *library = &device->library;
    cudaError_t code = library->cudaGetDevice(&current->before);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda(library, code, "cudaGetDevice", error);
    if (current->before == device->index)
        return MUSTER_OK;
    code = library->cudaSetDevice(device->index);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda(library, code, "cudaSetDevice", error);
    return MUSTER_OK;
}

void muster_nccl_current_restore(const muster_device *device, const muster_nccl_current *current)
{
    /* It was current a moment ago: a failure now is the device's own, and its next call tells it. */
    if (current->before != device->index)
        (void)device->library.cudaSetDevice(current->before);
}
