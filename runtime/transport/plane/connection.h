/* SPDX-License-Identifier: Apache-2.0 */
/* One rank's connection to a communicator of one epoch: its host's part in shared memory, the rest by TCP. */
#ifndef MUSTER_TRANSPORT_PLANE_CONNECTION_H
#define MUSTER_TRANSPORT_PLANE_CONNECTION_H

#include "transport/plane/endpoint.h"
#include "transport/tcp/batch.h"

typedef struct muster_plane_connection muster_plane_connection;

typedef struct muster_plane_batch {
    muster_plane_connection *connection;
    muster_transport_batch *shared; /* NULL: nothing moves within the host, or not any more */
    bool shared_done;
    bool remote_done;
} muster_plane_batch;

struct muster_plane_connection {
    const muster_transport_table *host;
    muster_transport *shared; /* the ranks of this host */
    /* Where all are on this host: NULL, and the numbers of ranks are the same in both. */
    muster_tcp_mesh *mesh;
    int32_t member_count;
    int32_t *local_of; /* by rank: its number among those of this host; -1: on another one */
    int32_t *rank_of;  /* by number on this host */
    int32_t local_count;
    uint64_t filled_round;  /* whose payloads of this host are in the mesh's places */
    muster_rank_set locals; /* room to translate */
    muster_tcp_batch remote;
    muster_transport_operation *operations; /* of this host, translated */
    size_t operation_capacity;
    muster_plane_batch batch;
};

muster_status muster_plane_connection_open(muster_transport_endpoint *endpoint,
                                           const muster_transport_connect_options *options,
                                           muster_transport **transport, muster_error *error);
void muster_plane_connection_close(muster_transport *transport);

static inline muster_plane_connection *muster_plane_connection_of(muster_transport *transport)
{
    return (muster_plane_connection *)(void *)transport;
}

#endif
