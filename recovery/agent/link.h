/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's one connection: a ZeroMQ DEALER with a context of its own, so that nothing is global to
 * the process and ending it waits for nobody else's sockets. Nothing here blocks but
 * muster_link_wait, and the close for its linger.
 *
 * Messages are queued only while there is a connection: heartbeats of an outage would otherwise
 * arrive in one burst, all stale. So a send can find no room; what matters is in the outbox. */
#ifndef MUSTER_RECOVERY_LINK_H
#define MUSTER_RECOVERY_LINK_H

#include "core/message.h"
#include "keys/key.h"

typedef struct muster_link {
    void *context;
    void *socket;
    void *monitor; /* says when a connection was made, or came to nothing */
    bool has_keys;
    uint32_t
        failure; /* of the last handshake: an event and its value; 0: none since a connection */
    uint32_t failure_value;
    char *endpoint;
    int64_t connect_again_ns; /* CLOCK_MONOTONIC; 0: ZeroMQ sees to it */
} muster_link;

/* tcp://HOST:PORT or ipc://PATH, else MUSTER_ERR_INVALID_ARGUMENT. Succeeds whether anybody listens
 * or not. keys NULL or empty: the connection is plain; else MUSTER_ERR_ENVIRONMENT where they are none.
 * The threads of ZeroMQ inherit the caller's signal mask: block all signals around it. */
muster_status muster_link_open(muster_link *link, const char *endpoint,
                               const muster_client_keys *keys, muster_error *error);
void muster_link_close(muster_link *link, int linger_ms);

/* MUSTER_OK; MUSTER_ERR_TIMEOUT: no connection, or no room in it; MUSTER_ERR_NO_MEMORY;
 * MUSTER_ERR_INVALID_ARGUMENT: the wire has no such message. */
muster_status muster_link_send(muster_link *link, const muster_message *message);

/* MUSTER_OK: *message is to be cleaned up; MUSTER_ERR_TIMEOUT: nothing there; else as
 * muster_wire_decode: something came that is no message for us. */
muster_status muster_link_receive(muster_link *link, muster_message *message, muster_error *error);

/* How many connections were made since the last call: what was sent into an earlier one may be lost. */
int muster_link_connections(muster_link *link);

/* Why connections come to nothing, in words that go on a sentence; NULL: not known, or they do not. As
 * of the last muster_link_connections. */
const char *muster_link_trouble(const muster_link *link);

/* Until something came, a connection was made, wake_fd is readable, a send would find room (only where wanted), or
 * timeout_ms (-1: none) passed. */
void muster_link_wait(muster_link *link, int wake_fd, bool want_room, long timeout_ms);

#endif
