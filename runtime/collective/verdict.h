/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict: a pure function of the records of all ranks, the same on each of them.
 *
 * It is built from summaries that merge associatively (neighbouring ranges of ranks, the lower range
 * on the left), so that a tree can compute it as well as a flat board. The reference for every "must be
 * equal" field is the lowest rank of a range; the verdict names the lowest failing rank, the first field
 * in the order of the checks, what was expected and what came. Order of the checks for one rank: wire
 * version, job, communicator, epoch, local status, sequence, call, root, phase, tag, tensor count,
 * dtype, number of dimensions, feature dimensions, descriptors hash, lengths count, lengths hash,
 * argument (modifier, step, slot by call). After all ranks: P2P digests, the sum of own rows against
 * the root's capacity. A call that differs where one side is a scope call (params_*) is
 * MUSTER_ERR_SCOPE, else MUSTER_ERR_CALL. A broadcast whose own_rows differ is MUSTER_ERR_OWN_ROWS. */
#ifndef MUSTER_COLLECTIVE_VERDICT_H
#define MUSTER_COLLECTIVE_VERDICT_H

#include <stdbool.h>

#include "collective/record.h"

typedef struct muster_verdict_summary {
    muster_record reference; /* of the lowest rank of the range */
    int32_t first_rank;
    int32_t rank_count;
    /* the lowest failing rank of the range against the reference; status OK where none fails */
    muster_status status;
    int32_t failing_rank;
    muster_field field;
    int64_t expected;
    int64_t came;
    int32_t tensor_index;
    int32_t native_code;
    /* sums and extremes over the range */
    uint64_t p2p_send_digest[2];
    uint64_t p2p_receive_digest[2];
    int64_t rows_sum;
    bool rows_overflow;
    int64_t root_capacity_rows; /* of the root's record where it is in the range, else -1 */
    int64_t root_total_rows;
    uint64_t root_region_version;
    uint64_t least_region_mapped_version; /* over ranks other than the root that have rows */
    bool needs_descriptors; /* equal but for the descriptors hash: a slow round can say more */
} muster_verdict_summary;

/* Summary of one rank's record. */
muster_verdict_summary muster_verdict_of(const muster_record *record, int32_t rank);

/* left covers lower ranks than right and borders on it. */
muster_verdict_summary muster_verdict_merge(const muster_verdict_summary *left,
                                            const muster_verdict_summary *right);

typedef struct muster_verdict {
    muster_status status;
    int32_t rank; /* -1 where none */
    muster_field field;
    int64_t expected;
    int64_t came;
    int32_t tensor_index;
    int32_t native_code;
    bool
        needs_descriptors; /* descriptors or P2P digests differ: exchange them to name both sides */
    uint64_t root_region_version; /* the root's; 0: its buffers are not the runtime's memory */
    bool direct;           /* every rank can reach the root's memory directly */
} muster_verdict;

/* The last step, over the summary of all ranks. */
muster_verdict muster_verdict_finish(const muster_verdict_summary *summary);

/* Convenience: over count records with a stride in bytes. */
muster_verdict muster_verdict_of_records(const void *records, size_t stride_bytes, int32_t count);

/* Writes the verdict as an error with its sentence. error may be NULL. Returns the status. */
muster_status muster_verdict_to_error(const muster_verdict *verdict, muster_error *error);

/* The slow round: one descriptor for each tensor of a batch, or each operation of a P2P list. */
typedef struct muster_descriptor {
    int32_t dtype;
    int32_t dimension_count;
    int64_t feature_dimensions[MUSTER_DIMENSIONS_MAX - 1];
    int64_t rows;      /* P2P: of the whole tensor; batches: 0 */
    int64_t bytes;     /* P2P: of the whole tensor; batches: 0 */
    int32_t peer;      /* P2P; else -1 */
    int32_t direction; /* P2P: 1 send, 2 receive; else 0 */
} muster_descriptor;

uint64_t muster_descriptors_hash(const muster_descriptor *descriptors, int32_t count);

/* Adds the k-th send or receive between a pair to the digests of a record. */
void muster_p2p_digest_add(muster_record *record, int32_t own_rank, int32_t peer, int32_t direction,
                           int64_t ordinal, int64_t bytes, int32_t dtype);

/* The same pure function on every rank over everyone's lists: lists[r] has counts[r] entries. */
muster_verdict muster_verdict_of_descriptors(const muster_descriptor *const *lists,
                                             const int32_t *counts, int32_t rank_count,
                                             muster_call call);

#endif
