/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths: how many rows each rank has, and where they lie when put one after another. */
#ifndef MUSTER_LENGTHS_H
#define MUSTER_LENGTHS_H

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* Exclusive prefix sums: offsets[i] = lengths[0] + ... + lengths[i-1], in rows, for i in
 * 0 .. lengths_count; so offsets has lengths_count + 1 entries and the last one is the total.
 * lengths: int64[lengths_count], rows, each >= 0. lengths_count >= 0; both arrays the caller's; they
 * may not overlap. Pure: any thread; does not block. error may be NULL.
 * Returns MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT (NULL array, negative count);
 * MUSTER_ERR_NEGATIVE_LENGTH (error->rank = its index); MUSTER_ERR_OVERFLOW (error->rank = the index
 * at which the sum leaves 64 bits). On an error offsets is untouched. */
MUSTER_API muster_status muster_lengths_to_offsets(const int64_t *lengths, int32_t lengths_count,
                                                   int64_t *offsets, muster_error *error);

/* Every rank gives its own number of rows and gets everyone's: lengths[i] is rank i's.
 * lengths: int64[lengths_count], the caller's, lengths_count = size of the communicator.
 * Collective over comm; one agreement round and no further message. The thread that serialises calls
 * on comm; blocks until the round is complete, the communicator's batch timeout has passed, or the
 * epoch is revoked. error may be NULL.
 * Returns MUSTER_OK, or on every rank the same refusal: MUSTER_ERR_NEGATIVE_LENGTH (own_rows < 0),
 * MUSTER_ERR_LENGTHS_COUNT, MUSTER_ERR_INVALID_ARGUMENT (lengths NULL), MUSTER_ERR_CALL,
 * MUSTER_ERR_SEQUENCE, MUSTER_ERR_PHASE, MUSTER_ERR_TAG, MUSTER_ERR_EPOCH; or an operating error:
 * MUSTER_ERR_TIMEOUT, MUSTER_ERR_RANK_LOST, MUSTER_ERR_COMM_FAILED, MUSTER_ERR_CALLS_DIFFER,
 * MUSTER_ERR_FORKED. On an error lengths is untouched. */
MUSTER_API muster_status muster_allgather_lengths(muster_comm *comm, int64_t own_rows,
                                                  int64_t *lengths, int32_t lengths_count,
                                                  muster_error *error);

MUSTER_END_DECLS

#endif
