/* SPDX-License-Identifier: Apache-2.0 */
/* The public calls that move rows: gatherv, scatterv, broadcast, allgatherv, and batches of several
 * tensors. Each is a batch that is opened, filled, closed, and run or started. */
#include <muster/batch.h>
#include <muster/collective.h>

#include "base/error.h"
#include "comm/batch_builder.h"

static muster_status run(muster_batch *batch, muster_error *error)
{
    return muster_request_run(muster_batch_close(batch), error);
}

static muster_status start(muster_batch *batch, muster_request **request, muster_error *error)
{
    return muster_request_start(muster_batch_close(batch), request, error);
}

static muster_status open_rooted(muster_comm *comm, muster_call call, const muster_tensor *rows,
                                 const int64_t *lengths, int32_t lengths_count, int32_t root,
                                 const muster_root_rows *root_rows, muster_batch **batch,
                                 muster_error *error)
{
    muster_status status =
        muster_batch_open(comm, call, lengths, lengths_count, root, batch, error);
    if (status == MUSTER_OK)
        muster_batch_add_rooted(*batch, rows, root_rows);
    return status;
}

muster_status muster_gatherv(muster_comm *comm, const muster_tensor *rows, const int64_t *lengths,
                             int32_t lengths_count, int32_t root, const muster_root_rows *root_rows,
                             muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_rooted(comm, MUSTER_CALL_GATHERV, rows, lengths, lengths_count,
                                       root, root_rows, &batch, error);
    return status != MUSTER_OK ? status : run(batch, error);
}

muster_status muster_gatherv_start(muster_comm *comm, const muster_tensor *rows,
                                   const int64_t *lengths, int32_t lengths_count, int32_t root,
                                   const muster_root_rows *root_rows, muster_request **request,
                                   muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_rooted(comm, MUSTER_CALL_GATHERV, rows, lengths, lengths_count,
                                       root, root_rows, &batch, error);
    return status != MUSTER_OK ? status : start(batch, request, error);
}

muster_status muster_scatterv(muster_comm *comm, const muster_root_rows *root_rows,
                              const int64_t *lengths, int32_t lengths_count, int32_t root,
                              const muster_tensor *rows, muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_rooted(comm, MUSTER_CALL_SCATTERV, rows, lengths, lengths_count,
                                       root, root_rows, &batch, error);
    return status != MUSTER_OK ? status : run(batch, error);
}

muster_status muster_scatterv_start(muster_comm *comm, const muster_root_rows *root_rows,
                                    const int64_t *lengths, int32_t lengths_count, int32_t root,
                                    const muster_tensor *rows, muster_request **request,
                                    muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_rooted(comm, MUSTER_CALL_SCATTERV, rows, lengths, lengths_count,
                                       root, root_rows, &batch, error);
    return status != MUSTER_OK ? status : start(batch, request, error);
}

static muster_status open_broadcast(muster_comm *comm, const muster_tensor *rows, int32_t root,
                                    muster_batch **batch, muster_error *error)
{
    muster_status status =
        muster_batch_open(comm, MUSTER_CALL_BROADCAST, NULL, -1, root, batch, error);
    if (status == MUSTER_OK)
        muster_batch_add_broadcast(*batch, rows);
    return status;
}

muster_status muster_broadcast(muster_comm *comm, const muster_tensor *rows, int32_t root,
                               muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_broadcast(comm, rows, root, &batch, error);
    return status != MUSTER_OK ? status : run(batch, error);
}

muster_status muster_broadcast_start(muster_comm *comm, const muster_tensor *rows, int32_t root,
                                     muster_request **request, muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_broadcast(comm, rows, root, &batch, error);
    return status != MUSTER_OK ? status : start(batch, request, error);
}

static muster_status open_allgatherv(muster_comm *comm, const muster_tensor *rows,
                                     const int64_t *lengths, int32_t lengths_count,
                                     const muster_tensor *all, muster_batch **batch,
                                     muster_error *error)
{
    muster_status status = muster_batch_open(comm, MUSTER_CALL_ALLGATHERV, lengths, lengths_count,
                                             MUSTER_RANK_NONE, batch, error);
    if (status == MUSTER_OK)
        muster_batch_add_allgatherv(*batch, rows, all);
    return status;
}

muster_status muster_allgatherv(muster_comm *comm, const muster_tensor *rows,
                                const int64_t *lengths, int32_t lengths_count,
                                const muster_tensor *all, muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_allgatherv(comm, rows, lengths, lengths_count, all, &batch, error);
    return status != MUSTER_OK ? status : run(batch, error);
}

muster_status muster_allgatherv_start(muster_comm *comm, const muster_tensor *rows,
                                      const int64_t *lengths, int32_t lengths_count,
                                      const muster_tensor *all, muster_request **request,
                                      muster_error *error)
{
    muster_batch *batch;
    muster_status status = open_allgatherv(comm, rows, lengths, lengths_count, all, &batch, error);
    return status != MUSTER_OK ? status : start(batch, request, error);
}

muster_status muster_batch_gatherv_begin(muster_comm *comm, const int64_t *lengths,
                                         int32_t lengths_count, int32_t root, muster_batch **batch,
                                         muster_error *error)
{
    return muster_batch_open(comm, MUSTER_CALL_GATHERV, lengths, lengths_count, root, batch, error);
}

muster_status muster_batch_scatterv_begin(muster_comm *comm, const int64_t *lengths,
                                          int32_t lengths_count, int32_t root, muster_batch **batch,
                                          muster_error *error)
{
    return muster_batch_open(comm, MUSTER_CALL_SCATTERV, lengths, lengths_count, root, batch,
                             error);
}

muster_status muster_batch_add(muster_batch *batch, const muster_tensor *rows,
                               const muster_root_rows *root_rows, muster_error *error)
{
    if (batch == NULL || rows == NULL || batch->call == MUSTER_CALL_P2P)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_batch_add: %s",
                                batch == NULL  ? "batch is NULL; open one first"
                                : rows == NULL ? "rows is NULL; pass a tensor"
                                               : "a P2P batch takes muster_p2p_isend and _irecv");
    muster_status status = muster_batch_check(batch, error);
    if (status != MUSTER_OK)
        return status;
    if (batch->request->record.tensor_count >= MUSTER_BATCH_TENSORS_MAX)
        return muster_error_set(error, MUSTER_ERR_TENSOR_COUNT, MUSTER_FIELD_TENSOR_COUNT,
                                MUSTER_BATCH_TENSORS_MAX, MUSTER_BATCH_TENSORS_MAX + 1,
                                "a batch takes at most %d tensors; start another one",
                                MUSTER_BATCH_TENSORS_MAX);
    muster_batch_add_rooted(batch, rows, root_rows);
    return muster_error_set_ok(error);
}

muster_status muster_batch_start(muster_batch *batch, muster_request **request, muster_error *error)
{
    if (batch == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_batch_start: batch is NULL; open one first");
    if (request != NULL)
        *request = NULL;
    muster_status status = muster_batch_check(batch, error);
    if (status != MUSTER_OK) {
        muster_batch_abandon(batch);
        return status;
    }
    return start(batch, request, error);
}

muster_status muster_batch_run(muster_batch *batch, muster_error *error)
{
    if (batch == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_batch_run: batch is NULL; open one first");
    muster_status status = muster_batch_check(batch, error);
    if (status != MUSTER_OK) {
        muster_batch_abandon(batch);
        return status;
    }
    return run(batch, error);
}
