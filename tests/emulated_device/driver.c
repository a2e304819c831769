/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's functions that NCCL asks the runtime for by name. What is not in the table is answered as a driver
 * answers that does not have it: NCCL then goes without virtual memory, multicast and stream memory operations. */
#include "emulated.h"

#include <string.h>

/* A number of the driver's errors is the runtime's, for all that are given out here. */
static int driver_error(cuda_error error)
{
    return (int)error;
}

static int get_error_string(int error, const char **text)
{
    *text = cudaGetErrorString((cuda_error)error);
    return 0;
}

static int get_error_name(int error, const char **name)
{
    *name = cudaGetErrorName((cuda_error)error);
    return 0;
}

static int device_get(int *device, int ordinal)
{
    if (ordinal < 0 || ordinal >= emulated_device_count()) {
        return driver_error(CUDA_INVALID_DEVICE);
    }
    *device = ordinal;
    return 0;
}

static int device_get_attribute(int *value, int attribute, int device)
{
    return driver_error(cudaDeviceGetAttribute(value, attribute, device));
}

/* One context a device; its handle is the device's number plus one, since NULL says "none". */
static int context_get_current(void **context)
{
    *context =
        emulated_device_has_current() ? (void *)((uintptr_t)emulated_device_selected() + 1) : NULL;
    return 0;
}

static int context_set_current(void *context)
{
    if (context == NULL) {
        emulated_device_forget_current();
    } else {
        emulated_device_make_current((int)((uintptr_t)context - 1));
    }
    return 0;
}

static int context_get_device(int *device)
{
    if (!emulated_device_has_current()) {
        return driver_error(CUDA_INVALID_CONTEXT);
    }
    *device = emulated_device_selected();
    return 0;
}

static int primary_context_get_state(int device, unsigned *flags, int *active)
{
    if (device < 0 || device >= emulated_device_count()) {
        return driver_error(CUDA_INVALID_DEVICE);
    }
    *flags = 0;
    *active = emulated_device_has_context(device);
    return 0;
}

static int get_address_range(uintptr_t *base, size_t *bytes, uintptr_t pointer)
{
    emulated_range range;
    if (!emulated_memory_find((const void *)pointer, &range)) {
        return driver_error(CUDA_INVALID_VALUE);
    }
    if (base != NULL) {
        *base = range.base;
    }
    if (bytes != NULL) {
        *bytes = range.bytes;
    }
    return 0;
}

static int pointer_get_attribute(void *value, int attribute, uintptr_t pointer)
{
    enum {
        POINTER_CONTEXT = 1,
        POINTER_MEMORY_TYPE,
        POINTER_DEVICE_POINTER,
        POINTER_HOST_POINTER,
        POINTER_BUFFER_ID = 7,
        POINTER_IS_MANAGED = 8,
        POINTER_DEVICE = 9,
        POINTER_LEGACY_IPC = 10
    };
    emulated_range range;
    if (!emulated_memory_find((const void *)pointer, &range)) {
        return driver_error(CUDA_INVALID_VALUE);
    }
    switch (attribute) {
    case POINTER_CONTEXT:
        *(uintptr_t *)value = (uintptr_t)range.device + 1;
        return 0;
    case POINTER_MEMORY_TYPE:
        *(unsigned *)value = range.type == CUDA_MEMORY_HOST ? 1 : 2;
        return 0;
    case POINTER_DEVICE_POINTER:
    case POINTER_HOST_POINTER:
        *(uintptr_t *)value = pointer;
        return 0;
    case POINTER_BUFFER_ID:
        *(unsigned long long *)value = range.base;
        return 0;
    case POINTER_IS_MANAGED:
    case POINTER_LEGACY_IPC:
        *(int *)value = 0;
        return 0;
    case POINTER_DEVICE:
        *(int *)value = range.device;
        return 0;
    default:
        emulated_error_say("cuPointerGetAttribute: attribute %d is not emulated", attribute);
        return driver_error(CUDA_NOT_SUPPORTED);
    }
}

static int launch(cuda_function function, unsigned grid_x, unsigned block_x, cuda_stream stream,
                  void **parameters, void **extra)
{
    const void *arguments = NULL;
    const size_t *argument_bytes = NULL;
    for (size_t i = 0; extra != NULL && extra[i] != CUDA_LAUNCH_END; i += 2) {
        if (extra[i] == CUDA_LAUNCH_BUFFER_POINTER) {
            arguments = extra[i + 1];
        } else if (extra[i] == CUDA_LAUNCH_BUFFER_BYTES) {
            argument_bytes = extra[i + 1];
        }
    }
    if (parameters != NULL || arguments == NULL || argument_bytes == NULL) {
        emulated_error_say("cuLaunchKernel: only launches with one argument block are emulated");
        return driver_error(CUDA_NOT_SUPPORTED);
    }
    return driver_error(emulated_error_keep(
        emulated_function_launch(function, grid_x, block_x, arguments, *argument_bytes, stream)));
}

static int launch_kernel(cuda_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                         unsigned block_x, unsigned block_y, unsigned block_z,
                         unsigned shared_bytes, cuda_stream stream, void **parameters, void **extra)
{
    (void)shared_bytes;
    if (grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1) {
        emulated_error_say("cuLaunchKernel: only grids and blocks of one dimension are emulated");
        return driver_error(CUDA_NOT_SUPPORTED);
    }
    return launch(function, grid_x, block_x, stream, parameters, extra);
}

static int launch_kernel_config(const cuda_launch_config *config, cuda_function function,
                                void **parameters, void **extra)
{
    return launch_kernel(function, config->grid[0], config->grid[1], config->grid[2],
                         config->block[0], config->block[1], config->block[2], config->shared_bytes,
                         config->stream, parameters, extra);
}

typedef void (*any_function)(void);

static const struct {
    const char *name;
    any_function function;
} entries[] = {
    {"cuGetErrorString", (any_function)get_error_string},
    {"cuGetErrorName", (any_function)get_error_name},
    {"cuDeviceGet", (any_function)device_get},
    {"cuDeviceGetAttribute", (any_function)device_get_attribute},
    {"cuCtxGetCurrent", (any_function)context_get_current},
    {"cuCtxSetCurrent", (any_function)context_set_current},
    {"cuCtxGetDevice", (any_function)context_get_device},
    {"cuDevicePrimaryCtxGetState", (any_function)primary_context_get_state},
    {"cuMemGetAddressRange", (any_function)get_address_range},
    {"cuPointerGetAttribute", (any_function)pointer_get_attribute},
    {"cuLaunchKernel", (any_function)launch_kernel},
    {"cuLaunchKernelEx", (any_function)launch_kernel_config},
};

cuda_error cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version,
                                            unsigned long long flags, int *status)
{
    (void)version;
    (void)flags;
    if (name == NULL || function == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    *function = NULL;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strcmp(entries[i].name, name) == 0) {
            /* POSIX lets an object pointer carry a function's address; C has no cast for it. */
            memcpy(function, &entries[i].function, sizeof *function);
        }
    }
    if (status != NULL) {
        *status = *function == NULL ? CUDA_ENTRY_POINT_NOT_FOUND : CUDA_ENTRY_POINT_FOUND;
    }
    return CUDA_SUCCESS;
}
