/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of little-endian fields that either writes or reads, so that the layout of a message is
 * said once and both directions follow it: muster_stream_u32(stream, &field) appends the field's value
 * or fills it. The wire's messages and what a coordinator saves are both made of it. Pure.
 *
 * The first thing that does not fit stops the stream: failure says what, and every later call does
 * nothing (a read leaves the field zero). The caller looks once, at the end. */
#ifndef MUSTER_RECOVERY_CORE_STREAM_H
#define MUSTER_RECOVERY_CORE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct muster_stream {
    bool writing;
    uint8_t *bytes; /* writing: owned, grows. Reading: borrowed, never written through */
    size_t byte_count;
    size_t position;
    size_t capacity;     /* writing only */
    const char *failure; /* NULL: none */
    bool out_of_memory;  /* the failure was that */
} muster_stream;

void muster_stream_write_begin(muster_stream *stream);
void muster_stream_read_begin(muster_stream *stream, const void *bytes, size_t byte_count);

void muster_stream_fail(muster_stream *stream, const char *failure);

void muster_stream_u8(muster_stream *stream, uint8_t *value);
void muster_stream_u32(muster_stream *stream, uint32_t *value);
void muster_stream_u64(muster_stream *stream, uint64_t *value);
void muster_stream_i32(muster_stream *stream, int32_t *value);
void muster_stream_i64(muster_stream *stream, int64_t *value);
/* One byte, 0 or 1; anything else fails. */
void muster_stream_bool(muster_stream *stream, bool *value);
/* count bytes, as they are. */
void muster_stream_bytes(muster_stream *stream, void *bytes, size_t count);
/* A text in an array of capacity bytes: length, then the bytes without the NUL. A text that has no
 * NUL within capacity, or a length that leaves no room for one, fails. */
void muster_stream_text(muster_stream *stream, char *text, size_t capacity);

/* The count of an array and, when reading, its items: zeroed and allocated after the count is known
 * to be at most count_max and to fit, at item_wire_bytes_min each, into what is left (0: nobody
 * knows yet; then count_max alone bounds them). False when
 * there is nothing to stream (no items, or a failure). */
bool muster_stream_array(muster_stream *stream, int32_t *count, void **items, size_t item_bytes,
                         int32_t count_max, size_t item_wire_bytes_min);

#endif
