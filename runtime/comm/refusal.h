/* SPDX-License-Identifier: Apache-2.0 */
/* The only early returns: a communicator that is dead, fenced or foreign refuses a call before its
 * round. Every other mistake goes into the round. */
#ifndef MUSTER_COMM_REFUSAL_H
#define MUSTER_COMM_REFUSAL_H

#include "comm/comm.h"

/* NULL, forked, failed, revoked, fenced: the status with its sentence; else MUSTER_OK. */
muster_status muster_comm_check_usable(muster_comm *comm, muster_error *error);

/* Fills the sentence of a sticky failure ("slot 2 (its process exited) was lost in epoch 3 ..."). */
muster_status muster_comm_describe_failure(const muster_comm *comm, muster_status status,
                                           muster_error *error);

/* A waited call of this rank has returned RANK_LOST: the time goes into the rebuild's QUIET. */
void muster_comm_note_released(muster_comm *comm);

/* The request's status, its detail copied into error. */
muster_status muster_request_outcome(const muster_request *request, muster_error *error);

/* Tells the progress thread, where there is one, that something was queued. NULL is fine. */
void muster_progress_thread_poke(struct muster_progress_thread *progress);

#endif
