/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a peer on another host sends: they end up in the peer's own places and in the memory of a
 * RECEIVE, or nowhere. The first bytes say how the rank behaves meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "transport/tcp/address.h"
#include "transport/tcp/inflow.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* What decodes must encode to the very same bytes. */
static void greet(const uint8_t *bytes, size_t byte_count)
{
    uint8_t again[MUSTER_TCP_HELLO_BYTES];
    muster_tcp_hello hello;
    muster_tcp_welcome welcome;
    muster_tcp_refusal refusal;
    muster_tcp_address address;

    if (byte_count < sizeof again)
        return;
    if (muster_tcp_hello_decode(bytes, &hello)) {
        muster_tcp_hello_encode(&hello, again);
        MUSTER_ASSERT(memcmp(bytes, again, MUSTER_TCP_HELLO_BYTES) == 0);
    }
    if (muster_tcp_welcome_decode(bytes, &welcome)) {
        muster_tcp_welcome_encode(&welcome, again);
        MUSTER_ASSERT(memcmp(bytes, again, MUSTER_TCP_WELCOME_BYTES) == 0);
    }
    if (muster_tcp_refused_decode(bytes, &refusal)) {
        muster_tcp_refused_encode(refusal, again);
        MUSTER_ASSERT(memcmp(bytes, again, MUSTER_TCP_REFUSED_BYTES) == 0);
    }
    if (muster_tcp_address_decode(bytes, &address)) {
        muster_tcp_address_encode(&address, again);
        MUSTER_ASSERT(memcmp(bytes, again, MUSTER_TCP_ADDRESS_BYTES) == 0);
    }
}

/* Each piece of memory of its own, so that the sanitizer sees a byte too far. */
static void flow(const uint8_t *bytes, size_t byte_count, uint8_t how)
{
    const size_t receive_bytes = (size_t)(how & 15) + 1;
    muster_tcp_inflow inflow;
    uint8_t *data = malloc(receive_bytes);

    MUSTER_ASSERT(data != NULL);
    muster_tcp_inflow_init(&inflow, 0, 0);
    for (int i = 0; i < MUSTER_TCP_BOARD_PLACES; i++)
        MUSTER_ASSERT((inflow.places[i] = malloc(MUSTER_ROUND_BYTES)) != NULL);
    for (size_t at = 0; at < byte_count;) {
        size_t wanted;
        uint8_t *where = muster_tcp_inflow_where(&inflow, &wanted);

        if (where == NULL && inflow.state == MUSTER_TCP_INFLOW_DATA && inflow.data == NULL) {
            muster_tcp_inflow_expect(&inflow, data, receive_bytes);
            continue;
        }
        if (where == NULL)
            break;
        wanted = wanted < byte_count - at ? wanted : byte_count - at;
        wanted = wanted < (size_t)(how >> 4) + 1 ? wanted : (size_t)(how >> 4) + 1;
        memcpy(where, bytes + at, wanted);
        muster_tcp_inflow_took(&inflow, wanted);
        MUSTER_ASSERT(inflow.round <= inflow.own_posted + 1);
        at += wanted;
        if (inflow.state == MUSTER_TCP_INFLOW_HEADER && inflow.round == inflow.own_posted + 1)
            muster_tcp_inflow_posted(&inflow, inflow.round);
    }
    muster_tcp_inflow_forget(&inflow);
    for (int i = 0; i < MUSTER_TCP_BOARD_PLACES; i++)
        free(inflow.places[i]);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    greet(bytes, byte_count);
    if (byte_count > 0)
        flow(bytes + 1, byte_count - 1, bytes[0]);
    return 0;
}
