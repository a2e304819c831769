/* SPDX-License-Identifier: Apache-2.0 */
/* A bare P2P batch: a list of sends and receives, submitted together. Collective over the
 * communicator: every rank submits one, its list may be empty. The k-th send from a to b meets the
 * k-th receive at b from a; bytes and dtype must match, and the agreement round finds out before
 * anything moves (MUSTER_ERR_P2P_MISMATCH on every rank, naming both sides). A send to oneself needs
 * a receive from oneself. Zero bytes are matched too, and nothing is moved for them. */
#ifndef MUSTER_P2P_H
#define MUSTER_P2P_H

#include <muster/status.h>
#include <muster/tensor.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

#define MUSTER_P2P_OPERATIONS_MAX 65536

/* Opens a list. Local. As muster_batch_gatherv_begin. */
MUSTER_API muster_status muster_p2p_begin(muster_comm *comm, muster_batch **batch,
                                          muster_error *error);

/* Appends a send to, or a receive from, rank peer. The tensor's whole contents travel. Returns
 * MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT (NULL, or a batch of another kind); MUSTER_ERR_NO_MEMORY;
 * MUSTER_ERR_EPOCH, MUSTER_ERR_FORKED (as muster_batch_add);
 * mistakes in the tensor or the peer are kept for the round. */
MUSTER_API muster_status muster_p2p_isend(muster_batch *batch, const muster_tensor *tensor,
                                          int32_t peer, muster_error *error);
MUSTER_API muster_status muster_p2p_irecv(muster_batch *batch, const muster_tensor *tensor,
                                          int32_t peer, muster_error *error);

/* Submit and wait with muster_batch_start / muster_batch_run of <muster/batch.h>. */

MUSTER_END_DECLS

#endif
