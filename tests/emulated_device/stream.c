/* SPDX-License-Identifier: Apache-2.0 */
/* A stream is a queue and one thread, its worker, which runs the items one after the other. The thread starts with
 * the first item. The legacy default stream of a device waits for what the device's blocking streams hold, and
 * they for it; that is a wait item in front. */
#include "emulated.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct emulated_stream {
    struct emulated_stream *next; /* in the list of all; guarded by all.lock */
    int references;               /* guarded by all.lock */
    bool destroyed;               /* what is queued still runs; guarded by all.lock */
    int device;
    unsigned flags;
    unsigned long long id;
    bool legacy;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    emulated_work *first;
    emulated_work **last;
    uint64_t put;
    uint64_t done;
    bool started;
    bool closing;
    bool capturing;
    _Atomic int capture_mode; /* of the last capture */
};

static struct {
    pthread_mutex_t lock;
    struct emulated_stream *first;
    struct emulated_stream *legacy[EMULATED_DEVICES_MAX];
    unsigned long long last_id;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Keeps the order of streams' items against each other: an item and the waits before it are put as one. */
static pthread_mutex_t put_lock = PTHREAD_MUTEX_INITIALIZER;

static void release_locked(struct emulated_stream *stream)
{
    if (--stream->references == 0) {
        struct emulated_stream **link = &all.first;
        while (*link != stream) {
            link = &(*link)->next;
        }
        *link = stream->next;
        pthread_cond_destroy(&stream->changed);
        pthread_mutex_destroy(&stream->lock);
        free(stream);
    }
}

void emulated_stream_release(struct emulated_stream *stream)
{
    pthread_mutex_lock(&all.lock);
    release_locked(stream);
    pthread_mutex_unlock(&all.lock);
}

/* With one reference, the handle's. */
static struct emulated_stream *new_locked(int device, unsigned flags, bool legacy)
{
    struct emulated_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        return NULL;
    }
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    stream->references = 1;
    stream->device = device;
    stream->flags = flags;
    stream->legacy = legacy;
    stream->id = ++all.last_id;
    stream->last = &stream->first;
    stream->next = all.first;
    all.first = stream;
    return stream;
}

struct emulated_stream *emulated_stream_find(cuda_stream handle)
{
    struct emulated_stream *found = NULL;
    uintptr_t number = (uintptr_t)handle;
    if (number == 2) {
        emulated_error_say("the per-thread default stream is not emulated: name a stream");
        return NULL;
    }
    pthread_mutex_lock(&all.lock);
    if (number <= 1) {
        int device = emulated_device_current();
        if (all.legacy[device] == NULL) {
            all.legacy[device] = new_locked(device, 0, true);
        }
        found = all.legacy[device];
    } else {
        for (found = all.first; found != NULL && (found != handle || found->destroyed);
             found = found->next) {
        }
    }
    if (found != NULL) {
        found->references++;
    }
    pthread_mutex_unlock(&all.lock);
    return found;
}

int emulated_stream_device(const struct emulated_stream *stream)
{
    return stream->device;
}

static void *work(void *argument)
{
    struct emulated_stream *stream = argument;
    pthread_mutex_lock(&stream->lock);
    while (stream->first != NULL || !stream->closing) {
        emulated_work *item = stream->first;
        if (item == NULL) {
            pthread_cond_wait(&stream->changed, &stream->lock);
            continue;
        }
        stream->first = item->next;
        if (stream->first == NULL) {
            stream->last = &stream->first;
        }
        pthread_mutex_unlock(&stream->lock);
        item->run(item);
        pthread_mutex_lock(&stream->lock);
        stream->done++;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    emulated_stream_release(stream);
    return NULL;
}

/* Signals are the business of the program's own threads. The worker holds a reference. */
static cuda_error start_worker(struct emulated_stream *stream)
{
    pthread_mutex_lock(&all.lock);
    stream->references++;
    pthread_mutex_unlock(&all.lock);
    sigset_t every;
    sigset_t before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, work, stream);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        pthread_mutex_lock(&all.lock);
        stream->references--; /* not the last one: the caller has its own */
        pthread_mutex_unlock(&all.lock);
        return CUDA_MEMORY_ALLOCATION;
    }
    return CUDA_SUCCESS;
}

static cuda_error append(struct emulated_stream *stream, emulated_work *item)
{
    cuda_error error = CUDA_SUCCESS;
    pthread_mutex_lock(&stream->lock);
    if (!stream->started) {
        error = start_worker(stream);
        stream->started = error == CUDA_SUCCESS;
    }
    if (error == CUDA_SUCCESS) {
        item->device = stream->device;
        item->next = NULL;
        *stream->last = item;
        stream->last = &item->next;
        stream->put++;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    return error;
}

void emulated_stream_wait(struct emulated_stream *stream, uint64_t put)
{
    pthread_mutex_lock(&stream->lock);
    while (stream->done < put) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    pthread_mutex_unlock(&stream->lock);
}

bool emulated_stream_passed(struct emulated_stream *stream, uint64_t put)
{
    pthread_mutex_lock(&stream->lock);
    bool passed = stream->done >= put;
    pthread_mutex_unlock(&stream->lock);
    return passed;
}

void emulated_stream_retain(struct emulated_stream *stream)
{
    pthread_mutex_lock(&all.lock);
    stream->references++;
    pthread_mutex_unlock(&all.lock);
}

static uint64_t put_so_far(struct emulated_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    uint64_t put = stream->put;
    pthread_mutex_unlock(&stream->lock);
    return put;
}

typedef struct wait_work {
    emulated_work work;
    struct emulated_stream *stream; /* a reference */
    uint64_t put;
} wait_work;

static void run_wait(emulated_work *item)
{
    wait_work *wait = (wait_work *)item;
    emulated_stream_wait(wait->stream, wait->put);
    emulated_stream_release(wait->stream);
    free(wait);
}

/* The streams of a device (-1: of every device) that pass the filter, each with a reference; to be freed. */
static struct emulated_stream **list_streams(int device, bool blocking_only, size_t *count)
{
    pthread_mutex_lock(&all.lock);
    size_t most = 0;
    for (struct emulated_stream *stream = all.first; stream != NULL; stream = stream->next) {
        most++;
    }
    struct emulated_stream **list = calloc(most + 1, sizeof(struct emulated_stream *));
    *count = 0;
    for (struct emulated_stream *stream = all.first; list != NULL && stream != NULL;
         stream = stream->next) {
        if ((device < 0 || stream->device == device) &&
            (!blocking_only ||
             (!stream->legacy && (stream->flags & CUDA_STREAM_NON_BLOCKING) == 0))) {
            stream->references++;
            list[(*count)++] = stream;
        }
    }
    pthread_mutex_unlock(&all.lock);
    return list;
}

/* Takes the reference to other. */
static cuda_error put_wait(struct emulated_stream *stream, struct emulated_stream *other,
                           uint64_t put)
{
    wait_work *wait = emulated_stream_passed(other, put) ? NULL : malloc(sizeof *wait);
    if (wait == NULL) {
        cuda_error error =
            emulated_stream_passed(other, put) ? CUDA_SUCCESS : CUDA_MEMORY_ALLOCATION;
        emulated_stream_release(other);
        return error;
    }
    *wait = (wait_work){.work = {.run = run_wait}, .stream = other, .put = put};
    cuda_error error = append(stream, &wait->work);
    if (error != CUDA_SUCCESS) {
        emulated_stream_release(other);
        free(wait);
    }
    return error;
}

/* What the legacy default stream's order asks for, in front of an item. */
static cuda_error put_order(struct emulated_stream *stream)
{
    cuda_error error = CUDA_SUCCESS;
    if (stream->legacy) {
        size_t count;
        struct emulated_stream **others = list_streams(stream->device, true, &count);
        for (size_t i = 0; i < count; i++) {
            cuda_error failed = put_wait(stream, others[i], put_so_far(others[i]));
            error = error == CUDA_SUCCESS ? failed : error;
        }
        free(others);
        return error;
    }
    if ((stream->flags & CUDA_STREAM_NON_BLOCKING) != 0) {
        return CUDA_SUCCESS;
    }
    pthread_mutex_lock(&all.lock);
    struct emulated_stream *legacy = all.legacy[stream->device];
    if (legacy != NULL) {
        legacy->references++;
    }
    pthread_mutex_unlock(&all.lock);
    return legacy == NULL ? CUDA_SUCCESS : put_wait(stream, legacy, put_so_far(legacy));
}

/* The legacy stream waits for all blocking streams, a capturing one among them cannot be waited for. */
static cuda_error capture_in_the_way(struct emulated_stream *stream)
{
    if (emulated_stream_capturing(stream)) {
        return CUDA_STREAM_CAPTURE_UNSUPPORTED;
    }
    cuda_error error = CUDA_SUCCESS;
    if (stream->legacy) {
        size_t count;
        struct emulated_stream **others = list_streams(stream->device, true, &count);
        for (size_t i = 0; i < count; i++) {
            error = emulated_stream_capturing(others[i]) ? CUDA_STREAM_CAPTURE_IMPLICIT : error;
            emulated_stream_release(others[i]);
        }
        free(others);
    }
    return error;
}

cuda_error emulated_stream_put(struct emulated_stream *stream, emulated_work *item)
{
    cuda_error error = emulated_device_broken(stream->device);
    if (error == CUDA_SUCCESS) {
        error = capture_in_the_way(stream);
    }
    if (error == CUDA_SUCCESS) {
        pthread_mutex_lock(&put_lock);
        error = put_order(stream);
        if (error == CUDA_SUCCESS) {
            error = append(stream, item);
        }
        pthread_mutex_unlock(&put_lock);
    }
    if (error != CUDA_SUCCESS) {
        free(item);
    }
    return error;
}

cuda_error emulated_stream_mark(struct emulated_stream *stream, uint64_t *put)
{
    cuda_error error = capture_in_the_way(stream);
    if (error == CUDA_SUCCESS) {
        pthread_mutex_lock(&put_lock);
        error = stream->legacy ? put_order(stream) : CUDA_SUCCESS;
        *put = put_so_far(stream);
        pthread_mutex_unlock(&put_lock);
    }
    return error;
}

cuda_error emulated_stream_put_wait(struct emulated_stream *stream, struct emulated_stream *other,
                                    uint64_t put)
{
    cuda_error error = capture_in_the_way(stream);
    if (error == CUDA_SUCCESS) {
        emulated_stream_retain(other);
        pthread_mutex_lock(&put_lock);
        error = put_wait(stream, other, put);
        pthread_mutex_unlock(&put_lock);
    }
    return error;
}

cuda_error emulated_stream_drain(struct emulated_stream *stream)
{
    if (emulated_stream_capturing(stream)) {
        return CUDA_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (stream->legacy) {
        size_t count;
        struct emulated_stream **others = list_streams(stream->device, true, &count);
        for (size_t i = 0; i < count; i++) {
            emulated_stream_wait(others[i], put_so_far(others[i]));
            emulated_stream_release(others[i]);
        }
        free(others);
    }
    emulated_stream_wait(stream, put_so_far(stream));
    return emulated_device_broken(stream->device);
}

cuda_error emulated_stream_drain_device(int device)
{
    size_t count;
    struct emulated_stream **streams = list_streams(device, false, &count);
    if (streams == NULL) {
        return CUDA_MEMORY_ALLOCATION;
    }
    for (size_t i = 0; i < count; i++) {
        emulated_stream_wait(streams[i], put_so_far(streams[i]));
        emulated_stream_release(streams[i]);
    }
    free(streams);
    return device < 0 ? CUDA_SUCCESS : emulated_device_broken(device);
}

cuda_error cudaStreamCreateWithFlags(cuda_stream *stream, unsigned flags)
{
    cuda_error error = emulated_device_check();
    if (error == CUDA_SUCCESS &&
        (stream == NULL || (flags & ~(unsigned)CUDA_STREAM_NON_BLOCKING) != 0)) {
        error = CUDA_INVALID_VALUE;
    }
    if (error == CUDA_SUCCESS) {
        pthread_mutex_lock(&all.lock);
        *stream = new_locked(emulated_device_current(), flags, false);
        pthread_mutex_unlock(&all.lock);
        error = *stream == NULL ? CUDA_MEMORY_ALLOCATION : CUDA_SUCCESS;
    }
    return emulated_error_keep(error);
}

cuda_error cudaStreamCreate(cuda_stream *stream)
{
    return cudaStreamCreateWithFlags(stream, 0);
}

cuda_error cudaStreamCreateWithPriority(cuda_stream *stream, unsigned flags, int priority)
{
    (void)priority;
    return cudaStreamCreateWithFlags(stream, flags);
}

/* Returns at once; what is queued still runs, and then the worker ends. */
cuda_error cudaStreamDestroy(cuda_stream handle)
{
    if ((uintptr_t)handle <= 2) {
        return emulated_error_keep(CUDA_INVALID_RESOURCE_HANDLE);
    }
    pthread_mutex_lock(&all.lock);
    struct emulated_stream *stream = all.first;
    while (stream != NULL && (stream != handle || stream->destroyed)) {
        stream = stream->next;
    }
    if (stream != NULL) {
        stream->destroyed = true;
    }
    pthread_mutex_unlock(&all.lock);
    if (stream == NULL) {
        return emulated_error_keep(CUDA_INVALID_RESOURCE_HANDLE);
    }
    pthread_mutex_lock(&stream->lock);
    stream->closing = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    emulated_stream_release(stream);
    return CUDA_SUCCESS;
}

cuda_error cudaStreamSynchronize(cuda_stream handle)
{
    cuda_error error = emulated_device_check();
    if (error != CUDA_SUCCESS) {
        return emulated_error_keep(error);
    }
    struct emulated_stream *stream = emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(CUDA_INVALID_RESOURCE_HANDLE);
    }
    error = emulated_stream_drain(stream);
    emulated_stream_release(stream);
    return emulated_error_keep(error);
}

cuda_error cudaStreamQuery(cuda_stream handle)
{
    cuda_error error = emulated_device_check();
    if (error != CUDA_SUCCESS) {
        return emulated_error_keep(error);
    }
    struct emulated_stream *stream = emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(CUDA_INVALID_RESOURCE_HANDLE);
    }
    pthread_mutex_lock(&stream->lock);
    if (stream->capturing) {
        error = CUDA_STREAM_CAPTURE_UNSUPPORTED;
    } else if (stream->done < stream->put) {
        error = CUDA_NOT_READY;
    }
    pthread_mutex_unlock(&stream->lock);
    cuda_error broken = emulated_device_broken(stream->device);
    emulated_stream_release(stream);
    return emulated_error_keep(broken != CUDA_SUCCESS ? broken : error);
}

cuda_error cudaStreamGetId(cuda_stream handle, unsigned long long *id)
{
    struct emulated_stream *stream = id == NULL ? NULL : emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(id == NULL ? CUDA_INVALID_VALUE : CUDA_INVALID_RESOURCE_HANDLE);
    }
    *id = stream->id;
    emulated_stream_release(stream);
    return CUDA_SUCCESS;
}

cuda_error cudaStreamGetDevice(cuda_stream handle, int *device)
{
    struct emulated_stream *stream = device == NULL ? NULL : emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(device == NULL ? CUDA_INVALID_VALUE
                                                  : CUDA_INVALID_RESOURCE_HANDLE);
    }
    *device = stream->device;
    emulated_stream_release(stream);
    return CUDA_SUCCESS;
}

cuda_error cudaStreamGetFlags(cuda_stream handle, unsigned *flags)
{
    struct emulated_stream *stream = flags == NULL ? NULL : emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(flags == NULL ? CUDA_INVALID_VALUE
                                                 : CUDA_INVALID_RESOURCE_HANDLE);
    }
    *flags = stream->flags;
    emulated_stream_release(stream);
    return CUDA_SUCCESS;
}

typedef struct host_work {
    emulated_work work;
    cuda_host_function function;
    void *user;
} host_work;

static void run_host(emulated_work *item)
{
    host_work *host = (host_work *)item;
    host->function(host->user);
    free(host);
}

cuda_error cudaLaunchHostFunc(cuda_stream handle, cuda_host_function function, void *user)
{
    struct emulated_stream *stream = function == NULL ? NULL : emulated_stream_find(handle);
    if (stream == NULL) {
        return emulated_error_keep(function == NULL ? CUDA_INVALID_VALUE
                                                    : CUDA_INVALID_RESOURCE_HANDLE);
    }
    host_work *host = malloc(sizeof *host);
    cuda_error error = CUDA_MEMORY_ALLOCATION;
    if (host != NULL) {
        *host = (host_work){.work = {.run = run_host}, .function = function, .user = user};
        error = emulated_stream_put(stream, &host->work);
    }
    emulated_stream_release(stream);
    return emulated_error_keep(error);
}

bool emulated_stream_capturing(struct emulated_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool capturing = stream->capturing;
    pthread_mutex_unlock(&stream->lock);
    return capturing;
}

_Atomic int *emulated_stream_capture_mode(struct emulated_stream *stream)
{
    return &stream->capture_mode;
}

bool emulated_stream_set_capturing(struct emulated_stream *stream, bool capturing)
{
    pthread_mutex_lock(&stream->lock);
    bool before = stream->capturing;
    stream->capturing = capturing;
    pthread_mutex_unlock(&stream->lock);
    return before;
}

bool emulated_stream_legacy(const struct emulated_stream *stream)
{
    return stream->legacy;
}

unsigned long long emulated_stream_id(const struct emulated_stream *stream)
{
    return stream->id;
}
