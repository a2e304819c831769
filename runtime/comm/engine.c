/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: takes the head of a communicator's queue through its round, its verdict and its bytes.
 * One request after the other, so that every rank posts the same rounds in the same order. */
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/clock.h"
#include "comm/comm.h"
#include "comm/compare.h"
#include "comm/flight.h"
#include "comm/refusal.h"

static void leave_queue(muster_comm *comm, muster_request *request)
{
    MUSTER_ASSERT(comm->head == request);
    comm->head = request->next;
    if (comm->head == NULL)
        comm->tail = NULL;
    request->next = NULL;
}

/* in_the_air: its batch has left for the device, and its own end will be traced. */
static void conclude(muster_comm *comm, muster_request *request, muster_status status,
                     bool in_the_air)
{
    if (request->batch != NULL) {
        comm->job->table->release(request->batch);
        request->batch = NULL;
    }
    muster_flight_put_back(comm, request);
    muster_compare_clean_up(request);
    request->outcome.status = status;
    if (request->finished != NULL)
        request->finished(request, status);
    /* A finished hook may turn an OK into an error of its own (comparing what was gathered). */
    status = request->outcome.status;
    if (status == MUSTER_OK && !in_the_air)
        MUSTER_TRACE(&comm->job->tracer, batch_complete, &request->trace);
    else if (status != MUSTER_OK)
        MUSTER_TRACE(&comm->job->tracer, batch_failed, &request->trace, (int32_t)status,
                     request->outcome.rank, (uint32_t)request->outcome.field);
    if (status == MUSTER_OK)
        muster_agent_completed(comm->job->agent, comm->id, request->record.sequence,
                               request->record.call);
    else
        muster_agent_progress(comm->job->agent);
    request->state = MUSTER_REQUEST_DONE;
}

void muster_comm_conclude(muster_comm *comm, muster_request *request, muster_status status)
{
    conclude(comm, request, status, false);
}

static void finish(muster_comm *comm, muster_request *request, muster_status status)
{
    leave_queue(comm, request);
    conclude(comm, request, status, false);
}

void muster_comm_fail(muster_comm *comm, muster_status status)
{
    if (comm->failed == MUSTER_OK)
        comm->failed = status;
    muster_status flights = muster_flight_fail_all(comm, status);
    if (flights != status)
        comm->failed = status = flights;
    while (comm->head != NULL) {
        muster_request *request = comm->head;
        bool faulty = status == MUSTER_ERR_COMM_FAILED &&
                      request->record.memory_kind == MUSTER_MEMORY_DEVICE &&
                      comm->device.fault.status != MUSTER_OK;
        if (faulty)
            request->outcome = comm->device.fault;
        else
            muster_comm_describe_failure(comm, status, &request->outcome);
        finish(comm, request, faulty ? comm->device.fault.status : status);
    }
}

static void post(muster_comm *comm, muster_request *request)
{
    unsigned char payload[MUSTER_ROUND_BYTES] = {0};
    memcpy(payload, &request->record, sizeof(request->record));
    request->round = ++comm->round;
    comm->job->table->round_post(comm->transport, request->round, payload);
    request->state = MUSTER_REQUEST_AGREEING;
}

/* A root's buffer that not everyone had mapped went through the ring; map it for the next time. Only
 * here, after the batch: between a verdict and its data nothing may fail or wait. */
static void map_for_next_time(muster_comm *comm, const muster_request *request)
{
    int32_t root = request->record.root;
    if (root >= 0 && root != comm->rank && request->verdict.root_region_version != 0 &&
        request->record.region_mapped_version < request->verdict.root_region_version)
        comm->job->table->map_exports(comm->transport, root);
}

void muster_comm_note_first_batch(muster_comm *comm, uint32_t call)
{
    muster_job *job = comm->job;
    if (atomic_load_explicit(&job->first_batch_seen, memory_order_relaxed) ||
        call < MUSTER_CALL_GATHERV || call > MUSTER_CALL_P2P)
        return;
    atomic_store_explicit(&job->first_batch_seen, true, memory_order_relaxed);
    muster_agent_report_resumed(job->agent, 0, (uint64_t)muster_clock_now_ns());
}

static void complete(muster_comm *comm, muster_request *request)
{
    finish(comm, request, MUSTER_OK);
    map_for_next_time(comm, request);
    muster_comm_note_first_batch(comm, request->record.call);
}

/* The verdict is OK: what was agreed becomes operations, and they are handed over. */
static void move(muster_comm *comm, muster_request *request, const void *payloads)
{
    muster_job *job = comm->job;
    if (request->agreed != NULL)
        request->agreed(request, &request->verdict, payloads);
    if (request->operations.count == 0) {
        complete(comm, request);
        return;
    }
    muster_operation_list_bytes(&request->operations, &request->trace.bytes_out,
                                &request->trace.bytes_in);
    if (job->tracer.table != NULL)
        for (size_t i = 0; i < request->operations.count; i++)
            MUSTER_TRACE(&job->tracer, batch_op, &request->trace,
                         (uint32_t)request->operations.operations[i].kind,
                         request->operations.operations[i].peer,
                         request->operations.operations[i].bytes);
    if (request->record.memory_kind == MUSTER_MEMORY_DEVICE) {
        request->state = MUSTER_REQUEST_MOVING;
        muster_flight_submit(comm, request);
        return;
    }
    muster_status status =
        job->table->submit(comm->transport, request->operations.operations,
                           request->operations.count, &request->batch, &request->outcome);
    if (status != MUSTER_OK) {
        /* After a verdict the others count on this rank: the communicator cannot go on. */
        finish(comm, request, status);
        muster_comm_fail(comm, MUSTER_ERR_COMM_FAILED);
        return;
    }
    MUSTER_TRACE(&job->tracer, batch_submitted, &request->trace);
    request->state = MUSTER_REQUEST_MOVING;
}

/* All ranks return the verdict; the one that made the mistake says it in its own words, which know
 * more than a record can carry. */
static muster_status refused(const muster_comm *comm, muster_request *request)
{
    muster_status status = muster_verdict_to_error(&request->verdict, &request->outcome);
    if (request->verdict.rank == comm->rank && request->local.status == status)
        memcpy(request->outcome.message, request->local.message, sizeof(request->local.message));
    return status;
}

static bool agree(muster_comm *comm, muster_request *request)
{
    const void *payloads = comm->job->table->round_poll(comm->transport, request->round);
    if (payloads == NULL)
        return false;
    request->verdict = muster_verdict_of_records(payloads, MUSTER_ROUND_BYTES, comm->size);
    if (request->verdict.needs_descriptors) {
        muster_compare_begin(comm, request);
        request->state = MUSTER_REQUEST_COMPARING;
        return true;
    }
    if (request->verdict.status != MUSTER_OK)
        finish(comm, request, refused(comm, request));
    else
        move(comm, request, payloads);
    return true;
}

/* The caller's stream has the batch: the next request may begin, in the order that all ranks have. */
static bool enqueue(muster_comm *comm, muster_request *request)
{
    if (!muster_flight_take_off(comm, request))
        return false;
    leave_queue(comm, request);
    if (request->blocking)
        conclude(comm, request, MUSTER_OK, true);
    else
        request->state = MUSTER_REQUEST_ENQUEUED;
    return true;
}

static bool advance(muster_comm *comm, muster_request *request)
{
    bool done = false;
    bool moved = false;
    muster_status status;
    switch (request->state) {
    case MUSTER_REQUEST_QUEUED:
        post(comm, request);
        return true;
    case MUSTER_REQUEST_AGREEING:
        return agree(comm, request);
    case MUSTER_REQUEST_COMPARING:
        moved = muster_compare_progress(comm, request, &done);
        if (done)
            finish(comm, request, muster_verdict_to_error(&request->verdict, &request->outcome));
        return moved;
    case MUSTER_REQUEST_MOVING:
        if (request->flight != NULL)
            return enqueue(comm, request);
        status = comm->job->table->progress(request->batch, &done, &moved, &request->outcome);
        if (status != MUSTER_OK) {
            finish(comm, request, status);
            muster_comm_fail(comm, MUSTER_ERR_COMM_FAILED);
            return true;
        }
        if (done)
            complete(comm, request);
        return moved || done;
    case MUSTER_REQUEST_DRAFT:
    case MUSTER_REQUEST_ENQUEUED:
    case MUSTER_REQUEST_DONE:
        break;
    }
    MUSTER_ASSERT(!"a request in the queue is neither draft nor done");
    return false;
}

bool muster_comm_progress(muster_comm *comm)
{
    const muster_device_side *device = &comm->device;
    if (comm->head == NULL && device->first == NULL && device->fault.status == MUSTER_OK)
        return false;
    muster_status refusal = muster_comm_refusal(comm);
    if (refusal != MUSTER_OK) {
        bool any = comm->head != NULL || device->first != NULL;
        if (any)
            muster_comm_fail(comm, refusal);
        return any;
    }
    if (device->fault.status != MUSTER_OK) {
        /* A native call failed. If that was a death, its verdict comes within the grace, and RANK_LOST
         * is what everyone returns. */
        int64_t grace_ns = comm->job->policy.deadlines.verdict_grace_ns;
        if (muster_clock_now_ns() - device->fault_ns < grace_ns)
            return false;
        muster_comm_fail(comm, MUSTER_ERR_COMM_FAILED);
        return true;
    }
    bool moved = muster_flight_progress(comm);
    while (comm->head != NULL && advance(comm, comm->head)) {
        moved = true;
        /* Asked after every piece: a large batch whose bytes never stop moving would else be heard
         * to its end, seconds after the revoke. */
        refusal = muster_comm_refusal(comm);
        if (refusal != MUSTER_OK)
            muster_comm_fail(comm, refusal);
    }
    return moved;
}
