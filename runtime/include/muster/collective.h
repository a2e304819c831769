/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives of variable-length rows. Every rank of the communicator makes the same calls in the
 * same order. Each call starts with one agreement round: every rank does its local checks, always
 * contributes one record, and all ranks return the same verdict; nothing is posted or moved before
 * it. So a rank whose own arguments are wrong does not return early: it returns with the others.
 *
 * Rules for every function here
 * - Thread: the one that serialises calls on comm. error may be NULL.
 * - A blocking call returns when this rank's part is complete (its inputs may be changed, its outputs
 *   are valid), or on a refusal, or when the communicator's timeout has passed, or when the epoch is
 *   revoked. A _start call returns at once; its buffers are Muster's until the request is complete;
 *   descriptors and lengths are copied and may go. *request is the caller's (muster_request_free).
 * - MUSTER_OK means "my part is complete": only a committed step is common knowledge. A blocking call over
 *   device tensors returns when its part is enqueued on the communicator's stream (device.h).
 * - After MUSTER_ERR_RANK_LOST, and after a MUSTER_ERR_TIMEOUT or MUSTER_ERR_COMM_FAILED of a blocking
 *   call, the buffers of the call stay Muster's, contents undefined, until muster_comm_rebuild returns:
 *   another rank may still be copying into them.
 *
 * Refusals that all can return, the same on every rank: MUSTER_ERR_INVALID_ARGUMENT,
 * MUSTER_ERR_STRUCT_SIZE, MUSTER_ERR_NULL_BUFFER, MUSTER_ERR_MISALIGNED, MUSTER_ERR_NOT_CONTIGUOUS,
 * MUSTER_ERR_MEMORY_KIND, MUSTER_ERR_DIMENSIONS, MUSTER_ERR_OVERFLOW, MUSTER_ERR_OVERLAP,
 * MUSTER_ERR_DTYPE, MUSTER_ERR_FEATURE_DIMENSIONS, MUSTER_ERR_ROOT, MUSTER_ERR_CALL,
 * MUSTER_ERR_SEQUENCE, MUSTER_ERR_PHASE, MUSTER_ERR_TAG, MUSTER_ERR_EPOCH, MUSTER_ERR_FOREIGN,
 * MUSTER_ERR_NO_MEMORY; with a device plane MUSTER_ERR_WRONG_DEVICE, MUSTER_ERR_STREAM,
 * MUSTER_ERR_BORROWED, MUSTER_ERR_DEVICE_CALL (while checking). Those with lengths also: MUSTER_ERR_LENGTHS_COUNT,
 * MUSTER_ERR_NEGATIVE_LENGTH, MUSTER_ERR_LENGTHS, MUSTER_ERR_OWN_ROWS, MUSTER_ERR_CAPACITY,
 * MUSTER_ERR_MISSING_CHUNK, MUSTER_ERR_CHUNK_SHAPE.
 * Operating errors: MUSTER_ERR_TIMEOUT, MUSTER_ERR_RANK_LOST, MUSTER_ERR_COMM_FAILED,
 * MUSTER_ERR_CALLS_DIFFER, MUSTER_ERR_SYSTEM, MUSTER_ERR_FORKED; with a device plane
 * MUSTER_ERR_DEVICE_CALL (on the rank whose native call failed), MUSTER_ERR_DEVICE_STUCK. */
#ifndef MUSTER_COLLECTIVE_H
#define MUSTER_COLLECTIVE_H

#include <muster/status.h>
#include <muster/tensor.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* All ranks' rows on one rank, in one of two forms (exactly one of contiguous and chunks is set):
 * contiguous: one tensor; rank i's rows lie at row offsets[i]; dimensions[0] is its capacity in rows
 *             and may exceed the sum of the lengths;
 * chunks:     one tensor a rank, chunks[i] of exactly lengths[i] rows (a zero-length one too). */
typedef struct muster_root_rows {
    size_t struct_bytes;
    const muster_tensor *contiguous;
    const muster_tensor *chunks;
    int32_t chunk_count;
} muster_root_rows;

/* Gathers rows to the root. rows: this rank's, dimensions[0] == lengths[own rank]. lengths:
 * int64[lengths_count], the same on all ranks, lengths_count = size. root_rows: read at the root
 * only; where they are written to. In place on the root: rows->data is exactly where its rows go. */
MUSTER_API muster_status muster_gatherv(muster_comm *comm, const muster_tensor *rows,
                                        const int64_t *lengths, int32_t lengths_count, int32_t root,
                                        const muster_root_rows *root_rows, muster_error *error);
MUSTER_API muster_status muster_gatherv_start(muster_comm *comm, const muster_tensor *rows,
                                              const int64_t *lengths, int32_t lengths_count,
                                              int32_t root, const muster_root_rows *root_rows,
                                              muster_request **request, muster_error *error);

/* Scatters rows from the root: the mirror image. root_rows: read at the root only; where rows come
 * from. rows: where this rank's go, dimensions[0] == lengths[own rank]. */
MUSTER_API muster_status muster_scatterv(muster_comm *comm, const muster_root_rows *root_rows,
                                         const int64_t *lengths, int32_t lengths_count,
                                         int32_t root, const muster_tensor *rows,
                                         muster_error *error);
MUSTER_API muster_status muster_scatterv_start(muster_comm *comm, const muster_root_rows *root_rows,
                                               const int64_t *lengths, int32_t lengths_count,
                                               int32_t root, const muster_tensor *rows,
                                               muster_request **request, muster_error *error);

/* Copies the root's tensor to every rank's tensor of the same shape. Rows that differ are refused
 * with MUSTER_ERR_OWN_ROWS. */
MUSTER_API muster_status muster_broadcast(muster_comm *comm, const muster_tensor *rows,
                                          int32_t root, muster_error *error);
MUSTER_API muster_status muster_broadcast_start(muster_comm *comm, const muster_tensor *rows,
                                                int32_t root, muster_request **request,
                                                muster_error *error);

/* Gathers rows to every rank, in rank order: all is contiguous, capacity as in muster_root_rows. In
 * place: rows->data is exactly where this rank's rows go. */
MUSTER_API muster_status muster_allgatherv(muster_comm *comm, const muster_tensor *rows,
                                           const int64_t *lengths, int32_t lengths_count,
                                           const muster_tensor *all, muster_error *error);
MUSTER_API muster_status muster_allgatherv_start(muster_comm *comm, const muster_tensor *rows,
                                                 const int64_t *lengths, int32_t lengths_count,
                                                 const muster_tensor *all, muster_request **request,
                                                 muster_error *error);

/* One agreement round and nothing else. */
MUSTER_API muster_status muster_barrier(muster_comm *comm, muster_error *error);
MUSTER_API muster_status muster_barrier_start(muster_comm *comm, muster_request **request,
                                              muster_error *error);

MUSTER_END_DECLS

#endif
