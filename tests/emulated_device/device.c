/* SPDX-License-Identifier: Apache-2.0 */
/* The devices: as many as the environment says, each with a PCI bus id of its own in a domain that no machine has,
 * so that NCCL finds nothing about them in /sys. None can reach another's memory: that leaves NCCL the transports
 * that run on a CPU, shared memory and sockets. */
#include "emulated.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Figures of the device that is pretended. */
enum {
    DEVICE_MULTIPROCESSORS = 108,
    DEVICE_WARP_THREADS = 32,
    DEVICE_THREADS_MAX = 1024,
    DEVICE_SHARED_BYTES = 48 * 1024,
    DEVICE_SHARED_BYTES_OPTIN = 163 * 1024,
    DEVICE_REGISTERS = 65536,
    DEVICE_DOMAIN = 0xe0e0,
    DEVICE_FIRST_BUS = 0x10,
    DEVICE_VERSION = 13000,
    DEVICE_COUNT_DEFAULT = 16,
};
#define DEVICE_GLOBAL_BYTES ((size_t)16 << 30)

/* What a thread has set, and the device whose context is current on it: none before its first call that needs one. */
enum { NO_CONTEXT = -1 };
static _Thread_local int set_device;
static _Thread_local int context_device = NO_CONTEXT;
static atomic_bool has_context[EMULATED_DEVICES_MAX];
static _Atomic int broken[EMULATED_DEVICES_MAX];

static int number_from_environment(const char *name, int without, int max)
{
    const char *text = getenv(name);
    if (text == NULL || text[0] == '\0') {
        return without;
    }
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 0 || value > max) {
        emulated_error_say("%s must be a number from 0 to %d, not '%s'; taking %d", name, max, text,
                           without);
        return without;
    }
    return (int)value;
}

int emulated_device_count(void)
{
    return number_from_environment("MUSTER_EMULATED_DEVICES", DEVICE_COUNT_DEFAULT,
                                   EMULATED_DEVICES_MAX);
}

int emulated_device_selected(void)
{
    return context_device != NO_CONTEXT ? context_device : set_device;
}

void emulated_device_make_current(int device)
{
    if (device >= 0 && device < emulated_device_count()) {
        atomic_store(&has_context[device], true);
        context_device = device;
    }
}

int emulated_device_current(void)
{
    int device = emulated_device_selected();
    emulated_device_make_current(device);
    return device;
}

bool emulated_device_has_current(void)
{
    return context_device != NO_CONTEXT;
}

void emulated_device_forget_current(void)
{
    context_device = NO_CONTEXT;
}

bool emulated_device_has_context(int device)
{
    return atomic_load(&has_context[device]);
}

cuda_error emulated_device_broken(int device)
{
    return (cuda_error)atomic_load(&broken[device]);
}

void emulated_device_break(int device, cuda_error error)
{
    int none = 0;
    atomic_compare_exchange_strong(&broken[device], &none, (int)error);
}

static int driver_version(void)
{
    return number_from_environment("MUSTER_EMULATED_DRIVER_VERSION", DEVICE_VERSION, 99999);
}

static cuda_error look(void)
{
    /* The real runtime takes any driver of its own major version. */
    if (driver_version() < DEVICE_VERSION / 1000 * 1000) {
        return CUDA_INSUFFICIENT_DRIVER;
    }
    if (emulated_device_count() == 0) {
        return CUDA_NO_DEVICE;
    }
    return emulated_device_broken(emulated_device_selected());
}

cuda_error emulated_device_check(void)
{
    cuda_error error = look();
    if (error == CUDA_SUCCESS) {
        (void)emulated_device_current();
    }
    return error;
}

void emulated_device_bus_id(int device, char bus_id[EMULATED_BUS_ID_BYTES])
{
    snprintf(bus_id, EMULATED_BUS_ID_BYTES, "%04x:%02x:00.0", DEVICE_DOMAIN,
             (unsigned)(DEVICE_FIRST_BUS + device) & 0xffU);
}

static bool device_valid(int device)
{
    return device >= 0 && device < emulated_device_count();
}

cuda_error cudaDriverGetVersion(int *version)
{
    if (version == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    *version = driver_version();
    return CUDA_SUCCESS;
}

cuda_error cudaRuntimeGetVersion(int *version)
{
    if (version == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    *version = DEVICE_VERSION;
    return CUDA_SUCCESS;
}

cuda_error cudaGetDeviceCount(int *count)
{
    if (count == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    cuda_error error = look();
    *count =
        error == CUDA_NO_DEVICE || error == CUDA_INSUFFICIENT_DRIVER ? 0 : emulated_device_count();
    return emulated_error_keep(
        error == CUDA_NO_DEVICE || error == CUDA_INSUFFICIENT_DRIVER ? error : CUDA_SUCCESS);
}

cuda_error cudaGetDevice(int *device)
{
    if (device == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    cuda_error error = look();
    if (error == CUDA_SUCCESS) {
        *device = emulated_device_selected();
    }
    return emulated_error_keep(error);
}

cuda_error cudaSetDevice(int device)
{
    cuda_error error = look();
    if (error == CUDA_NO_DEVICE || error == CUDA_INSUFFICIENT_DRIVER) {
        return emulated_error_keep(error);
    }
    if (!device_valid(device)) {
        return emulated_error_keep(CUDA_INVALID_DEVICE);
    }
    set_device = device;
    emulated_device_make_current(device); /* since CUDA 12 */
    return emulated_error_keep(emulated_device_broken(device));
}

/* Numbers are those of cudaDeviceAttr and CUdevice_attribute, which are the same. */
static int attribute_value(int attribute, int device)
{
    switch (attribute) {
    case 1: /* threads in a block */
    case 2: /* of them along x */
    case 3: /* along y */
        return DEVICE_THREADS_MAX;
    case 4: /* along z */
        return 64;
    case 8: /* shared memory of a block */
        return DEVICE_SHARED_BYTES;
    case 10:
        return DEVICE_WARP_THREADS;
    case 16:
        return DEVICE_MULTIPROCESSORS;
    case 19:  /* can map host memory */
    case 31:  /* several kernels at once */
    case 41:  /* one address space with the host */
    case 91:  /* a registered pointer is the same on both sides */
    case 99:  /* host memory can be registered */
    case 115: /* memory pools */
        return 1;
    case 33:
        return DEVICE_FIRST_BUS + device;
    case 50:
        return DEVICE_DOMAIN;
    case 40: /* copy engines */
        return 2;
    case 75:
        return EMULATED_CAPABILITY_MAJOR;
    case 76:
        return EMULATED_CAPABILITY_MINOR;
    case 81: /* shared memory of a multiprocessor */
    case 97: /* shared memory of a block that asks for it */
        return DEVICE_SHARED_BYTES_OPTIN;
    case 131: /* NUMA node of the device: none */
    case 134: /* nearest NUMA node of the host: not known */
        return -1;
    default: /* virtual memory, RDMA, fabric, multicast, managed memory and the rest: there is none */
        return 0;
    }
}

cuda_error cudaDeviceGetAttribute(int *value, int attribute, int device)
{
    if (value == NULL || attribute <= 0) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    if (!device_valid(device)) {
        return emulated_error_keep(CUDA_INVALID_DEVICE);
    }
    *value = attribute_value(attribute, device);
    return CUDA_SUCCESS;
}

/* Where the fields that someone reads lie behind the head, in each version's structure. */
typedef struct properties_layout {
    size_t bytes;
    size_t capability; /* major, minor */
    size_t multiprocessors;
    size_t can_map_host_memory;
    size_t bus; /* bus, device, domain */
    size_t unified_addressing;
} properties_layout;

static const properties_layout layout_of_12 = {.bytes = 1032,
                                               .capability = 360,
                                               .multiprocessors = 388,
                                               .can_map_host_memory = 400,
                                               .bus = 584,
                                               .unified_addressing = 604};
static const properties_layout layout_of_13 = {.bytes = 1008,
                                               .capability = 360,
                                               .multiprocessors = 384,
                                               .can_map_host_memory = 392,
                                               .bus = 568,
                                               .unified_addressing = 588};

static void set_int(void *properties, size_t offset, int value)
{
    memcpy((char *)properties + offset, &value, sizeof value);
}

static cuda_error fill_properties(void *properties, int device, const properties_layout *layout)
{
    if (properties == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    if (!device_valid(device)) {
        return emulated_error_keep(CUDA_INVALID_DEVICE);
    }
    memset(properties, 0, layout->bytes);
    cuda_properties_head *head = properties;
    snprintf(head->name, sizeof head->name, "Muster emulated device %d", device);
    memset(head->uuid, 0xe0, sizeof head->uuid);
    head->uuid[15] = (unsigned char)device;
    head->global_bytes = DEVICE_GLOBAL_BYTES;
    head->shared_bytes_per_block = DEVICE_SHARED_BYTES;
    head->registers_per_block = DEVICE_REGISTERS;
    head->warp_threads = DEVICE_WARP_THREADS;
    head->pitch_bytes_max = 0x7fffffff;
    head->threads_per_block_max = DEVICE_THREADS_MAX;
    head->block_max[0] = head->block_max[1] = DEVICE_THREADS_MAX;
    head->block_max[2] = 64;
    head->grid_max[0] = 0x7fffffff;
    head->grid_max[1] = head->grid_max[2] = 65535;
    set_int(properties, layout->capability, EMULATED_CAPABILITY_MAJOR);
    set_int(properties, layout->capability + sizeof(int), EMULATED_CAPABILITY_MINOR);
    set_int(properties, layout->multiprocessors, DEVICE_MULTIPROCESSORS);
    set_int(properties, layout->can_map_host_memory, 1);
    set_int(properties, layout->bus, DEVICE_FIRST_BUS + device);
    set_int(properties, layout->bus + 2 * sizeof(int), DEVICE_DOMAIN);
    set_int(properties, layout->unified_addressing, 1);
    return CUDA_SUCCESS;
}

cuda_error cudaGetDeviceProperties(void *properties, int device)
{
    return fill_properties(properties, device, &layout_of_13);
}

cuda_error cudaGetDeviceProperties_v2(void *properties, int device)
{
    return fill_properties(properties, device, &layout_of_12);
}

cuda_error cudaDeviceGetPCIBusId(char *bus_id, int bytes, int device)
{
    if (bus_id == NULL || bytes < 13) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    if (!device_valid(device)) {
        return emulated_error_keep(CUDA_INVALID_DEVICE);
    }
    char text[EMULATED_BUS_ID_BYTES];
    emulated_device_bus_id(device, text);
    snprintf(bus_id, (size_t)bytes, "%s", text);
    return CUDA_SUCCESS;
}

cuda_error cudaDeviceGetByPCIBusId(int *device, const char *bus_id)
{
    if (device == NULL || bus_id == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    for (int i = 0; i < emulated_device_count(); i++) {
        char text[EMULATED_BUS_ID_BYTES];
        emulated_device_bus_id(i, text);
        if (strcasecmp(text, bus_id) == 0) {
            *device = i;
            return CUDA_SUCCESS;
        }
    }
    return emulated_error_keep(CUDA_INVALID_DEVICE);
}

cuda_error cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    if (can == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    if (!device_valid(device) || !device_valid(peer)) {
        return emulated_error_keep(CUDA_INVALID_DEVICE);
    }
    *can = 0;
    return CUDA_SUCCESS;
}

cuda_error cudaDeviceEnablePeerAccess(int peer, unsigned flags)
{
    (void)flags;
    return emulated_error_keep(device_valid(peer) ? CUDA_PEER_ACCESS_UNSUPPORTED
                                                  : CUDA_INVALID_DEVICE);
}

cuda_error cudaDeviceSetLimit(int limit, size_t value)
{
    (void)limit; /* stack and heap of kernels: theirs is the host's */
    (void)value;
    return emulated_error_keep(emulated_device_check());
}

cuda_error cudaDeviceSynchronize(void)
{
    cuda_error error = emulated_device_check();
    return emulated_error_keep(
        error == CUDA_SUCCESS ? emulated_stream_drain_device(emulated_device_selected()) : error);
}
