/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/board.h"

#include <string.h>

#include "base/assert.h"

void muster_host_board_init(muster_host_board *board, const muster_host_segment *segment,
                            int32_t own_rank)
{
    *board = (muster_host_board){.segment = segment, .own_rank = own_rank};
}

static bool has_posted(const muster_host_board *board, int32_t rank, uint64_t round)
{
    /* seq_cst: see doorbell.h. It also acquires the payload. */
    return atomic_load(&board->segment->ranks[rank].posted) >= round;
}

void muster_host_board_post(muster_host_board *board, uint64_t round, const void *payload)
{
    const muster_host_segment *segment = board->segment;

    /* Posting ahead would overwrite a place that others still read. */
    MUSTER_ASSERT(round == board->own_posted + 1);
    MUSTER_ASSERT(round == 1 || muster_host_board_poll(board, round - 1) != NULL);
    memcpy(muster_host_segment_place(segment, round, board->own_rank), payload, MUSTER_ROUND_BYTES);
    atomic_store(&segment->ranks[board->own_rank].posted, round);
    board->own_posted = round;
    for (int32_t rank = 0; rank < segment->rank_count; rank++)
        if (rank != board->own_rank)
            muster_host_doorbell_ring(&segment->ranks[rank].doorbell);
}

const void *muster_host_board_poll(muster_host_board *board, uint64_t round)
{
    const muster_host_segment *segment = board->segment;

    if (board->polled_round != round) {
        board->polled_round = round;
        board->polled_rank = 0;
    }
    while (board->polled_rank < segment->rank_count && has_posted(board, board->polled_rank, round))
        board->polled_rank++;
    return board->polled_rank == segment->rank_count ? muster_host_segment_place(segment, round, 0)
                                                     : NULL;
}

void muster_host_board_missing(const muster_host_board *board, uint64_t round,
                               muster_rank_set *missing)
{
    muster_rank_set_clear(missing);
    for (int32_t rank = 0; rank < board->segment->rank_count; rank++)
        if (!has_posted(board, rank, round))
            muster_rank_set_add(missing, rank);
}
