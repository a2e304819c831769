/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory is host memory that is remembered: a sorted list of ranges tells memory of a device, pinned memory
 * of the host and plain memory apart, which is what NCCL and its callers ask of a pointer. Each allocation has its
 * own mapping, so that a test that counts mappings sees a leak, and touching freed memory crashes. */
#include "emulated.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    pthread_rwlock_t lock;
    emulated_range *ranges; /* sorted by base, disjoint */
    size_t count;
    size_t capacity;
} tracked = {.lock = PTHREAD_RWLOCK_INITIALIZER};

/* Index of the first range that ends behind the address. */
static size_t first_behind(uintptr_t address)
{
    size_t low = 0;
    size_t high = tracked.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tracked.ranges[middle].base + tracked.ranges[middle].bytes > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

bool emulated_memory_find(const void *pointer, emulated_range *range)
{
    uintptr_t address = (uintptr_t)pointer;
    pthread_rwlock_rdlock(&tracked.lock);
    size_t i = first_behind(address);
    bool found = i < tracked.count && tracked.ranges[i].base <= address;
    if (found && range != NULL) {
        *range = tracked.ranges[i];
    }
    pthread_rwlock_unlock(&tracked.lock);
    return found;
}

static cuda_error add(const emulated_range *range)
{
    cuda_error error = CUDA_SUCCESS;
    pthread_rwlock_wrlock(&tracked.lock);
    size_t i = first_behind(range->base);
    if (i < tracked.count && tracked.ranges[i].base < range->base + range->bytes) {
        error = CUDA_HOST_MEMORY_ALREADY_REGISTERED;
    } else if (tracked.count == tracked.capacity) {
        size_t capacity = tracked.capacity == 0 ? 64 : 2 * tracked.capacity;
        emulated_range *grown = realloc(tracked.ranges, capacity * sizeof *grown);
        if (grown == NULL) {
            error = CUDA_MEMORY_ALLOCATION;
        } else {
            tracked.ranges = grown;
            tracked.capacity = capacity;
        }
    }
    if (error == CUDA_SUCCESS) {
        memmove(tracked.ranges + i + 1, tracked.ranges + i, (tracked.count - i) * sizeof *range);
        tracked.ranges[i] = *range;
        tracked.count++;
    }
    pthread_rwlock_unlock(&tracked.lock);
    return error;
}

/* Forgets the range that begins at pointer and is of that kind. */
static bool take(const void *pointer, int type, bool owned, emulated_range *range)
{
    pthread_rwlock_wrlock(&tracked.lock);
    size_t i = first_behind((uintptr_t)pointer);
    bool found = i < tracked.count && tracked.ranges[i].base == (uintptr_t)pointer &&
                 tracked.ranges[i].type == type && tracked.ranges[i].owned == owned;
    if (found) {
        *range = tracked.ranges[i];
        tracked.count--;
        memmove(tracked.ranges + i, tracked.ranges + i + 1, (tracked.count - i) * sizeof *range);
    }
    pthread_rwlock_unlock(&tracked.lock);
    return found;
}

static void forget(size_t i)
{
    tracked.count--;
    memmove(tracked.ranges + i, tracked.ranges + i + 1,
            (tracked.count - i) * sizeof *tracked.ranges);
}

/* What was claimed before and meets the new range becomes part of it, or, of another device, is given up: the
 * buffer of another rank that lay in the same place of a stack. */
void emulated_device_claim(void *pointer, size_t bytes, int device)
{
    emulated_range range = {
        .base = (uintptr_t)pointer, .bytes = bytes, .type = CUDA_MEMORY_DEVICE, .device = device};
    pthread_rwlock_wrlock(&tracked.lock);
    for (size_t i = first_behind(range.base);
         i < tracked.count && tracked.ranges[i].base < range.base + range.bytes;
         i = first_behind(range.base)) {
        const emulated_range old = tracked.ranges[i];
        if (old.owned || old.type != CUDA_MEMORY_DEVICE) {
            emulated_error_say("claiming %p: it is allocated or registered already", pointer);
            abort();
        }
        if (old.device == device) {
            uintptr_t end = range.base + range.bytes;
            if (old.base + old.bytes > end)
                end = old.base + old.bytes;
            if (old.base < range.base)
                range.base = old.base;
            range.bytes = end - range.base;
        }
        forget(i);
    }
    pthread_rwlock_unlock(&tracked.lock);
    if (add(&range) != CUDA_SUCCESS) {
        emulated_error_say("claiming %p: no memory", pointer);
        abort();
    }
}

static size_t whole_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static cuda_error allocate(void **pointer, size_t bytes, int type)
{
    cuda_error error = emulated_device_check();
    if (error != CUDA_SUCCESS) {
        return error;
    }
    if (pointer == NULL) {
        return CUDA_INVALID_VALUE;
    }
    *pointer = NULL;
    if (bytes == 0) {
        return CUDA_SUCCESS;
    }
    if (bytes > SIZE_MAX / 2) {
        return CUDA_MEMORY_ALLOCATION;
    }
    void *memory =
        mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return CUDA_MEMORY_ALLOCATION;
    }
    emulated_range range = {
        .base = (uintptr_t)memory,
        .bytes = bytes,
        .type = type,
        .device = emulated_device_current(),
        .owned = true,
    };
    error = add(&range);
    if (error != CUDA_SUCCESS) {
        munmap(memory, whole_pages(bytes));
        return error;
    }
    *pointer = memory;
    return CUDA_SUCCESS;
}

/* Like the real calls these wait for the work of the device first: nothing there may still use the memory. */
static cuda_error release(void *pointer, int type)
{
    cuda_error error = emulated_device_check();
    if (error != CUDA_SUCCESS || pointer == NULL) {
        return error;
    }
    emulated_range range;
    if (!emulated_memory_find(pointer, &range) || range.base != (uintptr_t)pointer ||
        range.type != type || !range.owned) {
        return CUDA_INVALID_VALUE;
    }
    error = emulated_stream_drain_device(range.device);
    if (!take(pointer, type, true, &range)) {
        return CUDA_INVALID_VALUE;
    }
    munmap(pointer, whole_pages(range.bytes));
    return error;
}

cuda_error cudaMalloc(void **pointer, size_t bytes)
{
    return emulated_error_keep(allocate(pointer, bytes, CUDA_MEMORY_DEVICE));
}

cuda_error cudaFree(void *pointer)
{
    return emulated_error_keep(release(pointer, CUDA_MEMORY_DEVICE));
}

cuda_error cudaHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
    (void)flags; /* mapped, portable: all of it is */
    return emulated_error_keep(allocate(pointer, bytes, CUDA_MEMORY_HOST));
}

cuda_error cudaMallocHost(void **pointer, size_t bytes)
{
    return cudaHostAlloc(pointer, bytes, 0);
}

cuda_error cudaFreeHost(void *pointer)
{
    return emulated_error_keep(release(pointer, CUDA_MEMORY_HOST));
}

cuda_error cudaHostRegister(void *pointer, size_t bytes, unsigned flags)
{
    (void)flags;
    cuda_error error = emulated_device_check();
    if (error == CUDA_SUCCESS && (pointer == NULL || bytes == 0)) {
        error = CUDA_INVALID_VALUE;
    }
    if (error == CUDA_SUCCESS) {
        emulated_range range = {
            .base = (uintptr_t)pointer,
            .bytes = bytes,
            .type = CUDA_MEMORY_HOST,
            .device = emulated_device_current(),
        };
        error = add(&range);
    }
    return emulated_error_keep(error);
}

cuda_error cudaHostUnregister(void *pointer)
{
    emulated_range range;
    bool found = take(pointer, CUDA_MEMORY_HOST, false, &range);
    return emulated_error_keep(found ? CUDA_SUCCESS : CUDA_HOST_MEMORY_NOT_REGISTERED);
}

cuda_error cudaHostGetDevicePointer(void **device_pointer, void *host_pointer, unsigned flags)
{
    (void)flags;
    emulated_range range;
    if (device_pointer == NULL || !emulated_memory_find(host_pointer, &range) ||
        range.type != CUDA_MEMORY_HOST) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    *device_pointer = host_pointer;
    return CUDA_SUCCESS;
}

cuda_error cudaPointerGetAttributes(cuda_pointer_attributes *attributes, const void *pointer)
{
    cuda_error error = emulated_device_check();
    if (error == CUDA_SUCCESS && attributes == NULL) {
        error = CUDA_INVALID_VALUE;
    }
    if (error != CUDA_SUCCESS) {
        return emulated_error_keep(error);
    }
    emulated_range range;
    cuda_pointer_attributes found = {
        .type = CUDA_MEMORY_UNREGISTERED, .device = -2, .host_pointer = (void *)(uintptr_t)pointer};
    if (emulated_memory_find(pointer, &range)) {
        found.type = range.type;
        found.device = range.device;
        found.device_pointer = (void *)(uintptr_t)pointer;
        found.host_pointer = range.type == CUDA_MEMORY_HOST ? (void *)(uintptr_t)pointer : NULL;
    }
    memcpy(attributes, &found, CUDA_POINTER_ATTRIBUTES_BYTES_OF_12);
    return CUDA_SUCCESS;
}

cuda_error cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    if (free_bytes == NULL || total_bytes == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    *total_bytes = (size_t)16 << 30;
    *free_bytes = *total_bytes / 2;
    return emulated_error_keep(emulated_device_check());
}

/* Pools: a handle, and memory that comes and goes at once instead of in the stream's order. */
struct emulated_pool {
    int device;
};

cuda_error cudaMemPoolCreate(cuda_pool *pool, const void *properties)
{
    if (pool == NULL || properties == NULL) {
        return emulated_error_keep(CUDA_INVALID_VALUE);
    }
    *pool = calloc(1, sizeof **pool);
    if (*pool == NULL) {
        return emulated_error_keep(CUDA_MEMORY_ALLOCATION);
    }
    (*pool)->device = emulated_device_current();
    return CUDA_SUCCESS;
}

cuda_error cudaMemPoolDestroy(cuda_pool pool)
{
    free(pool);
    return CUDA_SUCCESS;
}

cuda_error cudaMemPoolSetAttribute(cuda_pool pool, int attribute, void *value)
{
    (void)attribute;
    return emulated_error_keep(pool == NULL || value == NULL ? CUDA_INVALID_VALUE : CUDA_SUCCESS);
}

cuda_error cudaMallocFromPoolAsync(void **pointer, size_t bytes, cuda_pool pool, cuda_stream stream)
{
    (void)stream;
    return pool == NULL ? emulated_error_keep(CUDA_INVALID_VALUE) : cudaMalloc(pointer, bytes);
}

cuda_error cudaMallocAsync(void **pointer, size_t bytes, cuda_stream stream)
{
    (void)stream;
    return cudaMalloc(pointer, bytes);
}

/* Waits for the whole device instead of freeing in the stream's order: the same result, later. */
cuda_error cudaFreeAsync(void *pointer, cuda_stream stream)
{
    (void)stream;
    return cudaFree(pointer);
}
