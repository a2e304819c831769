/* SPDX-License-Identifier: Apache-2.0 */
/* Several tensors of one layout (the same lengths and root) in one batch with one agreement round.
 * The rules of <muster/collective.h> hold; all ranks add the same number of tensors in the same
 * order, else MUSTER_ERR_TENSOR_COUNT; a tensor that disagrees is named by muster_error.tensor_index. */
#ifndef MUSTER_BATCH_H
#define MUSTER_BATCH_H

#include <muster/collective.h>
#include <muster/status.h>
#include <muster/tensor.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

#define MUSTER_BATCH_TENSORS_MAX 64

/* Opens a batch of gathers or scatters. Local; sends nothing. lengths are copied. *batch is the
 * caller's until submit or abandon. Returns MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT (NULL comm or
 * batch); MUSTER_ERR_NO_MEMORY; MUSTER_ERR_FORKED. A mistake in lengths or root is kept and returned,
 * on every rank, by the request. */
MUSTER_API muster_status muster_batch_gatherv_begin(muster_comm *comm, const int64_t *lengths,
                                                    int32_t lengths_count, int32_t root,
                                                    muster_batch **batch, muster_error *error);
MUSTER_API muster_status muster_batch_scatterv_begin(muster_comm *comm, const int64_t *lengths,
                                                     int32_t lengths_count, int32_t root,
                                                     muster_batch **batch, muster_error *error);

/* Adds one tensor: rows and root_rows as in muster_gatherv / muster_scatterv. Descriptors are copied.
 * Returns MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT (NULL batch or rows); MUSTER_ERR_TENSOR_COUNT (more
 * than MUSTER_BATCH_TENSORS_MAX); MUSTER_ERR_EPOCH (the batch was opened before a rebuild: abandon it
 * and open it anew); MUSTER_ERR_FORKED; other mistakes are kept for the round. */
MUSTER_API muster_status muster_batch_add(muster_batch *batch, const muster_tensor *rows,
                                          const muster_root_rows *root_rows, muster_error *error);

/* Starts the batch and gives its request; the batch handle is gone, whatever is returned. A batch that
 * was opened before a rebuild is refused, without a round, with MUSTER_ERR_EPOCH. */
MUSTER_API muster_status muster_batch_start(muster_batch *batch, muster_request **request,
                                            muster_error *error);

/* Starts it and waits, like a blocking call; the batch handle is gone. */
MUSTER_API muster_status muster_batch_run(muster_batch *batch, muster_error *error);

/* Frees a batch that was not started. NULL is fine. */
MUSTER_API void muster_batch_abandon(muster_batch *batch);

MUSTER_END_DECLS

#endif
