/* SPDX-License-Identifier: Apache-2.0 */
/* The agreement record: what each rank says of its call before a byte moves. One fixed size, plain
 * memory, the same on every machine of a job (the join refuses another byte order or wire version). */
#ifndef MUSTER_COLLECTIVE_RECORD_H
#define MUSTER_COLLECTIVE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>
#include <muster/tensor.h>

#define MUSTER_RECORD_WIRE_VERSION 2u
#define MUSTER_RECORD_BYTES 384
/* Tensors of one batch that can take the direct way; a batch of more goes through the ring. */
#define MUSTER_DIRECT_TENSORS_MAX 6

/* Kinds of call; values appear in traces. X(name, value, text, has_root, has_lengths). */
#define MUSTER_CALL_LIST(X) \
    X(NONE, 0, "none", 0, 0) \
    X(BARRIER, 1, "barrier", 0, 0) \
    X(ALLGATHER_LENGTHS, 2, "allgather_lengths", 0, 0) \
    X(GATHERV, 3, "gatherv", 1, 1) \
    X(SCATTERV, 4, "scatterv", 1, 1) \
    X(BROADCAST, 5, "broadcast", 1, 0) \
    X(ALLGATHERV, 6, "allgatherv", 0, 1) \
    X(P2P, 7, "p2p", 0, 0) \
    X(SPLIT, 8, "split", 0, 0) \
    X(PARAMS_GATHER, 9, "params_gather", 0, 0) \
    X(PARAMS_RELEASE, 10, "params_release", 0, 0) \
    X(STEP_STAGE, 11, "step_stage", 0, 0) \
    X(STEP_COMMIT, 12, "step_commit", 0, 0) \
    X(STEP_FETCH, 13, "step_fetch", 0, 0) \
    X(DESCRIPTORS, 14, "descriptors", 0, 0) /* the slow round that follows a digest mismatch */

typedef enum muster_call {
#define MUSTER_CALL_ENUM(name, value, text, has_root, has_lengths) MUSTER_CALL_##name = (value),
    MUSTER_CALL_LIST(MUSTER_CALL_ENUM)
#undef MUSTER_CALL_ENUM
} muster_call;

const char *muster_call_text(muster_call call);
bool muster_call_has_root(muster_call call);
bool muster_call_has_lengths(muster_call call);

/* Fields that a call does not use are zero on every rank (root: -1). */
typedef struct muster_record {
    uint32_t wire_version;
    uint32_t call; /* muster_call */
    uint64_t job;  /* hash of the job's name */
    uint64_t communicator;
    uint64_t epoch;
    uint64_t sequence;
    uint64_t tag;
    int32_t root;
    int32_t phase;
    int32_t dtype;           /* of the first tensor */
    int32_t dimension_count; /* of the first tensor */
    int64_t feature_dimensions[MUSTER_DIMENSIONS_MAX - 1];
    int32_t tensor_count;
    int32_t lengths_count;
    int64_t own_rows;
    uint64_t lengths_hash;
    int64_t total_rows;          /* sum of the lengths as this rank knows them */
    int64_t capacity_rows;       /* the root's; -1 where it has none to check */
    uint64_t descriptors_hash;   /* of all tensors of the batch: must be equal */
    uint64_t p2p_send_digest[2]; /* the sums over all ranks of sends and receives must be equal */
    uint64_t p2p_receive_digest[2];
    int64_t argument;        /* of the call: modifier rank, step, slot; must be equal */
    int64_t own_argument[2]; /* of this rank: color and key, wanted bytes; may differ */
    /* Local status: the outcome of this rank's own checks. */
    int32_t local_status; /* muster_status */
    int32_t local_field;  /* muster_field */
    int64_t local_expected;
    int64_t local_came;
    int32_t local_tensor_index;
    int32_t local_native_code;
    /* Direct way into the root's runtime-allocated memory: taken when every rank has mapped it. */
    uint64_t region_version; /* at the root: the least exports version that has all the regions of
                                this call; 0: no direct way */
    uint64_t region_mapped_version; /* which exports version of the root this rank has mapped */
    uint64_t region_addresses[MUSTER_DIRECT_TENSORS_MAX]; /* at the root: its contiguous buffers, as
                                                             addresses of its own address space */
    int32_t memory_kind; /* muster_memory_kind of all tensors of the batch; 0: it has none */
    int32_t reserved;
} muster_record;

_Static_assert(sizeof(muster_record) <= MUSTER_RECORD_BYTES,
               "a record fits its place on the board");

#endif
