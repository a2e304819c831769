/* SPDX-License-Identifier: Apache-2.0 */
#include "scope/param.h"

#include <stdlib.h>

#include "base/error.h"
#include "comm/comm.h"
#include "comm/device_check.h"
#include "scope/shard.h"

static muster_status check_new(const muster_comm *comm, muster_dtype dtype, int64_t element_count,
                               const void *shard, const size_t shard_bytes, muster_error *error)
{
    size_t element_bytes = muster_dtype_bytes(dtype);
    if (shard == NULL && shard_bytes > 0)
        return muster_error_set(error, MUSTER_ERR_NULL_BUFFER, MUSTER_FIELD_BUFFER,
                                (int64_t)shard_bytes, 0,
                                "shard is NULL, but %lld elements over %d ranks are %zu bytes a "
                                "rank; pass that much memory",
                                (long long)element_count, comm->size, shard_bytes);
    if ((uintptr_t)shard % element_bytes != 0)
        return muster_error_set(error, MUSTER_ERR_MISALIGNED, MUSTER_FIELD_BUFFER,
                                (int64_t)element_bytes, (int64_t)((uintptr_t)shard % element_bytes),
                                "shard is not aligned to the %zu bytes of a %s", element_bytes,
                                muster_dtype_text(dtype));
    return muster_error_set_ok(error);
}

muster_status muster_param_create(muster_comm *comm, muster_dtype dtype, int64_t element_count,
                                  void *shard, muster_param **param, muster_error *error)
{
    if (param == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_param_create: param is NULL; pass where it goes");
    *param = NULL;
    if (comm == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "muster_param_create: comm is NULL; pass a communicator");
    if (!muster_job_is_ours(comm->job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "a communicator of the parent process is used in a forked child");
    if (element_count < 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0,
                                element_count,
                                "muster_param_create: element_count is %lld; it must be >= 0",
                                (long long)element_count);
    size_t element_bytes = muster_dtype_bytes(dtype);
    if (element_bytes == 0)
        return muster_error_set(error, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, 0, (int64_t)dtype,
                                "muster_param_create: %d is no dtype", (int)dtype);
    size_t shard_bytes;
    size_t full_bytes;
    if (!muster_shard_bytes(element_count, comm->size, element_bytes, &shard_bytes, &full_bytes))
        return muster_error_set(error, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX,
                                element_count,
                                "muster_param_create: %lld elements of %zu bytes overflow 64 bits",
                                (long long)element_count, element_bytes);
    muster_status status = check_new(comm, dtype, element_count, shard, shard_bytes, error);
    if (status == MUSTER_OK)
        status =
            muster_device_check_host(comm->job, shard, shard_bytes, "muster_param_create", error);
    if (status != MUSTER_OK)
        return status;
    muster_param *made = malloc(sizeof(*made));
    if (made == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a parameter of %zu bytes", sizeof(*made));
    *made = (muster_param){
        .comm = comm,
        .communicator = comm->id,
        .rank = comm->rank,
        .comm_size = comm->size,
        .dtype = dtype,
        .element_count = element_count,
        .shard = shard,
        .shard_bytes = shard_bytes,
        .full_bytes = full_bytes,
    };
    *param = made;
    return muster_error_set_ok(error);
}

muster_status muster_param_free(muster_param *param)
{
    if (param == NULL)
        return MUSTER_OK;
    if (param->scope != NULL)
        return MUSTER_ERR_IN_FLIGHT;
    free(param);
    return MUSTER_OK;
}

muster_status muster_param_check(const muster_param *param, const muster_comm *comm,
                                 muster_error *error)
{
    if (param->comm != comm || param->communicator != comm->id)
        return muster_error_set(error, MUSTER_ERR_FOREIGN, MUSTER_FIELD_COMMUNICATOR,
                                (int64_t)comm->id, (int64_t)param->communicator,
                                "the parameter was made for another communicator");
    if (param->comm_size != comm->size)
        return muster_error_set(error, MUSTER_ERR_EPOCH, MUSTER_FIELD_EPOCH, comm->size,
                                param->comm_size,
                                "the parameter is sharded over %d ranks, but the communicator has "
                                "%d since its rebuild; free it and make it anew",
                                param->comm_size, comm->size);
    if (param->rank != comm->rank)
        return muster_error_set(error, MUSTER_ERR_EPOCH, MUSTER_FIELD_EPOCH, comm->rank,
                                param->rank,
                                "the parameter holds the shard of rank %d, but this is rank %d "
                                "since the rebuild; free it and make it anew",
                                param->rank, comm->rank);
    return MUSTER_OK;
}
