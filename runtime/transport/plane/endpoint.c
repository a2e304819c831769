/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/plane/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "transport/tcp/bytes.h"
#include "transport/tcp/reach.h"

/* The host's part, the network's, and which host. */
#define SHARED_BYTES (sizeof(muster_host_address))
#define BLOB_BYTES (SHARED_BYTES + MUSTER_TCP_ADDRESS_BYTES + sizeof(uint64_t))

_Static_assert(BLOB_BYTES <= MUSTER_TRANSPORT_BLOB_BYTES, "the plane's parts fit a blob");

/* Ranks with equal numbers can share memory: one kernel, one network namespace (abstract names live in one), and
 * nobody said that they are to be taken for two hosts. */
static uint64_t host_id(const char *said)
{
    muster_host_address here;
    uint64_t id;

    muster_host_handover_here(&here);
    id = muster_hash_bytes(here.boot_id, sizeof here.boot_id, here.network_namespace);
    if (said != NULL && said[0] != '\0')
        id = muster_hash_bytes(said, strlen(said), id);
    return id;
}

static muster_status open_parts(muster_plane_endpoint *endpoint,
                                const muster_transport_endpoint_options *options,
                                muster_error *error)
{
    muster_tcp_address address;
    int listen_fd;
    muster_status status = muster_tcp_reach_listen(options->host_address, options->coordinator,
                                                   &address, &listen_fd, error);

    if (status != MUSTER_OK)
        return status;
    muster_tcp_porter_init(&endpoint->porter, options->job, &address, listen_fd);
    status = endpoint->host->endpoint_open(options, &endpoint->shared, error);
    if (status != MUSTER_OK)
        muster_tcp_porter_clean_up(&endpoint->porter);
    return status;
}

muster_status muster_plane_endpoint_open(const muster_transport_endpoint_options *options,
                                         muster_transport_endpoint **opened, muster_error *error)
{
    muster_plane_endpoint *endpoint = calloc(1, sizeof *endpoint);
    muster_status status;

    *opened = NULL;
    if (endpoint == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the endpoint of slot %d", options->slot);
    endpoint->host = muster_host_table();
    endpoint->host_id = host_id(options->host_id);
    endpoint->on_peer_unreachable = options->on_peer_unreachable;
    endpoint->context = options->context;
    status = open_parts(endpoint, options, error);
    if (status != MUSTER_OK) {
        free(endpoint);
        return status;
    }
    *opened = (muster_transport_endpoint *)(void *)endpoint;
    return muster_error_set_ok(error);
}

void muster_plane_endpoint_close(muster_transport_endpoint *opened)
{
    muster_plane_endpoint *endpoint = muster_plane_endpoint_of(opened);

    muster_tcp_porter_clean_up(&endpoint->porter);
    endpoint->host->endpoint_close(endpoint->shared);
    free(endpoint);
}

void muster_plane_endpoint_blob(const muster_transport_endpoint *opened,
                                muster_transport_blob *blob)
{
    const muster_plane_endpoint *endpoint = (const void *)opened;
    uint8_t *at = blob->data + SHARED_BYTES;

    endpoint->host->endpoint_blob(endpoint->shared, blob);
    MUSTER_ASSERT(blob->bytes == SHARED_BYTES);
    muster_tcp_address_encode(&endpoint->porter.address, at);
    muster_tcp_put(at + MUSTER_TCP_ADDRESS_BYTES, endpoint->host_id, sizeof(uint64_t));
    blob->bytes = BLOB_BYTES;
}

bool muster_plane_endpoint_parse(const muster_transport_blob *blob, muster_plane_place *place)
{
    const uint8_t *at = blob->data + SHARED_BYTES;

    if (blob->bytes != BLOB_BYTES)
        return false;
    memset(&place->shared, 0, sizeof place->shared);
    place->shared.bytes = SHARED_BYTES;
    memcpy(place->shared.data, blob->data, SHARED_BYTES);
    muster_tcp_take(at + MUSTER_TCP_ADDRESS_BYTES, &place->host_id, sizeof place->host_id);
    return muster_host_handover_parse(&place->shared, &place->host_address) &&
           muster_tcp_address_decode(at, &place->network);
}
