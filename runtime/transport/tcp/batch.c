/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define FIRST_CAPACITY ((size_t)16)
/* Of one transfer in one pass: a revoke is heard, and other peers are served, in between. */
#define PIECE_BYTES ((size_t)1 << 20)

void muster_tcp_batch_init(muster_tcp_batch *batch, muster_tcp_mesh *mesh)
{
    memset(batch, 0, sizeof *batch);
    batch->mesh = mesh;
}

void muster_tcp_batch_clean_up(muster_tcp_batch *batch)
{
    free(batch->steps);
    batch->steps = NULL;
}

bool muster_tcp_batch_reserve(muster_tcp_batch *batch, size_t operation_count)
{
    size_t capacity = batch->step_capacity == 0 ? FIRST_CAPACITY : batch->step_capacity;
    muster_tcp_step *steps;

    while (capacity < operation_count)
        capacity *= 2;
    if (capacity == batch->step_capacity)
        return true;
    steps = realloc(batch->steps, capacity * sizeof *steps);
    if (steps == NULL)
        return false;
    batch->steps = steps;
    batch->step_capacity = capacity;
    return true;
}

void muster_tcp_batch_add(muster_tcp_batch *batch, const muster_transport_operation *operation)
{
    MUSTER_ASSERT(!batch->live && batch->step_count < batch->step_capacity);
    MUSTER_ASSERT(operation->kind == MUSTER_TRANSPORT_SEND ||
                  operation->kind == MUSTER_TRANSPORT_RECEIVE);
    MUSTER_ASSERT(operation->bytes > 0 && operation->bytes <= MUSTER_TCP_DATA_BYTES_MAX);
    batch->steps[batch->step_count++] = (muster_tcp_step){.operation = *operation};
}

void muster_tcp_batch_begin(muster_tcp_batch *batch)
{
    MUSTER_ASSERT(!batch->live && !batch->mesh->broken);
    batch->live = true;
    batch->first_open = 0;
}

static bool send_piece(muster_tcp_connection *connection, muster_tcp_step *step)
{
    const muster_transport_operation *operation = &step->operation;
    size_t sent = muster_tcp_connection_put(connection, operation->data, operation->bytes,
                                            step->moved_bytes, PIECE_BYTES);

    step->moved_bytes += sent;
    step->complete = step->moved_bytes == operation->bytes;
    return sent > 0;
}

static bool receive_piece(muster_tcp_connection *connection, muster_tcp_step *step)
{
    bool came;

    if (!step->expected)
        muster_tcp_inflow_expect(&connection->inflow, step->operation.data, step->operation.bytes);
    step->expected = true;
    came = muster_tcp_connection_take(connection, PIECE_BYTES);
    step->complete = connection->inflow.received;
    return came || step->complete;
}

void muster_tcp_batch_progress(muster_tcp_batch *batch, bool *done, bool *moved)
{
    muster_tcp_mesh *mesh = batch->mesh;
    uint64_t pass = ++batch->pass;
    bool lost = false;

    *moved = false;
    for (size_t i = batch->first_open; i < batch->step_count; i++) {
        muster_tcp_step *step = &batch->steps[i];
        muster_tcp_peer *peer = &mesh->peers[step->operation.peer];
        uint32_t kind = 1u << step->operation.kind;
        bool piece;

        if (step->complete)
            continue;
        if (peer->stuck_pass != pass) {
            peer->stuck_pass = pass;
            peer->stuck_kinds = 0;
        }
        /* Transfers of a kind with one peer go in their order. */
        if ((peer->stuck_kinds & kind) != 0)
            continue;
        piece = step->operation.kind == MUSTER_TRANSPORT_SEND
                    ? send_piece(&peer->connection, step)
                    : receive_piece(&peer->connection, step);
        *moved = *moved || piece;
        if (!step->complete)
            peer->stuck_kinds |= kind;
        lost = lost || peer->connection.lost;
    }
    while (batch->first_open < batch->step_count && batch->steps[batch->first_open].complete)
        batch->first_open++;
    *done = batch->first_open == batch->step_count;
    if (lost && !*done)
        muster_tcp_mesh_report(mesh);
}

void muster_tcp_batch_missing(const muster_tcp_batch *batch, muster_rank_set *missing)
{
    for (size_t i = batch->first_open; i < batch->step_count; i++)
        if (!batch->steps[i].complete)
            muster_rank_set_add(missing, batch->steps[i].operation.peer);
}

void muster_tcp_batch_release(muster_tcp_batch *batch)
{
    muster_tcp_mesh *mesh = batch->mesh;

    MUSTER_ASSERT(batch->live);
    batch->live = false;
    if (batch->first_open < batch->step_count) {
        mesh->broken = true;
        for (int32_t i = 0; i < mesh->remote_count; i++)
            muster_tcp_inflow_forget(&mesh->peers[mesh->remotes[i]].connection.inflow);
    }
    batch->step_count = 0;
    batch->first_open = 0;
}
