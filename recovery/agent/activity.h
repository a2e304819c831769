/* SPDX-License-Identifier: Apache-2.0 */
/* The working thread's marks: what it does, as the heartbeat tells it. Written by any thread, read by
 * the agent thread, without a lock: a rank marks every call, a heartbeat reads four times a second.
 *
 * A sequence lock: odd while a writer is inside. Where several threads wait on different
 * communicators at once, the last one to say so is what the heartbeat tells. */
#ifndef MUSTER_RECOVERY_ACTIVITY_H
#define MUSTER_RECOVERY_ACTIVITY_H

#include <stdatomic.h>

#include "core/message.h"

typedef struct muster_activity_marks {
    atomic_uint_fast64_t progress_mark;
    atomic_uint_fast32_t version; /* odd: a writer is inside */
    atomic_bool waiting;
    atomic_uint_fast64_t communicator;
    atomic_uint_fast64_t sequence;
    atomic_uint_fast32_t call;
    atomic_uint_fast64_t waiting_since_ns;
    atomic_uint_fast64_t completed_calls;
    atomic_uint_fast64_t last_communicator;
    atomic_uint_fast64_t last_sequence;
    atomic_uint_fast32_t last_call;
    atomic_uint_fast64_t committed_step;
    atomic_bool has_committed_step;
} muster_activity_marks;

void muster_activity_init(muster_activity_marks *marks);
void muster_activity_progress(muster_activity_marks *marks);
void muster_activity_waiting(muster_activity_marks *marks, uint64_t communicator, uint64_t sequence,
                             uint32_t call, uint64_t since_ns);
void muster_activity_not_waiting(muster_activity_marks *marks);
/* A call is complete on this rank: progress, too. */
void muster_activity_completed(muster_activity_marks *marks, uint64_t communicator,
                               uint64_t sequence, uint32_t call);
/* A new epoch: its calls are numbered from the start, so the last of the old one says nothing any more. */
void muster_activity_forget_last(muster_activity_marks *marks);
void muster_activity_committed(muster_activity_marks *marks, uint64_t step);
/* The committed steps are lost; the next ones may have lower numbers. */
void muster_activity_forget_committed(muster_activity_marks *marks);

/* What holds now; the fields of a wait always belong together, and those of a completed call. */
void muster_activity_read(muster_activity_marks *marks, muster_activity *activity);

#endif
