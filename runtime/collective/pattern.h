/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends what: pure arithmetic that turns one collective into the operations of one rank. It needs
 * no network to be right; the plain structs of the transport's function table are all it takes of it.
 *
 * The order rule, on which freedom from deadlock rests
 * 1. Between two ranks and in one direction the k-th operation of the one meets the k-th of the other:
 *    SEND with RECEIVE, WRITE with EXPECT_WRITE, READ with EXPECT_READ. Every function here appends
 *    tensor by tensor, and for one tensor at most one operation for each pair and direction (a P2P
 *    list: in the order of the list), so that both ends count alike.
 * 2. Nothing follows from the order of operations of different peers or of different directions. A
 *    transport must move any of them that can move, and must not wait at one that cannot: an
 *    allgatherv in which all ranks first waited for their sends would wait for ever in full rings.
 * 3. Operations without bytes do not exist: append drops them, on both sides, because both sides
 *    compute the bytes from the same agreed numbers. A transport that enqueued one of them on one side
 *    only would hang.
 * Every rank begins with the peer after it and walks round the ring, so that the peers of a root, or
 * all ranks of an allgatherv, are not all busy with the same rank at the same moment. */
#ifndef MUSTER_COLLECTIVE_PATTERN_H
#define MUSTER_COLLECTIVE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/tensor.h>

#include "transport/transport.h"

/* A growable list. Every function that appends returns false when memory ran out; the list then still
 * holds what it held before the failing operation, and must not be submitted. */
typedef struct muster_operation_list {
    muster_transport_operation *operations;
    size_t count;
    size_t capacity;
} muster_operation_list;

void muster_operation_list_init(muster_operation_list *list); /* allocates nothing */
void muster_operation_list_clean_up(muster_operation_list *list);
/* Forgets the operations, keeps the memory for the next call. */
void muster_operation_list_clear(muster_operation_list *list);
/* Room for `more` further operations, so that the appends that follow cannot fail: reserve before the
 * agreement round, append after it. muster_pattern_*_most says how many. */
bool muster_operation_list_reserve(muster_operation_list *list, size_t more);
/* Drops an operation without bytes, and a COPY onto itself. */
bool muster_operation_list_append(muster_operation_list *list,
                                  const muster_transport_operation *operation);
/* Bytes that leave this rank and that come to it; own copies count as neither. */
void muster_operation_list_bytes(const muster_operation_list *list, uint64_t *bytes_out,
                                 uint64_t *bytes_in);

/* One tensor of one collective, as this rank knows it after the round: everything is checked. */
typedef struct muster_pattern {
    int32_t own_rank;
    int32_t rank_count;
    int32_t root;           /* gatherv, scatterv, broadcast */
    const int64_t *lengths; /* rows by rank, the same on all ranks; broadcast: not read */
    size_t row_bytes;
    void *rows;         /* this rank's rows (scatterv: where they go) */
    int64_t rows_count; /* broadcast only: rows of the tensor */
    void *contiguous;   /* gatherv, scatterv at the root; allgatherv everywhere; else NULL */
    const muster_tensor *chunks; /* gatherv, scatterv at the root, the other form; else NULL */
    bool own_in_place;           /* the own rows already lie in their place: no COPY */
    bool direct; /* the verdict says so: no SEND and RECEIVE, but straight into root memory */
    /* direct: where the root's contiguous buffer (broadcast: its rows) begins, in the root's address
     * space; the same on all ranks. */
    uint64_t root_address;
} muster_pattern;

/* direct needs the root's contiguous form; all ranks then use it. */
bool muster_pattern_gatherv(muster_operation_list *list, const muster_pattern *pattern);
bool muster_pattern_scatterv(muster_operation_list *list, const muster_pattern *pattern);
bool muster_pattern_broadcast(muster_operation_list *list, const muster_pattern *pattern);
bool muster_pattern_allgatherv(muster_operation_list *list, const muster_pattern *pattern);

/* At most this many operations are appended on one rank for one tensor. */
size_t muster_pattern_rooted_most(int32_t rank_count); /* gatherv, scatterv, broadcast */
size_t muster_pattern_allgatherv_most(int32_t rank_count);

/* A bare P2P list: appends at most count operations. The k-th send to the own rank becomes a COPY into
 * the k-th receive from it; the round has found as many of both, of the same bytes (asserted). */
typedef struct muster_pattern_transfer {
    bool is_send;
    int32_t peer;
    void *data;
    size_t bytes;
} muster_pattern_transfer;

bool muster_pattern_p2p(muster_operation_list *list, int32_t own_rank,
                        const muster_pattern_transfer *transfers, size_t count);

#endif
