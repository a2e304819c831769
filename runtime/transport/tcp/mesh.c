/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/mesh.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

/* A peer that has something to say is heard at most this much at once: a revoke is heard in between. */
#define TAKE_BYTES ((size_t)1 << 20)
#define REPORT_AGAIN_NS (1000 * MUSTER_HOST_MILLISECOND_NS)

static void free_mesh(muster_tcp_mesh *mesh)
{
    free(mesh->members);
    free(mesh->peers);
    free(mesh->remotes);
    free(mesh->board);
    free(mesh);
}

static uint8_t *payload_of(const muster_tcp_mesh *mesh, uint64_t round, int32_t rank)
{
    return muster_tcp_mesh_places(mesh, round) + (size_t)rank * MUSTER_ROUND_BYTES;
}

void muster_tcp_mesh_lay_out(muster_tcp_mesh *mesh, int32_t rank)
{
    for (uint64_t place = 0; place < MUSTER_TCP_BOARD_PLACES; place++)
        mesh->peers[rank].connection.inflow.places[place] = payload_of(mesh, place, rank);
}

static muster_tcp_mesh *make_mesh(const muster_tcp_mesh_options *options)
{
    size_t count = (size_t)options->member_count;
    muster_tcp_mesh *mesh = calloc(1, sizeof *mesh);

    if (mesh == NULL)
        return NULL;
    mesh->options = *options;
    mesh->members = calloc(count, sizeof *mesh->members);
    mesh->peers = calloc(count, sizeof *mesh->peers);
    mesh->remotes = calloc(count, sizeof *mesh->remotes);
    mesh->board = calloc(count, MUSTER_TCP_BOARD_PLACES * MUSTER_ROUND_BYTES);
    if (mesh->members == NULL || mesh->peers == NULL || mesh->remotes == NULL ||
        mesh->board == NULL) {
        free_mesh(mesh);
        return NULL;
    }
    memcpy(mesh->members, options->members, count * sizeof *mesh->members);
    mesh->options.members = mesh->members;
    return mesh;
}

muster_status muster_tcp_mesh_open(muster_tcp_porter *porter,
                                   const muster_tcp_mesh_options *options, muster_tcp_mesh **opened,
                                   muster_error *error)
{
    muster_tcp_mesh *mesh = make_mesh(options);
    muster_status status;

    *opened = NULL;
    if (mesh == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the connections of %d ranks", options->member_count);
    mesh->porter = porter;
    for (int32_t rank = 0; rank < options->member_count; rank++) {
        muster_tcp_connection_init(&mesh->peers[rank].connection, options->epoch,
                                   options->communicator);
        muster_tcp_mesh_lay_out(mesh, rank);
        if (mesh->members[rank].remote)
            mesh->remotes[mesh->remote_count++] = rank;
    }
    status = muster_tcp_porter_add(porter, mesh, error);
    if (status != MUSTER_OK) {
        free_mesh(mesh);
        return status;
    }
    *opened = mesh;
    return MUSTER_OK;
}

void muster_tcp_mesh_close(muster_tcp_mesh *mesh)
{
    muster_tcp_porter_remove(mesh->porter, mesh);
    for (int32_t i = 0; i < mesh->remote_count; i++)
        muster_tcp_connection_end(&mesh->peers[mesh->remotes[i]].connection);
    free_mesh(mesh);
}

void muster_tcp_mesh_set_wake(muster_tcp_mesh *mesh, void (*wake)(void *context), void *context)
{
    pthread_mutex_lock(&mesh->porter->mutex);
    mesh->wake = wake;
    mesh->wake_context = context;
    pthread_mutex_unlock(&mesh->porter->mutex);
}

static bool is_member(const muster_tcp_mesh *mesh, const muster_tcp_party *party)
{
    return party->rank < mesh->options.member_count &&
           mesh->members[party->rank].slot == party->slot &&
           mesh->members[party->rank].incarnation == party->incarnation;
}

bool muster_tcp_mesh_knows(const muster_tcp_mesh *mesh, const muster_tcp_hello *hello)
{
    /* The higher rank connects; a fenced incarnation that wakes up must not get into its successor's group. */
    return hello->member_count == mesh->options.member_count &&
           hello->to.rank == mesh->options.own_rank && is_member(mesh, &hello->to) &&
           hello->from.rank > mesh->options.own_rank && is_member(mesh, &hello->from) &&
           mesh->members[hello->from.rank].remote;
}

/* ---- rounds ---- */

uint8_t *muster_tcp_mesh_places(const muster_tcp_mesh *mesh, uint64_t round)
{
    return mesh->board + (size_t)(round % MUSTER_TCP_BOARD_PLACES) *
                             (size_t)mesh->options.member_count * MUSTER_ROUND_BYTES;
}

void muster_tcp_mesh_post(muster_tcp_mesh *mesh, uint64_t round, const void *payload)
{
    MUSTER_ASSERT(round == mesh->posted + 1);
    if (mesh->posted == 0) {
        /* From now on a connection carries something, and cannot be replaced by a new one of the same rank. */
        pthread_mutex_lock(&mesh->porter->mutex);
        mesh->connecting = false;
        pthread_mutex_unlock(&mesh->porter->mutex);
    }
    mesh->posted = round;
    if (mesh->broken)
        return; /* some streams have stopped in the middle: nobody can complete this round */
    for (int32_t i = 0; i < mesh->remote_count; i++)
        muster_tcp_connection_post(&mesh->peers[mesh->remotes[i]].connection, round, payload);
}

bool muster_tcp_mesh_poll(muster_tcp_mesh *mesh, uint64_t round)
{
    bool complete = !mesh->broken;
    bool lost = false;

    for (int32_t i = 0; i < mesh->remote_count && !mesh->broken; i++) {
        muster_tcp_connection *connection = &mesh->peers[mesh->remotes[i]].connection;

        (void)muster_tcp_connection_take(connection, TAKE_BYTES);
        /* Not complete before the own payload is with the kernel: the caller may now go away and compute,
         * and the peer would wait for the rest. */
        complete = muster_tcp_connection_flush(connection) && connection->inflow.round >= round &&
                   complete;
        lost = lost || connection->lost;
    }
    if (lost && !complete)
        muster_tcp_mesh_report(mesh);
    return complete;
}

void muster_tcp_mesh_missing(muster_tcp_mesh *mesh, uint64_t round, muster_rank_set *missing)
{
    (void)muster_tcp_mesh_poll(mesh, round); /* what has come by now counts */
    for (int32_t i = 0; i < mesh->remote_count; i++)
        if (mesh->peers[mesh->remotes[i]].connection.inflow.round < round)
            muster_rank_set_add(missing, mesh->remotes[i]);
}

static void report(const muster_tcp_mesh *mesh, int32_t rank)
{
    if (mesh->options.on_peer_unreachable != NULL)
        mesh->options.on_peer_unreachable(mesh->options.context, mesh->members[rank].slot,
                                          mesh->members[rank].incarnation);
}

bool muster_tcp_mesh_report_rank(muster_tcp_mesh *mesh, int32_t rank, int64_t now_ns)
{
    muster_tcp_peer *peer = &mesh->peers[rank];

    if (peer->reported_ns != 0 && now_ns - peer->reported_ns < REPORT_AGAIN_NS)
        return false;
    peer->reported_ns = now_ns;
    report(mesh, rank);
    return true;
}

void muster_tcp_mesh_report(muster_tcp_mesh *mesh)
{
    for (int32_t i = 0; i < mesh->remote_count; i++) {
        muster_tcp_peer *peer = &mesh->peers[mesh->remotes[i]];

        if (peer->connection.lost && !peer->reported_lost)
            report(mesh, mesh->remotes[i]);
        peer->reported_lost = peer->connection.lost;
    }
}
