/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching a slot's state of the restore point: one agreed call. The records say who holds it, how
 * large it is and who wants it; all ranks look at the same records and come to the same plan, or to
 * the same refusal. */
#include <muster/step.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/comm.h"
#include "comm/device_check.h"
#include "comm/request.h"
#include "scope/step_store.h"

/* own_argument[0] of a rank's record: the room that it has for the state; WANTS_NONE: it takes part
 * only. own_argument[1]: what it holds of it, twice the bytes, plus one for its own; HOLDS_NONE. */
#define WANTS_NONE INT64_C(-1)
#define HOLDS_NONE INT64_C(-1)

typedef struct step_fetch {
    int32_t slot;
    void *buffer;
    const muster_step_state *held; /* by this rank; NULL: nothing */
    int32_t holder;                /* the rank that gives it; MUSTER_RANK_NONE: nobody does */
    int64_t bytes;
    int32_t too_small; /* the lowest rank without enough room; MUSTER_RANK_NONE: none */
    int64_t too_small_capacity;
} step_fetch;

static void choose_holder(const muster_comm *comm, const void *payloads, step_fetch *fetch)
{
    bool is_own = false;
    for (int32_t rank = 0; rank < comm->size && !is_own; rank++) {
        int64_t holds = muster_request_record_of(payloads, rank)->own_argument[1];
        if (holds == HOLDS_NONE)
            continue;
        is_own = holds % 2 != 0;
        if (fetch->holder != MUSTER_RANK_NONE && !is_own)
            continue;
        fetch->holder = rank;
        fetch->bytes = holds / 2;
    }
}

static void plan_rank(muster_request *request, step_fetch *fetch, int32_t rank)
{
    const muster_comm *comm = request->comm;
    muster_transport_operation operation = {.bytes = (size_t)fetch->bytes};
    if (comm->rank == fetch->holder && rank == comm->rank) {
        operation.kind = MUSTER_TRANSPORT_COPY;
        operation.peer = rank;
        operation.data = fetch->buffer;
        operation.source = fetch->held->data;
    } else if (comm->rank == fetch->holder) {
        operation.kind = MUSTER_TRANSPORT_SEND;
        operation.peer = rank;
        operation.data = fetch->held->data;
    } else if (rank == comm->rank) {
        operation.kind = MUSTER_TRANSPORT_RECEIVE;
        operation.peer = fetch->holder;
        operation.data = fetch->buffer;
    } else {
        return;
    }
    bool ok = muster_operation_list_append(&request->operations, &operation);
    MUSTER_ASSERT(ok); /* room for one operation a rank was reserved */
}

static void fetch_agreed(muster_request *request, const muster_verdict *verdict,
                         const void *payloads)
{
    (void)verdict;
    const muster_comm *comm = request->comm;
    step_fetch *fetch = request->context;
    choose_holder(comm, payloads, fetch);
    if (fetch->holder == MUSTER_RANK_NONE)
        return;
    for (int32_t rank = 0; rank < comm->size && fetch->too_small == MUSTER_RANK_NONE; rank++) {
        int64_t capacity = muster_request_record_of(payloads, rank)->own_argument[0];
        if (capacity != WANTS_NONE && capacity < fetch->bytes) {
            fetch->too_small = rank;
            fetch->too_small_capacity = capacity;
        }
    }
    if (fetch->too_small != MUSTER_RANK_NONE)
        return;
    for (int32_t i = 0; i < comm->size; i++) {
        int32_t rank = (int32_t)(((int64_t)comm->rank + 1 + i) % comm->size);
        if (muster_request_record_of(payloads, rank)->own_argument[0] != WANTS_NONE)
            plan_rank(request, fetch, rank);
    }
}

/* Turns an agreed "nobody can" into the call's own refusal, before it is traced as complete. */
static void fetch_finished(muster_request *request, muster_status status)
{
    const step_fetch *fetch = request->context;
    if (status != MUSTER_OK)
        return;
    if (fetch->holder == MUSTER_RANK_NONE) {
        muster_error_set(&request->outcome, MUSTER_ERR_STEP_STATE, MUSTER_FIELD_SLOT, 0,
                         fetch->slot,
                         "no rank holds the state of slot %d at the restore point; ask "
                         "muster_step_restore_point for its slots, and load a checkpoint for "
                         "what is lost",
                         fetch->slot);
    } else if (fetch->too_small != MUSTER_RANK_NONE) {
        muster_error_set(&request->outcome, MUSTER_ERR_CAPACITY, MUSTER_FIELD_BYTES, fetch->bytes,
                         fetch->too_small_capacity,
                         "the state of slot %d has %lld bytes, but rank %d gave room for %lld",
                         fetch->slot, (long long)fetch->bytes, fetch->too_small,
                         (long long)fetch->too_small_capacity);
        request->outcome.rank = fetch->too_small;
    }
}

static muster_status prepare(muster_request *request, int32_t slot, const void *buffer,
                             size_t capacity, step_fetch *fetch, muster_error *error)
{
    const muster_comm *comm = request->comm;
    muster_record *record = &request->record;
    bool is_own = false;
    if (!comm->is_world)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "muster_step_fetch: steps belong to world only");
    if (buffer == NULL && capacity > 0)
        return muster_error_set(error, MUSTER_ERR_NULL_BUFFER, MUSTER_FIELD_BUFFER,
                                (int64_t)capacity, 0,
                                "muster_step_fetch: buffer is NULL, but capacity is %zu", capacity);
    if (muster_device_check_host(comm->job, buffer, capacity, "muster_step_fetch", error) !=
        MUSTER_OK)
        return MUSTER_ERR_MEMORY_KIND;
    if (!muster_operation_list_reserve(&request->operations, (size_t)comm->size))
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for %d operations", comm->size);
    fetch->held = muster_step_store_find(comm->job->steps, slot, &is_own);
    record->own_argument[0] = buffer == NULL                 ? WANTS_NONE
                              : capacity > (size_t)INT64_MAX ? INT64_MAX
                                                             : (int64_t)capacity;
    record->own_argument[1] =
        fetch->held == NULL ? HOLDS_NONE : (int64_t)fetch->held->bytes * 2 + is_own;
    return MUSTER_OK;
}

muster_status muster_step_fetch(muster_comm *world, int32_t slot, void *buffer, size_t capacity,
                                size_t *bytes, muster_error *error)
{
    muster_request *request;
    muster_status status = muster_request_new(world, MUSTER_CALL_STEP_FETCH, &request, error);
    if (status != MUSTER_OK)
        return status;
    step_fetch fetch = {
        .slot = slot,
        .buffer = buffer,
        .holder = MUSTER_RANK_NONE,
        .too_small = MUSTER_RANK_NONE,
    };
    muster_error local;
    muster_error_init(&local);
    request->record.argument = slot;
    request->agreed = fetch_agreed;
    request->finished = fetch_finished;
    request->context = &fetch;
    if (prepare(request, slot, buffer, capacity, &fetch, &local) != MUSTER_OK)
        muster_request_refuse(request, &local);
    status = muster_request_run(request, error);
    if (bytes != NULL && fetch.holder != MUSTER_RANK_NONE &&
        (status == MUSTER_OK || status == MUSTER_ERR_CAPACITY))
        *bytes = (size_t)fetch.bytes;
    return status;
}
