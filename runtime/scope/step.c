/* SPDX-License-Identifier: Apache-2.0 */
/* The commit of a step: two agreed calls.
 *
 *   STEP_STAGE   the own state goes to the rank that holds its mirror, another one's comes here
 *   STEP_COMMIT  no bytes: who posts its record has staged; who sees the verdict knows that all have
 *
 * The memory for a mirror must be there before the round that moves it, but its size comes with the
 * records. So each rank says how large a mirror it has room for: where it is enough on all ranks, the
 * bytes move in the same call; where it is not, nobody moves any, everyone makes room, and the stage is
 * called once more. A steady job pays for that once in each generation. */
#include <muster/step.h>

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/comm.h"
#include "comm/device_check.h"
#include "comm/flight.h"
#include "comm/request.h"
#include "scope/step_store.h"

/* One call of STEP_STAGE; used by its hook. */
typedef struct step_stage {
    muster_step_generation *generation;
    int32_t mirrored_slot; /* MUSTER_SLOT_NONE: alone, nothing to mirror */
    size_t mirror_bytes;   /* from the records */
    bool moved;
} step_stage;

/* A request that is not complete may still be writing into what is about to be copied. Only the
 * caller's thread adds and removes communicators, so the list is walked without its lock. */
static bool any_in_flight(const muster_job *job)
{
    bool busy = false;
    for (muster_comm *comm = job->comms; comm != NULL && !busy; comm = comm->next) {
        pthread_mutex_lock(&comm->lock);
        busy = comm->head != NULL;
        pthread_mutex_unlock(&comm->lock);
    }
    return busy;
}

/* A commit covers what was enqueued on devices before it: the rank says OK once that is complete. Half of
 * what the others wait for this rank, so that it comes to the round in time with what it has to say. */
static muster_status await_flights(const muster_comm *world, muster_error *error)
{
    muster_status status = MUSTER_OK;
    if (world->job->device.device == NULL)
        return status;
    for (muster_comm *comm = world->job->comms; comm != NULL && status == MUSTER_OK;
         comm = comm->next)
        status = muster_flight_wait_if_any(comm, world->timeout_ns / 2, error);
    return status;
}

static muster_status check_step(const muster_comm *world, uint64_t step, muster_error *error)
{
    uint64_t last;
    if (muster_step_store_last_committed(world->job->steps, world->epoch, &last)) {
        if (step > last)
            return MUSTER_OK;
        return muster_error_set(
            error, MUSTER_ERR_STEP, MUSTER_FIELD_STEP, (int64_t)last + 1, (int64_t)step,
            "step %" PRIu64 " is not larger than step %" PRIu64 ", the last one of this epoch",
            step, last);
    }
    const muster_restore *restore = muster_step_store_restore(world->job->steps, NULL);
    if (!restore->has_step || step >= restore->step)
        return MUSTER_OK;
    return muster_error_set(
        error, MUSTER_ERR_STEP, MUSTER_FIELD_STEP, (int64_t)restore->step, (int64_t)step,
        "step %" PRIu64 " is smaller than the restored step %" PRIu64, step, restore->step);
}

static muster_status check_parts(const muster_job *job, const muster_state_part *parts,
                                 int32_t part_count, size_t *bytes, muster_error *error)
{
    if (part_count < 0 || (parts == NULL && part_count > 0))
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0,
                                part_count,
                                "muster_step_commit: part_count must be >= 0, parts not NULL");
    int64_t sum = 0;
    for (int32_t i = 0; i < part_count; i++) {
        if (parts[i].data == NULL && parts[i].bytes > 0)
            return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BUFFER,
                                    (int64_t)parts[i].bytes, i,
                                    "muster_step_commit: part %d is NULL", i);
        if (muster_device_check_host(job, parts[i].data, parts[i].bytes, "muster_step_commit",
                                     error) != MUSTER_OK)
            return MUSTER_ERR_MEMORY_KIND;
        if (__builtin_add_overflow(sum, parts[i].bytes, &sum))
            return muster_error_set(error, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX, i,
                                    "muster_step_commit: the parts overflow 64 bits");
    }
    *bytes = (size_t)sum;
    return MUSTER_OK;
}

static void copy_parts(void *data, const muster_state_part *parts, int32_t part_count)
{
    char *to = data;
    for (int32_t i = 0; i < part_count; i++) {
        if (parts[i].bytes == 0)
            continue;
        memcpy(to, parts[i].data, parts[i].bytes);
        to += parts[i].bytes;
    }
}

/* Everything that this rank can find out alone, and its own copy. */
static muster_status prepare(muster_comm *world, uint64_t step, const muster_state_part *parts,
                             int32_t part_count, muster_step_generation **generation,
                             muster_error *error)
{
    if (!world->is_world)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "muster_step_commit: a step is committed over world only");
    muster_status landed = await_flights(world, error);
    if (landed != MUSTER_OK)
        return landed;
    if (any_in_flight(world->job))
        return muster_error_set(error, MUSTER_ERR_IN_FLIGHT, MUSTER_FIELD_NONE, 0, 0,
                                "muster_step_commit: requests are in flight; wait for them");
    size_t bytes = 0;
    muster_status status = check_step(world, step, error);
    if (status == MUSTER_OK)
        status = check_parts(world->job, parts, part_count, &bytes, error);
    if (status != MUSTER_OK)
        return status;
    *generation = muster_step_store_begin(world->job->steps, world->epoch, step,
                                          world->members[world->rank].slot, bytes);
    if (*generation == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0, (int64_t)bytes,
                                "no memory for a copy of %zu bytes of step state", bytes);
    copy_parts((*generation)->own.data, parts, part_count);
    return MUSTER_OK;
}

static bool append(muster_request *request, muster_transport_kind kind, int32_t peer,
                   const muster_step_state *state)
{
    const muster_transport_operation operation = {
        .kind = kind, .peer = peer, .data = state->data, .bytes = state->bytes};
    return muster_operation_list_append(&request->operations, &operation);
}

/* The same on every rank, because it looks at nothing but the records. */
static bool all_mirrors_fit(const muster_comm *comm, const void *payloads)
{
    for (int32_t rank = 0; rank < comm->size; rank++) {
        const muster_record *record = muster_request_record_of(payloads, rank);
        const muster_record *mirrored = muster_request_record_of(payloads, comm->mirrored[rank]);
        if (record->own_argument[1] < mirrored->own_argument[0])
            return false;
    }
    return true;
}

static void stage_agreed(muster_request *request, const muster_verdict *verdict,
                         const void *payloads)
{
    (void)verdict;
    const muster_comm *comm = request->comm;
    step_stage *stage = request->context;
    if (comm->size == 1) {
        stage->moved = true;
        return;
    }
    int32_t before = comm->mirrored[comm->rank];
    int32_t holder = comm->mirror_holders[comm->rank];
    stage->mirrored_slot = comm->members[before].slot;
    stage->mirror_bytes = (size_t)muster_request_record_of(payloads, before)->own_argument[0];
    if (!all_mirrors_fit(comm, payloads))
        return;
    /* Neither can fail: there is room, in the mirror and in the list. */
    bool ok = muster_step_generation_expect_mirror(stage->generation, stage->mirrored_slot,
                                                   stage->mirror_bytes);
    ok = ok && append(request, MUSTER_TRANSPORT_SEND, holder, &stage->generation->own);
    ok = ok && append(request, MUSTER_TRANSPORT_RECEIVE, before, &stage->generation->mirror);
    MUSTER_ASSERT(ok);
    stage->moved = true;
}

/* One call of STEP_STAGE. local: this rank's own checks, which go into the round. */
static muster_status call_stage(muster_request *request, uint64_t step, step_stage *stage,
                                muster_error *local, muster_error *error)
{
    request->record.argument = (int64_t)step;
    if (local->status == MUSTER_OK && !muster_operation_list_reserve(&request->operations, 2))
        muster_error_set(local, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                         "no memory for two operations");
    if (local->status == MUSTER_OK) {
        MUSTER_ASSERT(stage->generation != NULL);
        request->record.own_argument[0] = (int64_t)stage->generation->own.bytes;
        request->record.own_argument[1] = (int64_t)stage->generation->mirror.capacity;
        request->agreed = stage_agreed;
        request->context = stage;
    } else {
        muster_request_refuse(request, local);
    }
    return muster_request_run(request, error);
}

muster_status muster_step_commit(muster_comm *world, uint64_t step, const muster_state_part *parts,
                                 int32_t part_count, muster_error *error)
{
    muster_request *request;
    muster_status status = muster_request_new(world, MUSTER_CALL_STEP_STAGE, &request, error);
    if (status != MUSTER_OK)
        return status;
    muster_job *job = world->job;
    step_stage stage = {.mirrored_slot = MUSTER_SLOT_NONE};
    muster_error local;
    muster_error_init(&local);
    (void)prepare(world, step, parts, part_count, &stage.generation, &local);
    status = call_stage(request, step, &stage, &local, error);
    if (status != MUSTER_OK)
        return status;
    if (!stage.moved) {
        status = muster_request_new(world, MUSTER_CALL_STEP_STAGE, &request, error);
        if (status != MUSTER_OK)
            return status;
        if (!muster_step_generation_expect_mirror(stage.generation, stage.mirrored_slot,
                                                  stage.mirror_bytes))
            muster_error_set(&local, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0,
                             (int64_t)stage.mirror_bytes,
                             "no memory for the mirror of slot %d, %zu bytes", stage.mirrored_slot,
                             stage.mirror_bytes);
        status = call_stage(request, step, &stage, &local, error);
        if (status != MUSTER_OK)
            return status;
        MUSTER_ASSERT(stage.moved);
    }
    muster_step_generation_stage(stage.generation);
    MUSTER_TRACE(&job->tracer, step_staged, world->sequence, step,
                 (uint64_t)stage.generation->own.bytes);

    status = muster_request_new(world, MUSTER_CALL_STEP_COMMIT, &request, error);
    if (status != MUSTER_OK)
        return status;
    request->record.argument = (int64_t)step;
    status = muster_request_run(request, error);
    if (status != MUSTER_OK)
        return status;
    muster_step_store_commit(job->steps, stage.generation);
    MUSTER_TRACE(&job->tracer, step_committed, world->sequence, step);
    muster_agent_report_committed(job->agent, step);
    return MUSTER_OK;
}

muster_status muster_step_restore_point(const muster_comm *world, muster_restore_point *point,
                                        int32_t *slots, int32_t capacity)
{
    if (world == NULL || !world->is_world || point == NULL || capacity < 0 ||
        (slots == NULL && capacity > 0))
        return MUSTER_ERR_INVALID_ARGUMENT;
    if (point->struct_bytes != sizeof(*point))
        return MUSTER_ERR_STRUCT_SIZE;
    const int32_t *held = NULL;
    const muster_restore *restore = muster_step_store_restore(world->job->steps, &held);
    point->has_step = restore->has_step;
    point->state_lost = restore->state_lost;
    point->step = restore->step;
    point->epoch = (muster_epoch){restore->epoch};
    point->slot_count = restore->slot_count;
    for (int32_t i = 0; i < restore->slot_count && i < capacity; i++)
        slots[i] = held[i];
    return MUSTER_OK;
}
