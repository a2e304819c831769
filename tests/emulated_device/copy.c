/* SPDX-License-Identifier: Apache-2.0 */
/* Copies and fills, in the order of a stream. What CUDA says of plain host memory holds here too: it is read
 * before the call returns, and written before the call returns. */
#include "emulated.h"

#include <stdlib.h>
#include <string.h>

typedef struct copy_work {
    emulated_work work;
    void *to;
    const void *from; /* NULL: fill with value */
    int value;
    size_t bytes;
    unsigned char staged[]; /* what was read from plain memory */
} copy_work;

static void run(emulated_work *work)
{
    copy_work *copy = (copy_work *)work;
    if (copy->from != NULL) {
        memmove(copy->to, copy->from, copy->bytes);
    } else {
        memset(copy->to, copy->value, copy->bytes);
    }
    free(copy);
}

static bool range_inside(const void *pointer, size_t bytes, emulated_range *range)
{
    return emulated_memory_find(pointer, range) &&
           (uintptr_t)pointer + bytes <= range->base + range->bytes;
}

typedef enum place { PLACE_OUTSIDE, PLACE_PLAIN, PLACE_PINNED, PLACE_DEVICE } place;

static place place_of(const void *pointer, size_t bytes)
{
    emulated_range range;
    if (!emulated_memory_find(pointer, &range)) {
        return PLACE_PLAIN;
    }
    if (!range_inside(pointer, bytes, &range)) {
        return PLACE_OUTSIDE;
    }
    return range.type == CUDA_MEMORY_DEVICE ? PLACE_DEVICE : PLACE_PINNED;
}

static bool direction_fits(int kind, place to, place from)
{
    if (kind == CUDA_COPY_DEFAULT) {
        return true;
    }
    bool to_device = kind == CUDA_COPY_HOST_TO_DEVICE || kind == CUDA_COPY_DEVICE_TO_DEVICE;
    bool from_device = kind == CUDA_COPY_DEVICE_TO_HOST || kind == CUDA_COPY_DEVICE_TO_DEVICE;
    /* Pinned memory has an address on the device too. */
    return (!to_device || to != PLACE_PLAIN) && (!from_device || from != PLACE_PLAIN) &&
           (to_device || to != PLACE_DEVICE) && (from_device || from != PLACE_DEVICE);
}

static cuda_error put(void *to, const void *from, int value, size_t bytes, cuda_stream handle,
                      bool staged, bool wait)
{
    struct emulated_stream *stream = emulated_stream_find(handle);
    if (stream == NULL) {
        return CUDA_INVALID_RESOURCE_HANDLE;
    }
    cuda_error error = CUDA_MEMORY_ALLOCATION;
    copy_work *copy = malloc(sizeof *copy + (staged ? bytes : 0));
    if (copy != NULL) {
        *copy = (copy_work){
            .work = {.run = run}, .to = to, .from = from, .value = value, .bytes = bytes};
        if (staged) {
            memcpy(copy->staged, from, bytes);
            copy->from = copy->staged;
        }
        error = emulated_stream_put(stream, &copy->work);
        if (error == CUDA_SUCCESS && wait) {
            error = emulated_stream_drain(stream);
        }
    }
    emulated_stream_release(stream);
    return error;
}

static cuda_error copy_on(void *to, const void *from, size_t bytes, int kind, cuda_stream stream,
                          bool wait)
{
    cuda_error error = emulated_device_check();
    if (error != CUDA_SUCCESS) {
        return error;
    }
    if (kind < CUDA_COPY_HOST_TO_HOST || kind > CUDA_COPY_DEFAULT) {
        return CUDA_INVALID_MEMCPY_DIRECTION;
    }
    if (bytes == 0) {
        return CUDA_SUCCESS;
    }
    if (to == NULL || from == NULL) {
        return CUDA_INVALID_VALUE;
    }
    place to_place = place_of(to, bytes);
    place from_place = place_of(from, bytes);
    if (to_place == PLACE_OUTSIDE || from_place == PLACE_OUTSIDE ||
        !direction_fits(kind, to_place, from_place)) {
        return CUDA_INVALID_VALUE;
    }
    bool to_plain = to_place == PLACE_PLAIN;
    bool staged = from_place == PLACE_PLAIN && !to_plain && !wait;
    return put(to, from, 0, bytes, stream, staged, wait || to_plain);
}

cuda_error cudaMemcpy(void *to, const void *from, size_t bytes, int kind)
{
    return emulated_error_keep(copy_on(to, from, bytes, kind, NULL, true));
}

cuda_error cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, cuda_stream stream)
{
    return emulated_error_keep(copy_on(to, from, bytes, kind, stream, false));
}

static cuda_error fill_on(void *to, int value, size_t bytes, cuda_stream stream, bool wait)
{
    cuda_error error = emulated_device_check();
    if (error != CUDA_SUCCESS || bytes == 0) {
        return error;
    }
    place to_place = place_of(to, bytes);
    if (to == NULL || to_place == PLACE_OUTSIDE || to_place == PLACE_PLAIN) {
        return CUDA_INVALID_VALUE;
    }
    return put(to, NULL, value, bytes, stream, false, wait);
}

cuda_error cudaMemset(void *to, int value, size_t bytes)
{
    return emulated_error_keep(fill_on(to, value, bytes, NULL, true));
}

cuda_error cudaMemsetAsync(void *to, int value, size_t bytes, cuda_stream stream)
{
    return emulated_error_keep(fill_on(to, value, bytes, stream, false));
}
