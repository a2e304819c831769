/* SPDX-License-Identifier: Apache-2.0 */
/* The public calls of the device plane that are no collectives. */
#include <muster/device.h>

#include "base/error.h"
#include "comm/comm.h"
#include "comm/flight.h"
#include "comm/refusal.h"

/* What every call here refuses first. */
static muster_status check(const muster_comm *comm, const char *call, muster_error *error)
{
    if (comm == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "%s: comm is NULL; pass a communicator", call);
    if (!muster_job_is_ours(comm->job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "a communicator of the parent process is used in a forked child");
    if (comm->job->device.table == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_DEVICE_PLANE, MUSTER_FIELD_NONE, 0, 0,
                                "%s: %s; set MUSTER_DEVICE_PLANE=nccl before the join", call,
                                muster_status_text(MUSTER_ERR_NO_DEVICE_PLANE));
    return MUSTER_OK;
}

muster_status muster_comm_set_stream(muster_comm *comm, void *stream)
{
    muster_status status = check(comm, "muster_comm_set_stream", NULL);
    if (status == MUSTER_OK)
        comm->device.stream = stream;
    return status;
}

muster_status muster_comm_synchronize(muster_comm *comm, muster_error *error)
{
    muster_status status = check(comm, "muster_comm_synchronize", error);
    if (status != MUSTER_OK)
        return status;
    if (comm->device.borrowed)
        return muster_error_set(error, MUSTER_ERR_BORROWED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "muster_comm_synchronize: return the NCCL communicator first");
    return muster_flight_wait(comm, comm->timeout_ns, error);
}

/* Under the lock. */
static muster_status borrow(muster_comm *comm, struct ncclComm **nccl_comm, muster_error *error)
{
    muster_status refusal = muster_comm_refusal(comm);
    if (refusal != MUSTER_OK)
        return muster_comm_describe_failure(comm, refusal, error);
    if (comm->device.borrowed)
        return muster_error_set(error, MUSTER_ERR_BORROWED, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "muster_comm_borrow_nccl: it is lent out already; return it first");
    (void)muster_comm_progress(comm);
    if (comm->head != NULL)
        return muster_error_set(error, MUSTER_ERR_IN_FLIGHT, MUSTER_FIELD_NONE, 0, 0,
                                "muster_comm_borrow_nccl: a started call is not enqueued yet; wait "
                                "for it first");
    muster_status status = comm->job->device.table->borrow(comm->device.live, nccl_comm, error);
    comm->device.borrowed = status == MUSTER_OK;
    return status;
}

muster_status muster_comm_borrow_nccl(muster_comm *comm, struct ncclComm **nccl_comm,
                                      muster_error *error)
{
    if (nccl_comm == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_comm_borrow_nccl: nccl_comm is NULL; pass where it goes");
    *nccl_comm = NULL;
    muster_status status = check(comm, "muster_comm_borrow_nccl", error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&comm->lock);
    status = borrow(comm, nccl_comm, error);
    pthread_mutex_unlock(&comm->lock);
    return status == MUSTER_OK ? muster_error_set_ok(error) : status;
}

muster_status muster_comm_return_nccl(muster_comm *comm)
{
    muster_status status = check(comm, "muster_comm_return_nccl", NULL);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&comm->lock);
    status = muster_device_side_end_bracket(comm) ? muster_comm_refusal(comm) : MUSTER_ERR_BORROWED;
    pthread_mutex_unlock(&comm->lock);
    /* It ended: what else is wrong with the communicator, its next call says. */
    return status == MUSTER_ERR_BORROWED || status == MUSTER_ERR_RANK_LOST ? status : MUSTER_OK;
}

muster_status muster_job_device_facts(const muster_job *job, muster_device_facts *facts)
{
    if (job == NULL || facts == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    if (facts->struct_bytes != sizeof(*facts))
        return MUSTER_ERR_STRUCT_SIZE;
    if (job->device.device == NULL)
        return MUSTER_ERR_NO_DEVICE_PLANE;
    *facts = job->device.facts;
    return MUSTER_OK;
}
