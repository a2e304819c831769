/* SPDX-License-Identifier: Apache-2.0 */
/* Steps: what a job commits, so that no rank's death loses state.
 *
 * A commit copies this rank's step state, mirrors it in the memory of a partner (a rank of
 * another host where there is one, so that a lost host loses no state), and ends in an agreement round over all ranks. Two generations are kept. A
 * rebuild takes step s if any survivor saw it committed, or if all survivors staged it and every lost
 * slot's state survives in a mirror; else s-1; and everyone restores it. */
#ifndef MUSTER_STEP_H
#define MUSTER_STEP_H

#include <stdbool.h>

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* One piece of this rank's step state: bytes of host memory. data may be NULL where bytes is 0. */
typedef struct muster_state_part {
    const void *data;
    size_t bytes;
} muster_state_part;

/* Commits step (any number; each commit of an epoch must be larger than the one before, and the
 * first one after a rebuild may repeat the restored step, which mirrors it anew under the new
 * membership: do that, so that a second loss finds a mirror). parts: part_count pieces, put one after
 * another into this slot's state; sizes may differ between slots and steps. Collective over world.
 * All requests of the job must be complete; what is enqueued on devices is waited for, for at most half
 * of world's timeout, before this rank says that it is through (then MUSTER_ERR_TIMEOUT, on every rank).
 * Blocks like a collective.
 * MUSTER_OK: the state of this rank and its mirror are complete, and so are everyone's.
 * MUSTER_ERR_RANK_LOST: in doubt; the rebuild answers it. The same on every rank: MUSTER_ERR_STEP,
 * MUSTER_ERR_IN_FLIGHT, MUSTER_ERR_INVALID_ARGUMENT (not world, NULL part), MUSTER_ERR_NO_MEMORY,
 * MUSTER_ERR_MEMORY_KIND (a part in device memory: copy it to the host first),
 * MUSTER_ERR_CALL, MUSTER_ERR_SEQUENCE, MUSTER_ERR_PHASE, MUSTER_ERR_TAG. Operating errors as
 * <muster/collective.h>. */
MUSTER_API muster_status muster_step_commit(muster_comm *world, uint64_t step,
                                            const muster_state_part *parts, int32_t part_count,
                                            muster_error *error);

/* Where the job goes on: filled by the last rebuild, or by the join of a replacement. */
typedef struct muster_restore_point {
    size_t struct_bytes;
    bool has_step;      /* false: nothing was ever committed, or it is lost (below) */
    bool state_lost;    /* a lost slot died together with its mirror: load a checkpoint */
    uint64_t step;      /* the committed step to go on from */
    muster_epoch epoch; /* the epoch in which its state was committed */
    int32_t slot_count; /* how many slots that epoch had: the states that can be fetched */
} muster_restore_point;

/* Any thread; does not block. slots (may be NULL) gets at most capacity of the slots of that epoch,
 * ascending. MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_STRUCT_SIZE. */
MUSTER_API muster_status muster_step_restore_point(const muster_comm *world,
                                                   muster_restore_point *point, int32_t *slots,
                                                   int32_t capacity);

/* Fetches one slot's state of the restore point from whoever holds it (its own rank, else its
 * mirror). Collective over world: every rank names the same slot; a rank that wants the state gives a
 * buffer, the others give NULL and capacity 0. *bytes (may be NULL) gets the size on every rank, so
 * that a first call without buffers asks for it. Valid until the first commit after the rebuild.
 * MUSTER_OK; the same on every rank: MUSTER_ERR_STEP_STATE (no such slot in the restore point, or
 * nobody holds it), MUSTER_ERR_CAPACITY (a buffer is too small; expected = bytes), and the errors of
 * <muster/collective.h>. */
MUSTER_API muster_status muster_step_fetch(muster_comm *world, int32_t slot, void *buffer,
                                           size_t capacity, size_t *bytes, muster_error *error);

MUSTER_END_DECLS

#endif
