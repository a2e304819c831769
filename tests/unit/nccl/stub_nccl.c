/* SPDX-License-Identifier: Apache-2.0 */
/* libnccl.so.2 as a stub: see stub.h. Exported by name: the default visibility is hidden. */
#include "stub.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

enum { COMMS_MAX = 256 };

struct ncclComm {
    bool dead;
    int polls_left;
    int state;
    bool finalized;
    ncclComm_t *child_place;
    int inside;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static stub_nccl control;
static struct ncclComm comms[COMMS_MAX];
static int comm_count;
static _Thread_local int depth;
static _Thread_local ncclResult_t group_error;
static _Thread_local ncclComm_t group_comms[COMMS_MAX];
static _Thread_local int group_comm_count;
static _Thread_local int group_aborts;

EXPORT stub_nccl *stub_nccl_control(void);
EXPORT void stub_nccl_reset(void);
EXPORT int stub_nccl_depth(void);
/* nccl.h declares these two without a prototype. */
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

EXPORT stub_nccl *stub_nccl_control(void)
{
    return &control;
}

EXPORT int stub_nccl_depth(void)
{
    return depth;
}

EXPORT void stub_nccl_reset(void)
{
    pthread_mutex_lock(&lock);
    atomic_store(&control.hold_abort, false);
    atomic_store(&control.hold_poll, false);
    atomic_store(&control.hold_destroy, false);
    memset(&control.version, 0, sizeof(control) - offsetof(stub_nccl, version));
    memset(comms, 0, sizeof(comms));
    comm_count = 0;
    control.version = 22907;
    pthread_mutex_unlock(&lock);
}

static void violate(const char *what)
{
    if (atomic_fetch_add(&control.violations, 1) == 0)
        snprintf(control.violation, sizeof(control.violation), "%s", what);
}

static void hold(atomic_bool *held)
{
    const struct timespec nap = {.tv_nsec = 200000};
    while (atomic_load(held))
        nanosleep(&nap, NULL);
}

/* All with the lock held. */
static ncclResult_t enter(stub_entry entry)
{
    entry.order = control.order != NULL ? atomic_fetch_add(control.order, 1) : 0;
    if (control.log_count < STUB_LOG_MAX) {
        control.log[control.log_count] = entry;
        control.log_count++;
    }
    if (entry.comm != NULL && entry.comm->dead)
        violate("a call on a communicator that was freed");
    if (entry.comm != NULL && entry.comm->inside > 0)
        violate("two threads inside one communicator");
    control.failure.calls++;
    const bool named =
        control.failure.name == NULL || strcmp(control.failure.name, entry.name) == 0;
    if (!named || control.failure.countdown == 0 || --control.failure.countdown > 0)
        return ncclSuccess;
    control.failure.failed = entry.name;
    return (ncclResult_t)control.failure.code;
}

static void begin(ncclComm_t comm)
{
    comm->state = ncclInProgress;
    comm->polls_left = control.polls;
}

static ncclComm_t new_comm(void)
{
    if (comm_count == COMMS_MAX)
        return NULL;
    ncclComm_t comm = &comms[comm_count++];
    control.live_comms++;
    return comm;
}

static ncclResult_t initialise(const char *name, ncclComm_t *comm, const ncclConfig_t *config)
{
    pthread_mutex_lock(&lock);
    ncclResult_t result = enter((stub_entry){.name = name});
    *comm = NULL;
    if (result == ncclSuccess) {
        *comm = new_comm();
        if (*comm == NULL) {
            violate("more communicators than the stub has room for");
            pthread_mutex_unlock(&lock);
            return ncclInternalError;
        }
        control.config = *config;
        if (config->blocking != 0)
            violate("a blocking communicator");
        begin(*comm);
        result = ncclInProgress;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT ncclResult_t ncclGetVersion(int *version)
{
    pthread_mutex_lock(&lock);
    const ncclResult_t result = enter((stub_entry){.name = __func__});
    *version = control.version;
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT const char *ncclGetErrorString(ncclResult_t result)
{
    return result == ncclRemoteError ? "remote process exited" : "text of the stub";
}

EXPORT const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return control.last_words != NULL ? control.last_words : "";
}

EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    pthread_mutex_lock(&lock);
    const ncclResult_t result = enter((stub_entry){.name = __func__});
    memset(id, 7, sizeof(*id));
    if (control.id_address.sin_port != 0)
        memcpy(id->internal + 8, &control.id_address, sizeof(control.id_address));
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int rank_count, ncclUniqueId id,
                                           int rank, ncclConfig_t *config)
{
    if (id.internal[0] != 7 || rank < 0 || rank >= rank_count)
        violate("a wrong id or rank");
    return initialise(__func__, comm, config);
}

#ifndef STUB_WITHOUT_SCALABLE
EXPORT ncclResult_t ncclCommInitRankScalable(ncclComm_t *comm, int rank_count, int rank,
                                             int id_count, ncclUniqueId *ids, ncclConfig_t *config)
{
    for (int i = 0; i < id_count; i++) {
        if (ids[i].internal[127] != 7)
            violate("a wrong id");
    }
    if (rank < 0 || rank >= rank_count)
        violate("a wrong rank");
    control.id_count = id_count;
    return initialise(__func__, comm, config);
}
#endif

EXPORT ncclResult_t ncclCommShrink(ncclComm_t comm, int *excluded, int excluded_count,
                                   ncclComm_t *child, ncclConfig_t *config, int flags)
{
    pthread_mutex_lock(&lock);
    ncclResult_t result = enter((stub_entry){.name = __func__, .comm = comm});
    *child = NULL;
    if (flags != NCCL_SHRINK_DEFAULT || excluded_count < 1 || excluded[0] < 0)
        violate("a wrong shrink");
    if (comm->state != ncclSuccess)
        violate("a shrink of a communicator that is busy or broken");
    if (result == ncclSuccess) {
        control.config = *config;
        comm->child_place = child;
        begin(comm);
        result = ncclInProgress;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
    pthread_mutex_lock(&lock);
    const ncclResult_t result = enter((stub_entry){.name = __func__, .comm = comm});
    comm->inside++;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&control.inside, 1);
    hold(&control.hold_poll);
    atomic_fetch_sub(&control.inside, 1);
    pthread_mutex_lock(&lock);
    comm->inside--;
    if (comm->state == ncclInProgress && comm->polls_left == 0) {
        comm->state = control.async_error;
        if (comm->child_place != NULL && comm->state == ncclSuccess && !control.no_child) {
            ncclComm_t child = new_comm();
            if (child != NULL)
                begin(child);
            *comm->child_place = child;
        }
        comm->child_place = NULL;
    } else if (comm->polls_left > 0) {
        comm->polls_left--;
    }
    if (comm->state == ncclSuccess && control.async_error != 0)
        comm->state = control.async_error;
    *state = (ncclResult_t)comm->state;
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    pthread_mutex_lock(&lock);
    ncclResult_t result = enter((stub_entry){.name = __func__, .comm = comm});
    if (comm->state != ncclSuccess || comm->finalized)
        violate("a finalize of a communicator that is busy, broken or finalized");
    if (result == ncclSuccess) {
        comm->finalized = true;
        begin(comm);
        result = ncclInProgress;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void bury(ncclComm_t comm)
{
    comm->dead = true;
    control.live_comms--;
}

EXPORT ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    pthread_mutex_lock(&lock);
    const ncclResult_t result = enter((stub_entry){.name = __func__, .comm = comm});
    if (!comm->finalized || comm->state != ncclSuccess)
        violate("a destroy of a communicator that is not finalized");
    bury(comm);
    pthread_mutex_unlock(&lock);
    hold(&control.hold_destroy);
    return result;
}

EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    pthread_mutex_lock(&lock);
    const ncclResult_t result = enter((stub_entry){.name = __func__, .comm = comm});
    if (depth != 1)
        violate("an abort outside of a group");
    comm->child_place = NULL;
    bury(comm);
    group_aborts++;
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT ncclResult_t ncclGroupStart(void)
{
    pthread_mutex_lock(&lock);
    const ncclResult_t result = enter((stub_entry){.name = "ncclGroupStart"});
    if (result == ncclSuccess && depth++ == 0) {
        group_comm_count = 0;
        group_aborts = 0;
        group_error = ncclSuccess;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT ncclResult_t ncclGroupEnd(void)
{
    pthread_mutex_lock(&lock);
    ncclResult_t result = enter((stub_entry){.name = "ncclGroupEnd"});
    if (depth != 1)
        violate("the end of no group");
    depth = 0;
    if (result == ncclSuccess)
        result = group_error;
    control.groups++;
    const bool aborts = group_aborts > 0;
    if (result == ncclSuccess && group_comm_count > 0) {
        for (int i = 0; i < group_comm_count; i++)
            begin(group_comms[i]);
        result = ncclInProgress;
    }
    pthread_mutex_unlock(&lock);
    if (aborts)
        hold(&control.hold_abort);
    return result;
}

static ncclResult_t transfer(stub_entry entry, ncclDataType_t type)
{
    pthread_mutex_lock(&lock);
    const ncclResult_t result = enter(entry);
    if (depth != 1)
        violate("an operation outside of a group");
    if (entry.comm->state != ncclSuccess)
        violate("an operation on a communicator that is busy or broken");
    if (type != ncclInt8 || entry.bytes == 0)
        violate("an operation of a wrong type, or of no bytes");
    if (result != ncclSuccess && group_error == ncclSuccess)
        group_error = result;
    bool known = false;
    for (int i = 0; i < group_comm_count; i++)
        known = known || group_comms[i] == entry.comm;
    if (!known)
        group_comms[group_comm_count++] = entry.comm;
    pthread_mutex_unlock(&lock);
    return result;
}

EXPORT ncclResult_t ncclSend(const void *buffer, size_t count, ncclDataType_t type, int peer,
                             ncclComm_t comm, cudaStream_t stream)
{
    return transfer((stub_entry){.name = __func__,
                                 .comm = comm,
                                 .buffer = buffer,
                                 .bytes = count,
                                 .peer = peer,
                                 .stream = stream},
                    type);
}

EXPORT ncclResult_t ncclRecv(void *buffer, size_t count, ncclDataType_t type, int peer,
                             ncclComm_t comm, cudaStream_t stream)
{
    return transfer((stub_entry){.name = __func__,
                                 .comm = comm,
                                 .buffer = buffer,
                                 .bytes = count,
                                 .peer = peer,
                                 .stream = stream},
                    type);
}
