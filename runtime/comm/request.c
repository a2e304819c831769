/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a request, from draft to free, and the public calls on it. */
#include "comm/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/comm.h"
#include "comm/flight.h"
#include "comm/refusal.h"
#include "comm/wait.h"

const muster_record *muster_request_record_of(const void *payloads, int32_t rank)
{
    return (const muster_record *)((const unsigned char *)payloads +
                                   (size_t)rank * MUSTER_ROUND_BYTES);
}

/* The native library is the application's until it is returned: progress would enter it. */
static muster_status check_not_borrowed(const muster_comm *comm, muster_error *error)
{
    if (!comm->device.borrowed)
        return MUSTER_OK;
    return muster_error_set(error, MUSTER_ERR_BORROWED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                            "the communicator's NCCL communicator is lent out; return it first");
}

muster_status muster_request_new(muster_comm *comm, muster_call call, muster_request **request,
                                 muster_error *error)
{
    *request = NULL;
    muster_status status = muster_comm_check_usable(comm, error);
    if (status != MUSTER_OK)
        return status;
    muster_request *draft = comm->spare_request;
    if (draft != NULL) {
        /* The operation list keeps its memory over calls, so that a steady loop allocates nothing. */
        muster_operation_list operations = draft->operations;
        comm->spare_request = NULL;
        muster_operation_list_clear(&operations);
        memset(draft, 0, sizeof(*draft));
        draft->operations = operations;
    } else {
        draft = calloc(1, sizeof(*draft));
        if (draft == NULL)
            return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                    "no memory for a request of %zu bytes", sizeof(*draft));
        muster_operation_list_init(&draft->operations);
    }
    draft->comm = comm;
    draft->epoch = comm->epoch;
    draft->older = comm->newest;
    if (draft->older != NULL)
        draft->older->newer = draft;
    comm->newest = draft;
    draft->record.call = (uint32_t)call;
    draft->record.root = MUSTER_RANK_NONE;
    draft->record.capacity_rows = -1;
    draft->record.local_tensor_index = -1;
    draft->stream = comm->device.stream;
    muster_error_init(&draft->outcome);
    /* The round goes on the host plane, so that all ranks hear of it. */
    if (comm->device.borrowed) {
        muster_error lent;
        muster_error_init(&lent);
        (void)check_not_borrowed(comm, &lent);
        muster_request_refuse(draft, &lent);
    }
    *request = draft;
    return MUSTER_OK;
}

void muster_request_refuse(muster_request *request, const muster_error *local)
{
    if (request->record.local_status != MUSTER_OK)
        return;
    request->local = *local;
    request->record.local_status = (int32_t)local->status;
    request->record.local_field = (int32_t)local->field;
    request->record.local_expected = local->expected;
    request->record.local_came = local->came;
    request->record.local_tensor_index = local->tensor_index;
    request->record.local_native_code = local->native_code;
}

void muster_request_drop(muster_request *request)
{
    if (request == NULL)
        return;
    MUSTER_ASSERT(request->state == MUSTER_REQUEST_DRAFT || request->state == MUSTER_REQUEST_DONE);
    muster_comm *comm = request->comm;
    if (request->older != NULL)
        request->older->newer = request->newer;
    if (request->newer != NULL)
        request->newer->older = request->older;
    else
        comm->newest = request->older;
    free(request->descriptors);
    request->descriptors = NULL;
    if (comm->spare_request == NULL) {
        comm->spare_request = request;
        return;
    }
    muster_operation_list_clean_up(&request->operations);
    free(request);
}

/* What moving will need, on the transport or the device, while a failure can still be said in the round. */
static void reserve_batch(muster_comm *comm, muster_request *request)
{
    muster_error local;
    muster_error_init(&local);
    if (request->record.memory_kind == MUSTER_MEMORY_DEVICE) {
        if (!muster_flight_reserve(comm, request))
            muster_error_set(&local, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                             "no memory for a batch on the device");
    } else if (comm->transport != NULL) {
        (void)comm->job->table->reserve(comm->transport, request->operations.capacity, &local);
    }
    if (local.status != MUSTER_OK)
        muster_request_refuse(request, &local);
}

void muster_request_launch(muster_request *request)
{
    muster_comm *comm = request->comm;
    muster_job *job = comm->job;
    muster_record *record = &request->record;
    pthread_mutex_lock(&comm->lock);
    reserve_batch(comm, request);
    record->wire_version = MUSTER_RECORD_WIRE_VERSION;
    record->job = job->hash;
    record->communicator = comm->id;
    record->epoch = comm->epoch;
    record->sequence = ++comm->sequence;
    record->tag = comm->tag;
    record->phase = comm->phase == NULL ? 0 : (int32_t)muster_phase_current(comm->phase);
    request->trace = (muster_trace_batch){
        .communicator = comm->id,
        .sequence = record->sequence,
        .call = record->call,
        .root = record->root,
        .rank = comm->rank,
        .rank_count = comm->size,
        .tensor_count = record->tensor_count,
        .phase = record->phase,
    };
    request->state = MUSTER_REQUEST_QUEUED;
    request->next = NULL;
    if (comm->tail == NULL)
        comm->head = request;
    else
        comm->tail->next = request;
    comm->tail = request;
    muster_agent_progress(job->agent);
    MUSTER_TRACE(&job->tracer, batch_begin, &request->trace);
    /* Post the record now if it is its turn: the others need not wait for this rank's first test. */
    (void)muster_comm_progress(comm);
    pthread_mutex_unlock(&comm->lock);
    muster_progress_thread_poke(job->progress);
}

muster_status muster_request_run(muster_request *request, muster_error *error)
{
    request->blocking = true;
    muster_request_launch(request);
    muster_status status = muster_wait(request, MUSTER_TIMEOUT_INHERIT_NS, error);
    muster_request_drop(request);
    return status;
}

muster_status muster_request_start(muster_request *request, muster_request **where,
                                   muster_error *error)
{
    if (where == NULL) {
        muster_error local;
        muster_error_init(&local);
        muster_error_set(&local, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                         "request is NULL in a _start call; pass where the handle goes");
        muster_request_refuse(request, &local);
        return muster_request_run(request, error);
    }
    muster_request_launch(request);
    *where = request;
    return muster_error_set_ok(error);
}

muster_status muster_request_outcome(const muster_request *request, muster_error *error)
{
    muster_error_copy(error, &request->outcome);
    return request->outcome.status;
}

muster_status muster_request_test(muster_request *request, bool *done, muster_error *error)
{
    if (request == NULL || done == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_request_test: %s is NULL; pass one",
                                request == NULL ? "request" : "done");
    *done = false;
    muster_comm *comm = request->comm;
    if (!muster_job_is_ours(comm->job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_NONE, 0, 0,
                                "a request of the parent process is used in a forked child");
    muster_status lent = check_not_borrowed(comm, error);
    if (lent != MUSTER_OK)
        return lent;
    pthread_mutex_lock(&comm->lock);
    (void)muster_comm_progress(comm);
    *done = request->state == MUSTER_REQUEST_DONE;
    pthread_mutex_unlock(&comm->lock);
    if (!*done)
        return muster_error_set_ok(error);
    if (request->outcome.status == MUSTER_ERR_RANK_LOST)
        muster_comm_note_released(comm);
    return muster_request_outcome(request, error);
}

muster_status muster_request_wait(muster_request *request, int64_t timeout_ns, muster_error *error)
{
    if (request == NULL || (timeout_ns < 0 && timeout_ns != MUSTER_TIMEOUT_INHERIT_NS))
        return muster_error_set(
            error, MUSTER_ERR_INVALID_ARGUMENT,
            request == NULL ? MUSTER_FIELD_ARGUMENT : MUSTER_FIELD_TIMEOUT, 0, timeout_ns,
            request == NULL ? "muster_request_wait: request is NULL; pass one"
                            : "muster_request_wait: timeout_ns must be >= 0, or "
                              "MUSTER_TIMEOUT_INHERIT_NS");
    if (!muster_job_is_ours(request->comm->job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_NONE, 0, 0,
                                "a request of the parent process is used in a forked child");
    muster_status lent = check_not_borrowed(request->comm, error);
    if (lent != MUSTER_OK)
        return lent;
    return muster_wait(request, timeout_ns, error);
}

muster_status muster_request_free(muster_request *request)
{
    if (request == NULL)
        return MUSTER_OK;
    muster_comm *comm = request->comm;
    if (!muster_job_is_ours(comm->job))
        return MUSTER_ERR_FORKED;
    pthread_mutex_lock(&comm->lock);
    bool done = request->state == MUSTER_REQUEST_DONE;
    pthread_mutex_unlock(&comm->lock);
    if (!done)
        return MUSTER_ERR_IN_FLIGHT;
    muster_request_drop(request);
    return MUSTER_OK;
}
