/* SPDX-License-Identifier: Apache-2.0 */
/* What the tensors of a batch and the operations of a P2P list say: as a hash in the fast round, and
 * one by one in the slow round that follows a difference. */
#include <muster/types.h>

#include "base/hash.h"
#include "collective/verdict.h"

enum { SEND = 1, RECEIVE = 2 };

_Static_assert(sizeof(muster_descriptor) == 88,
               "no padding: its bytes are hashed, and travel in the slow round");

uint64_t muster_descriptors_hash(const muster_descriptor *descriptors, int32_t count)
{
    return muster_hash_bytes(descriptors, (size_t)count * sizeof(*descriptors), (uint64_t)count);
}

void muster_p2p_digest_add(muster_record *record, int32_t own_rank, int32_t peer, int32_t direction,
                           int64_t ordinal, int64_t bytes, int32_t dtype)
{
    /* Both sides hash the same words, so that equal sums of sends and of receives mean equal sets, but
     * for a chance of 2^-128. A sum does not depend on the order in which ranks and operations come. */
    const bool sends = direction == SEND;
    const int64_t words[5] = {sends ? own_rank : peer, sends ? peer : own_rank, ordinal, bytes,
                              dtype};
    uint64_t *digest = sends ? record->p2p_send_digest : record->p2p_receive_digest;
    for (uint64_t i = 0; i < 2; i++)
        digest[i] += muster_hash_bytes(words, sizeof(words), i + 1);
}

static muster_verdict verdict_at(muster_status status, int32_t rank, muster_field field,
                                 int64_t expected, int64_t came)
{
    const muster_verdict verdict = {
        .status = status,
        .rank = rank,
        .field = field,
        .expected = expected,
        .came = came,
        .tensor_index = -1,
        .peer = MUSTER_RANK_NONE,
        .ordinal = -1,
    };
    return verdict;
}

static muster_verdict compare_tensor(const muster_descriptor *reference,
                                     const muster_descriptor *tensor, int32_t rank)
{
    if (tensor->dtype != reference->dtype)
        return verdict_at(MUSTER_ERR_DTYPE, rank, MUSTER_FIELD_DTYPE, reference->dtype,
                          tensor->dtype);
    if (tensor->dimension_count != reference->dimension_count)
        return verdict_at(MUSTER_ERR_FEATURE_DIMENSIONS, rank, MUSTER_FIELD_DIMENSION_COUNT,
                          reference->dimension_count, tensor->dimension_count);
    for (int i = 0; i < MUSTER_DIMENSIONS_MAX - 1; i++) {
        if (tensor->feature_dimensions[i] != reference->feature_dimensions[i])
            return verdict_at(MUSTER_ERR_FEATURE_DIMENSIONS, rank,
                              (muster_field)(MUSTER_FIELD_FEATURE_DIMENSION_1 + i),
                              reference->feature_dimensions[i], tensor->feature_dimensions[i]);
    }
    if (tensor->rows != reference->rows)
        return verdict_at(MUSTER_ERR_OWN_ROWS, rank, MUSTER_FIELD_OWN_ROWS, reference->rows,
                          tensor->rows);
    if (tensor->bytes != reference->bytes)
        return verdict_at(MUSTER_ERR_FEATURE_DIMENSIONS, rank, MUSTER_FIELD_BYTES, reference->bytes,
                          tensor->bytes);
    return verdict_at(MUSTER_OK, MUSTER_RANK_NONE, MUSTER_FIELD_NONE, 0, 0);
}

muster_verdict muster_verdict_of_page(const muster_descriptor *reference, int32_t reference_count,
                                      const muster_descriptor *page, int32_t count, int32_t first,
                                      int32_t here, int32_t rank)
{
    if (count != reference_count)
        return verdict_at(MUSTER_ERR_TENSOR_COUNT, rank, MUSTER_FIELD_TENSOR_COUNT, reference_count,
                          count);
    for (int32_t i = 0; i < here; i++) {
        muster_verdict verdict = compare_tensor(&reference[i], &page[i], rank);
        if (verdict.status != MUSTER_OK) {
            verdict.tensor_index = first + i;
            return verdict;
        }
    }
    return verdict_at(MUSTER_OK, MUSTER_RANK_NONE, MUSTER_FIELD_NONE, 0, 0);
}

static muster_verdict compare_batches(const muster_descriptor *const *lists, const int32_t *counts,
                                      int32_t rank_count)
{
    for (int32_t rank = 1; rank < rank_count; rank++) {
        muster_verdict verdict = muster_verdict_of_page(lists[0], counts[0], lists[rank],
                                                        counts[rank], 0, counts[0], rank);
        if (verdict.status != MUSTER_OK)
            return verdict;
    }
    return verdict_at(MUSTER_OK, MUSTER_RANK_NONE, MUSTER_FIELD_NONE, 0, 0);
}

/* The next operation of list at or after *place with this peer and direction; NULL where none. */
static const muster_descriptor *next_operation(const muster_descriptor *list, int32_t count,
                                               int32_t *place, int32_t peer, int32_t direction)
{
    while (*place < count) {
        const muster_descriptor *operation = &list[*place];
        (*place)++;
        if (operation->peer == peer && operation->direction == direction)
            return operation;
    }
    return NULL;
}

static muster_verdict mismatch(int32_t rank, int32_t peer, int64_t ordinal, muster_field field,
                               int64_t expected, int64_t came)
{
    muster_verdict verdict = verdict_at(MUSTER_ERR_P2P_MISMATCH, rank, field, expected, came);
    verdict.peer = peer;
    verdict.ordinal = ordinal;
    verdict.direction = SEND;
    return verdict;
}

/* Walks the sends of one rank to another beside the receives of the other from the one. */
static muster_verdict compare_pair(const muster_descriptor *const *lists, const int32_t *counts,
                                   int32_t sender, int32_t receiver)
{
    int32_t send_place = 0;
    int32_t receive_place = 0;
    for (int64_t ordinal = 0;; ordinal++) {
        const muster_descriptor *send =
            next_operation(lists[sender], counts[sender], &send_place, receiver, SEND);
        const muster_descriptor *receive =
            next_operation(lists[receiver], counts[receiver], &receive_place, sender, RECEIVE);
        if (send == NULL && receive == NULL)
            return verdict_at(MUSTER_OK, MUSTER_RANK_NONE, MUSTER_FIELD_NONE, 0, 0);
        if (receive == NULL)
            return mismatch(sender, receiver, ordinal, MUSTER_FIELD_PEER, MUSTER_RANK_NONE,
                            receiver);
        if (send == NULL) {
            muster_verdict verdict =
                mismatch(receiver, sender, ordinal, MUSTER_FIELD_PEER, MUSTER_RANK_NONE, sender);
            verdict.direction = RECEIVE;
            return verdict;
        }
        if (send->bytes != receive->bytes)
            return mismatch(sender, receiver, ordinal, MUSTER_FIELD_BYTES, send->bytes,
                            receive->bytes);
        if (send->dtype != receive->dtype)
            return mismatch(sender, receiver, ordinal, MUSTER_FIELD_DTYPE, send->dtype,
                            receive->dtype);
    }
}

/* Pairs in the order of their lower rank. Only a mistake comes here, so time does not matter: ranks
 * times operations, and no memory, which could run out on one rank and make its verdict another. */
static muster_verdict compare_p2p(const muster_descriptor *const *lists, const int32_t *counts,
                                  int32_t rank_count)
{
    for (int32_t low = 0; low < rank_count; low++) {
        for (int32_t high = low; high < rank_count; high++) {
            muster_verdict verdict = compare_pair(lists, counts, low, high);
            if (verdict.status == MUSTER_OK && high != low)
                verdict = compare_pair(lists, counts, high, low);
            if (verdict.status != MUSTER_OK)
                return verdict;
        }
    }
    return verdict_at(MUSTER_OK, MUSTER_RANK_NONE, MUSTER_FIELD_NONE, 0, 0);
}

muster_verdict muster_verdict_of_descriptors(const muster_descriptor *const *lists,
                                             const int32_t *counts, int32_t rank_count,
                                             muster_call call)
{
    if (call == MUSTER_CALL_P2P)
        return compare_p2p(lists, counts, rank_count);
    return compare_batches(lists, counts, rank_count);
}
