/* SPDX-License-Identifier: Apache-2.0 */
/* A bare P2P list. Every operation goes into a digest: over all ranks the sums of sends and receives
 * are equal exactly when each send has its receive; on a mismatch the lists themselves are shown. */
#include <muster/p2p.h>

#include <stdlib.h>

#include "base/error.h"
#include "comm/batch_builder.h"
#include "comm/device_check.h"
#include "layout/tensor.h"

muster_status muster_p2p_begin(muster_comm *comm, muster_batch **batch, muster_error *error)
{
    muster_status status =
        muster_batch_open(comm, MUSTER_CALL_P2P, NULL, -1, MUSTER_RANK_NONE, batch, error);
    if (status != MUSTER_OK)
        return status;
    (*batch)->ordinals = calloc((size_t)comm->size * 2, sizeof(*(*batch)->ordinals));
    if ((*batch)->ordinals == NULL) {
        muster_batch_abandon(*batch);
        *batch = NULL;
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a P2P batch of %d ranks", comm->size);
    }
    return MUSTER_OK;
}

static muster_status keep(muster_batch *batch, const muster_pattern_transfer *transfer,
                          muster_error *error)
{
    if (batch->transfer_count == MUSTER_P2P_OPERATIONS_MAX)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_TENSOR_COUNT,
                                MUSTER_P2P_OPERATIONS_MAX, MUSTER_P2P_OPERATIONS_MAX + 1,
                                "a P2P batch takes at most %d operations; start another one",
                                MUSTER_P2P_OPERATIONS_MAX);
    if (batch->transfer_count == batch->transfer_capacity) {
        int32_t capacity = batch->transfer_capacity == 0 ? 8 : batch->transfer_capacity * 2;
        muster_pattern_transfer *grown =
            realloc(batch->transfers, (size_t)capacity * sizeof(*grown));
        if (grown == NULL)
            return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                    "no memory for %d operations of a P2P batch", capacity);
        batch->transfers = grown;
        batch->transfer_capacity = capacity;
    }
    batch->transfers[batch->transfer_count++] = *transfer;
    return MUSTER_OK;
}

static muster_status add(muster_batch *batch, const muster_tensor *tensor, int32_t peer,
                         bool is_send, muster_error *error)
{
    if (batch == NULL || tensor == NULL || batch->call != MUSTER_CALL_P2P)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "%s: %s", is_send ? "muster_p2p_isend" : "muster_p2p_irecv",
                                batch == NULL    ? "batch is NULL; open one with muster_p2p_begin"
                                : tensor == NULL ? "tensor is NULL; pass one"
                                                 : "the batch was not opened by muster_p2p_begin");
    muster_status usable = muster_batch_check(batch, error);
    if (usable != MUSTER_OK)
        return usable;
    muster_comm *comm = batch->comm;
    muster_error local;
    muster_error_init(&local);
    if (peer < 0 || peer >= comm->size)
        muster_error_set(&local, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_PEER, comm->size - 1,
                         peer, "peer is not a rank of this communicator");
    else if (muster_tensor_check(tensor, muster_device_check_allowed(comm), &local) == MUSTER_OK)
        muster_device_check_tensor(comm, tensor, muster_tensor_bytes(tensor),
                                   &batch->request->record.memory_kind, &local);
    if (local.status != MUSTER_OK) {
        local.tensor_index = batch->transfer_count;
        muster_request_refuse(batch->request, &local);
        return muster_error_set_ok(error);
    }
    size_t bytes = muster_tensor_bytes(tensor);
    muster_pattern_transfer transfer = {
        .is_send = is_send, .peer = peer, .data = tensor->data, .bytes = bytes};
    muster_status status = keep(batch, &transfer, error);
    if (status != MUSTER_OK)
        return status;
    int32_t direction = is_send ? 1 : 2;
    int64_t ordinal = batch->ordinals[is_send ? peer : comm->size + peer]++;
    muster_p2p_digest_add(&batch->request->record, comm->rank, peer, direction, ordinal,
                          (int64_t)bytes, (int32_t)tensor->dtype);
    muster_descriptor descriptor = {.dtype = (int32_t)tensor->dtype,
                                    .dimension_count = tensor->dimension_count,
                                    .rows = tensor->dimensions[0],
                                    .bytes = (int64_t)bytes,
                                    .peer = peer,
                                    .direction = direction};
    muster_batch_describe(batch, &descriptor);
    if (!muster_range_list_add(&batch->ranges, tensor->data, bytes, !is_send))
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a P2P batch");
    return muster_error_set_ok(error);
}

muster_status muster_p2p_isend(muster_batch *batch, const muster_tensor *tensor, int32_t peer,
                               muster_error *error)
{
    return add(batch, tensor, peer, true, error);
}

muster_status muster_p2p_irecv(muster_batch *batch, const muster_tensor *tensor, int32_t peer,
                               muster_error *error)
{
    return add(batch, tensor, peer, false, error);
}
