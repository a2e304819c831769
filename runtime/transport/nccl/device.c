/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/device.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/nccl/abandoned.h"
#include "transport/nccl/current.h"
#include "transport/nccl/ending.h"
#include "transport/nccl/failure.h"

/* What the first call that needs a driver says, each with its own sentence. */
static muster_status no_devices(const muster_nccl_library *library, cudaError_t code,
                                muster_error *error)
{
    switch ((int)code) {
    case cudaErrorNoDevice:
        return muster_nccl_failure_cuda_as(library, code, "cudaGetDeviceCount",
                                           MUSTER_ERR_NO_DEVICE,
                                           "there is no GPU that this process may use (is "
                                           "CUDA_VISIBLE_DEVICES set?)",
                                           error);
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorSystemNotReady:
        return muster_nccl_failure_cuda_as(library, code, "cudaGetDeviceCount", MUSTER_ERR_DRIVER,
                                           "the NVIDIA driver does not serve this CUDA runtime: "
                                           "install a newer driver",
                                           error);
    default:
        return muster_nccl_failure_cuda(library, code, "cudaGetDeviceCount", error);
    }
}

static muster_status check_driver(muster_nccl_library *library, muster_error *error)
{
    cudaError_t code = library->cudaRuntimeGetVersion(&library->runtime_version);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda(library, code, "cudaRuntimeGetVersion", error);
    code = library->cudaDriverGetVersion(&library->driver_version);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda_as(library, code, "cudaDriverGetVersion", MUSTER_ERR_DRIVER,
                                           "the NVIDIA driver does not answer", error);
    if (library->driver_version == 0)
        return muster_error_set(error, MUSTER_ERR_DRIVER, MUSTER_FIELD_NONE,
                                library->runtime_version, 0,
                                "there is no NVIDIA driver on this machine (libcuda.so.1): install "
                                "it, or join without a device plane");
    if (library->driver_version / 1000 < library->runtime_version / 1000)
        return muster_error_set(error, MUSTER_ERR_DRIVER, MUSTER_FIELD_NONE,
                                library->runtime_version, library->driver_version,
                                "the NVIDIA driver is too old: it serves CUDA %d.%d, and the CUDA "
                                "runtime is %d.%d; install a newer driver, or an older runtime",
                                library->driver_version / 1000, library->driver_version / 10 % 100,
                                library->runtime_version / 1000,
                                library->runtime_version / 10 % 100);
    return MUSTER_OK;
}

static muster_status choose_index(muster_device *device, int32_t wanted, muster_error *error)
{
    const muster_nccl_library *library = &device->library;
    int count = 0, current = 0;
    cudaError_t code = library->cudaGetDeviceCount(&count);
    if (code != cudaSuccess)
        return no_devices(library, code, error);
    if (count == 0)
        return no_devices(library, cudaErrorNoDevice, error);
    if (wanted < -1 || wanted >= count)
        return muster_error_set(error, MUSTER_ERR_WRONG_DEVICE, MUSTER_FIELD_OPTION, count - 1,
                                wanted, "there is no device %d: this process sees devices 0 to %d",
                                (int)wanted, count - 1);
    device->index = wanted;
    if (wanted >= 0)
        return MUSTER_OK;
    code = library->cudaGetDevice(&current);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda(library, code, "cudaGetDevice", error);
    device->index = current;
    return MUSTER_OK;
}

/* The thread makes the device's context, so that a device that cannot be used is told here. */
static cudaError_t await_begin(muster_device *device)
{
    pthread_mutex_lock(&device->lock);
    while (!device->begun)
        pthread_cond_wait(&device->changed, &device->lock);
    const cudaError_t code = device->begin_code;
    pthread_mutex_unlock(&device->lock);
    return code;
}

/* The lock, its condition and the thread. */
static muster_status start(muster_device *device, muster_error *error)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    device->owners = 1;
    const int code = muster_nccl_ending_start(device);
    const cudaError_t begin_code = code == 0 ? await_begin(device) : cudaSuccess;
    if (code == 0 && begin_code == cudaSuccess)
        return MUSTER_OK;
    if (code == 0)
        muster_nccl_ending_stop(device);
    pthread_cond_destroy(&device->changed);
    pthread_mutex_destroy(&device->lock);
    return code != 0
               ? muster_error_set_errno(error, code, "the device plane's thread cannot be started")
               : muster_nccl_failure_cuda(&device->library, begin_code, "cudaSetDevice", error);
}

muster_status muster_nccl_device_open(const muster_device_options *options, muster_device **handle,
                                      muster_error *error)
{
    MUSTER_ASSERT(options->abort_timeout_ns > 0 && options->bracket_timeout_ns > 0);
    muster_device *device = calloc(1, sizeof(*device));
    if (device == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the device plane");
    device->abort_timeout_ns = options->abort_timeout_ns;
    device->bracket_timeout_ns = options->bracket_timeout_ns;
    device->exit_when_stuck = options->exit_when_stuck;
    clock_gettime(CLOCK_REALTIME_COARSE, &device->opened);
    muster_status status = muster_nccl_library_open(&device->library, options->nccl_library,
                                                    options->cuda_library, error);
    if (status == MUSTER_OK)
        status = check_driver(&device->library, error);
    if (status == MUSTER_OK)
        status = choose_index(device, options->device, error);
    if (status == MUSTER_OK)
        status = start(device, error);
    if (status != MUSTER_OK) {
        muster_nccl_library_close(&device->library);
        free(device);
        return status;
    }
    *handle = device;
    return muster_error_set_ok(error);
}

void muster_nccl_device_disown(muster_device *device)
{
    const bool last = --device->owners == 0;
    pthread_mutex_unlock(&device->lock);
    if (!last)
        return;
    pthread_cond_destroy(&device->changed);
    pthread_mutex_destroy(&device->lock);
    muster_nccl_library_close(&device->library);
    free(device);
}

void muster_nccl_device_close(muster_device *device)
{
    if (device == NULL)
        return;
    muster_nccl_bootstrap_end_all(device);
    muster_nccl_ending_stop(device);
    muster_nccl_abandoned_remove(MUSTER_NCCL_ABANDONED_FOLDER, &device->opened);
    pthread_mutex_lock(&device->lock);
    muster_nccl_device_disown(device);
}

void muster_nccl_device_facts(const muster_device *device, muster_device_facts *facts)
{
    facts->device = device->index;
    facts->nccl_version = device->library.nccl_version;
    facts->runtime_version = device->library.runtime_version;
    facts->driver_version = device->library.driver_version;
}
