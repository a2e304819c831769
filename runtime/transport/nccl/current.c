/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/current.h"

#include <string.h>

#include "transport/nccl/failure.h"

/* As of which version the driver's functions are wanted; theirs have not changed since CUDA 4. */
enum { DRIVER_VERSION = 12000 };

/* A number of the driver's errors is the runtime's. */
static muster_status set_context(const muster_device *device, muster_nccl_current *current,
                                 muster_error *error)
{
    int code = device->context_get(&current->context);
    if (code != 0)
        return muster_nccl_failure_cuda(&device->library, (cudaError_t)code, "cuCtxGetCurrent",
                                        error);
    if (current->context == device->context)
        return MUSTER_OK;
    code = device->context_set(device->context);
    if (code != 0)
        return muster_nccl_failure_cuda(&device->library, (cudaError_t)code, "cuCtxSetCurrent",
                                        error);
    return MUSTER_OK;
}

static muster_status set_device(const muster_device *device, muster_nccl_current *current,
                                muster_error *error)
{
    const muster_nccl_library *library = &device->library;
    cudaError_t code = library->cudaGetDevice(&current->device);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda(library, code, "cudaGetDevice", error);
    if (current->device == device->index)
        return MUSTER_OK;
    code = library->cudaSetDevice(device->index);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda(library, code, "cudaSetDevice", error);
    return MUSTER_OK;
}

/* It was current a moment ago: a failure now is the device's own, and its next call tells it. */
static void put_back(const muster_device *device, const muster_nccl_current *current)
{
    if (device->context != NULL) {
        if (current->context != device->context)
            (void)device->context_set(current->context);
    } else if (current->device != device->index) {
        (void)device->library.cudaSetDevice(current->device);
    }
}

muster_status muster_nccl_current_set(const muster_device *device, muster_nccl_current *current,
                                      muster_error *error)
{
    const muster_nccl_library *library = &device->library;
    const muster_status status = device->context != NULL ? set_context(device, current, error)
                                                         : set_device(device, current, error);
    if (status != MUSTER_OK)
        return status;
    current->capture_mode = cudaStreamCaptureModeRelaxed;
    const cudaError_t code = library->cudaThreadExchangeStreamCaptureMode(&current->capture_mode);
    if (code == cudaSuccess)
        return MUSTER_OK;
    put_back(device, current);
    return muster_nccl_failure_cuda(library, code, "cudaThreadExchangeStreamCaptureMode", error);
}

void muster_nccl_current_restore(const muster_device *device, const muster_nccl_current *current)
{
    enum cudaStreamCaptureMode mode = current->capture_mode;
    (void)device->library.cudaThreadExchangeStreamCaptureMode(&mode);
    put_back(device, current);
}

/* On a thread on which the device is current: the look-up may need a context. */
static void find_context(muster_device *device)
{
    const muster_nccl_library *library = &device->library;
    void *get = NULL, *set = NULL;
    int found = 0;
    if (library->cudaGetDriverEntryPointByVersion == NULL ||
        library->cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &get, DRIVER_VERSION, 0,
                                                  &found) != cudaSuccess ||
        library->cudaGetDriverEntryPointByVersion("cuCtxSetCurrent", &set, DRIVER_VERSION, 0,
                                                  &found) != cudaSuccess ||
        get == NULL || set == NULL)
        return;
    memcpy(&device->context_get, &get, sizeof(get));
    memcpy(&device->context_set, &set, sizeof(set));
    if (device->context_get(&device->context) != 0)
        device->context = NULL;
}

cudaError_t muster_nccl_current_begin(muster_device *device)
{
    const muster_nccl_library *library = &device->library;
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    const cudaError_t code = library->cudaSetDevice(device->index);
    if (code != cudaSuccess)
        return code;
    (void)library->cudaThreadExchangeStreamCaptureMode(&mode);
    find_context(device);
    return cudaSuccess;
}
