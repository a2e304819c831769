/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/frame.h"

#include <string.h>

#include "transport/tcp/bytes.h"

#define MAGIC UINT32_C(0x4d534652)
#define VERSION 1u

static bool length_fits(uint64_t kind, uint64_t bytes)
{
    switch (kind) {
    case MUSTER_TCP_HELLO:
        return bytes == MUSTER_TCP_HELLO_BYTES;
    case MUSTER_TCP_WELCOME:
        return bytes == MUSTER_TCP_WELCOME_BYTES;
    case MUSTER_TCP_REFUSED:
        return bytes == MUSTER_TCP_REFUSED_BYTES;
    case MUSTER_TCP_ROUND:
        return bytes == MUSTER_ROUND_BYTES;
    case MUSTER_TCP_DATA:
        return bytes > 0 && bytes <= MUSTER_TCP_DATA_BYTES_MAX;
    default:
        return bytes == 0;
    }
}

void muster_tcp_header_encode(const muster_tcp_header *header, uint8_t *bytes)
{
    bytes = muster_tcp_put(bytes, MAGIC, 4);
    bytes = muster_tcp_put(bytes, VERSION, 2);
    bytes = muster_tcp_put(bytes, header->kind, 2);
    bytes = muster_tcp_put(bytes, header->epoch, 8);
    bytes = muster_tcp_put(bytes, header->communicator, 8);
    bytes = muster_tcp_put(bytes, header->sequence, 8);
    muster_tcp_put(bytes, header->bytes, 8);
}

muster_tcp_header_fault muster_tcp_header_decode(const uint8_t *bytes, muster_tcp_header *header)
{
    uint64_t magic, version, kind;

    bytes = muster_tcp_take(bytes, &magic, 4);
    bytes = muster_tcp_take(bytes, &version, 2);
    bytes = muster_tcp_take(bytes, &kind, 2);
    bytes = muster_tcp_take(bytes, &header->epoch, 8);
    bytes = muster_tcp_take(bytes, &header->communicator, 8);
    bytes = muster_tcp_take(bytes, &header->sequence, 8);
    muster_tcp_take(bytes, &header->bytes, 8);
    if (magic != MAGIC)
        return MUSTER_TCP_HEADER_FOREIGN;
    if (version != VERSION)
        return MUSTER_TCP_HEADER_VERSION;
    if (kind < MUSTER_TCP_HELLO || kind > MUSTER_TCP_BYE)
        return MUSTER_TCP_HEADER_KIND;
    header->kind = (muster_tcp_kind)kind;
    return length_fits(kind, header->bytes) ? MUSTER_TCP_HEADER_OK : MUSTER_TCP_HEADER_LENGTH;
}

static uint8_t *put_party(uint8_t *at, const muster_tcp_party *party)
{
    at = muster_tcp_put(at, (uint32_t)party->rank, 4);
    at = muster_tcp_put(at, (uint32_t)party->slot, 4);
    return muster_tcp_put(at, party->incarnation, 4);
}

static const uint8_t *take_party(const uint8_t *at, muster_tcp_party *party)
{
    uint32_t rank, slot;

    at = muster_tcp_take_32(at, &rank);
    at = muster_tcp_take_32(at, &slot);
    at = muster_tcp_take_32(at, &party->incarnation);
    party->rank = (int32_t)rank;
    party->slot = (int32_t)slot;
    return at;
}

void muster_tcp_hello_encode(const muster_tcp_hello *hello, uint8_t *bytes)
{
    bytes = muster_tcp_put(bytes, hello->job, 8);
    bytes = put_party(bytes, &hello->from);
    bytes = put_party(bytes, &hello->to);
    bytes = muster_tcp_put(bytes, (uint32_t)hello->member_count, 4);
    bytes = muster_tcp_put(bytes, 0, 4);
    memcpy(bytes, hello->cookie, sizeof hello->cookie);
}

static bool party_possible(const muster_tcp_party *party, int32_t member_count)
{
    return party->rank >= 0 && party->rank < member_count && party->slot >= 0;
}

bool muster_tcp_hello_decode(const uint8_t *bytes, muster_tcp_hello *hello)
{
    uint32_t member_count, reserved;

    bytes = muster_tcp_take(bytes, &hello->job, 8);
    bytes = take_party(bytes, &hello->from);
    bytes = take_party(bytes, &hello->to);
    bytes = muster_tcp_take_32(bytes, &member_count);
    bytes = muster_tcp_take_32(bytes, &reserved);
    memcpy(hello->cookie, bytes, sizeof hello->cookie);
    hello->member_count = (int32_t)member_count;
    return reserved == 0 && hello->member_count > 1 &&
           party_possible(&hello->from, hello->member_count) &&
           party_possible(&hello->to, hello->member_count) && hello->from.rank != hello->to.rank;
}

void muster_tcp_welcome_encode(const muster_tcp_welcome *welcome, uint8_t *bytes)
{
    bytes = muster_tcp_put(bytes, (uint32_t)welcome->slot, 4);
    bytes = muster_tcp_put(bytes, welcome->incarnation, 4);
    memcpy(bytes, welcome->cookie, sizeof welcome->cookie);
}

bool muster_tcp_welcome_decode(const uint8_t *bytes, muster_tcp_welcome *welcome)
{
    uint32_t slot;

    bytes = muster_tcp_take_32(bytes, &slot);
    bytes = muster_tcp_take_32(bytes, &welcome->incarnation);
    memcpy(welcome->cookie, bytes, sizeof welcome->cookie);
    welcome->slot = (int32_t)slot;
    return welcome->slot >= 0;
}

void muster_tcp_refused_encode(muster_tcp_refusal refusal, uint8_t *bytes)
{
    muster_tcp_put(bytes, refusal, 8);
}

bool muster_tcp_refused_decode(const uint8_t *bytes, muster_tcp_refusal *refusal)
{
    uint64_t number;

    muster_tcp_take(bytes, &number, 8);
    if (number < MUSTER_TCP_REFUSAL_VERSION || number > MUSTER_TCP_REFUSAL_LATE)
        return false;
    *refusal = (muster_tcp_refusal)number;
    return true;
}

bool muster_tcp_cookie_equal(const uint8_t *one, const uint8_t *other)
{
    uint8_t different = 0;

    for (size_t i = 0; i < MUSTER_TCP_COOKIE_BYTES; i++)
        different |= (uint8_t)(one[i] ^ other[i]);
    return different == 0;
}
