/* SPDX-License-Identifier: Apache-2.0 */
/* One NCCL communicator: its life, who may be inside NCCL with it, and the bracket lent to the job.
 *
 *            shrink, connect          revoke (healthy, keep)
 *   (new) ------------------> LIVE ----------------------------> KEPT
 *                              |  revoke, close, failed connect    |  shrink failed, close, revoke
 *                              v                                   v
 *                            ENDING -------- the device's thread: abort or destroy -----> ENDED
 *
 * Moves are made under the device's lock; the device's thread alone leaves ENDING. */
#ifndef MUSTER_TRANSPORT_NCCL_COMM_H
#define MUSTER_TRANSPORT_NCCL_COMM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/nccl/bracket.h"
#include "transport/nccl/device.h"
#include "transport/nccl/events.h"

typedef enum muster_nccl_comm_state {
    MUSTER_NCCL_COMM_LIVE = 1,
    MUSTER_NCCL_COMM_KEPT = 2,
    MUSTER_NCCL_COMM_ENDING = 3,
    MUSTER_NCCL_COMM_ENDED = 4
} muster_nccl_comm_state;

typedef enum muster_nccl_comm_end {
    MUSTER_NCCL_END_KEEP_OR_ABORT = 1, /* a revoke that spares the healthy */
    MUSTER_NCCL_END_DESTROY = 2,       /* it was finalized */
    MUSTER_NCCL_END_ABORT = 3
} muster_nccl_comm_end;

/* What the device's thread does with a comm in one round. */
typedef enum muster_nccl_step {
    MUSTER_NCCL_STEP_LATER = 0, /* somebody is inside */
    MUSTER_NCCL_STEP_KEEP,
    MUSTER_NCCL_STEP_DESTROY,
    MUSTER_NCCL_STEP_ABORT
} muster_nccl_step;

struct muster_device_comm {
    muster_device *device;
    /* Both read and written inside the bracket, or by the device's thread when nobody can be there. */
    ncclComm_t native;
    ncclComm_t child; /* what a shrink of this one gave, until it has a comm of its own */
    muster_nccl_bracket bracket;

    /* Under the device's lock. */
    muster_device_comm *next;
    muster_nccl_comm_state state;
    muster_nccl_comm_end end; /* how to end it: ENDING */
    bool orphan;              /* closed while it was stuck: the device's thread frees it */
    ncclResult_t end_result;  /* ENDED: what NCCL said to it */
    /* Of the device's thread alone, in its round. */
    muster_device_comm *ending; /* the next one */
    muster_nccl_step step;

    /* What makes it unfit to be kept. */
    atomic_bool failed;
    atomic_bool was_lent;
    atomic_bool was_shrunk;

    /* Serialised by the communicator's lock, but for the device's thread, which looks whether anything is in
     * flight: changed and looked at under batches_lock, which is never held over a call that waits. */
    pthread_mutex_t batches_lock;
    muster_device_batch *first; /* not yet done, oldest first */
    muster_device_batch *last;
    muster_nccl_events events;
    bool lent;
    bool settled; /* NCCL said that nothing is in progress, and nothing has been begun since */
    muster_error failure; /* the first one, told again by every later call */
};

/* A comm, LIVE, in the device's list; native may be NULL, to come. MUSTER_ERR_RANK_LOST where the device is
 * revoked and must_not_be_revoked; MUSTER_ERR_NO_MEMORY. */
muster_status muster_nccl_comm_new(muster_device *device, bool must_not_be_revoked,
                                   ncclComm_t native, muster_device_comm **comm,
                                   muster_error *error);
/* Out of the list, and freed, ENDED. */
void muster_nccl_comm_free(muster_device_comm *comm);

/* Remembers the first failure; returns the status of *error. */
muster_status muster_nccl_comm_fail(muster_device_comm *comm, const muster_error *failure,
                                    muster_error *error);
/* MUSTER_OK, or that failure. */
muster_status muster_nccl_comm_failure(const muster_device_comm *comm, muster_error *error);
/* That calls may go in: MUSTER_OK, MUSTER_ERR_RANK_LOST, the failure. */
muster_status muster_nccl_comm_check(const muster_device_comm *comm, muster_error *error);
/* What NCCL says about comm: MUSTER_OK and *settled, MUSTER_ERR_RANK_LOST, MUSTER_ERR_DEVICE_CALL (and comm
 * has failed). */
muster_status muster_nccl_comm_poll(muster_device_comm *comm, bool *settled, muster_error *error);
/* For the device's thread, when nobody is inside. */
bool muster_nccl_comm_is_healthy(muster_device_comm *comm);

muster_status muster_nccl_comm_close(muster_device_comm *comm, muster_error *error);
bool muster_nccl_comm_can_shrink(muster_device_comm *comm);
muster_status muster_nccl_comm_borrow(muster_device_comm *comm, struct ncclComm **native,
                                      muster_error *error);
muster_status muster_nccl_comm_give_back(muster_device_comm *comm);

#endif
