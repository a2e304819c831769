/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of one ordered pair of ranks: single producer, single consumer, bytes.
 *
 * A transfer is a frame header and its bytes, starting on a cache line. Both sides move it in pieces, so
 * that they copy at the same time. Positions count bytes for ever; the place in the ring is the position
 * modulo its size. */
#ifndef MUSTER_TRANSPORT_HOST_RING_H
#define MUSTER_TRANSPORT_HOST_RING_H

#include "transport/host/segment.h"

typedef struct muster_host_ring_frame {
    uint64_t bytes;
    uint64_t sequence; /* 1, 2, 3 ... over the life of the ring */
} muster_host_ring_frame;

/* One side of a ring. */
typedef struct muster_host_ring {
    muster_host_pair *pair;
    uint8_t *data;
    size_t ring_bytes;
    size_t piece_bytes; /* at most this much in one step, so that the other side can start */
    uint64_t position;  /* the own one: tail of the producer, head of the consumer */
    uint64_t other; /* the other side's, as last seen: its line is read only when this runs out */
    uint64_t sequence; /* of the transfer in work, or of the last one */
} muster_host_ring;

void muster_host_ring_init(muster_host_ring *ring, const muster_host_segment *segment, int32_t from,
                           int32_t to);

/* Moves a piece of a transfer of `bytes`, of which `done` were moved before; returns how many were moved
 * now, 0 where the ring is full (empty). The caller rings the other side's doorbell. */
size_t muster_host_ring_put(muster_host_ring *ring, const void *data, size_t bytes, size_t done);
size_t muster_host_ring_take(muster_host_ring *ring, void *data, size_t bytes, size_t done);

#endif
