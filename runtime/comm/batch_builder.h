/* SPDX-License-Identifier: Apache-2.0 */
/* A batch under construction: one layout (lengths and root), or a bare P2P list. Single calls
 * (muster_gatherv and so on) are batches of one tensor, so that every check exists once. */
#ifndef MUSTER_COMM_BATCH_BUILDER_H
#define MUSTER_COMM_BATCH_BUILDER_H

#include <muster/batch.h>
#include <muster/p2p.h>

#include "comm/comm.h"
#include "layout/ranges.h"

/* One tensor of the layout as this rank sees it. */
typedef struct muster_batch_tensor {
    muster_pattern pattern;
    muster_tensor *chunks; /* the root's, copied; owned */
    uint64_t root_region_version;
} muster_batch_tensor;

struct muster_batch {
    muster_comm *comm;
    muster_request *request;
    muster_call call;
    int32_t root;
    bool layout_usable; /* lengths and root passed their own checks */
    int64_t *lengths;   /* copied */
    muster_batch_tensor *tensors;
    int32_t tensor_count;
    int32_t tensor_capacity;
    muster_range_list ranges; /* what the batch reads and writes on this rank */
    /* P2P */
    muster_pattern_transfer *transfers;
    int64_t *ordinals; /* sends to each rank, then receives from each rank */
    int32_t transfer_count;
    int32_t transfer_capacity;
    int32_t descriptor_capacity;
};

/* Opens; lengths NULL with lengths_count -1: a call without lengths. */
muster_status muster_batch_open(muster_comm *comm, muster_call call, const int64_t *lengths,
                                int32_t lengths_count, int32_t root, muster_batch **batch,
                                muster_error *error);
/* MUSTER_OK; MUSTER_ERR_FORKED; MUSTER_ERR_EPOCH where the batch was opened before a rebuild: its lengths,
 * root and peers name ranks of the epoch before. */
muster_status muster_batch_check(const muster_batch *batch, muster_error *error);
/* Adds; mistakes go into the request's record, except that memory for the list itself ran out. */
void muster_batch_add_rooted(muster_batch *batch, const muster_tensor *rows,
                             const muster_root_rows *root_rows);
void muster_batch_add_broadcast(muster_batch *batch, const muster_tensor *rows);
void muster_batch_add_allgatherv(muster_batch *batch, const muster_tensor *rows,
                                 const muster_tensor *all);
/* Appends a descriptor for the slow round. */
void muster_batch_describe(muster_batch *batch, const muster_descriptor *descriptor);
/* Hands the batch over to its request, which is then complete for launching. */
muster_request *muster_batch_close(muster_batch *batch);

#endif
