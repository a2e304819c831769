/* SPDX-License-Identifier: Apache-2.0 */
/* An event is a place in the order of the stream on which it was last recorded. */
#include "emulated.h"

#include <pthread.h>
#include <stdlib.h>

struct emulated_event {
    struct emulated_event *next;
    int device;
    struct emulated_stream *stream; /* a reference; NULL: never recorded, which counts as done */
    uint64_t put;
};

static struct {
    pthread_mutex_t lock;
    struct emulated_event *first;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct emulated_event **find_locked(cuda_event handle)
{
    struct emulated_event **link = &all.first;
    while (*link != NULL && *link != handle) {
        link = &(*link)->next;
    }
    return link;
}

/* The place of an event, with a reference to its stream, which may be NULL. */
static cuda_error place_of(cuda_event handle, struct emulated_stream **stream, uint64_t *put)
{
    cuda_error error = CUDA_INVALID_RESOURCE_HANDLE;
    pthread_mutex_lock(&all.lock);
    struct emulated_event *event = *find_locked(handle);
    if (event != NULL) {
        *stream = event->stream;
        *put = event->put;
        if (event->stream != NULL) {
            emulated_stream_retain(event->stream);
        }
        error = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&all.lock);
    return error;
}

cuda_error cudaEventCreateWithFlags(cuda_event *event, unsigned flags)
{
    (void)flags; /* timing, blocking: no difference here */
    cuda_error error = emulated_device_check();
    if (error == CUDA_SUCCESS && event == NULL) {
        error = CUDA_INVALID_VALUE;
    }
    if (error == CUDA_SUCCESS) {
        struct emulated_event *made = calloc(1, sizeof *made);
        if (made == NULL) {
            return emulated_error_keep(CUDA_MEMORY_ALLOCATION);
        }
        made->device = emulated_device_current();
        pthread_mutex_lock(&all.lock);
        made->next = all.first;
        all.first = made;
        pthread_mutex_unlock(&all.lock);
        *event = made;
    }
    return emulated_error_keep(error);
}

cuda_error cudaEventCreate(cuda_event *event)
{
    return cudaEventCreateWithFlags(event, 0);
}

cuda_error cudaEventDestroy(cuda_event handle)
{
    pthread_mutex_lock(&all.lock);
    struct emulated_event **link = find_locked(handle);
    struct emulated_event *event = *link;
    if (event != NULL) {
        *link = event->next;
    }
    pthread_mutex_unlock(&all.lock);
    if (event == NULL) {
        return emulated_error_keep(CUDA_INVALID_RESOURCE_HANDLE);
    }
    if (event->stream != NULL) {
        emulated_stream_release(event->stream);
    }
    free(event);
    return CUDA_SUCCESS;
}

cuda_error cudaEventRecord(cuda_event handle, cuda_stream stream_handle)
{
    cuda_error error = emulated_device_check();
    if (error != CUDA_SUCCESS) {
        return emulated_error_keep(error);
    }
    struct emulated_stream *stream = emulated_stream_find(stream_handle);
    if (stream == NULL) {
        return emulated_error_keep(CUDA_INVALID_RESOURCE_HANDLE);
    }
    uint64_t put = 0;
    error = emulated_stream_mark(stream, &put);
    struct emulated_stream *unused = stream;
    if (error == CUDA_SUCCESS) {
        error = CUDA_INVALID_RESOURCE_HANDLE; /* no such event, or one of another device */
        pthread_mutex_lock(&all.lock);
        struct emulated_event *event = *find_locked(handle);
        if (event != NULL && event->device == emulated_stream_device(stream)) {
            unused = event->stream;
            event->stream = stream;
            event->put = put;
            error = CUDA_SUCCESS;
        }
        pthread_mutex_unlock(&all.lock);
    }
    if (unused != NULL) {
        emulated_stream_release(unused);
    }
    return emulated_error_keep(error);
}

cuda_error cudaEventQuery(cuda_event handle)
{
    struct emulated_stream *stream;
    uint64_t put;
    (void)emulated_device_current(); /* the runtime makes a context for this, too */
    if (emulated_capture_forbids()) {
        return emulated_error_keep(CUDA_STREAM_CAPTURE_UNSUPPORTED);
    }
    cuda_error error = place_of(handle, &stream, &put);
    if (error == CUDA_SUCCESS && stream != NULL) {
        bool passed = emulated_stream_passed(stream, put);
        cuda_error broken = emulated_device_broken(emulated_stream_device(stream));
        error = broken != CUDA_SUCCESS ? broken : passed ? CUDA_SUCCESS : CUDA_NOT_READY;
        emulated_stream_release(stream);
    }
    return emulated_error_keep(error);
}

cuda_error cudaEventSynchronize(cuda_event handle)
{
    struct emulated_stream *stream;
    uint64_t put;
    cuda_error error = place_of(handle, &stream, &put);
    if (error == CUDA_SUCCESS && stream != NULL) {
        emulated_stream_wait(stream, put);
        error = emulated_device_broken(emulated_stream_device(stream));
        emulated_stream_release(stream);
    }
    return emulated_error_keep(error);
}

cuda_error cudaStreamWaitEvent(cuda_stream stream_handle, cuda_event handle, unsigned flags)
{
    (void)flags;
    struct emulated_stream *other;
    uint64_t put;
    cuda_error error = place_of(handle, &other, &put);
    if (error != CUDA_SUCCESS || other == NULL) {
        return emulated_error_keep(error);
    }
    struct emulated_stream *stream = emulated_stream_find(stream_handle);
    error = CUDA_INVALID_RESOURCE_HANDLE;
    if (stream != NULL) {
        error = emulated_stream_put_wait(stream, other, put);
        emulated_stream_release(stream);
    }
    emulated_stream_release(other);
    return emulated_error_keep(error);
}
