/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint of one rank: that of its host's shared memory, and a door for ranks of other hosts. */
#ifndef MUSTER_TRANSPORT_PLANE_ENDPOINT_H
#define MUSTER_TRANSPORT_PLANE_ENDPOINT_H

#include "transport/host/handover.h"
#include "transport/host/host.h"
#include "transport/tcp/porter.h"

typedef struct muster_plane_endpoint {
    const muster_transport_table *host;
    muster_transport_endpoint *shared; /* the host's */
    uint64_t host_id;
    muster_tcp_porter porter;
    void (*on_peer_unreachable)(void *context, int32_t slot, uint32_t incarnation);
    void *context;
} muster_plane_endpoint;

/* What a member's blob says. */
typedef struct muster_plane_place {
    muster_transport_blob shared;     /* the host's part */
    muster_host_address host_address; /* its contents: which machine */
    muster_tcp_address network;
    uint64_t host_id;
} muster_plane_place;

muster_status muster_plane_endpoint_open(const muster_transport_endpoint_options *options,
                                         muster_transport_endpoint **endpoint, muster_error *error);
void muster_plane_endpoint_close(muster_transport_endpoint *endpoint);
void muster_plane_endpoint_blob(const muster_transport_endpoint *endpoint,
                                muster_transport_blob *blob);

/* False where the blob is none of this version. */
bool muster_plane_endpoint_parse(const muster_transport_blob *blob, muster_plane_place *place);

/* The table's handles are the plane's own. */
static inline muster_plane_endpoint *muster_plane_endpoint_of(muster_transport_endpoint *endpoint)
{
    return (muster_plane_endpoint *)(void *)endpoint;
}

#endif
