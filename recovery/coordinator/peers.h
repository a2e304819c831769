/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected: ZeroMQ names a peer by a routing id, the core by a number, the kernel by a
 * descriptor. A connection here is one number for one routing id until it is lost or forgotten; a peer
 * that connects again is a new connection.
 *
 * ROUTER does not say that a peer went away. Its monitor does, by descriptor, and a message tells from
 * which descriptor it came; both together give "connection 7 is lost" in the moment in which the
 * kernel closes a dead process's socket. */
#ifndef MUSTER_COORDINATOR_PEERS_H
#define MUSTER_COORDINATOR_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

#include "coordinator/gate.h"

#define MUSTER_PEERS_MAX ((size_t)65536)
#define MUSTER_ROUTING_ID_BYTES 255

typedef struct muster_peer {
    uint64_t connection;
    uint64_t job; /* hash; 0: has not named one yet */
    bool launcher;
    uint32_t waiting; /* messages of it that wait in the inbox */
    bool lost;        /* to be lost once none waits: what it said before is heard first */
    /* The process for which it joined as a spare: a connection is one process. */
    bool spare;
    int32_t spare_process_id;
    uint64_t spare_host;
    bool refused; /* a message of it was refused, and that was said */
    int64_t pinged_ns;
    muster_key key; /* with which it was let in; empty: plain */
    /* What the list says of this key; asked again when the gate's version has grown. */
    const muster_allowed_key *allowed;
    uint64_t allowed_version;
    int fd;
    uint8_t routing_id[MUSTER_ROUTING_ID_BYTES];
    uint8_t routing_id_bytes;
    struct muster_peer *next_by_id;
    struct muster_peer *next_by_connection;
} muster_peer;

typedef struct muster_peers muster_peers;

/* router: a ROUTER socket that is not bound yet, and the gate that counts the handshakes that fail on it,
 * both borrowed. MUSTER_ERR_NO_MEMORY or MUSTER_ERR_SYSTEM. */
muster_status muster_peers_open(void *context, void *router, muster_gate *gate,
                                muster_peers **peers, muster_error *error);
void muster_peers_close(muster_peers *peers);

/* The monitor's socket, to be polled; then call muster_peers_listen. */
void *muster_peers_monitor(muster_peers *peers);
/* Takes in what the monitor says. Never blocks. */
void muster_peers_listen(muster_peers *peers);

/* The sender of a message that came from descriptor fd with that key (NULL: plain), known or new. NULL
 * when memory ran out or there are MUSTER_PEERS_MAX. Listens to the monitor where the sender is new. */
muster_peer *muster_peers_sender(muster_peers *peers, const void *routing_id, size_t bytes, int fd,
                                 const char *key);

/* NULL for a connection that was lost or forgotten. */
muster_peer *muster_peers_find(muster_peers *peers, uint64_t connection);

/* The next connection that was lost, 0 for none. It stays known until it is forgotten. */
uint64_t muster_peers_next_lost(muster_peers *peers);
/* Found out otherwise: a send to it failed. */
void muster_peers_lose(muster_peers *peers, uint64_t connection);
void muster_peers_forget(muster_peers *peers, uint64_t connection);

size_t muster_peers_count(const muster_peers *peers);

/* Walks all peers: first with NULL. Do not forget any on the way. */
muster_peer *muster_peers_next(muster_peers *peers, const muster_peer *after);

#endif
