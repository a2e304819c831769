/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators: an ordered set of ranks of one epoch, with a sequence of calls of its own.
 *
 * Calls on one communicator are serialised by the caller; different communicators are independent.
 * After its first MUSTER_ERR_RANK_LOST a communicator refuses every call with that code until
 * muster_comm_rebuild (world) or for ever (split communicators: free them and split again). */
#ifndef MUSTER_COMM_H
#define MUSTER_COMM_H

#include <stdbool.h>

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* Own rank, number of ranks, and the slot that fills a rank (-1 where rank is no rank). Any thread,
 * but not while muster_comm_rebuild runs on comm; do not block. */
MUSTER_API int32_t muster_comm_rank(const muster_comm *comm);
MUSTER_API int32_t muster_comm_size(const muster_comm *comm);
MUSTER_API int32_t muster_comm_slot_of_rank(const muster_comm *comm, int32_t rank);
/* The rank that a slot fills, or MUSTER_RANK_NONE. */
MUSTER_API int32_t muster_comm_rank_of_slot(const muster_comm *comm, int32_t slot);
MUSTER_API muster_epoch muster_comm_epoch(const muster_comm *comm);

/* A user tag that every later call's agreement record carries; ranks whose tags differ are refused
 * with MUSTER_ERR_TAG. Default 0. The thread that serialises calls on comm; does not block. */
MUSTER_API void muster_comm_set_tag(muster_comm *comm, uint64_t tag);

/* Binds a phase context: every later call's record carries its current phase, and ranks in different
 * phases are refused with MUSTER_ERR_PHASE. NULL (default) binds none. The context must outlive the
 * binding. The thread that serialises calls on comm; does not block. */
MUSTER_API void muster_comm_use_phase(muster_comm *comm, const muster_phase_context *context);

/* How long a blocking call on comm waits for the other ranks, ns, > 0. Default: the job's batch
 * timeout (10 min unless the coordinator says otherwise). Same thread rule; does not block.
 * Returns MUSTER_OK or MUSTER_ERR_INVALID_ARGUMENT. */
MUSTER_API muster_status muster_comm_set_timeout(muster_comm *comm, int64_t timeout_ns);

/* The slots of comm's epoch that are known dead. Writes at most capacity entries, ascending, and the
 * full number into *count (which may exceed capacity). Any thread; does not block.
 * Returns MUSTER_OK, MUSTER_ERR_INVALID_ARGUMENT (NULL count; NULL slots with capacity > 0) or
 * MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_comm_dead_slots(const muster_comm *comm, int32_t *slots,
                                                int32_t capacity, int32_t *count);

/* The ranks that the last call that timed out on comm was missing. Same form as above; ranks of
 * comm. The thread that serialises calls on comm. */
MUSTER_API muster_status muster_comm_missing_ranks(const muster_comm *comm, int32_t *ranks,
                                                   int32_t capacity, int32_t *count);

/* Splits comm: ranks of one color (>= 0) form a new communicator, ordered by key, then by old rank;
 * a negative color takes part and gets *split = NULL. Collective over comm; blocks like a
 * collective. *split is the caller's, to be freed with muster_comm_free.
 * Returns MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_NO_MEMORY; MUSTER_ERR_SYSTEM; every
 * disagreement and operating error of muster_allgather_lengths. */
MUSTER_API muster_status muster_comm_split(muster_comm *comm, int32_t color, int32_t key,
                                           muster_comm **split, muster_error *error);

/* Frees a split communicator. Not collective. NULL is MUSTER_OK. Requests of it must be freed before,
 * and batches run or abandoned, else MUSTER_ERR_IN_FLIGHT and nothing is freed; the world communicator
 * is refused with MUSTER_ERR_INVALID_ARGUMENT. What comm has enqueued on a device must be complete
 * (muster_comm_synchronize; after a failure, muster_comm_rebuild), else MUSTER_ERR_IN_FLIGHT, and its NCCL
 * communicator returned, else MUSTER_ERR_BORROWED. The thread that serialises calls on comm; does not block,
 * but for a device communicator, whose end takes at most as long as an abort may. */
MUSTER_API muster_status muster_comm_free(muster_comm *comm);

typedef enum muster_rebuild_kind {
    MUSTER_REBUILD_REPLACE = 1, /* every lost slot has a new incarnation */
    MUSTER_REBUILD_SHRINK = 2,  /* at least one lost slot is gone; ranks were numbered anew */
    MUSTER_REBUILD_GROW = 3 /* nobody was lost; slots that were gone are filled again; likewise */
} muster_rebuild_kind;

/* What a rebuild (or the join of a replacement) came to. */
typedef struct muster_rebuild_result {
    size_t struct_bytes;
    muster_epoch epoch; /* the new epoch */
    muster_rebuild_kind kind;
    int32_t lost_slot_count; /* slots lost since the last epoch this rank was in */
    int64_t quiet_ns;        /* how long until every survivor was quiet and every dead one gone */
    int64_t connect_ns;      /* how long the new epoch took to connect */
} muster_rebuild_result;

/* Forms the next epoch after a loss: waits until every survivor is here and every lost process is
 * gone, agrees on the next membership (replace, shrink), connects it anew, and leaves world denoting
 * it. Requests in flight on any communicator of the job have failed by then; split communicators of
 * the old epoch stay refused. Deaths during a rebuild start the next one inside the same call.
 * The restore point (muster_step_restore_point) says where to go on. Collective over the survivors.
 * world: the job's world communicator, revoked or failed. The thread that serialises calls on the
 * job, and no other thread may be inside a call of the job. Blocks until the next epoch is
 * established, the job is given up, or the rebuild timeout of the job has passed. result and error
 * may be NULL.
 * Returns MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT (no world communicator); MUSTER_ERR_FENCED;
 * MUSTER_ERR_GAVE_UP (the message says which rule); MUSTER_ERR_TIMEOUT; MUSTER_ERR_NO_COORDINATOR;
 * MUSTER_ERR_CALLS_DIFFER; MUSTER_ERR_NO_MEMORY; MUSTER_ERR_SYSTEM; MUSTER_ERR_FORKED; with a device plane
 * MUSTER_ERR_DEVICE_STUCK (end this process), and MUSTER_ERR_DEVICE_CALL, MUSTER_ERR_NO_DEVICE_PLANE (a
 * replacement was joined without one) or MUSTER_ERR_VERSION on every rank. A borrowed communicator counts as
 * returned. */
MUSTER_API muster_status muster_comm_rebuild(muster_comm *world, muster_rebuild_result *result,
                                             muster_error *error);

MUSTER_END_DECLS

#endif
