/* SPDX-License-Identifier: Apache-2.0 */
/* The table: everything of one host is handed on; what concerns other hosts is added. */
#include "transport/plane/plane.h"

#include <string.h>

#include "transport/plane/batch.h"

/* ---- memory: shared within the host only ---- */

static muster_status plane_memory_alloc(muster_transport_endpoint *opened, size_t bytes,
                                        void **memory, muster_error *error)
{
    muster_plane_endpoint *endpoint = muster_plane_endpoint_of(opened);

    return endpoint->host->memory_alloc(endpoint->shared, bytes, memory, error);
}

static muster_status plane_memory_free(muster_transport_endpoint *opened, void *memory)
{
    muster_plane_endpoint *endpoint = muster_plane_endpoint_of(opened);

    return endpoint->host->memory_free(endpoint->shared, memory);
}

static uint64_t plane_memory_find(muster_transport_endpoint *opened, const void *address,
                                  size_t bytes)
{
    muster_plane_endpoint *endpoint = muster_plane_endpoint_of(opened);

    return endpoint->host->memory_find(endpoint->shared, address, bytes);
}

static muster_status plane_memory_abandon(muster_transport_endpoint *opened, muster_error *error)
{
    muster_plane_endpoint *endpoint = muster_plane_endpoint_of(opened);

    return endpoint->host->memory_abandon(endpoint->shared, error);
}

/* A rank of another host has mapped nothing: then the verdict takes the way through buffers for all. */
static uint64_t plane_mapped_version(muster_transport *transport, int32_t peer)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    return connection->local_of[peer] < 0
               ? 0
               : connection->host->mapped_version(connection->shared, connection->local_of[peer]);
}

static void plane_map_exports(muster_transport *transport, int32_t peer)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    /* With other hosts in the group it would never be used. */
    if (connection->mesh == NULL)
        connection->host->map_exports(connection->shared, peer);
}

/* ---- rounds ---- */

static void plane_round_post(muster_transport *transport, uint64_t round, const void *payload)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    connection->host->round_post(connection->shared, round, payload);
    if (connection->mesh != NULL)
        muster_tcp_mesh_post(connection->mesh, round, payload);
}

static const void *plane_round_poll(muster_transport *transport, uint64_t round)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);
    const uint8_t *locals = connection->host->round_poll(connection->shared, round);
    uint8_t *all;

    if (connection->mesh == NULL)
        return locals;
    /* Asked in any case: the own payload may still be on its way out. */
    if (!muster_tcp_mesh_poll(connection->mesh, round) || locals == NULL)
        return NULL;
    all = muster_tcp_mesh_places(connection->mesh, round);
    if (connection->filled_round != round)
        for (int32_t local = 0; local < connection->local_count; local++)
            memcpy(all + (size_t)connection->rank_of[local] * MUSTER_ROUND_BYTES,
                   locals + (size_t)local * MUSTER_ROUND_BYTES, MUSTER_ROUND_BYTES);
    connection->filled_round = round;
    return all;
}

static void plane_round_missing(muster_transport *transport, uint64_t round,
                                muster_rank_set *missing)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    if (connection->mesh == NULL) {
        connection->host->round_missing(connection->shared, round, missing);
        return;
    }
    muster_rank_set_clear(missing);
    connection->host->round_missing(connection->shared, round, &connection->locals);
    muster_plane_batch_translate(connection, missing);
    muster_tcp_mesh_missing(connection->mesh, round, missing);
}

/* ---- waiting: on the doorbell of this host; the porter rings it for the sockets ---- */

static uint32_t plane_arm(muster_transport *transport)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    return connection->host->arm(connection->shared);
}

static void plane_sleep(muster_transport *transport, uint32_t ticket, int64_t max_ns)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    connection->host->sleep(connection->shared, ticket, max_ns);
}

static void plane_disarm(muster_transport *transport)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    connection->host->disarm(connection->shared);
}

static void plane_wake(muster_transport *transport)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    connection->host->wake(connection->shared);
}

static const muster_transport_table table = {
    .table_version = MUSTER_TRANSPORT_TABLE_VERSION,
    .name = "host",
    .memory_kind = MUSTER_MEMORY_HOST,
    .endpoint_open = muster_plane_endpoint_open,
    .endpoint_close = muster_plane_endpoint_close,
    .endpoint_blob = muster_plane_endpoint_blob,
    .memory_alloc = plane_memory_alloc,
    .memory_free = plane_memory_free,
    .memory_find = plane_memory_find,
    .memory_abandon = plane_memory_abandon,
    .connect = muster_plane_connection_open,
    .close = muster_plane_connection_close,
    .round_post = plane_round_post,
    .round_poll = plane_round_poll,
    .round_missing = plane_round_missing,
    .reserve = muster_plane_batch_reserve,
    .submit = muster_plane_batch_submit,
    .progress = muster_plane_batch_progress,
    .batch_missing = muster_plane_batch_missing,
    .release = muster_plane_batch_release,
    .mapped_version = plane_mapped_version,
    .map_exports = plane_map_exports,
    .arm = plane_arm,
    .sleep = plane_sleep,
    .disarm = plane_disarm,
    .wake = plane_wake,
};

const muster_transport_table *muster_plane_table(void)
{
    return &table;
}
