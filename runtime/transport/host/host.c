/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the host plane: each entry hands on to the noun that it is about. */
#include "transport/host/host.h"

#include "transport/host/clock.h"
#include "transport/host/connection.h"
#include "transport/host/endpoint.h"

#define MAP_EXPORTS_NS (100 * MUSTER_HOST_MILLISECOND_NS)

static muster_status host_memory_alloc(muster_transport_endpoint *endpoint, size_t bytes,
                                       void **memory, muster_error *error)
{
    return muster_host_exports_alloc(&endpoint->exports, bytes, memory, error);
}

static muster_status host_memory_free(muster_transport_endpoint *endpoint, void *memory)
{
    return memory == NULL ? MUSTER_OK : muster_host_exports_free(&endpoint->exports, memory);
}

static uint64_t host_memory_find(muster_transport_endpoint *endpoint, const void *address,
                                 size_t bytes)
{
    return muster_host_exports_find(&endpoint->exports, address, bytes);
}

static muster_status host_memory_abandon(muster_transport_endpoint *endpoint, muster_error *error)
{
    return muster_host_exports_abandon(&endpoint->exports, error);
}

static void host_round_post(muster_transport *transport, uint64_t round, const void *payload)
{
    muster_host_board_post(&transport->board, round, payload);
}

static const void *host_round_poll(muster_transport *transport, uint64_t round)
{
    return muster_host_board_poll(&transport->board, round);
}

static void host_round_missing(muster_transport *transport, uint64_t round,
                               muster_rank_set *missing)
{
    muster_host_board_missing(&transport->board, round, missing);
}

static uint64_t host_mapped_version(muster_transport *transport, int32_t peer)
{
    if (peer == transport->own_rank)
        return muster_host_exports_version(&transport->endpoint->exports);
    return transport->peers[peer].imports.version;
}

static void host_map_exports(muster_transport *transport, int32_t peer)
{
    muster_host_peer *from = &transport->peers[peer];

    if (peer == transport->own_rank)
        return;
    muster_host_imports_update(&from->imports, &from->address,
                               atomic_load(&transport->segment.ranks[peer].exports_version),
                               muster_host_clock_now_ns() + MAP_EXPORTS_NS);
}

static muster_host_doorbell *own_doorbell(muster_transport *transport)
{
    return &transport->segment.ranks[transport->own_rank].doorbell;
}

static uint32_t host_arm(muster_transport *transport)
{
    atomic_fetch_add(&transport->armed, 1);
    return muster_host_doorbell_arm(own_doorbell(transport));
}

static void host_disarm(muster_transport *transport)
{
    muster_host_doorbell *doorbell = own_doorbell(transport);

    if (atomic_fetch_sub(&transport->armed, 1) != 1)
        return; /* another thread may still be asleep (the progress thread and a caller) */
    muster_host_doorbell_disarm(doorbell);
    if (atomic_load(&transport->armed) > 0) {
        /* One armed in between, and a ring may just have passed it by: let it look again. */
        muster_host_doorbell_arm(doorbell);
        muster_host_doorbell_wake(doorbell);
    }
}

static void host_sleep(muster_transport *transport, uint32_t ticket, int64_t max_ns)
{
    muster_host_doorbell_sleep(own_doorbell(transport), ticket, max_ns);
}

static void host_wake(muster_transport *transport)
{
    muster_host_doorbell_wake(own_doorbell(transport));
}

static const muster_transport_table table = {
    .table_version = MUSTER_TRANSPORT_TABLE_VERSION,
    .name = "host",
    .memory_kind = MUSTER_MEMORY_HOST,
    .endpoint_open = muster_host_endpoint_open,
    .endpoint_close = muster_host_endpoint_close,
    .endpoint_blob = muster_host_endpoint_blob,
    .memory_alloc = host_memory_alloc,
    .memory_free = host_memory_free,
    .memory_find = host_memory_find,
    .memory_abandon = host_memory_abandon,
    .connect = muster_host_connection_open,
    .close = muster_host_connection_close,
    .round_post = host_round_post,
    .round_poll = host_round_poll,
    .round_missing = host_round_missing,
    .reserve = muster_host_batch_reserve,
    .submit = muster_host_batch_submit,
    .progress = muster_host_batch_progress,
    .batch_missing = muster_host_batch_missing,
    .release = muster_host_batch_release,
    .mapped_version = host_mapped_version,
    .map_exports = host_map_exports,
    .arm = host_arm,
    .sleep = host_sleep,
    .disarm = host_disarm,
    .wake = host_wake,
};

const muster_transport_table *muster_host_table(void)
{
    return &table;
}
