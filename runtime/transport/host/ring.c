/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/ring.h"

#include <string.h>

#include "base/assert.h"
#include "transport/host/copy.h"

#define FRAME_ALIGNMENT ((size_t)64)
#define PIECE_BYTES_MAX ((size_t)128 << 10)

_Static_assert(sizeof(muster_host_ring_frame) < FRAME_ALIGNMENT, "a frame header fits a line");
_Static_assert(MUSTER_HOST_RING_BYTES_MIN >= 4 * FRAME_ALIGNMENT, "a ring holds a frame's start");

void muster_host_ring_init(muster_host_ring *ring, const muster_host_segment *segment, int32_t from,
                           int32_t to)
{
    size_t quarter = segment->ring_bytes / 4;

    *ring = (muster_host_ring){
        .pair = muster_host_segment_pair(segment, from, to),
        .data = muster_host_segment_ring(segment, from, to),
        .ring_bytes = segment->ring_bytes,
        .piece_bytes = quarter < PIECE_BYTES_MAX ? quarter : PIECE_BYTES_MAX,
    };
}

/* Small transfers share the line of their header; large ones start on the next, aligned. */
static size_t payload_offset(size_t bytes)
{
    return bytes <= FRAME_ALIGNMENT - sizeof(muster_host_ring_frame)
               ? sizeof(muster_host_ring_frame)
               : FRAME_ALIGNMENT;
}

static uint64_t align_up(uint64_t position)
{
    return (position + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT * FRAME_ALIGNMENT;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How much of a piece lies before the ring's end. */
static size_t before_wrap(const muster_host_ring *ring, size_t bytes)
{
    return least(bytes, ring->ring_bytes - (size_t)(ring->position % ring->ring_bytes));
}

size_t muster_host_ring_put(muster_host_ring *ring, const void *data, size_t bytes, size_t done)
{
    const uint8_t *from = (const uint8_t *)data + done;
    /* What must fit before it is worth a step: at the start the header with the first bytes. */
    size_t offset = done == 0 ? payload_offset(bytes) : 0;
    size_t left = bytes - done;
    size_t room = ring->ring_bytes - (size_t)(ring->position - ring->other);
    size_t piece, first;

    /* Every piece but the last of a transfer is whole lines, so both positions stay on lines and rounding
     * up at the end cannot pass the other side. */
    MUSTER_ASSERT(ring->position - ring->other <= ring->ring_bytes);
    /* Looking again only when a whole piece does not fit keeps the consumer's line with the consumer. */
    if (room < offset + least(left, ring->piece_bytes)) {
        ring->other = atomic_load(&ring->pair->head);
        room = ring->ring_bytes - (size_t)(ring->position - ring->other);
        if (room < offset + least(left, FRAME_ALIGNMENT))
            return 0;
    }
    if (done == 0) {
        muster_host_ring_frame frame = {.bytes = bytes, .sequence = ++ring->sequence};

        memcpy(ring->data + ring->position % ring->ring_bytes, &frame, sizeof frame);
        ring->position += offset;
        room -= offset;
    }
    piece = least(left, least(room, ring->piece_bytes));
    first = before_wrap(ring, piece);
    memcpy(ring->data + ring->position % ring->ring_bytes, from, first);
    memcpy(ring->data, from + first, piece - first);
    ring->position += piece;
    if (piece == left)
        ring->position = align_up(ring->position);
    atomic_store(&ring->pair->tail, ring->position);
    return piece;
}

size_t muster_host_ring_take(muster_host_ring *ring, void *data, size_t bytes, size_t done)
{
    uint8_t *to = (uint8_t *)data + done;
    bool stream = bytes >= MUSTER_HOST_COPY_STREAM_BYTES;
    size_t left = bytes - done;
    size_t piece, first;

    if (ring->other == ring->position) {
        ring->other = atomic_load(&ring->pair->tail);
        if (ring->other == ring->position)
            return 0;
    }
    if (done == 0) {
        muster_host_ring_frame frame;

        memcpy(&frame, ring->data + ring->position % ring->ring_bytes, sizeof frame);
        ring->sequence++;
        /* Both sides agreed on the transfer before it started; anything else is a bug of ours, and going
         * on would hand out wrong bytes. */
        MUSTER_ASSERT(frame.bytes == bytes && frame.sequence == ring->sequence);
        ring->position += payload_offset(bytes);
    }
    piece = least(left, least((size_t)(ring->other - ring->position), ring->piece_bytes));
    first = before_wrap(ring, piece);
    muster_host_copy(to, ring->data + ring->position % ring->ring_bytes, first, stream);
    muster_host_copy(to + first, ring->data, piece - first, stream);
    ring->position += piece;
    if (piece == left)
        ring->position = align_up(ring->position);
    atomic_store(&ring->pair->head, ring->position);
    return piece;
}
