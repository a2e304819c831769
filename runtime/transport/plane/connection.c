/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/plane/connection.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define SILENCE_DEFAULT_NS (10000 * MUSTER_HOST_MILLISECOND_NS)

/* What connecting needs and no longer. */
typedef struct plane_attempt {
    const muster_transport_connect_options *options;
    muster_plane_place *places;      /* by rank */
    muster_transport_member *locals; /* by number on this host */
    muster_tcp_member *members;      /* by rank */
    int32_t remote_count;
} plane_attempt;

static muster_status no_memory(const muster_transport_connect_options *options, muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                            "no memory for a connection of %d ranks", options->member_count);
}

static muster_status check_options(const muster_transport_connect_options *options,
                                   muster_error *error)
{
    if (options->member_count < 1 || options->own_rank < 0 ||
        options->own_rank >= options->member_count)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT,
                                options->member_count, options->own_rank,
                                "own_rank: a rank below member_count %d was expected, %d came",
                                options->member_count, options->own_rank);
    return MUSTER_OK;
}

static muster_status read_blobs(plane_attempt *attempt, muster_error *error)
{
    const muster_transport_connect_options *options = attempt->options;

    for (int32_t rank = 0; rank < options->member_count; rank++) {
        if (muster_plane_endpoint_parse(&options->members[rank].blob, &attempt->places[rank]))
            continue;
        muster_error_set(error, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION, 0, 0,
                         "rank %d (slot %d) did not send an address that this version of Muster "
                         "reads; run the same version on all ranks",
                         rank, options->members[rank].slot);
        if (error != NULL)
            error->rank = rank;
        return MUSTER_ERR_VERSION;
    }
    return MUSTER_OK;
}

/* Who is here and who is elsewhere. */
static void divide(muster_plane_connection *connection, plane_attempt *attempt, uint64_t host_id)
{
    const muster_transport_connect_options *options = attempt->options;

    for (int32_t rank = 0; rank < options->member_count; rank++) {
        const muster_transport_member *member = &options->members[rank];
        bool remote = attempt->places[rank].host_id != host_id;

        attempt->members[rank] = (muster_tcp_member){.slot = member->slot,
                                                     .incarnation = member->incarnation,
                                                     .remote = remote,
                                                     .address = attempt->places[rank].network};
        connection->local_of[rank] = remote ? -1 : connection->local_count;
        attempt->remote_count += remote ? 1 : 0;
        if (remote)
            continue;
        attempt->locals[connection->local_count] = *member;
        attempt->locals[connection->local_count].blob = attempt->places[rank].shared;
        connection->rank_of[connection->local_count++] = rank;
    }
}

static muster_status unreachable(const plane_attempt *attempt, int32_t rank, const char *why,
                                 muster_error *error)
{
    muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_SLOT, 0,
                     attempt->options->members[rank].slot,
                     "rank %d (slot %d) is on another host, %s; name the coordinator by its "
                     "address in the network (tcp://HOST:PORT) on every host, or give each its own "
                     "with --host-address or MUSTER_HOST_ADDRESS",
                     rank, attempt->options->members[rank].slot, why);
    if (error != NULL)
        error->rank = rank;
    return MUSTER_ERR_UNSUPPORTED;
}

static bool same_machine(const muster_host_address *one, const muster_host_address *other)
{
    return memcmp(one->boot_id, other->boot_id, sizeof one->boot_id) == 0 &&
           one->network_namespace == other->network_namespace;
}

static muster_status check_reach(const muster_plane_endpoint *endpoint,
                                 const plane_attempt *attempt, muster_error *error)
{
    const muster_transport_connect_options *options = attempt->options;
    const muster_plane_place *own = &attempt->places[options->own_rank];

    for (int32_t rank = 0; rank < options->member_count; rank++) {
        const muster_plane_place *place = &attempt->places[rank];
        bool elsewhere = !same_machine(&own->host_address, &place->host_address);

        if (!attempt->members[rank].remote)
            continue;
        if (endpoint->porter.listen_fd < 0)
            return unreachable(attempt, rank, "and this one listens to no network", error);
        if (place->network.family == 0)
            return unreachable(attempt, rank, "and says no address", error);
        if (elsewhere && (muster_tcp_address_is_loopback(&place->network) ||
                          muster_tcp_address_is_loopback(&own->network)))
            return unreachable(attempt, rank,
                               "and one of the two says a loopback address, which only its own "
                               "host reaches",
                               error);
    }
    return MUSTER_OK;
}

static muster_status open_mesh(muster_plane_connection *connection, muster_plane_endpoint *endpoint,
                               const plane_attempt *attempt, muster_error *error)
{
    const muster_transport_connect_options *options = attempt->options;
    muster_tcp_mesh_options mesh_options = {
        .epoch = options->epoch,
        .communicator = options->communicator,
        .members = attempt->members,
        .member_count = options->member_count,
        .own_rank = options->own_rank,
        .silence_ns = options->silence_ns > 0 ? options->silence_ns : SILENCE_DEFAULT_NS,
        .on_peer_unreachable = endpoint->on_peer_unreachable,
        .context = endpoint->context,
    };
    muster_status status = check_reach(endpoint, attempt, error);

    if (status == MUSTER_OK)
        status = muster_tcp_mesh_open(&endpoint->porter, &mesh_options, &connection->mesh, error);
    if (status == MUSTER_OK)
        muster_tcp_batch_init(&connection->remote, connection->mesh);
    return status;
}

static muster_status open_shared(muster_plane_connection *connection,
                                 muster_plane_endpoint *endpoint, const plane_attempt *attempt,
                                 muster_error *error)
{
    muster_transport_connect_options options = *attempt->options;
    muster_status status;

    options.members = attempt->locals;
    options.member_count = connection->local_count;
    options.own_rank = connection->local_of[attempt->options->own_rank];
    status = endpoint->host->connect(endpoint->shared, &options, &connection->shared, error);
    if (status != MUSTER_OK && error != NULL && error->rank >= 0 &&
        error->rank < connection->local_count)
        error->rank = connection->rank_of[error->rank];
    return status;
}

static void wake_shared(void *context)
{
    muster_plane_connection *connection = context;

    connection->host->wake(connection->shared);
}

static muster_status connect_parts(muster_plane_connection *connection,
                                   muster_plane_endpoint *endpoint, plane_attempt *attempt,
                                   muster_error *error)
{
    const muster_host_patience patience = {.deadline_ns = attempt->options->deadline_ns,
                                           .cancelled = attempt->options->cancelled,
                                           .context = attempt->options->context};
    muster_status status = read_blobs(attempt, error);

    if (status != MUSTER_OK)
        return status;
    divide(connection, attempt, endpoint->host_id);
    /* The door is opened first, so that others can come in while this host's ranks still gather. */
    if (attempt->remote_count > 0)
        status = open_mesh(connection, endpoint, attempt, error);
    if (status == MUSTER_OK)
        status = open_shared(connection, endpoint, attempt, error);
    if (status != MUSTER_OK || connection->mesh == NULL)
        return status;
    status = muster_tcp_mesh_connect(connection->mesh, &patience, error);
    muster_tcp_mesh_set_wake(connection->mesh, wake_shared, connection);
    return status;
}

static muster_plane_connection *make_connection(const muster_transport_connect_options *options)
{
    size_t count = (size_t)options->member_count;
    muster_plane_connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        return NULL;
    connection->host = muster_host_table();
    connection->member_count = options->member_count;
    connection->batch.connection = connection;
    connection->local_of = calloc(count, sizeof *connection->local_of);
    connection->rank_of = calloc(count, sizeof *connection->rank_of);
    if (connection->local_of == NULL || connection->rank_of == NULL ||
        !muster_rank_set_init(&connection->locals, options->member_count)) {
        free(connection->local_of);
        free(connection->rank_of);
        free(connection);
        return NULL;
    }
    return connection;
}

static bool make_attempt(plane_attempt *attempt, const muster_transport_connect_options *options)
{
    size_t count = (size_t)options->member_count;

    attempt->options = options;
    attempt->remote_count = 0;
    attempt->places = calloc(count, sizeof *attempt->places);
    attempt->locals = calloc(count, sizeof *attempt->locals);
    attempt->members = calloc(count, sizeof *attempt->members);
    return attempt->places != NULL && attempt->locals != NULL && attempt->members != NULL;
}

static void free_attempt(plane_attempt *attempt)
{
    free(attempt->places);
    free(attempt->locals);
    free(attempt->members);
}

void muster_plane_connection_close(muster_transport *transport)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    /* The mesh first: its wake touches the shared part. */
    if (connection->mesh != NULL) {
        muster_tcp_batch_clean_up(&connection->remote);
        muster_tcp_mesh_close(connection->mesh);
    }
    if (connection->shared != NULL)
        connection->host->close(connection->shared);
    muster_rank_set_clean_up(&connection->locals);
    free(connection->operations);
    free(connection->local_of);
    free(connection->rank_of);
    free(connection);
}

muster_status muster_plane_connection_open(muster_transport_endpoint *endpoint,
                                           const muster_transport_connect_options *options,
                                           muster_transport **opened, muster_error *error)
{
    muster_plane_connection *connection;
    plane_attempt attempt;
    muster_status status = check_options(options, error);

    *opened = NULL;
    if (status != MUSTER_OK)
        return status;
    connection = make_connection(options);
    if (connection == NULL)
        return no_memory(options, error);
    status = make_attempt(&attempt, options)
                 ? connect_parts(connection, muster_plane_endpoint_of(endpoint), &attempt, error)
                 : no_memory(options, error);
    free_attempt(&attempt);
    if (status != MUSTER_OK) {
        muster_plane_connection_close((muster_transport *)(void *)connection);
        return status;
    }
    *opened = (muster_transport *)(void *)connection;
    return muster_error_set_ok(error);
}
