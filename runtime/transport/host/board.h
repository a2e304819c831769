/* SPDX-License-Identifier: Apache-2.0 */
/* The board of a segment: everyone's MUSTER_ROUND_BYTES to everyone, round by round. */
#ifndef MUSTER_TRANSPORT_HOST_BOARD_H
#define MUSTER_TRANSPORT_HOST_BOARD_H

#include "transport/host/segment.h"

/* One rank's view. */
typedef struct muster_host_board {
    const muster_host_segment *segment;
    int32_t own_rank;
    uint64_t own_posted;
    /* Ranks below this one have posted polled_round: a poll looks at each rank once. */
    uint64_t polled_round;
    int32_t polled_rank;
} muster_host_board;

void muster_host_board_init(muster_host_board *board, const muster_host_segment *segment,
                            int32_t own_rank);

/* Rounds are posted in order, and only after the one before was complete. */
void muster_host_board_post(muster_host_board *board, uint64_t round, const void *payload);

/* NULL until all have posted; else the payloads by rank. */
const void *muster_host_board_poll(muster_host_board *board, uint64_t round);

void muster_host_board_missing(const muster_host_board *board, uint64_t round,
                               muster_rank_set *missing);

#endif
