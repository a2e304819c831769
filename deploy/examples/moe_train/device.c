/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Of cuda_runtime_api.h, the same in all its versions. */
enum { SUCCESS = 0, STREAM_NON_BLOCKING = 1, HOST_TO_DEVICE = 1, DEVICE_TO_HOST = 2 };

muster_status device_fail(muster_error *error, const char *call, const char *reason)
{
    error->status = MUSTER_ERR_SYSTEM;
    snprintf(error->message, sizeof error->message, "%s: %s", call, reason);
    return MUSTER_ERR_SYSTEM;
}

muster_status device_find(void *library, const struct device_symbol *symbols, size_t count,
                          muster_error *error)
{
    for (size_t i = 0; i < count; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (symbol == NULL) {
            return device_fail(error, symbols[i].name, "the library has no such function");
        }
        /* A pointer to a function is no pointer to an object: copied as bytes. */
        memcpy(symbols[i].function, &symbol, sizeof symbol);
    }
    return MUSTER_OK;
}

static muster_status check(const struct device *device, int code, const char *call,
                           muster_error *error)
{
    return code == SUCCESS ? MUSTER_OK : device_fail(error, call, device->calls.text(code));
}

/* The calls of the runtime that the device plane has loaded, and no other's: memory of one runtime and
 * streams of another belong together in one process, but doubling them would be a waste. */
static muster_status find_calls(struct device *device, int32_t runtime_version, muster_error *error)
{
    char name[32];
    snprintf(name, sizeof name, "libcudart.so.%d", runtime_version / 1000);
    void *runtime = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
    if (runtime == NULL) {
        return device_fail(error, name, "is not the name of the CUDA runtime that is loaded");
    }
    struct device_calls *calls = &device->calls;
    const struct device_symbol wanted[] = {{"cudaSetDevice", &calls->set_device},
                                           {"cudaMalloc", &calls->allocate},
                                           {"cudaFree", &calls->release},
                                           {"cudaStreamCreateWithFlags", &calls->stream_create},
                                           {"cudaStreamDestroy", &calls->stream_destroy},
                                           {"cudaStreamSynchronize", &calls->stream_synchronize},
                                           {"cudaMemcpyAsync", &calls->copy},
                                           {"cudaGetErrorString", &calls->text}};
    return device_find(runtime, wanted, sizeof wanted / sizeof *wanted, error);
}

muster_status device_open(struct device *device, muster_job *job, muster_error *error)
{
    device->index = -1;
    muster_device_facts facts = {.struct_bytes = sizeof facts};
    muster_status status = muster_job_device_facts(job, &facts);
    if (status == MUSTER_ERR_NO_DEVICE_PLANE) {
        return MUSTER_OK;
    }
    if (status == MUSTER_OK) {
        status = find_calls(device, facts.runtime_version, error);
    }
    if (status == MUSTER_OK) {
        status = check(device, device->calls.set_device(facts.device), "cudaSetDevice", error);
    }
    /* Not the default stream: that one would wait for all others of the device. */
    if (status == MUSTER_OK) {
        status = check(device, device->calls.stream_create(&device->stream, STREAM_NON_BLOCKING),
                       "cudaStreamCreateWithFlags", error);
    }
    if (status != MUSTER_OK) {
        return status;
    }
    device->index = facts.device;
    printf("tensors are on device %d; NCCL %d.%d.%d\n", facts.device, facts.nccl_version / 10000,
           facts.nccl_version / 100 % 100, facts.nccl_version % 100);
    return MUSTER_OK;
}

void device_close(struct device *device)
{
    for (int i = 0; i < device->memory_count; i++) {
        (void)device->calls.release(device->memory[i]);
    }
    if (device->stream != NULL) {
        (void)device->calls.stream_destroy(device->stream);
    }
    *device = (struct device){.index = -1};
}

muster_status device_allocate(struct device *device, size_t bytes, void **memory,
                              muster_error *error)
{
    *memory = NULL;
    if (!device_in_use(device)) {
        return MUSTER_OK;
    }
    if (device->memory_count == DEVICE_MEMORY_MAX) {
        return device_fail(error, "device_allocate", "DEVICE_MEMORY_MAX is too small");
    }
    muster_status status =
        check(device, device->calls.allocate(memory, bytes), "cudaMalloc", error);
    if (status == MUSTER_OK) {
        device->memory[device->memory_count++] = *memory;
    }
    return status;
}

muster_tensor device_tensor(const struct device *device, void *host, void *memory,
                            muster_dtype dtype, int64_t rows, int64_t features)
{
    return device_in_use(device)
               ? muster_tensor_device(memory, dtype, rows, features, device->index)
               : muster_tensor_host(host, dtype, rows, features);
}

muster_status device_write(const struct device *device, void *memory, const void *host,
                           size_t bytes, muster_error *error)
{
    if (!device_in_use(device) || bytes == 0) {
        return MUSTER_OK;
    }
    return check(device, device->calls.copy(memory, host, bytes, HOST_TO_DEVICE, device->stream),
                 "cudaMemcpyAsync", error);
}

muster_status device_read(const struct device *device, void *host, const void *memory, size_t bytes,
                          muster_error *error)
{
    if (!device_in_use(device) || bytes == 0) {
        return MUSTER_OK;
    }
    muster_status status =
        check(device, device->calls.copy(host, memory, bytes, DEVICE_TO_HOST, device->stream),
              "cudaMemcpyAsync", error);
    if (status != MUSTER_OK) {
        return status;
    }
    return check(device, device->calls.stream_synchronize(device->stream), "cudaStreamSynchronize",
                 error);
}
