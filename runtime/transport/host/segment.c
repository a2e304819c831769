/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/segment.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

#define MAGIC UINT64_C(0x4d55535445525347)
#define VERSION 1u

_Static_assert(MUSTER_ROUND_BYTES % 64 == 0, "payloads of the board start on cache lines");

static size_t round_up_lines(size_t bytes)
{
    return (bytes + MUSTER_HOST_LINE_BYTES - 1) / MUSTER_HOST_LINE_BYTES * MUSTER_HOST_LINE_BYTES;
}

static size_t pair_count(int32_t rank_count)
{
    return (size_t)rank_count * (size_t)(rank_count - 1);
}

size_t muster_host_segment_ring_bytes(int32_t rank_count)
{
    size_t ring_bytes = MUSTER_HOST_RING_BYTES_MAX;

    while (ring_bytes > MUSTER_HOST_RING_BYTES_MIN &&
           ring_bytes * pair_count(rank_count) > MUSTER_HOST_SEGMENT_BYTES_AIM)
        ring_bytes /= 2;
    return ring_bytes;
}

void muster_host_segment_locate(muster_host_segment *segment, void *memory, int32_t rank_count)
{
    uint8_t *next = memory;
    size_t count = (size_t)rank_count;

    segment->rank_count = rank_count;
    segment->ring_bytes = muster_host_segment_ring_bytes(rank_count);
    segment->header = memory;
    next += round_up_lines(sizeof *segment->header);
    segment->ranks = (muster_host_rank_lines *)next;
    next += count * sizeof *segment->ranks;
    segment->board = next;
    next += round_up_lines(MUSTER_HOST_BOARD_PLACES * count * MUSTER_ROUND_BYTES);
    segment->pairs = (muster_host_pair *)next;
    next += pair_count(rank_count) * sizeof *segment->pairs;
    segment->rings = next;
}

size_t muster_host_segment_total_bytes(int32_t rank_count)
{
    muster_host_segment segment;
    uint8_t *nowhere = NULL;
    size_t before_rings;

    /* The same arithmetic as for real memory, so that the two cannot drift apart. */
    muster_host_segment_locate(&segment, nowhere, rank_count);
    before_rings = (size_t)((uintptr_t)segment.rings - (uintptr_t)nowhere);
    return muster_host_mapping_round_up(before_rings + pair_count(rank_count) * segment.ring_bytes);
}

muster_status muster_host_segment_create(const muster_host_segment_key *key, int32_t rank_count,
                                         muster_host_segment *segment, muster_error *error)
{
    size_t total_bytes = muster_host_segment_total_bytes(rank_count);
    muster_status status;

    memset(segment, 0, sizeof *segment);
    status = muster_host_mapping_create(total_bytes, NULL, "the communicator's segment",
                                        &segment->mapping, error);
    if (status != MUSTER_OK)
        return status;
    muster_host_segment_locate(segment, segment->mapping.memory, rank_count);
    *segment->header = (muster_host_segment_header){
        .magic = MAGIC,
        .version = VERSION,
        .rank_count = rank_count,
        .ring_bytes = segment->ring_bytes,
        .total_bytes = total_bytes,
        .key = *key,
    };
    return MUSTER_OK;
}

muster_status muster_host_segment_open(int fd, const muster_host_segment_key *key,
                                       int32_t rank_count, muster_host_segment *segment,
                                       muster_error *error)
{
    size_t total_bytes = muster_host_segment_total_bytes(rank_count);
    muster_status status;

    memset(segment, 0, sizeof *segment);
    status = muster_host_mapping_open(fd, total_bytes, "the communicator's segment",
                                      &segment->mapping, error);
    if (status != MUSTER_OK)
        return status;
    muster_host_segment_locate(segment, segment->mapping.memory, rank_count);
    if (segment->header->magic != MAGIC || segment->header->version != VERSION ||
        segment->header->rank_count != rank_count ||
        segment->header->ring_bytes != segment->ring_bytes ||
        memcmp(&segment->header->key, key, sizeof *key) != 0) {
        int64_t came = segment->header->version;

        muster_host_segment_close(segment);
        return muster_error_set(error, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION, VERSION, came,
                                "rank 0's segment has layout version %" PRId64
                                " or another key than expected (version %u); run the same version "
                                "of Muster on all ranks",
                                came, VERSION);
    }
    return MUSTER_OK;
}

void muster_host_segment_close(muster_host_segment *segment)
{
    muster_host_mapping_close(&segment->mapping);
    memset(segment, 0, sizeof *segment);
    segment->mapping = MUSTER_HOST_MAPPING_NONE;
}

uint8_t *muster_host_segment_place(const muster_host_segment *segment, uint64_t round, int32_t rank)
{
    size_t place = (size_t)(round % MUSTER_HOST_BOARD_PLACES);

    return segment->board +
           (place * (size_t)segment->rank_count + (size_t)rank) * MUSTER_ROUND_BYTES;
}

/* Ordered pairs without the diagonal. */
static size_t pair_index(const muster_host_segment *segment, int32_t from, int32_t to)
{
    MUSTER_ASSERT(from != to && from >= 0 && to >= 0);
    MUSTER_ASSERT(from < segment->rank_count && to < segment->rank_count);
    return (size_t)from * (size_t)(segment->rank_count - 1) + (size_t)(to < from ? to : to - 1);
}

muster_host_pair *muster_host_segment_pair(const muster_host_segment *segment, int32_t from,
                                           int32_t to)
{
    return &segment->pairs[pair_index(segment, from, to)];
}

uint8_t *muster_host_segment_ring(const muster_host_segment *segment, int32_t from, int32_t to)
{
    return segment->rings + pair_index(segment, from, to) * segment->ring_bytes;
}
