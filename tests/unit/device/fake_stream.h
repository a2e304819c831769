/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of the fake device plane: what is appended runs in order, on a thread. A piece of work moves its
 * bytes through rings in a file that the ranks of a communicator share, so that it makes no difference whether
 * they are threads or processes. */
#ifndef MUSTER_TESTS_FAKE_STREAM_H
#define MUSTER_TESTS_FAKE_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_plugin.h"

#define FAKE_RANKS_MAX 16
#define FAKE_RING_BYTES 32768

typedef struct fake_ring {
    _Atomic uint64_t written;
    _Atomic uint64_t read;
    unsigned char bytes[FAKE_RING_BYTES];
} fake_ring;

/* Zero at first: a fresh file. */
typedef struct fake_wire {
    _Atomic int32_t joined[FAKE_RANKS_MAX];
    /* How many batches of `from` have had something to do with `to`. */
    _Atomic int32_t called[FAKE_RANKS_MAX][FAKE_RANKS_MAX];
    fake_ring rings[]; /* from * rank_count + to */
} fake_wire;

size_t fake_wire_bytes(int32_t rank_count);

/* Of a communicator, for its work. */
typedef struct fake_abort {
    atomic_bool wanted;
    atomic_int inside; /* pieces of work that touch memory right now */
} fake_abort;

typedef enum fake_work_state {
    FAKE_WORK_QUEUED = 0, /* or running */
    FAKE_WORK_DONE = 1,
    FAKE_WORK_ABORTED = 2
} fake_work_state;

typedef struct fake_work {
    struct fake_work *next;
    fake_wire *wire;
    int32_t rank;
    int32_t rank_count;
    fake_abort *abort;
    muster_transport_operation *operations;
    size_t *moved; /* bytes, by operation */
    size_t count;
    int64_t delay_ns;
    int64_t started_ns;
    _Atomic int32_t state;
} fake_work;

bool fake_work_init(fake_work *work, fake_wire *wire, int32_t rank, int32_t rank_count,
                    fake_abort *abort, const muster_transport_operation *operations, size_t count);
void fake_work_clean_up(fake_work *work);
/* Every peer of it has called too, once: what a real plane waits for when two ranks first meet. */
bool fake_work_met(const fake_work *work);

typedef struct fake_stream fake_stream;
fake_stream *fake_stream_create(int32_t device);
void fake_stream_destroy(fake_stream *stream); /* what is on it has ended */
int32_t fake_stream_device(const fake_stream *stream);
bool fake_stream_capturing(const fake_stream *stream);
void fake_stream_set_capturing(fake_stream *stream, bool capturing);
void fake_stream_append(fake_stream *stream, fake_work *work);
void fake_stream_synchronize(fake_stream *stream);

extern fake_controls fake_all_controls;

#endif
