/* SPDX-License-Identifier: Apache-2.0 */
/* Runtime-allocated memory, as the transport's endpoint hands it out. */
#include <muster/memory.h>

#include "base/error.h"
#include "comm/comm.h"

muster_status muster_memory_alloc(muster_job *job, size_t bytes, void **memory, muster_error *error)
{
    if (job == NULL || memory == NULL || bytes == 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 1,
                                (int64_t)bytes, "muster_memory_alloc: %s",
                                job == NULL      ? "job is NULL; pass a joined job"
                                : memory == NULL ? "memory is NULL; pass where the address goes"
                                                 : "bytes is 0; ask for at least 1");
    *memory = NULL;
    if (!muster_job_is_ours(job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_NONE, 0, 0,
                                "a job of the parent process is used in a forked child");
    return job->table->memory_alloc(job->endpoint, bytes, memory, error);
}

muster_status muster_memory_free(muster_job *job, void *memory)
{
    if (job == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    if (memory == NULL)
        return MUSTER_OK;
    if (!muster_job_is_ours(job))
        return MUSTER_ERR_FORKED;
    return job->table->memory_free(job->endpoint, memory);
}
