/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/connect.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/nccl/bootstrap.h"
#include "transport/nccl/clock.h"
#include "transport/nccl/comm.h"
#include "transport/nccl/current.h"
#include "transport/nccl/ending.h"
#include "transport/nccl/failure.h"

/* Up to so many ranks tell one root who they are without NCCL slowing them down on purpose: beyond it (its
 * NCCL_UID_STAGGER_THRESHOLD) each waits for its turn, so that the root's backlog does not overflow. */
#define RANKS_PER_ID 256

_Static_assert(MUSTER_DEVICE_ID_BYTES == NCCL_UNIQUE_ID_BYTES, "an id is NCCL's unique id");

int32_t muster_nccl_connect_id_count(const muster_device *device, int32_t rank_count)
{
    (void)device;
    return rank_count <= RANKS_PER_ID ? 1 : (rank_count - 1) / RANKS_PER_ID + 1;
}

/* The first of the ranks that NCCL lets report to id i, so that the root is one of them. */
int32_t muster_nccl_connect_id_root(int32_t id, int32_t id_count, int32_t rank_count)
{
    const int32_t each = rank_count / id_count, left = rank_count % id_count;
    return id * each + (id < left ? id : left);
}

muster_status muster_nccl_connect_make_id(muster_device *device, muster_device_id *id,
                                          muster_error *error)
{
    ncclUniqueId unique;
    muster_nccl_current current;
    const muster_status status = muster_nccl_current_set(device, &current, error);
    if (status != MUSTER_OK)
        return status;
    const ncclResult_t result = device->library.ncclGetUniqueId(&unique);
    muster_nccl_current_restore(device, &current);
    if (result != ncclSuccess)
        return muster_nccl_failure(&device->library, result, "ncclGetUniqueId", error);
    memcpy(id->data, unique.internal, sizeof(id->data));
    if (!muster_nccl_bootstrap_note(device, id))
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for an id");
    return muster_error_set_ok(error);
}

/* Everything not named is NCCL's own default, which its environment variables change. */
static ncclConfig_t make_config(void)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    /* A shrunk communicator must outlive its parent's abort. */
    config.splitShare = 0;
    config.shrinkShare = 0;
    return config;
}

/* ---- waiting ---- */

typedef struct waiting {
    const muster_device_connect_options *options;
    int64_t nap_ns;
} waiting;

/* MUSTER_OK after a nap, or why the wait is over. */
static muster_status wait_a_moment(waiting *wait, muster_error *error)
{
    const muster_device_connect_options *options = wait->options;
    if (options->cancelled != NULL && options->cancelled(options->context))
        return muster_error_set(error, MUSTER_ERR_RANK_LOST, MUSTER_FIELD_NONE, 0, 0,
                                "NCCL was still connecting the %d ranks of epoch %llu when that "
                                "was called off",
                                (int)options->rank_count, (unsigned long long)options->epoch);
    const int64_t left_ns = options->deadline_ns - muster_nccl_clock_now_ns();
    if (left_ns <= 0)
        return muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT, 0, 0,
                                "NCCL has not connected the %d ranks of epoch %llu in time: is a "
                                "rank late, or cut off from the others' network?",
                                (int)options->rank_count, (unsigned long long)options->epoch);
    wait->nap_ns = muster_nccl_clock_next_nap_ns(wait->nap_ns);
    muster_nccl_clock_nap(wait->nap_ns < left_ns ? wait->nap_ns : left_ns);
    return MUSTER_OK;
}

/* Until nothing is in progress on the native communicator of comm. */
static muster_status wait_for(muster_device_comm *comm, bool (*enter)(muster_nccl_bracket *bracket),
                              const char *call, waiting *wait, muster_error *error)
{
    const muster_nccl_library *library = &comm->device->library;
    for (;;) {
        ncclResult_t state = ncclSuccess;
        if (!enter(&comm->bracket))
            return muster_nccl_failure_revoked(error);
        ncclResult_t result = library->ncclCommGetAsyncError(comm->native, &state);
        muster_nccl_bracket_leave(&comm->bracket);
        if (result == ncclSuccess)
            result = state;
        if (result == ncclSuccess)
            return MUSTER_OK;
        if (result != ncclInProgress)
            return muster_nccl_failure(library, result, call, error);
        const muster_status status = wait_a_moment(wait, error);
        if (status != MUSTER_OK)
            return status;
    }
}

/* Ends what a failed connect had begun; and_free: its handle was given to nobody. The failure stays the word,
 * unless the end is worse. */
static muster_status undo(muster_device_comm *comm, bool and_free, muster_status failure,
                          muster_error *error)
{
    const muster_device *device = comm->device;
    const int64_t bound_ns =
        muster_nccl_clock_after_ns(device->abort_timeout_ns, device->bracket_timeout_ns);
    muster_error stuck;
    muster_error_init(&stuck);
    const int64_t deadline_ns = muster_nccl_clock_after_ns(muster_nccl_clock_now_ns(), bound_ns);
    const muster_status status =
        and_free ? muster_nccl_ending_finish(comm, MUSTER_NCCL_END_ABORT, deadline_ns, &stuck)
                 : muster_nccl_ending_await(comm, MUSTER_NCCL_END_ABORT, deadline_ns, &stuck);
    if (status == MUSTER_OK)
        return failure;
    muster_error_set(error, status, stuck.field, stuck.expected, stuck.came, "%s", stuck.message);
    if (error != NULL && error->struct_bytes >= sizeof(*error))
        error->native_code = stuck.native_code;
    return status;
}

/* ---- by ids ---- */

static muster_status initialise(muster_device_comm *comm,
                                const muster_device_connect_options *options, muster_error *error)
{
    const muster_nccl_library *library = &comm->device->library;
    ncclConfig_t config = make_config();
    ncclResult_t result;
    const char *call;
    ncclUniqueId *ids = calloc((size_t)options->id_count, sizeof(*ids));
    if (ids == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for %d ids", (int)options->id_count);
    for (int32_t i = 0; i < options->id_count; i++)
        memcpy(ids[i].internal, options->ids[i].data, sizeof(ids[i].internal));
    if (!muster_nccl_bracket_enter(&comm->bracket)) {
        free(ids);
        return muster_nccl_failure_revoked(error);
    }
    if (options->id_count == 1) {
        call = "ncclCommInitRankConfig";
        result = library->ncclCommInitRankConfig(&comm->native, options->rank_count, ids[0],
                                                 options->own_rank, &config);
    } else {
        call = "ncclCommInitRankScalable";
        result = library->ncclCommInitRankScalable(
            &comm->native, options->rank_count, options->own_rank, options->id_count, ids, &config);
    }
    muster_nccl_bracket_leave(&comm->bracket);
    free(ids);
    if (result != ncclSuccess && result != ncclInProgress)
        return muster_nccl_failure(library, result, call, error);
    if (comm->native == NULL)
        return muster_nccl_failure(library, ncclInternalError, call, error);
    waiting wait = {.options = options};
    return wait_for(comm, muster_nccl_bracket_enter, call, &wait, error);
}

muster_status muster_nccl_connect(muster_device *device,
                                  const muster_device_connect_options *options,
                                  muster_device_comm **handle, muster_error *error)
{
    muster_nccl_current current;
    muster_device_comm *comm = NULL;
    muster_status status = muster_nccl_current_set(device, &current, error);
    if (status != MUSTER_OK)
        return status;
    status = muster_nccl_comm_new(device, true, NULL, &comm, error);
    if (status == MUSTER_OK) {
        status = initialise(comm, options, error);
        if (status != MUSTER_OK)
            status = undo(comm, true, status, error);
    }
    muster_nccl_bootstrap_settle(device, options->ids, options->id_count, status == MUSTER_OK);
    muster_nccl_current_restore(device, &current);
    if (status != MUSTER_OK)
        return status;
    comm->settled = true;
    *handle = comm;
    return muster_error_set_ok(error);
}

/* ---- by shrinking ---- */

static const char shrink_call[] = "ncclCommShrink";

/* NCCL gives the child once it is through with it on the parent's side; both are polled. Until then the place
 * it writes to is the parent's, whose abort joins the thread that writes. */
static muster_status shrink_parent(muster_device_comm *parent, int *excluded,
                                   int32_t excluded_count, waiting *wait, muster_error *error)
{
    const muster_nccl_library *library = &parent->device->library;
    ncclConfig_t config = make_config();
    if (!muster_nccl_bracket_enter_revoked(&parent->bracket))
        return muster_nccl_failure_revoked(error);
    const ncclResult_t result =
        library->ncclCommShrink(parent->native, excluded, (int)excluded_count, &parent->child,
                                &config, NCCL_SHRINK_DEFAULT);
    muster_nccl_bracket_leave(&parent->bracket);
    if (result != ncclSuccess && result != ncclInProgress)
        return muster_nccl_failure(library, result, shrink_call, error);
    return wait_for(parent, muster_nccl_bracket_enter_revoked, shrink_call, wait, error);
}

/* Inside the parent's bracket the child is nobody else's. */
static muster_status take_child(muster_device_comm *parent, muster_device_comm **child,
                                muster_error *error)
{
    muster_status status = MUSTER_OK;
    if (!muster_nccl_bracket_enter_revoked(&parent->bracket))
        return muster_nccl_failure_revoked(error);
    if (parent->child == NULL)
        status =
            muster_nccl_failure(&parent->device->library, ncclInternalError, shrink_call, error);
    else
        status = muster_nccl_comm_new(parent->device, false, parent->child, child, error);
    if (status == MUSTER_OK)
        parent->child = NULL;
    muster_nccl_bracket_leave(&parent->bracket);
    return status;
}

static muster_status shrink(muster_device_comm *parent, int *excluded, int32_t excluded_count,
                            const muster_device_connect_options *options,
                            muster_device_comm **child, muster_error *error)
{
    waiting wait = {.options = options};
    atomic_store(&parent->was_shrunk, true);
    muster_status status = shrink_parent(parent, excluded, excluded_count, &wait, error);
    if (status == MUSTER_OK)
        status = take_child(parent, child, error);
    if (status != MUSTER_OK)
        return undo(parent, false, status, error);
    MUSTER_ASSERT(*child != NULL);
    status = wait_for(*child, muster_nccl_bracket_enter, shrink_call, &wait, error);
    return status == MUSTER_OK ? status : undo(*child, true, status, error);
}

muster_status muster_nccl_connect_shrink(muster_device_comm *parent, const int32_t *excluded,
                                         int32_t excluded_count,
                                         const muster_device_connect_options *options,
                                         muster_device_comm **handle, muster_error *error)
{
    muster_nccl_current current;
    MUSTER_ASSERT(excluded_count > 0);
    if (!muster_nccl_comm_can_shrink(parent))
        return muster_nccl_failure_revoked(error);
    /* NCCL sorts the list that it is given. */
    int *list = calloc((size_t)excluded_count, sizeof(*list));
    if (list == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for %d excluded ranks", (int)excluded_count);
    for (int32_t i = 0; i < excluded_count; i++)
        list[i] = excluded[i];
    muster_device_comm *child = NULL;
    muster_status status = muster_nccl_current_set(parent->device, &current, error);
    if (status == MUSTER_OK) {
        status = shrink(parent, list, excluded_count, options, &child, error);
        muster_nccl_current_restore(parent->device, &current);
    }
    free(list);
    if (status != MUSTER_OK)
        return status;
    MUSTER_ASSERT(child != NULL);
    child->settled = true;
    *handle = child;
    return muster_error_set_ok(error);
}
