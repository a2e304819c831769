/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_stream.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct fake_stream {
    int32_t device;
    atomic_bool capturing;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fake_work *first;
    fake_work *last;
    bool busy;
    bool closing;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

size_t fake_wire_bytes(int32_t rank_count)
{
    return sizeof(fake_wire) + (size_t)rank_count * (size_t)rank_count * sizeof(fake_ring);
}

bool fake_work_init(fake_work *work, fake_wire *wire, int32_t rank, int32_t rank_count,
                    fake_abort *abort, const muster_transport_operation *operations, size_t count)
{
    *work = (fake_work){
        .wire = wire, .rank = rank, .rank_count = rank_count, .abort = abort, .count = count};
    work->operations = malloc(count * sizeof(*work->operations));
    work->moved = calloc(count, sizeof(*work->moved));
    if (work->operations == NULL || work->moved == NULL) {
        fake_work_clean_up(work);
        return false;
    }
    memcpy(work->operations, operations, count * sizeof(*operations));
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add(&wire->called[rank][operations[i].peer], 1);
    return true;
}

void fake_work_clean_up(fake_work *work)
{
    free(work->operations);
    free(work->moved);
}

bool fake_work_met(const fake_work *work)
{
    for (size_t i = 0; i < work->count; i++)
        if (atomic_load(&work->wire->called[work->operations[i].peer][work->rank]) == 0)
            return false;
    return true;
}

/* ---- moving bytes ---- */

static bool push(fake_ring *ring, const unsigned char *data, size_t bytes, size_t *moved)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint64_t room =
        FAKE_RING_BYTES - (written - atomic_load_explicit(&ring->read, memory_order_acquire));
    size_t count = bytes - *moved < room ? bytes - *moved : (size_t)room;
    for (size_t i = 0; i < count; i++)
        ring->bytes[(written + i) % FAKE_RING_BYTES] = data[*moved + i];
    *moved += count;
    atomic_store_explicit(&ring->written, written + count, memory_order_release);
    return count > 0;
}

static bool pull(fake_ring *ring, unsigned char *data, size_t bytes, size_t *moved)
{
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    uint64_t there = atomic_load_explicit(&ring->written, memory_order_acquire) - read;
    size_t count = bytes - *moved < there ? bytes - *moved : (size_t)there;
    for (size_t i = 0; i < count; i++)
        data[*moved + i] = ring->bytes[(read + i) % FAKE_RING_BYTES];
    *moved += count;
    atomic_store_explicit(&ring->read, read + count, memory_order_release);
    return count > 0;
}

/* One look at every operation. The k-th send to a peer goes before the next one to it. */
static bool run_once(fake_work *work, bool *moved)
{
    bool send_busy[FAKE_RANKS_MAX] = {false};
    bool receive_busy[FAKE_RANKS_MAX] = {false};
    bool done = true;
    *moved = false;
    for (size_t i = 0; i < work->count; i++) {
        const muster_transport_operation *operation = &work->operations[i];
        int32_t peer = operation->peer;
        if (work->moved[i] == operation->bytes)
            continue;
        if (operation->kind == MUSTER_TRANSPORT_COPY) {
            memcpy(operation->data, operation->source, operation->bytes);
            work->moved[i] = operation->bytes;
            *moved = true;
            continue;
        }
        bool sends = operation->kind == MUSTER_TRANSPORT_SEND;
        bool *busy = sends ? &send_busy[peer] : &receive_busy[peer];
        if (!sends && operation->kind != MUSTER_TRANSPORT_RECEIVE)
            abort(); /* other kinds do not come */
        if (!*busy) {
            fake_ring *ring = sends ? &work->wire->rings[work->rank * work->rank_count + peer]
                                    : &work->wire->rings[peer * work->rank_count + work->rank];
            bool some = sends ? push(ring, operation->data, operation->bytes, &work->moved[i])
                              : pull(ring, operation->data, operation->bytes, &work->moved[i]);
            *moved = *moved || some;
        }
        if (work->moved[i] < operation->bytes) {
            *busy = true;
            done = false;
        }
    }
    return done;
}

static void run(fake_stream *stream, fake_work *work)
{
    work->started_ns = now_ns();
    for (;;) {
        atomic_fetch_add(&work->abort->inside, 1);
        bool aborted = atomic_load(&work->abort->wanted);
        bool held = atomic_load(&fake_all_controls.hold_batches[stream->device]) ||
                    now_ns() - work->started_ns < work->delay_ns;
        bool moved = false;
        bool done = !aborted && !held && run_once(work, &moved);
        fake_abort *inside = work->abort;
        if (aborted || done)
            atomic_store(&work->state, aborted ? FAKE_WORK_ABORTED : FAKE_WORK_DONE);
        /* The work may be gone from here on; its communicator waits for this. */
        atomic_fetch_sub(&inside->inside, 1);
        if (aborted || done)
            return;
        if (!moved) {
            struct timespec nap = {.tv_nsec = 50000};
            nanosleep(&nap, NULL);
        }
    }
}

static void *stream_main(void *context)
{
    fake_stream *stream = context;
    pthread_mutex_lock(&stream->lock);
    for (;;) {
        while (!stream->closing && stream->first == NULL)
            pthread_cond_wait(&stream->changed, &stream->lock);
        if (stream->first == NULL)
            break;
        fake_work *work = stream->first;
        stream->first = work->next;
        if (stream->first == NULL)
            stream->last = NULL;
        stream->busy = true;
        pthread_mutex_unlock(&stream->lock);
        run(stream, work);
        pthread_mutex_lock(&stream->lock);
        stream->busy = false;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    return NULL;
}

fake_stream *fake_stream_create(int32_t device)
{
    fake_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->device = device;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    if (pthread_create(&stream->thread, NULL, stream_main, stream) != 0) {
        free(stream);
        return NULL;
    }
    return stream;
}

void fake_stream_destroy(fake_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->closing = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    pthread_join(stream->thread, NULL);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

int32_t fake_stream_device(const fake_stream *stream)
{
    return stream->device;
}

bool fake_stream_capturing(const fake_stream *stream)
{
    return atomic_load(&stream->capturing);
}

void fake_stream_set_capturing(fake_stream *stream, bool capturing)
{
    atomic_store(&stream->capturing, capturing);
}

void fake_stream_append(fake_stream *stream, fake_work *work)
{
    pthread_mutex_lock(&stream->lock);
    work->next = NULL;
    if (stream->last == NULL)
        stream->first = work;
    else
        stream->last->next = work;
    stream->last = work;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

void fake_stream_synchronize(fake_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    while (stream->first != NULL || stream->busy)
        pthread_cond_wait(&stream->changed, &stream->lock);
    pthread_mutex_unlock(&stream->lock);
}
