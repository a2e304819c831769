/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in frames and blobs: lowest byte first, whatever the machine. Pure. */
#ifndef MUSTER_TRANSPORT_TCP_BYTES_H
#define MUSTER_TRANSPORT_TCP_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint8_t *muster_tcp_put(uint8_t *at, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(number >> (8 * i));
    return at + bytes;
}

static inline const uint8_t *muster_tcp_take(const uint8_t *at, uint64_t *number, size_t bytes)
{
    *number = 0;
    for (size_t i = 0; i < bytes; i++)
        *number |= (uint64_t)at[i] << (8 * i);
    return at + bytes;
}

static inline const uint8_t *muster_tcp_take_32(const uint8_t *at, uint32_t *number)
{
    uint64_t wide;

    at = muster_tcp_take(at, &wide, sizeof *number);
    *number = (uint32_t)wide;
    return at;
}

#endif
