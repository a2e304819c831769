/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/flight.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/clock.h"
#include "comm/refusal.h"

bool muster_flight_reserve(muster_comm *comm, muster_request *request)
{
    muster_flight *flight = comm->device.spare;
    if (flight != NULL)
        comm->device.spare = flight->next;
    else
        flight = malloc(sizeof(*flight));
    if (flight == NULL)
        return false;
    *flight = (muster_flight){.request = request};
    request->flight = flight;
    return true;
}

static void put_away(muster_comm *comm, muster_flight *flight)
{
    flight->next = comm->device.spare;
    comm->device.spare = flight;
}

void muster_flight_put_back(muster_comm *comm, muster_request *request)
{
    if (request->flight != NULL)
        put_away(comm, request->flight);
    request->flight = NULL;
}

/* The communicator cannot go on. Said only after a moment: a death often shows so before its verdict. */
static void note_fault(muster_comm *comm, muster_status status, const muster_error *error)
{
    muster_device_side *side = &comm->device;
    if (side->fault.status != MUSTER_OK)
        return;
    side->fault = *error;
    side->fault.status = status;
    side->fault_ns = muster_clock_now_ns();
}

void muster_flight_submit(muster_comm *comm, muster_request *request)
{
    muster_flight *flight = request->flight;
    muster_error error;
    muster_error_init(&error);
    MUSTER_ASSERT(flight != NULL && comm->device.live != NULL);
    flight->trace = request->trace;
    muster_status status = comm->job->device.table->submit(
        comm->device.live, request->stream, request->operations.operations,
        request->operations.count, &flight->batch, &error);
    if (status != MUSTER_OK)
        note_fault(comm, status, &error);
}

bool muster_flight_take_off(muster_comm *comm, muster_request *request)
{
    muster_device_side *side = &comm->device;
    muster_flight *flight = request->flight;
    if (flight->batch == NULL || side->fault.status != MUSTER_OK || side->borrowed)
        return false;
    bool enqueued = false;
    bool done = false;
    muster_error error;
    muster_error_init(&error);
    muster_status status =
        comm->job->device.table->progress(flight->batch, &enqueued, &done, &error);
    if (status != MUSTER_OK) {
        note_fault(comm, status, &error);
        return false;
    }
    if (!enqueued && !done)
        return false;
    MUSTER_TRACE(&comm->job->tracer, batch_submitted, &flight->trace);
    flight->next = NULL;
    if (side->last == NULL)
        side->first = flight;
    else
        side->last->next = flight;
    side->last = flight;
    request->flight = NULL;
    if (request->blocking)
        flight->request = NULL;
    return true;
}

static muster_flight *land_first(muster_device_side *side)
{
    muster_flight *flight = side->first;
    side->first = flight->next;
    if (side->first == NULL)
        side->last = NULL;
    return flight;
}

bool muster_flight_progress(muster_comm *comm)
{
    muster_device_side *side = &comm->device;
    bool landed = false;
    /* Nobody else may be inside the native library while it is lent. */
    while (side->first != NULL && !side->borrowed && side->fault.status == MUSTER_OK) {
        bool enqueued = false;
        bool done = false;
        muster_error error;
        muster_error_init(&error);
        muster_status status =
            comm->job->device.table->progress(side->first->batch, &enqueued, &done, &error);
        if (status != MUSTER_OK) {
            note_fault(comm, status, &error);
            break;
        }
        if (!done)
            break;
        muster_flight *flight = land_first(side);
        comm->job->device.table->release(flight->batch);
        if (flight->request != NULL)
            muster_comm_conclude(comm, flight->request, MUSTER_OK);
        else
            MUSTER_TRACE(&comm->job->tracer, batch_complete, &flight->trace);
        muster_comm_note_first_batch(comm, flight->trace.call);
        put_away(comm, flight);
        landed = true;
    }
    return landed;
}

bool muster_flight_polls(const muster_comm *comm)
{
    const muster_device_side *side = &comm->device;
    const muster_request *head = comm->head;
    return side->first != NULL || side->fault.status != MUSTER_OK ||
           (head != NULL && head->state == MUSTER_REQUEST_MOVING && head->flight != NULL);
}

/* ---- failing ---- */

static void fail_one(muster_comm *comm, muster_flight *flight, muster_status status)
{
    muster_request *request = flight->request;
    flight->request = NULL;
    if (request == NULL) {
        MUSTER_TRACE(&comm->job->tracer, batch_failed, &flight->trace, (int32_t)status,
                     MUSTER_RANK_NONE, MUSTER_FIELD_NONE);
        return;
    }
    if (status == MUSTER_ERR_COMM_FAILED && comm->device.fault.status != MUSTER_OK) {
        status = comm->device.fault.status;
        request->outcome = comm->device.fault;
    } else {
        muster_comm_describe_failure(comm, status, &request->outcome);
    }
    muster_comm_conclude(comm, request, status);
}

/* The batch at the head of the queue is a flight as well, though not in the air yet. */
static void take_heads_flight(muster_comm *comm)
{
    muster_device_side *side = &comm->device;
    muster_request *head = comm->head;
    if (head == NULL || head->state != MUSTER_REQUEST_MOVING || head->flight == NULL ||
        head->flight->batch == NULL)
        return;
    muster_flight *flight = head->flight;
    head->flight = NULL;
    flight->request = NULL; /* the queue fails it */
    flight->next = side->stale;
    side->stale = flight;
}

static void release_stale(muster_comm *comm)
{
    muster_device_side *side = &comm->device;
    while (side->stale != NULL) {
        muster_flight *flight = side->stale;
        side->stale = flight->next;
        comm->job->device.table->release(flight->batch);
        put_away(comm, flight);
    }
}

muster_status muster_flight_fail_all(muster_comm *comm, muster_status status)
{
    muster_device_side *side = &comm->device;
    take_heads_flight(comm);
    if (side->first == NULL && side->stale == NULL)
        return status;
    bool keep_stale = status == MUSTER_ERR_COMM_FAILED;
    if (!keep_stale) {
        muster_status aborted = muster_device_plane_abort(
            &comm->job->device, muster_job_keeps_devices(comm->job), NULL);
        if (aborted != MUSTER_OK)
            status = aborted;
    }
    while (side->first != NULL) {
        muster_flight *flight = land_first(side);
        fail_one(comm, flight, status);
        flight->next = side->stale;
        side->stale = flight;
    }
    if (!keep_stale)
        release_stale(comm);
    return status;
}

void muster_flight_clean_up(muster_comm *comm)
{
    MUSTER_ASSERT(comm->device.first == NULL && comm->device.stale == NULL);
    while (comm->device.spare != NULL) {
        muster_flight *flight = comm->device.spare;
        comm->device.spare = flight->next;
        free(flight);
    }
}

/* ---- waiting ---- */

void muster_flight_nap(muster_comm *comm, int64_t *nap_ns, int64_t left_ns)
{
    const muster_transport_table *table = comm->job->table;
    if (comm->transport == NULL)
        return;
    uint32_t ticket = table->arm(comm->transport);
    pthread_mutex_lock(&comm->lock);
    bool refused = muster_comm_refusal(comm) != MUSTER_OK;
    pthread_mutex_unlock(&comm->lock);
    if (!refused)
        table->sleep(comm->transport, ticket, *nap_ns < left_ns ? *nap_ns : left_ns);
    table->disarm(comm->transport);
    *nap_ns = *nap_ns * 2 < MUSTER_FLIGHT_NAP_MOST_NS ? *nap_ns * 2 : MUSTER_FLIGHT_NAP_MOST_NS;
}

muster_status muster_flight_wait(muster_comm *comm, int64_t timeout_ns, muster_error *error)
{
    int64_t deadline_ns = muster_clock_deadline_ns(timeout_ns);
    int64_t nap_ns = MUSTER_FLIGHT_NAP_LEAST_NS;
    for (;;) {
        pthread_mutex_lock(&comm->lock);
        bool moved = muster_comm_progress(comm);
        bool landed = comm->device.first == NULL;
        muster_status refusal = muster_comm_refusal(comm);
        muster_error fault = comm->device.fault;
        pthread_mutex_unlock(&comm->lock);
        if (refusal == MUSTER_ERR_COMM_FAILED && fault.status != MUSTER_OK) {
            muster_error_copy(error, &fault);
            return fault.status;
        }
        if (refusal != MUSTER_OK) {
            if (refusal == MUSTER_ERR_RANK_LOST)
                muster_comm_note_released(comm);
            return muster_comm_describe_failure(comm, refusal, error);
        }
        if (landed && fault.status == MUSTER_OK)
            return muster_error_set_ok(error);
        int64_t left_ns = deadline_ns - muster_clock_now_ns();
        if (left_ns <= 0)
            return muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT, 0, 0,
                                    "the device has not finished what communicator 0x%llx has "
                                    "enqueued; wait longer",
                                    (unsigned long long)comm->id);
        if (moved)
            nap_ns = MUSTER_FLIGHT_NAP_LEAST_NS;
        else
            muster_flight_nap(comm, &nap_ns, left_ns);
    }
}

muster_status muster_flight_wait_if_any(muster_comm *comm, int64_t timeout_ns, muster_error *error)
{
    pthread_mutex_lock(&comm->lock);
    bool any = comm->device.first != NULL || comm->device.fault.status != MUSTER_OK;
    pthread_mutex_unlock(&comm->lock);
    return any ? muster_flight_wait(comm, timeout_ns, error) : MUSTER_OK;
}
