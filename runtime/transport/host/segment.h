/* SPDX-License-Identifier: Apache-2.0 */
/* The segment of one communicator of one epoch: where everything in it lies. README.md draws it.
 *
 * Rank 0 makes it, the others map it; every rank computes the same places from the rank count. Nothing
 * in it is ever reused for another epoch. */
#ifndef MUSTER_TRANSPORT_HOST_SEGMENT_H
#define MUSTER_TRANSPORT_HOST_SEGMENT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/host/doorbell.h"
#include "transport/host/mapping.h"
#include "transport/transport.h"

/* Two lines: the adjacent-line prefetcher pulls pairs, and would make neighbours fight. */
#define MUSTER_HOST_LINE_BYTES 128
/* A payload of round k is valid until the own post of round k + 2. Another rank may post k + 2 as soon as
 * everyone has posted k + 1, so two places a rank would be one too few; everyone has to post k + 2 before
 * anyone posts k + 3, so three are enough. */
#define MUSTER_HOST_BOARD_PLACES 3

#define MUSTER_HOST_RING_BYTES_MIN ((size_t)4 << 10)
#define MUSTER_HOST_RING_BYTES_MAX ((size_t)1 << 20)
#define MUSTER_HOST_SEGMENT_BYTES_AIM ((size_t)32 << 20)

/* What names a segment. */
typedef struct muster_host_segment_key {
    uint64_t job;
    uint64_t epoch;
    uint64_t communicator;
} muster_host_segment_key;

typedef struct muster_host_segment_header {
    uint64_t magic;
    uint32_t version;
    int32_t rank_count;
    uint64_t ring_bytes;
    uint64_t total_bytes;
    muster_host_segment_key key;
} muster_host_segment_header;

/* What one rank says to all. Each part on lines of its own: the doorbell is read by ringers all the
 * time and must not be invalidated by every round. */
typedef struct muster_host_rank_lines {
    alignas(MUSTER_HOST_LINE_BYTES) muster_host_doorbell doorbell;
    alignas(MUSTER_HOST_LINE_BYTES) _Atomic uint64_t posted; /* the last round this rank posted */
    alignas(MUSTER_HOST_LINE_BYTES) _Atomic uint64_t exports_version;
    _Atomic uint32_t arrived;
} muster_host_rank_lines;

/* What goes from one rank to another: lines written by the source, then a line written by the
 * destination. */
typedef struct muster_host_pair {
    alignas(MUSTER_HOST_LINE_BYTES) _Atomic uint64_t tail; /* bytes put into the ring */
    _Atomic uint64_t writes; /* WRITEs of the source into the destination's memory */
    _Atomic uint64_t reads;  /* READs of the source out of the destination's memory */
    alignas(MUSTER_HOST_LINE_BYTES) _Atomic uint64_t head; /* bytes taken out of the ring */
} muster_host_pair;

typedef struct muster_host_segment {
    muster_host_mapping mapping;
    muster_host_segment_header *header;
    muster_host_rank_lines *ranks;
    uint8_t *board;
    muster_host_pair *pairs;
    uint8_t *rings;
    int32_t rank_count;
    size_t ring_bytes;
} muster_host_segment;

/* The largest power of two that keeps all rings of a communicator near the aim. */
size_t muster_host_segment_ring_bytes(int32_t rank_count);
size_t muster_host_segment_total_bytes(int32_t rank_count);

/* MUSTER_ERR_NO_MEMORY, MUSTER_ERR_SYSTEM. */
muster_status muster_host_segment_create(const muster_host_segment_key *key, int32_t rank_count,
                                         muster_host_segment *segment, muster_error *error);
/* Maps a segment that came as fd; refuses one of another key or shape (MUSTER_ERR_VERSION). */
muster_status muster_host_segment_open(int fd, const muster_host_segment_key *key,
                                       int32_t rank_count, muster_host_segment *segment,
                                       muster_error *error);
void muster_host_segment_close(muster_host_segment *segment);

/* Where the parts lie in memory that holds (or will hold) a segment of rank_count ranks. */
void muster_host_segment_locate(muster_host_segment *segment, void *memory, int32_t rank_count);

uint8_t *muster_host_segment_place(const muster_host_segment *segment, uint64_t round,
                                   int32_t rank);
muster_host_pair *muster_host_segment_pair(const muster_host_segment *segment, int32_t from,
                                           int32_t to);
uint8_t *muster_host_segment_ring(const muster_host_segment *segment, int32_t from, int32_t to);

#endif
