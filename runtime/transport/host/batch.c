/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/host/connection.h"
#include "transport/host/copy.h"

#define FIRST_CAPACITY ((size_t)64)
/* Of a direct copy in one pass: a revoke is heard, and other peers are served, in between. */
#define DIRECT_PIECE_BYTES ((size_t)1 << 20)

muster_status muster_host_batch_init(muster_transport_batch *batch, muster_transport *transport,
                                     muster_error *error)
{
    memset(batch, 0, sizeof *batch);
    batch->transport = transport;
    batch->steps = malloc(FIRST_CAPACITY * sizeof *batch->steps);
    if (batch->steps == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the list of a batch");
    batch->step_capacity = FIRST_CAPACITY;
    return MUSTER_OK;
}

void muster_host_batch_clean_up(muster_transport_batch *batch)
{
    free(batch->steps);
}

static bool reserve(muster_transport_batch *batch, size_t count)
{
    size_t capacity = batch->step_capacity;
    muster_host_step *steps;

    while (capacity < count)
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

muster_status muster_host_batch_reserve(muster_transport *transport, size_t operation_count,
                                        muster_error *error)
{
    if (reserve(&transport->batch, operation_count))
        return MUSTER_OK;
    return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0,
                            (int64_t)operation_count, "no memory for a batch of %zu operations",
                            operation_count);
}

static muster_host_step step_of(const muster_transport *transport,
                                const muster_transport_operation *operation)
{
    muster_host_step step = {.operation = *operation};
    bool own = operation->peer == transport->own_rank;

    MUSTER_ASSERT(operation->peer >= 0 && operation->peer < transport->member_count);
    MUSTER_ASSERT(operation->bytes > 0);
    MUSTER_ASSERT(own == (operation->kind == MUSTER_TRANSPORT_COPY));
    if (operation->kind == MUSTER_TRANSPORT_WRITE || operation->kind == MUSTER_TRANSPORT_READ) {
        step.peer_memory = muster_host_imports_resolve(&transport->peers[operation->peer].imports,
                                                       operation->peer_address, operation->bytes);
    }
    return step;
}

muster_status muster_host_batch_submit(muster_transport *transport,
                                       const muster_transport_operation *operations,
                                       size_t operation_count, muster_transport_batch **submitted,
                                       muster_error *error)
{
    muster_transport_batch *batch = &transport->batch;

    *submitted = NULL;
    MUSTER_ASSERT(!batch->live);
    if (batch->broken)
        return muster_error_set(error, MUSTER_ERR_COMM_FAILED, MUSTER_FIELD_NONE, 0, 0,
                                "an earlier batch of this transport was given up; connect anew");
    if (muster_host_batch_reserve(transport, operation_count, error) != MUSTER_OK)
        return MUSTER_ERR_NO_MEMORY;
    for (size_t i = 0; i < operation_count; i++) {
        const muster_host_step *step = &batch->steps[i];

        batch->steps[i] = step_of(transport, &operations[i]);
        /* The verdict said that every rank has mapped it: the peer has freed it since. Its mistake must not
         * end this process. */
        if (step->peer_memory == NULL && (step->operation.kind == MUSTER_TRANSPORT_WRITE ||
                                          step->operation.kind == MUSTER_TRANSPORT_READ)) {
            batch->broken = true;
            muster_error_set(
                error, MUSTER_ERR_COMM_FAILED, MUSTER_FIELD_BUFFER, 0, 0,
                "rank %d has freed memory that this call was to copy into or out of; free "
                "it when no call uses it",
                step->operation.peer);
            if (error != NULL)
                error->rank = step->operation.peer;
            return MUSTER_ERR_COMM_FAILED;
        }
    }
    batch->step_count = operation_count;
    batch->first_open = 0;
    batch->live = true;
    *submitted = batch;
    return MUSTER_OK;
}

static size_t next_piece(const muster_host_step *step)
{
    size_t left = step->operation.bytes - step->moved_bytes;

    return left < DIRECT_PIECE_BYTES ? left : DIRECT_PIECE_BYTES;
}

/* A piece of a copy between memory that is mapped here. Returns its bytes. */
static size_t copy_piece(const muster_host_step *step, void *to, const void *from)
{
    size_t piece = next_piece(step);

    if (to != from)
        muster_host_copy((char *)to + step->moved_bytes, (const char *)from + step->moved_bytes,
                         piece, step->operation.bytes >= MUSTER_HOST_COPY_STREAM_BYTES);
    return piece;
}

/* Waits for one more of the peer's direct copies; complete at once when it is there. */
static size_t meet(const muster_host_step *step, _Atomic uint64_t *done, uint64_t *met)
{
    if (atomic_load(done) == *met)
        return 0;
    ++*met;
    return step->operation.bytes;
}

/* Moves a piece of one step; true where anything moved. */
static bool move(muster_transport *transport, muster_host_step *step)
{
    const muster_transport_operation *operation = &step->operation;
    muster_host_peer *peer = &transport->peers[operation->peer];
    size_t piece = 0;

    switch (operation->kind) {
    case MUSTER_TRANSPORT_SEND:
        piece = muster_host_ring_put(&peer->outgoing, operation->data, operation->bytes,
                                     step->moved_bytes);
        break;
    case MUSTER_TRANSPORT_RECEIVE:
        piece = muster_host_ring_take(&peer->incoming, operation->data, operation->bytes,
                                      step->moved_bytes);
        break;
    case MUSTER_TRANSPORT_WRITE:
        piece = copy_piece(step, step->peer_memory, operation->data);
        break;
    case MUSTER_TRANSPORT_READ:
        piece = copy_piece(step, operation->data, step->peer_memory);
        break;
    case MUSTER_TRANSPORT_COPY:
        piece = copy_piece(step, operation->data, operation->source);
        break;
    case MUSTER_TRANSPORT_EXPECT_WRITE:
        piece = meet(step, &peer->from->writes, &peer->writes_met);
        break;
    case MUSTER_TRANSPORT_EXPECT_READ:
        piece = meet(step, &peer->from->reads, &peer->reads_met);
        break;
    }
    step->moved_bytes += piece;
    step->complete = step->moved_bytes == operation->bytes;
    if (step->complete && operation->kind == MUSTER_TRANSPORT_WRITE)
        atomic_store(&peer->to->writes, ++peer->writes_done);
    if (step->complete && operation->kind == MUSTER_TRANSPORT_READ)
        atomic_store(&peer->to->reads, ++peer->reads_done);
    return piece > 0;
}

/* Whether the peer may be waiting for what a piece of this kind has published. */
static bool publishes(const muster_host_step *step)
{
    switch (step->operation.kind) {
    case MUSTER_TRANSPORT_SEND:
    case MUSTER_TRANSPORT_RECEIVE:
        return true;
    case MUSTER_TRANSPORT_WRITE:
    case MUSTER_TRANSPORT_READ:
        return step->complete;
    default:
        return false;
    }
}

muster_status muster_host_batch_progress(muster_transport_batch *batch, bool *done, bool *moved,
                                         muster_error *error)
{
    muster_transport *transport = batch->transport;
    uint64_t pass = ++batch->pass;

    (void)error; /* nothing can fail here: what could is done in connect, submit and the verdict */
    *moved = false;
    for (size_t i = batch->first_open; i < batch->step_count; i++) {
        muster_host_step *step = &batch->steps[i];
        muster_host_peer *peer = &transport->peers[step->operation.peer];
        uint32_t kind = 1u << step->operation.kind;

        if (step->complete)
            continue;
        if (peer->stuck_pass != pass) {
            peer->stuck_pass = pass;
            peer->stuck_kinds = 0;
        }
        if ((peer->stuck_kinds & kind) != 0)
            continue;
        if (move(transport, step)) {
            *moved = true;
            if (publishes(step))
                muster_host_doorbell_ring(&transport->segment.ranks[step->operation.peer].doorbell);
        }
        if (!step->complete)
            peer->stuck_kinds |= kind;
    }
    while (batch->first_open < batch->step_count && batch->steps[batch->first_open].complete)
        batch->first_open++;
    *done = batch->first_open == batch->step_count;
    return MUSTER_OK;
}

void muster_host_batch_missing(muster_transport_batch *batch, muster_rank_set *missing)
{
    muster_rank_set_clear(missing);
    for (size_t i = batch->first_open; i < batch->step_count; i++) {
        const muster_host_step *step = &batch->steps[i];

        switch (step->operation.kind) {
        case MUSTER_TRANSPORT_SEND:
        case MUSTER_TRANSPORT_RECEIVE:
        case MUSTER_TRANSPORT_EXPECT_WRITE:
        case MUSTER_TRANSPORT_EXPECT_READ:
            if (!step->complete)
                muster_rank_set_add(missing, step->operation.peer);
            break;
        default:
            break; /* waits for nobody */
        }
    }
}

void muster_host_batch_release(muster_transport_batch *batch)
{
    MUSTER_ASSERT(batch->live);
    batch->live = false;
    if (batch->first_open < batch->step_count)
        batch->broken = true;
}
