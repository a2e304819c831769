/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream.h"

#include <stdlib.h>
#include <string.h>

void muster_stream_write_begin(muster_stream *stream)
{
    memset(stream, 0, sizeof *stream);
    stream->writing = true;
}

void muster_stream_read_begin(muster_stream *stream, const void *bytes, size_t byte_count)
{
    memset(stream, 0, sizeof *stream);
    stream->bytes = (uint8_t *)(uintptr_t)bytes;
    stream->byte_count = byte_count;
}

void muster_stream_fail(muster_stream *stream, const char *failure)
{
    if (!stream->failure) {
        stream->failure = failure;
    }
}

/* Room for count more bytes, or what is left of the input; NULL after a failure. */
static uint8_t *stream_take(muster_stream *stream, size_t count)
{
    if (stream->failure) {
        return NULL;
    }
    if (!stream->writing) {
        if (count > stream->byte_count - stream->position) {
            muster_stream_fail(stream, "it ends too early");
            return NULL;
        }
    } else if (count > stream->capacity - stream->position) {
        size_t capacity = stream->capacity ? stream->capacity : 256;
        while (count > capacity - stream->position) {
            capacity *= 2;
        }
        uint8_t *grown = realloc(stream->bytes, capacity);
        if (!grown) {
            stream->out_of_memory = true;
            muster_stream_fail(stream, "memory ran out");
            return NULL;
        }
        stream->bytes = grown;
        stream->capacity = capacity;
    }
    uint8_t *place = stream->bytes + stream->position;
    stream->position += count;
    if (stream->writing) {
        stream->byte_count = stream->position;
    }
    return place;
}

static uint64_t stream_integer(muster_stream *stream, uint64_t value, size_t bytes)
{
    uint8_t *place = stream_take(stream, bytes);
    if (!place) {
        return 0;
    }
    if (stream->writing) {
        for (size_t i = 0; i < bytes; i++) {
            place[i] = (uint8_t)(value >> (8 * i));
        }
        return value;
    }
    uint64_t read = 0;
    for (size_t i = 0; i < bytes; i++) {
        read |= (uint64_t)place[i] << (8 * i);
    }
    return read;
}

/* A writer never stores into the field: it may belong to a message that the caller holds const. */
#define STREAM_INTEGER(stream, value, type, unsigned_type) \
    do { \
        uint64_t came = stream_integer((stream), (unsigned_type) * (value), sizeof(type)); \
        if (!(stream)->writing) { \
            *(value) = (type)(unsigned_type)came; \
        } \
    } while (0)

void muster_stream_u8(muster_stream *stream, uint8_t *value)
{
    STREAM_INTEGER(stream, value, uint8_t, uint8_t);
}

void muster_stream_u32(muster_stream *stream, uint32_t *value)
{
    STREAM_INTEGER(stream, value, uint32_t, uint32_t);
}

void muster_stream_u64(muster_stream *stream, uint64_t *value)
{
    STREAM_INTEGER(stream, value, uint64_t, uint64_t);
}

void muster_stream_i32(muster_stream *stream, int32_t *value)
{
    STREAM_INTEGER(stream, value, int32_t, uint32_t);
}

void muster_stream_i64(muster_stream *stream, int64_t *value)
{
    STREAM_INTEGER(stream, value, int64_t, uint64_t);
}

void muster_stream_bool(muster_stream *stream, bool *value)
{
    uint64_t came = stream_integer(stream, stream->writing ? (*value ? 1u : 0u) : 0u, 1);
    if (stream->writing) {
        return;
    }
    if (came > 1) {
        muster_stream_fail(stream, "a yes-or-no field is neither 0 nor 1");
    }
    *value = came == 1;
}

void muster_stream_bytes(muster_stream *stream, void *bytes, size_t count)
{
    if (count == 0) {
        return;
    }
    uint8_t *place = stream_take(stream, count);
    if (!place) {
        return;
    }
    if (stream->writing) {
        memcpy(place, bytes, count);
    } else {
        memcpy(bytes, place, count);
    }
}

void muster_stream_text(muster_stream *stream, char *text, size_t capacity)
{
    uint32_t length = 0;
    if (stream->writing) {
        length = (uint32_t)strnlen(text, capacity);
    }
    muster_stream_u32(stream, &length);
    if (length >= capacity) {
        muster_stream_fail(stream, "a text is too long");
    }
    if (stream->failure) {
        return;
    }
    muster_stream_bytes(stream, text, length);
    if (!stream->writing && !stream->failure) {
        text[length] = '\0';
        if (strlen(text) != length) {
            muster_stream_fail(stream, "a text has a NUL inside");
        }
    }
}

bool muster_stream_array(muster_stream *stream, int32_t *count, void **items, size_t item_bytes,
                         int32_t count_max, size_t item_wire_bytes_min)
{
    int32_t came = stream->writing ? *count : 0;
    muster_stream_i32(stream, &came);
    if (came < 0 || came > count_max) {
        muster_stream_fail(stream, "an array has an impossible number of items");
    }
    if (!stream->failure && !stream->writing && item_wire_bytes_min > 0 &&
        (size_t)came > (stream->byte_count - stream->position) / item_wire_bytes_min) {
        muster_stream_fail(stream, "an array has more items than fit into the message");
    }
    if (stream->failure || came == 0) {
        return false;
    }
    if (stream->writing) {
        if (!*items) {
            muster_stream_fail(stream, "an array with items in it is NULL");
            return false;
        }
        return true;
    }
    *items = calloc((size_t)came, item_bytes);
    if (!*items) {
        stream->out_of_memory = true;
        muster_stream_fail(stream, "memory ran out");
        return false;
    }
    *count = came;
    return true;
}
