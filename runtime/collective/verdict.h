/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict: a pure function of the records of all ranks, the same on each of them.
 *
 * It is built from summaries that merge associatively (neighbouring ranges of ranks, the lower range
 * on the left), so that a tree can compute it as well as a flat board. The reference for every "must be
 * equal" field is the lowest rank of a range; the verdict names the lowest failing rank, the first field
 * in the order of the checks, what was expected and what came. Order of the checks for one rank: wire
 * version, job, communicator, epoch, local status, sequence, call, root, phase, tag, tensor count,
 * dtype, number of dimensions, feature dimensions, lengths count, lengths (their sum and hash),
 * argument (modifier, step, slot by call), own rows of a broadcast. A call that differs where one side
 * is a scope call (params_*) is MUSTER_ERR_SCOPE, else MUSTER_ERR_CALL.
 * After all ranks, and only where none of them failed: the kind of memory (a P2P list may be empty and then
 * has none, so that it is not a field that must be equal), the descriptors hash, the P2P digests, the sum
 * of own rows against the root's capacity. A hash says that two sides differ, not where; so it comes
 * after everything that can be named in one round, and asks for the slow round.
 *
 * Why a rank that fails with its own status accuses nobody: its record may hold garbage, but a failing
 * rank is looked at no further, and where it is the reference it is itself the lowest failing rank.
 *
 * Why the merge is associative: if the first record of the right range passes the checks against the
 * left reference, it is equal to it in every field that is checked, so what the right range found
 * against it holds against the left reference too; and if it does not pass, it is the lowest failing
 * rank of the right range itself. So one comparison of the two references is enough. */
#ifndef MUSTER_COLLECTIVE_VERDICT_H
#define MUSTER_COLLECTIVE_VERDICT_H

#include <stdbool.h>

#include "collective/record.h"

typedef struct muster_verdict_summary {
    muster_record reference; /* of the lowest rank of the range */
    int32_t first_rank;
    int32_t rank_count;
    /* the lowest failing rank of the range against the reference; status OK where none fails;
     * hashes and digests are apart (below) */
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
    int32_t
        descriptors_rank; /* the lowest whose descriptors hash is not the reference's, else -1 */
    int32_t memory_kind;  /* of the lowest rank that has tensors; 0: none has */
    int32_t memory_kind_rank;       /* that rank, else -1 */
    int32_t other_memory_kind_rank; /* the lowest with tensors in the other kind, else -1 */
    int32_t other_memory_kind;
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
    /* Descriptors or P2P digests differ, and nothing else: exchange the descriptors to name both
     * sides. status is a refusal already, for a rank that cannot take part in that. */
    bool needs_descriptors;
    uint64_t root_region_version; /* the root's; 0: its buffers are not the runtime's memory */
    bool direct;                  /* every rank with rows can reach the root's memory directly */
    /* After the slow round of a P2P list, to name both sides; else -1, -1 and 0. */
    int32_t peer;      /* the other side */
    int64_t ordinal;   /* which operation of rank with peer in this direction, from 0 */
    int32_t direction; /* of rank's operation: 1 send, 2 receive */
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

/* Adds the k-th send or receive between a pair to the digests of a record. direction: 1 send, 2
 * receive; ordinal: from 0, counted for each peer and direction. */
void muster_p2p_digest_add(muster_record *record, int32_t own_rank, int32_t peer, int32_t direction,
                           int64_t ordinal, int64_t bytes, int32_t dtype);

/* As below, of one rank of a batch and of the `here` tensors from the one with index first on, which both lists have at
 * hand: pages can be compared as they come, in memory for none of the lists. MUSTER_OK where no difference is found. */
muster_verdict muster_verdict_of_page(const muster_descriptor *reference, int32_t reference_count,
                                      const muster_descriptor *page, int32_t count, int32_t first,
                                      int32_t here, int32_t rank);

/* The same pure function on every rank over everyone's lists: lists[r] has counts[r] entries. A batch
 * is compared with rank 0's; of a P2P list the first pair of ranks is named in which a send has no
 * receive of its bytes and dtype: rank is the side that has an operation without a partner (field PEER,
 * came = peer), or else the sender (field BYTES or DTYPE, expected: the send's, came: the receive's).
 * MUSTER_OK where no difference is found. */
muster_verdict muster_verdict_of_descriptors(const muster_descriptor *const *lists,
                                             const int32_t *counts, int32_t rank_count,
                                             muster_call call);

#endif
