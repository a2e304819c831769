/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are their agreement round and nothing else: barrier and allgather_lengths. */
#include <muster/collective.h>
#include <muster/lengths.h>

#include "base/error.h"
#include "comm/comm.h"

muster_status muster_barrier(muster_comm *comm, muster_error *error)
{
    muster_request *request;
    muster_status status = muster_request_new(comm, MUSTER_CALL_BARRIER, &request, error);
    return status != MUSTER_OK ? status : muster_request_run(request, error);
}

muster_status muster_barrier_start(muster_comm *comm, muster_request **request, muster_error *error)
{
    muster_request *draft;
    muster_status status = muster_request_new(comm, MUSTER_CALL_BARRIER, &draft, error);
    return status != MUSTER_OK ? status : muster_request_start(draft, request, error);
}

static void copy_lengths(muster_request *request, const muster_verdict *verdict,
                         const void *payloads)
{
    (void)verdict;
    int64_t *lengths = request->context;
    for (int32_t rank = 0; rank < request->comm->size; rank++)
        lengths[rank] = muster_request_record_of(payloads, rank)->own_rows;
}

muster_status muster_allgather_lengths(muster_comm *comm, int64_t own_rows, int64_t *lengths,
                                       int32_t lengths_count, muster_error *error)
{
    muster_request *request;
    muster_status status = muster_request_new(comm, MUSTER_CALL_ALLGATHER_LENGTHS, &request, error);
    if (status != MUSTER_OK)
        return status;
    muster_error local;
    muster_error_init(&local);
    if (lengths == NULL)
        muster_error_set(&local, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_LENGTHS, 0, 0,
                         "lengths is NULL; pass an array of %d entries", comm->size);
    else if (lengths_count != comm->size)
        muster_error_set(&local, MUSTER_ERR_LENGTHS_COUNT, MUSTER_FIELD_LENGTHS_COUNT, comm->size,
                         lengths_count, "lengths_count is not the size of the communicator");
    else if (own_rows < 0)
        muster_error_set(&local, MUSTER_ERR_NEGATIVE_LENGTH, MUSTER_FIELD_OWN_ROWS, 0, own_rows,
                         "own_rows is negative");
    muster_request_refuse(request, &local);
    request->record.own_rows = own_rows;
    request->context = lengths;
    request->agreed = copy_lengths;
    return muster_request_run(request, error);
}
