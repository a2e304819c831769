/* SPDX-License-Identifier: Apache-2.0 */
/* The live connection with one peer of another host: its socket, what comes and what goes.
 *
 * Everything but `ready` is the rank's own (under its communicator's lock). The porter's thread only says that the socket may
 * have something to read or room to write. */
#ifndef MUSTER_TRANSPORT_TCP_CONNECTION_H
#define MUSTER_TRANSPORT_TCP_CONNECTION_H

#include <stdatomic.h>

#include "transport/tcp/inflow.h"

#define MUSTER_TCP_READABLE 1u
#define MUSTER_TCP_WRITABLE 2u

typedef struct muster_tcp_connection {
    int fd; /* -1: not yet, or lost */
    _Atomic uint32_t ready;
    muster_tcp_inflow inflow;
    bool lost;       /* it was there, and ended without a BYE */
    int native_code; /* lost: errno, or 0 where the peer just ended it */
    /* The frame on its way: header, or header and payload of a round. */
    uint8_t frame[MUSTER_TCP_HEADER_BYTES + MUSTER_ROUND_BYTES];
    size_t frame_bytes;
    size_t frame_sent;
    uint64_t sequence; /* of the last DATA sent */
    size_t data_left;  /* of the DATA that is being sent */
} muster_tcp_connection;

void muster_tcp_connection_init(muster_tcp_connection *connection, uint64_t epoch,
                                uint64_t communicator);
/* Takes the socket, set up by muster_tcp_connection_set_up. */
void muster_tcp_connection_begin(muster_tcp_connection *connection, int fd);
/* Says BYE where the stream is whole, and closes. */
void muster_tcp_connection_end(muster_tcp_connection *connection);

/* Options of a socket between ranks: no delay; lost when the peer's kernel acknowledges nothing for
 * silence_ns. False with errno. */
bool muster_tcp_connection_set_up(int fd, int64_t silence_ns);

/* Queues a ROUND. The one before has gone. */
void muster_tcp_connection_post(muster_tcp_connection *connection, uint64_t round,
                                const void *payload);
/* True when nothing waits to be sent, or the connection is lost. Sends what the socket takes. */
bool muster_tcp_connection_flush(muster_tcp_connection *connection);

/* Takes what has come, at most about limit_bytes; true where anything came. */
bool muster_tcp_connection_take(muster_tcp_connection *connection, size_t limit_bytes);

/* Sends a piece of a SEND of bytes, of which done were sent before; returns how many now. */
size_t muster_tcp_connection_put(muster_tcp_connection *connection, const void *data, size_t bytes,
                                 size_t done, size_t limit_bytes);

#endif
