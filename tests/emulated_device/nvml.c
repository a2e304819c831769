/* SPDX-License-Identifier: Apache-2.0 */
/* libnvidia-ml.so.1 as NCCL sees it, which opens it by name: the same devices as the emulated runtime's, without
 * NVLink and without a way from one to another. A function that is missing here is one that NCCL can do without. */
#include "emulated.h"

#include <string.h>
#include <strings.h>

enum { NVML_SUCCESS = 0, NVML_INVALID_ARGUMENT = 2, NVML_NOT_SUPPORTED = 3, NVML_NOT_FOUND = 6 };
enum { NVML_P2P_NOT_SUPPORTED = 1 };
typedef struct nvml_device *nvml_device; /* the device's number plus one */

EMULATED_API int nvmlInit_v2(void);
EMULATED_API int nvmlShutdown(void);
EMULATED_API const char *nvmlErrorString(int result);
EMULATED_API int nvmlDeviceGetCount_v2(unsigned *count);
EMULATED_API int nvmlDeviceGetHandleByIndex(unsigned index, nvml_device *device);
EMULATED_API int nvmlDeviceGetHandleByPciBusId(const char *bus_id, nvml_device *device);
EMULATED_API int nvmlDeviceGetIndex(nvml_device device, unsigned *index);
EMULATED_API int nvmlDeviceGetCudaComputeCapability(nvml_device device, int *major, int *minor);
EMULATED_API int nvmlDeviceGetP2PStatus(nvml_device device, nvml_device other, int capability,
                                        int *status);
EMULATED_API int nvmlDeviceGetNvLinkState(nvml_device device, unsigned link, int *state);
EMULATED_API int nvmlDeviceGetNvLinkRemotePciInfo(nvml_device device, unsigned link, void *info);
EMULATED_API int nvmlDeviceGetNvLinkCapability(nvml_device device, unsigned link, int capability,
                                               unsigned *result);
EMULATED_API int nvmlDeviceGetFieldValues(nvml_device device, int count, void *values);

int nvmlInit_v2(void)
{
    return NVML_SUCCESS;
}

int nvmlShutdown(void)
{
    return NVML_SUCCESS;
}

const char *nvmlErrorString(int result)
{
    switch (result) {
    case NVML_SUCCESS:
        return "success";
    case NVML_INVALID_ARGUMENT:
        return "invalid argument";
    case NVML_NOT_SUPPORTED:
        return "not supported";
    case NVML_NOT_FOUND:
        return "not found";
    default:
        return "unknown error";
    }
}

static nvml_device handle_of(unsigned index)
{
    return (nvml_device)((uintptr_t)index + 1);
}

static int device_count(void)
{
    int count = 0;
    cudaGetDeviceCount(&count);
    return count;
}

static bool index_of(nvml_device device, unsigned *index)
{
    uintptr_t number = (uintptr_t)device;
    *index = (unsigned)number - 1;
    return number >= 1 && number <= (uintptr_t)device_count();
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = (unsigned)device_count();
    return NVML_SUCCESS;
}

int nvmlDeviceGetHandleByIndex(unsigned index, nvml_device *device)
{
    *device = handle_of(index);
    return index_of(*device, &index) ? NVML_SUCCESS : NVML_INVALID_ARGUMENT;
}

int nvmlDeviceGetHandleByPciBusId(const char *bus_id, nvml_device *device)
{
    for (int i = 0; i < device_count(); i++) {
        char text[EMULATED_BUS_ID_BYTES];
        cudaDeviceGetPCIBusId(text, sizeof text, i);
        if (strcasecmp(text, bus_id) == 0) {
            *device = handle_of((unsigned)i);
            return NVML_SUCCESS;
        }
    }
    return NVML_NOT_FOUND;
}

int nvmlDeviceGetIndex(nvml_device device, unsigned *index)
{
    return index_of(device, index) ? NVML_SUCCESS : NVML_INVALID_ARGUMENT;
}

int nvmlDeviceGetCudaComputeCapability(nvml_device device, int *major, int *minor)
{
    unsigned index;
    if (!index_of(device, &index)) {
        return NVML_INVALID_ARGUMENT;
    }
    *major = EMULATED_CAPABILITY_MAJOR;
    *minor = EMULATED_CAPABILITY_MINOR;
    return NVML_SUCCESS;
}

int nvmlDeviceGetP2PStatus(nvml_device device, nvml_device other, int capability, int *status)
{
    (void)device;
    (void)other;
    (void)capability;
    *status = NVML_P2P_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

int nvmlDeviceGetNvLinkState(nvml_device device, unsigned link, int *state)
{
    (void)device;
    (void)link;
    (void)state;
    return NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetNvLinkRemotePciInfo(nvml_device device, unsigned link, void *info)
{
    (void)device;
    (void)link;
    (void)info;
    return NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetNvLinkCapability(nvml_device device, unsigned link, int capability,
                                  unsigned *result)
{
    (void)device;
    (void)link;
    (void)capability;
    (void)result;
    return NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetFieldValues(nvml_device device, int count, void *values)
{
    (void)device;
    (void)count;
    (void)values;
    return NVML_NOT_SUPPORTED;
}
