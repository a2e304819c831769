/* SPDX-License-Identifier: Apache-2.0 */
/* An NCCL that does nothing and takes no time: what is left of a call is Muster's own (`muster bench nccl`).
 * A group is "in progress" until it is asked once, as a real one is. No call of libc in here: its
 * instructions would count as Muster's. */
#include <stddef.h>

#include <nccl.h>

#define EXPORT __attribute__((visibility("default")))

enum { COMMS_MAX = 64 };

struct ncclComm {
    ncclResult_t state;
};

static struct ncclComm comms[COMMS_MAX];
static int comm_count;
static _Thread_local ncclComm_t in_group;

/* nccl.h declares these two without a prototype. */
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

static ncclResult_t give(ncclComm_t *comm)
{
    *comm = &comms[__atomic_fetch_add(&comm_count, 1, __ATOMIC_RELAXED) % COMMS_MAX];
    (*comm)->state = ncclSuccess;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

EXPORT const char *ncclGetErrorString(ncclResult_t result)
{
    (void)result;
    return "the stand-in has no errors";
}

EXPORT const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return "";
}

EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    *id = (ncclUniqueId){.internal = {1}};
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int rank_count, ncclUniqueId id,
                                           int rank, ncclConfig_t *config)
{
    (void)rank_count, (void)id, (void)rank, (void)config;
    return give(comm);
}

EXPORT ncclResult_t ncclCommInitRankScalable(ncclComm_t *comm, int rank_count, int rank,
                                             int id_count, ncclUniqueId *ids, ncclConfig_t *config)
{
    (void)rank_count, (void)rank, (void)id_count, (void)ids, (void)config;
    return give(comm);
}

EXPORT ncclResult_t ncclCommShrink(ncclComm_t comm, int *excluded, int excluded_count,
                                   ncclComm_t *child, ncclConfig_t *config, int flags)
{
    (void)comm, (void)excluded, (void)excluded_count, (void)config, (void)flags;
    return give(child);
}

EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
    *state = comm->state;
    comm->state = ncclSuccess;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    (void)comm;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    (void)comm;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    (void)comm;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclGroupStart(void)
{
    in_group = NULL;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclGroupEnd(void)
{
    if (in_group == NULL)
        return ncclSuccess;
    in_group->state = ncclInProgress;
    return ncclInProgress;
}

EXPORT ncclResult_t ncclSend(const void *buffer, size_t count, ncclDataType_t type, int peer,
                             ncclComm_t comm, cudaStream_t stream)
{
    (void)buffer, (void)count, (void)type, (void)peer, (void)stream;
    in_group = comm;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclRecv(void *buffer, size_t count, ncclDataType_t type, int peer,
                             ncclComm_t comm, cudaStream_t stream)
{
    (void)buffer, (void)count, (void)type, (void)peer, (void)stream;
    in_group = comm;
    return ncclSuccess;
}
