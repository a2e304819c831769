/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/check.h"

#include "base/error.h"
#include "transport/nccl/current.h"
#include "transport/nccl/failure.h"

/* A runtime that is newer than the header this was built with may write more than the header's struct. */
typedef union attributes_room {
    struct cudaPointerAttributes attributes;
    char room[256];
} attributes_room;

static muster_status check_address(const muster_device *device, const void *address,
                                   muster_error *error)
{
    const muster_nccl_library *library = &device->library;
    attributes_room of;
    of.attributes = (struct cudaPointerAttributes){.type = cudaMemoryTypeUnregistered};
    const cudaError_t code = library->cudaPointerGetAttributes(&of.attributes, address);
    /* So runtimes before CUDA 11 say that they do not know the address. */
    if (code == cudaErrorInvalidValue) {
        (void)library->cudaGetLastError();
        of.attributes.type = cudaMemoryTypeUnregistered;
    } else if (code != cudaSuccess) {
        return muster_nccl_failure_cuda(library, code, "cudaPointerGetAttributes", error);
    }
    if (of.attributes.type == cudaMemoryTypeManaged)
        return MUSTER_OK;
    if (of.attributes.type != cudaMemoryTypeDevice)
        return muster_error_set(error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_BUFFER,
                                MUSTER_MEMORY_DEVICE, MUSTER_MEMORY_HOST,
                                "the tensor says device memory, and %p is host memory: give "
                                "memory of device %d, or describe it with muster_tensor_host",
                                address, (int)device->index);
    if (of.attributes.device != device->index)
        return muster_error_set(error, MUSTER_ERR_WRONG_DEVICE, MUSTER_FIELD_BUFFER, device->index,
                                of.attributes.device,
                                "%p is memory of device %d, and this rank moves that of device %d",
                                address, of.attributes.device, (int)device->index);
    return MUSTER_OK;
}

muster_status muster_nccl_check_memory(muster_device *device, const void *data, size_t bytes,
                                       muster_error *error)
{
    const char *first = data;
    muster_nccl_current current;
    muster_status status = muster_nccl_current_set(device, &current, error);
    if (status != MUSTER_OK)
        return status;
    status = check_address(device, first, error);
    /* Both ends: a buffer may be sewn together of several allocations, but not run out of them. */
    if (status == MUSTER_OK && bytes > 1)
        status = check_address(device, first + bytes - 1, error);
    muster_nccl_current_restore(device, &current);
    return status;
}

static muster_status refuse_stream(const muster_nccl_library *library, cudaError_t code,
                                   const char *call, muster_error *error)
{
    switch ((int)code) {
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorStreamCaptureIsolation:
    case cudaErrorStreamCaptureWrongThread:
        return muster_nccl_failure_cuda_as(library, code, call, MUSTER_ERR_STREAM,
                                           "a capture of this process forbids work on the stream",
                                           error);
    case cudaErrorInvalidResourceHandle:
    case cudaErrorContextIsDestroyed:
        return muster_nccl_failure_cuda_as(library, code, call, MUSTER_ERR_STREAM,
                                           "the stream is none, or of another device", error);
    default:
        return muster_nccl_failure_cuda(library, code, call, error);
    }
}

static muster_status check_stream(const muster_device *device, cudaStream_t stream,
                                  muster_error *error)
{
    const muster_nccl_library *library = &device->library;
    enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    /* A communicator that does not block enqueues on a thread of NCCL's own (groupLaunchNonBlocking, in its
     * group.cc), and there the handle means that thread's stream: rows would be moved before the caller's own
     * work on them is done, and the event that says so would pass at once. */
    if (stream == cudaStreamPerThread)
        return muster_error_set(error, MUSTER_ERR_STREAM, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "cudaStreamPerThread is another stream on each thread, and NCCL "
                                "enqueues on a thread of its own: set a stream that you created");
    cudaError_t code = library->cudaStreamIsCapturing(stream, &capture);
    if (code != cudaSuccess)
        return refuse_stream(library, code, "cudaStreamIsCapturing", error);
    if (capture != cudaStreamCaptureStatusNone)
        return muster_error_set(error, MUSTER_ERR_STREAM, MUSTER_FIELD_ARGUMENT,
                                cudaStreamCaptureStatusNone, capture,
                                "the stream is being captured into a graph: a batch cannot be "
                                "replayed, end the capture first");
    /* The default streams are those of whatever device is current. */
    if (library->cudaStreamGetDevice == NULL || stream == NULL || stream == cudaStreamLegacy)
        return MUSTER_OK;
    int of_stream = -1;
    code = library->cudaStreamGetDevice(stream, &of_stream);
    if (code != cudaSuccess)
        return refuse_stream(library, code, "cudaStreamGetDevice", error);
    if (of_stream != device->index)
        return muster_error_set(error, MUSTER_ERR_STREAM, MUSTER_FIELD_ARGUMENT, device->index,
                                of_stream,
                                "the stream is of device %d, and this rank moves the memory of "
                                "device %d",
                                of_stream, (int)device->index);
    return MUSTER_OK;
}

muster_status muster_nccl_check_stream(muster_device *device, void *stream, muster_error *error)
{
    muster_nccl_current current;
    muster_status status = muster_nccl_current_set(device, &current, error);
    if (status != MUSTER_OK)
        return status;
    status = check_stream(device, stream, error);
    muster_nccl_current_restore(device, &current);
    return status;
}
