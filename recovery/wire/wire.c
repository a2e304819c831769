/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wire/payload.h"
#include "core/stream.h"

/* The header: its layout never changes, so that a peer of another version can still be answered.
 *
 *    0  magic "MSTR"        16  job            40  slot
 *    4  wire version        24  term           44  incarnation
 *    8  type                32  epoch          48  payload
 *   12  payload bytes */
#define WIRE_HEADER_BYTES ((size_t)48)
#define WIRE_PAYLOAD_BYTES_AT ((size_t)12)
static const uint8_t wire_magic[4] = {'M', 'S', 'T', 'R'};

typedef struct wire_header {
    uint8_t magic[4];
    uint32_t version;
    uint32_t payload_bytes;
} wire_header;

static void wire_stream_header(muster_stream *stream, wire_header *header, muster_message *message)
{
    muster_stream_bytes(stream, header->magic, sizeof header->magic);
    muster_stream_u32(stream, &header->version);
    muster_stream_u32(stream, &message->type);
    muster_stream_u32(stream, &header->payload_bytes);
    muster_stream_u64(stream, &message->job);
    muster_stream_u64(stream, &message->term);
    muster_stream_u64(stream, &message->epoch);
    muster_stream_i32(stream, &message->slot);
    muster_stream_u32(stream, &message->incarnation);
}

muster_status muster_wire_encode(const muster_message *message, void **bytes, size_t *byte_count)
{
    *bytes = NULL;
    *byte_count = 0;
    muster_message view = *message; /* the stream takes fields it may fill; a writer only reads */
    wire_header header = {.version = MUSTER_WIRE_VERSION};
    memcpy(header.magic, wire_magic, sizeof header.magic);
    muster_stream stream;
    muster_stream_write_begin(&stream);
    wire_stream_header(&stream, &header, &view);
    if (view.slot < MUSTER_SLOT_SPARE_WIRE || view.slot >= MUSTER_SLOTS_MAX) {
        muster_stream_fail(&stream, "a slot number is out of range");
    }
    muster_payload_stream(&stream, &view);
    if (!stream.failure && stream.byte_count > MUSTER_WIRE_MESSAGE_BYTES_MAX) {
        muster_stream_fail(&stream, "it is too long");
    }
    if (stream.failure) {
        free(stream.bytes);
        return stream.out_of_memory ? MUSTER_ERR_NO_MEMORY : MUSTER_ERR_INVALID_ARGUMENT;
    }
    size_t payload_bytes = stream.byte_count - WIRE_HEADER_BYTES;
    for (size_t i = 0; i < 4; i++) {
        stream.bytes[WIRE_PAYLOAD_BYTES_AT + i] = (uint8_t)(payload_bytes >> (8 * i));
    }
    *bytes = stream.bytes;
    *byte_count = stream.byte_count;
    return MUSTER_OK;
}

static muster_status wire_refuse(muster_error *error, int64_t expected, int64_t came,
                                 const char *why)
{
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BYTES, expected, came,
                            "not a message of Muster's control plane: %s (expected %lld, came "
                            "%lld); check that the endpoint is a muster coordinator's",
                            why, (long long)expected, (long long)came);
}

muster_status muster_wire_decode(const void *bytes, size_t byte_count, muster_message *message,
                                 muster_error *error)
{
    memset(message, 0, sizeof *message);
    if (byte_count < WIRE_HEADER_BYTES || byte_count > MUSTER_WIRE_MESSAGE_BYTES_MAX) {
        return wire_refuse(error, (int64_t)WIRE_HEADER_BYTES, (int64_t)byte_count,
                           byte_count < WIRE_HEADER_BYTES ? "it is shorter than a header"
                                                          : "it is too long");
    }
    muster_stream stream;
    wire_header header = {0};
    muster_stream_read_begin(&stream, bytes, byte_count);
    wire_stream_header(&stream, &header, message);
    if (memcmp(header.magic, wire_magic, sizeof wire_magic) != 0) {
        memset(message, 0, sizeof *message);
        return wire_refuse(error, 0, 0, "it does not begin with MSTR");
    }
    if (header.version != MUSTER_WIRE_VERSION) {
        if (message->slot < MUSTER_SLOT_SPARE_WIRE || message->slot >= MUSTER_SLOTS_MAX) {
            message->slot = MUSTER_SLOT_NONE; /* an answer must be possible all the same */
        }
        return muster_error_set(error, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION,
                                (int64_t)MUSTER_WIRE_VERSION, (int64_t)header.version,
                                "the other side speaks wire version %u, this one %u; install the "
                                "same Muster on both",
                                header.version, MUSTER_WIRE_VERSION);
    }
    uint32_t type = message->type;
    if (header.payload_bytes != byte_count - WIRE_HEADER_BYTES) {
        muster_stream_fail(&stream, "its length is not what its header says");
    } else if (message->slot < MUSTER_SLOT_SPARE_WIRE || message->slot >= MUSTER_SLOTS_MAX) {
        muster_stream_fail(&stream, "a slot number is out of range");
    } else {
        muster_payload_stream(&stream, message);
        if (!stream.failure && stream.position != stream.byte_count) {
            muster_stream_fail(&stream, "it goes on after its end");
        }
    }
    if (!stream.failure) {
        return muster_error_set_ok(error);
    }
    size_t position = stream.position;
    muster_message_clean_up(message);
    if (stream.out_of_memory) {
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0,
                                (int64_t)byte_count, "memory ran out for a message of %zu bytes",
                                byte_count);
    }
    return muster_error_set(
        error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BYTES,
        (int64_t)header.payload_bytes + (int64_t)WIRE_HEADER_BYTES, (int64_t)byte_count,
        "not a message of Muster's control plane: %s (type %u %s, byte %zu of "
        "%zu)",
        stream.failure, type, muster_message_type_text(type), position, byte_count);
}
