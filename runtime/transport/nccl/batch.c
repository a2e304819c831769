/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/nccl/comm.h"
#include "transport/nccl/current.h"
#include "transport/nccl/failure.h"

typedef enum batch_state { BATCH_WAITING = 0, BATCH_GROUP, BATCH_RECORDED, BATCH_DONE } batch_state;

struct muster_device_batch {
    muster_device_comm *comm;
    muster_device_batch *next;
    batch_state state;
    bool released;
    cudaStream_t stream;
    cudaEvent_t event;
    size_t operation_count;
    muster_transport_operation operations[]; /* WAITING only */
};

/* The first failure stays: it is what every later call of the comm says. */
static muster_status fail_cuda(muster_device_comm *comm, cudaError_t code, const char *call,
                               muster_error *error)
{
    muster_error failure;
    muster_error_init(&failure);
    (void)muster_nccl_failure_cuda(&comm->device->library, code, call, &failure);
    return muster_nccl_comm_fail(comm, &failure, error);
}

static muster_status fail_nccl(muster_device_comm *comm, ncclResult_t result, const char *call,
                               muster_error *error)
{
    muster_error failure;
    muster_error_init(&failure);
    (void)muster_nccl_failure(&comm->device->library, result, call, &failure);
    return muster_nccl_comm_fail(comm, &failure, error);
}

/* ---- enqueueing; the device is current ---- */

static muster_status copy_own_rows(muster_device_comm *comm, cudaStream_t stream,
                                   const muster_transport_operation *operations, size_t count,
                                   size_t *copied, muster_error *error)
{
    *copied = 0;
    for (size_t i = 0; i < count; i++) {
        const muster_transport_operation *copy = &operations[i];
        if (copy->kind != MUSTER_TRANSPORT_COPY)
            continue;
        const cudaError_t code = comm->device->library.cudaMemcpyAsync(
            copy->data, copy->source, copy->bytes, cudaMemcpyDeviceToDevice, stream);
        if (code != cudaSuccess)
            return fail_cuda(comm, code, "cudaMemcpyAsync", error);
        ++*copied;
    }
    return MUSTER_OK;
}

static bool went_in(ncclResult_t result)
{
    return result == ncclSuccess || result == ncclInProgress;
}

/* Inside the bracket. Once a group is started it is ended, whatever happens: the calling thread would else
 * stay in it. */
static ncclResult_t run_group(muster_device_comm *comm, cudaStream_t stream,
                              const muster_transport_operation *operations, size_t count,
                              const char **call)
{
    const muster_nccl_library *library = &comm->device->library;
    *call = "ncclGroupStart";
    ncclResult_t result = library->ncclGroupStart();
    if (result != ncclSuccess)
        return result;
    for (size_t i = 0; i < count && went_in(result); i++) {
        const muster_transport_operation *operation = &operations[i];
        if (operation->kind == MUSTER_TRANSPORT_SEND) {
            *call = "ncclSend";
            result = library->ncclSend(operation->data, operation->bytes, ncclInt8, operation->peer,
                                       comm->native, stream);
        } else if (operation->kind == MUSTER_TRANSPORT_RECEIVE) {
            *call = "ncclRecv";
            result = library->ncclRecv(operation->data, operation->bytes, ncclInt8, operation->peer,
                                       comm->native, stream);
        }
    }
    const ncclResult_t ended = library->ncclGroupEnd();
    if (!went_in(result))
        return result;
    *call = "ncclGroupEnd";
    return ended;
}

static muster_status record(muster_device_batch *batch, muster_error *error)
{
    muster_device_comm *comm = batch->comm;
    const cudaError_t code = comm->device->library.cudaEventRecord(batch->event, batch->stream);
    if (code != cudaSuccess)
        return fail_cuda(comm, code, "cudaEventRecord", error);
    pthread_mutex_lock(&comm->batches_lock);
    batch->state = BATCH_RECORDED;
    pthread_mutex_unlock(&comm->batches_lock);
    return MUSTER_OK;
}

/* Copies first: NCCL enqueues the group on a thread of its own, which would race with them for their place
 * on the stream. CUDA's calls stay outside the bracket: they may wait for room on a stream that hangs, which
 * only an abort ends. */
static muster_status start(muster_device_batch *batch, const muster_transport_operation *operations,
                           size_t count, muster_error *error)
{
    muster_device_comm *comm = batch->comm;
    const char *call = NULL;
    size_t copied;
    const muster_status status =
        copy_own_rows(comm, batch->stream, operations, count, &copied, error);
    if (status != MUSTER_OK)
        return status;
    if (copied == count)
        return record(batch, error);
    if (!muster_nccl_bracket_enter(&comm->bracket))
        return muster_nccl_failure_revoked(error);
    const ncclResult_t result = run_group(comm, batch->stream, operations, count, &call);
    muster_nccl_bracket_leave(&comm->bracket);
    if (!went_in(result))
        return fail_nccl(comm, result, call, error);
    comm->settled = false;
    pthread_mutex_lock(&comm->batches_lock);
    batch->state = BATCH_GROUP;
    pthread_mutex_unlock(&comm->batches_lock);
    return MUSTER_OK;
}

/* ---- the queue ---- */

static muster_device_batch *first_not_enqueued(const muster_device_comm *comm)
{
    muster_device_batch *batch = comm->first;
    while (batch != NULL && batch->state >= BATCH_RECORDED)
        batch = batch->next;
    return batch;
}

static muster_status settle(muster_device_comm *comm, muster_error *error)
{
    return comm->settled ? MUSTER_OK : muster_nccl_comm_poll(comm, &comm->settled, error);
}

static muster_status push(muster_device_comm *comm, muster_error *error)
{
    muster_device_batch *batch;
    while ((batch = first_not_enqueued(comm)) != NULL) {
        muster_status status = settle(comm, error);
        if (status != MUSTER_OK || !comm->settled)
            return status;
        muster_nccl_current current;
        status = muster_nccl_current_set(comm->device, &current, error);
        if (status != MUSTER_OK)
            return status;
        const batch_state before = batch->state;
        if (before == BATCH_GROUP)
            status = record(batch, error);
        else
            status = start(batch, batch->operations, batch->operation_count, error);
        muster_nccl_current_restore(comm->device, &current);
        /* NCCL has only just begun: asked at once, it would hardly ever be through. */
        if (status != MUSTER_OK || batch->state == BATCH_GROUP)
            return status;
    }
    return MUSTER_OK;
}

static void unlink_first(muster_device_comm *comm)
{
    muster_device_batch *batch = comm->first;
    comm->first = batch->next;
    if (comm->first == NULL)
        comm->last = NULL;
    batch->next = NULL;
}

/* How many at the head of the queue have passed their event; *failed where CUDA says so of one. */
static size_t count_passed(muster_device_comm *comm, cudaError_t *failed)
{
    const muster_nccl_library *library = &comm->device->library;
    size_t passed = 0;
    *failed = cudaSuccess;
    for (const muster_device_batch *batch = comm->first;
         batch != NULL && batch->state == BATCH_RECORDED; batch = batch->next) {
        const cudaError_t code = library->cudaEventQuery(batch->event);
        if (code == cudaErrorNotReady) {
            /* It counts as an error to the application's next cudaGetLastError. */
            (void)library->cudaGetLastError();
            break;
        }
        if (code != cudaSuccess) {
            *failed = code;
            break;
        }
        passed++;
    }
    return passed;
}

static void retire(muster_device_comm *comm, size_t passed)
{
    pthread_mutex_lock(&comm->batches_lock);
    for (size_t i = 0; i < passed; i++) {
        muster_device_batch *batch = comm->first;
        unlink_first(comm);
        muster_nccl_events_put(&comm->events, batch->event);
        batch->state = BATCH_DONE;
        if (batch->released)
            free(batch);
    }
    pthread_mutex_unlock(&comm->batches_lock);
}

/* The event first, then the communicator: an abort lets a kernel end before its bytes have come, and stands
 * in the bracket before it does. */
static muster_status complete(muster_device_comm *comm, muster_error *error)
{
    cudaError_t failed;
    muster_nccl_current current;
    if (comm->first == NULL || comm->first->state != BATCH_RECORDED)
        return MUSTER_OK;
    const muster_status set = muster_nccl_current_set(comm->device, &current, error);
    if (set != MUSTER_OK)
        return set;
    const size_t passed = count_passed(comm, &failed);
    muster_nccl_current_restore(comm->device, &current);
    if (failed != cudaSuccess)
        return fail_cuda(comm, failed, "cudaEventQuery", error);
    if (comm->lent) {
        /* The borrower is inside NCCL with this communicator: not both. */
        if (muster_nccl_bracket_is_refused(&comm->bracket))
            return muster_nccl_failure_revoked(error);
    } else {
        const muster_status status = muster_nccl_comm_poll(comm, &comm->settled, error);
        if (status != MUSTER_OK)
            return status;
    }
    retire(comm, passed);
    return MUSTER_OK;
}

muster_status muster_nccl_batch_all_enqueued(muster_device_comm *comm, bool *enqueued,
                                             muster_error *error)
{
    const muster_status status = push(comm, error);
    *enqueued = first_not_enqueued(comm) == NULL;
    return status;
}

bool muster_nccl_batch_all_done(muster_device_comm *comm)
{
    cudaError_t failed;
    muster_nccl_current current;
    size_t live = 0;
    pthread_mutex_lock(&comm->batches_lock);
    for (const muster_device_batch *batch = comm->first; batch != NULL; batch = batch->next)
        live++;
    bool done = live == 0;
    if (!done && muster_nccl_current_set(comm->device, &current, NULL) == MUSTER_OK) {
        done = live == count_passed(comm, &failed);
        muster_nccl_current_restore(comm->device, &current);
    }
    pthread_mutex_unlock(&comm->batches_lock);
    return done;
}

/* ---- the table's functions ---- */

static muster_device_batch *new_batch(muster_device_comm *comm, void *stream,
                                      const muster_transport_operation *operations, size_t count)
{
    const size_t kept_bytes = operations != NULL ? count * sizeof(*operations) : 0;
    muster_device_batch *batch = malloc(sizeof(*batch) + kept_bytes);
    if (batch == NULL)
        return NULL;
    *batch = (muster_device_batch){.comm = comm, .stream = stream, .operation_count = count};
    if (kept_bytes > 0)
        memcpy(batch->operations, operations, kept_bytes);
    return batch;
}

static void append(muster_device_batch *batch)
{
    muster_device_comm *comm = batch->comm;
    pthread_mutex_lock(&comm->batches_lock);
    if (comm->last != NULL)
        comm->last->next = batch;
    else
        comm->first = batch;
    comm->last = batch;
    pthread_mutex_unlock(&comm->batches_lock);
}

/* Takes back a batch of which nothing went in, or whose comm has failed: the last of the queue. */
static void discard(muster_device_batch *batch)
{
    muster_device_comm *comm = batch->comm;
    pthread_mutex_lock(&comm->batches_lock);
    muster_device_batch **place = &comm->first;
    comm->last = NULL;
    while (*place != batch) {
        comm->last = *place;
        place = &(*place)->next;
    }
    *place = batch->next;
    while (*place != NULL) {
        comm->last = *place;
        place = &(*place)->next;
    }
    muster_nccl_events_put(&comm->events, batch->event);
    pthread_mutex_unlock(&comm->batches_lock);
    free(batch);
}

/* With the device current. */
static muster_status begin(muster_device_comm *comm, void *stream,
                           const muster_transport_operation *operations, size_t count,
                           muster_device_batch **handle, muster_error *error)
{
    muster_status status = settle(comm, error);
    if (status != MUSTER_OK)
        return status;
    const bool now = comm->settled && first_not_enqueued(comm) == NULL;
    muster_device_batch *batch = new_batch(comm, stream, now ? NULL : operations, count);
    if (batch == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a batch of %zu operations", count);
    status = muster_nccl_events_take(&comm->events, comm->device, &batch->event, error);
    if (status != MUSTER_OK) {
        free(batch);
        return status;
    }
    append(batch);
    if (now)
        status = start(batch, operations, count, error);
    if (status != MUSTER_OK)
        discard(batch);
    else
        *handle = batch;
    return status;
}

muster_status muster_nccl_batch_submit(muster_device_comm *comm, void *stream,
                                       const muster_transport_operation *operations,
                                       size_t operation_count, muster_device_batch **batch,
                                       muster_error *error)
{
    muster_nccl_current current;
    muster_status status = muster_nccl_comm_check(comm, error);
    if (status != MUSTER_OK)
        return status;
    if (comm->lent)
        return muster_error_set(error, MUSTER_ERR_BORROWED, MUSTER_FIELD_NONE, 0, 0,
                                "the NCCL communicator is lent out: return it first");
    status = muster_nccl_current_set(comm->device, &current, error);
    if (status != MUSTER_OK)
        return status;
    status = begin(comm, stream, operations, operation_count, batch, error);
    muster_nccl_current_restore(comm->device, &current);
    return status == MUSTER_OK ? muster_error_set_ok(error) : status;
}

muster_status muster_nccl_batch_progress(muster_device_batch *batch, bool *enqueued, bool *done,
                                         muster_error *error)
{
    muster_device_comm *comm = batch->comm;
    muster_status status = MUSTER_OK;
    if (batch->state != BATCH_DONE) {
        status = muster_nccl_comm_check(comm, error);
        if (status == MUSTER_OK)
            status = push(comm, error);
        if (status == MUSTER_OK)
            status = complete(comm, error);
    }
    *enqueued = batch->state >= BATCH_RECORDED;
    *done = batch->state == BATCH_DONE;
    return status == MUSTER_OK ? muster_error_set_ok(error) : status;
}

void muster_nccl_batch_release(muster_device_batch *batch)
{
    if (batch == NULL)
        return;
    muster_device_comm *comm = batch->comm;
    if (batch->state == BATCH_DONE) {
        free(batch);
    } else if (muster_nccl_comm_check(comm, NULL) != MUSTER_OK) {
        discard(batch);
    } else {
        batch->released = true;
        if (push(comm, NULL) == MUSTER_OK)
            (void)complete(comm, NULL);
    }
}

void muster_nccl_batch_drop_all(muster_device_comm *comm)
{
    for (muster_device_batch *batch = comm->first, *next = NULL; batch != NULL; batch = next) {
        next = batch->next;
        muster_nccl_events_put(&comm->events, batch->event);
        free(batch);
    }
    comm->first = NULL;
    comm->last = NULL;
}
