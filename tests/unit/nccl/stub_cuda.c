/* SPDX-License-Identifier: Apache-2.0 */
/* libcudart.so as a stub: see stub.h. */
#include "stub.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { MEMORIES_MAX = 64 };

typedef struct memory {
    char *data;
    size_t bytes;
    int device;
} memory;

struct CUevent_st {
    int queries_left;
    bool recorded;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static stub_cuda control;
static memory memories[MEMORIES_MAX];
static int memory_count;
static _Thread_local int current;
static _Thread_local cudaError_t last;
static _Thread_local enum cudaStreamCaptureMode mode; /* global, as every thread begins */

EXPORT stub_cuda *stub_cuda_control(void);
EXPORT void stub_cuda_reset(void);
EXPORT void *stub_cuda_memory(int device, size_t bytes);

EXPORT stub_cuda *stub_cuda_control(void)
{
    return &control;
}

EXPORT void stub_cuda_reset(void)
{
    pthread_mutex_lock(&lock);
    memset(&control, 0, sizeof(control));
    for (int i = 0; i < memory_count; i++)
        free(memories[i].data);
    memory_count = 0;
    control.runtime_version = 13000;
    control.driver_version = 13010;
    control.device_count = 2;
    current = 0;
    last = cudaSuccess;
    pthread_mutex_unlock(&lock);
}

EXPORT void *stub_cuda_memory(int device, size_t bytes)
{
    pthread_mutex_lock(&lock);
    memory *made = &memories[memory_count++];
    *made = (memory){.data = calloc(1, bytes), .bytes = bytes, .device = device};
    pthread_mutex_unlock(&lock);
    return made->data;
}

/* With the lock held; the caller returns what comes. */
static cudaError_t enter(stub_entry entry)
{
    entry.device = current;
    entry.order = control.order != NULL ? atomic_fetch_add(control.order, 1) : 0;
    if (control.log_count < STUB_LOG_MAX) {
        control.log[control.log_count] = entry;
        control.log_count++;
    }
    control.failure.calls++;
    const bool named =
        control.failure.name == NULL || strcmp(control.failure.name, entry.name) == 0;
    if (!named || control.failure.countdown == 0 || --control.failure.countdown > 0)
        return cudaSuccess;
    control.failure.failed = entry.name;
    last = (cudaError_t)control.failure.code;
    return last;
}

static cudaError_t enter_alone(stub_entry entry)
{
    pthread_mutex_lock(&lock);
    const cudaError_t code = enter(entry);
    pthread_mutex_unlock(&lock);
    return code;
}

EXPORT cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = control.runtime_version;
    return enter_alone((stub_entry){.name = __func__});
}

EXPORT cudaError_t cudaDriverGetVersion(int *version)
{
    *version = control.driver_version;
    return enter_alone((stub_entry){.name = __func__});
}

EXPORT cudaError_t cudaGetDeviceCount(int *count)
{
    *count = control.device_count;
    return enter_alone((stub_entry){.name = __func__});
}

EXPORT cudaError_t cudaGetDevice(int *device)
{
    *device = current;
    return enter_alone((stub_entry){.name = __func__});
}

EXPORT cudaError_t cudaSetDevice(int device)
{
    const cudaError_t code = enter_alone((stub_entry){.name = __func__, .peer = device});
    if (code == cudaSuccess)
        current = device;
    return code;
}

EXPORT const char *cudaGetErrorName(cudaError_t code)
{
    return code == cudaErrorInvalidValue ? "cudaErrorInvalidValue" : "cudaErrorOfTheStub";
}

EXPORT const char *cudaGetErrorString(cudaError_t code)
{
    (void)code;
    return "text of the stub";
}

EXPORT cudaError_t cudaGetLastError(void)
{
    const cudaError_t code = last;
    last = cudaSuccess;
    return code;
}

EXPORT cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *exchanged)
{
    const cudaError_t code = enter_alone((stub_entry){.name = __func__, .peer = (int)*exchanged});
    const enum cudaStreamCaptureMode before = mode;
    if (code != cudaSuccess)
        return code;
    mode = *exchanged;
    *exchanged = before;
    return cudaSuccess;
}

EXPORT cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes,
                                            const void *pointer)
{
    pthread_mutex_lock(&lock);
    const cudaError_t code = enter((stub_entry){.name = __func__, .buffer = pointer});
    memset(attributes, 0, sizeof(*attributes));
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = -1;
    for (int i = 0; i < memory_count; i++) {
        const uintptr_t first = (uintptr_t)memories[i].data;
        if ((uintptr_t)pointer < first || (uintptr_t)pointer >= first + memories[i].bytes)
            continue;
        attributes->type = memories[i].device >= 0    ? cudaMemoryTypeDevice
                           : memories[i].device == -1 ? cudaMemoryTypeHost
                                                      : cudaMemoryTypeManaged;
        attributes->device = memories[i].device >= 0 ? memories[i].device : 0;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    *status = control.capture;
    return enter_alone((stub_entry){.name = __func__, .stream = stream});
}

#ifndef STUB_WITHOUT_STREAM_DEVICE
EXPORT cudaError_t cudaStreamGetDevice(cudaStream_t stream, int *device)
{
    *device = control.stream_device;
    return enter_alone((stub_entry){.name = __func__, .stream = stream});
}
#endif

EXPORT cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                                   enum cudaMemcpyKind kind, cudaStream_t stream)
{
    const cudaError_t code =
        enter_alone((stub_entry){.name = __func__, .buffer = to, .bytes = bytes, .stream = stream});
    if (code != cudaSuccess)
        return code;
    if (kind != cudaMemcpyDeviceToDevice)
        return cudaErrorInvalidMemcpyDirection;
    memcpy(to, from, bytes);
    control.copies++;
    return cudaSuccess;
}

EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    const cudaError_t code = enter_alone((stub_entry){.name = __func__, .peer = (int)flags});
    if (code != cudaSuccess)
        return code;
    *event = calloc(1, sizeof(**event));
    pthread_mutex_lock(&lock);
    control.events_made++;
    control.events_live++;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

EXPORT cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    pthread_mutex_lock(&lock);
    const cudaError_t code =
        enter((stub_entry){.name = __func__, .buffer = event, .stream = stream});
    if (code == cudaSuccess) {
        event->recorded = true;
        event->queries_left = control.queries;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

EXPORT cudaError_t cudaEventQuery(cudaEvent_t event)
{
    pthread_mutex_lock(&lock);
    cudaError_t code = enter((stub_entry){.name = __func__, .buffer = event});
    if (control.captures_elsewhere && mode != cudaStreamCaptureModeRelaxed)
        code = last = cudaErrorStreamCaptureUnsupported;
    if (code == cudaSuccess && (!event->recorded || event->queries_left != 0)) {
        code = cudaErrorNotReady;
        last = code;
        if (event->queries_left > 0)
            event->queries_left--;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

EXPORT cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    pthread_mutex_lock(&lock);
    const cudaError_t code = enter((stub_entry){.name = __func__, .buffer = event});
    control.events_live--;
    pthread_mutex_unlock(&lock);
    free(event);
    return code;
}
