/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/plane/batch.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"

static muster_plane_batch *batch_of(muster_transport_batch *batch)
{
    return (muster_plane_batch *)(void *)batch;
}

static bool reserve_operations(muster_plane_connection *connection, size_t count)
{
    size_t capacity = connection->operation_capacity == 0 ? 16 : connection->operation_capacity;
    muster_transport_operation *operations;

    while (capacity < count)
        capacity *= 2;
    if (capacity == connection->operation_capacity)
        return true;
    operations = realloc(connection->operations, capacity * sizeof *operations);
    if (operations == NULL)
        return false;
    connection->operations = operations;
    connection->operation_capacity = capacity;
    return true;
}

muster_status muster_plane_batch_reserve(muster_transport *transport, size_t operation_count,
                                         muster_error *error)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);

    if (connection->mesh != NULL &&
        (!reserve_operations(connection, operation_count) ||
         !muster_tcp_batch_reserve(&connection->remote, operation_count)))
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0,
                                (int64_t)operation_count, "no memory for a batch of %zu operations",
                                operation_count);
    return connection->host->reserve(connection->shared, operation_count, error);
}

/* Who is elsewhere goes into the remote part; the others under their numbers on this host. */
static size_t divide(muster_plane_connection *connection,
                     const muster_transport_operation *operations, size_t count)
{
    size_t local_count = 0;

    for (size_t i = 0; i < count; i++) {
        const muster_transport_operation *operation = &operations[i];

        MUSTER_ASSERT(operation->peer >= 0 && operation->peer < connection->member_count);
        if (connection->local_of[operation->peer] < 0) {
            muster_tcp_batch_add(&connection->remote, operation);
            continue;
        }
        connection->operations[local_count] = *operation;
        connection->operations[local_count++].peer = connection->local_of[operation->peer];
    }
    return local_count;
}

static muster_status submit_divided(muster_plane_connection *connection,
                                    const muster_transport_operation *operations, size_t count,
                                    muster_error *error)
{
    muster_plane_batch *batch = &connection->batch;
    muster_status status =
        muster_plane_batch_reserve((muster_transport *)(void *)connection, count, error);
    size_t local_count;

    if (status != MUSTER_OK)
        return status;
    if (connection->mesh->broken)
        return muster_error_set(error, MUSTER_ERR_COMM_FAILED, MUSTER_FIELD_NONE, 0, 0,
                                "an earlier batch of this transport was given up; connect anew");
    local_count = divide(connection, operations, count);
    muster_tcp_batch_begin(&connection->remote);
    batch->remote_done = false;
    batch->shared = NULL;
    batch->shared_done = local_count == 0;
    if (local_count > 0)
        status = connection->host->submit(connection->shared, connection->operations, local_count,
                                          &batch->shared, error);
    if (status != MUSTER_OK) {
        connection->mesh->broken = true;
        muster_tcp_batch_release(&connection->remote);
    }
    return status;
}

muster_status muster_plane_batch_submit(muster_transport *transport,
                                        const muster_transport_operation *operations,
                                        size_t operation_count, muster_transport_batch **submitted,
                                        muster_error *error)
{
    muster_plane_connection *connection = muster_plane_connection_of(transport);
    muster_plane_batch *batch = &connection->batch;
    muster_status status = connection->mesh == NULL
                               ? connection->host->submit(connection->shared, operations,
                                                          operation_count, &batch->shared, error)
                               : submit_divided(connection, operations, operation_count, error);

    *submitted = status == MUSTER_OK ? (muster_transport_batch *)(void *)batch : NULL;
    return status;
}

muster_status muster_plane_batch_progress(muster_transport_batch *submitted, bool *done,
                                          bool *moved, muster_error *error)
{
    muster_plane_batch *batch = batch_of(submitted);
    muster_plane_connection *connection = batch->connection;
    bool remote_moved = false;
    muster_status status = MUSTER_OK;

    if (connection->mesh == NULL)
        return connection->host->progress(batch->shared, done, moved, error);
    *moved = false;
    if (!batch->shared_done)
        status = connection->host->progress(batch->shared, &batch->shared_done, moved, error);
    if (!batch->remote_done)
        muster_tcp_batch_progress(&connection->remote, &batch->remote_done, &remote_moved);
    *moved = *moved || remote_moved;
    *done = batch->shared_done && batch->remote_done;
    return status;
}

void muster_plane_batch_translate(const muster_plane_connection *connection, muster_rank_set *ranks)
{
    for (int32_t local = muster_rank_set_next(&connection->locals, 0); local >= 0;
         local = muster_rank_set_next(&connection->locals, local + 1))
        muster_rank_set_add(ranks, connection->rank_of[local]);
}

void muster_plane_batch_missing(muster_transport_batch *submitted, muster_rank_set *missing)
{
    muster_plane_batch *batch = batch_of(submitted);
    muster_plane_connection *connection = batch->connection;

    if (connection->mesh == NULL) {
        connection->host->batch_missing(batch->shared, missing);
        return;
    }
    muster_rank_set_clear(missing);
    muster_rank_set_clear(&connection->locals);
    if (batch->shared != NULL)
        connection->host->batch_missing(batch->shared, &connection->locals);
    muster_plane_batch_translate(connection, missing);
    muster_tcp_batch_missing(&connection->remote, missing);
}

void muster_plane_batch_release(muster_transport_batch *submitted)
{
    muster_plane_batch *batch = batch_of(submitted);
    muster_plane_connection *connection = batch->connection;

    if (batch->shared != NULL)
        connection->host->release(batch->shared);
    batch->shared = NULL;
    if (connection->mesh != NULL)
        muster_tcp_batch_release(&connection->remote);
}
