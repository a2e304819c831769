/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from one peer on a live connection, frame by frame. Pure: it says where the next bytes belong,
 * and the caller puts them there.
 *
 *   header ──> round body ──> header       into the peer's place of the round, where its turn is
 *      │  └──> data body ───> header       into the memory of a RECEIVE, and only once there is one
 *      └─────> ended (BYE)
 *   anything that cannot be: broken, for good
 *
 * It can be for this epoch and communicator only: every header is compared. */
#ifndef MUSTER_TRANSPORT_TCP_INFLOW_H
#define MUSTER_TRANSPORT_TCP_INFLOW_H

#include "transport/tcp/frame.h"

#define MUSTER_TCP_BOARD_PLACES 3 /* as the host plane's board, for the same reason */

typedef enum muster_tcp_inflow_state {
    MUSTER_TCP_INFLOW_HEADER = 0,
    MUSTER_TCP_INFLOW_ROUND = 1,
    MUSTER_TCP_INFLOW_DATA = 2,
    MUSTER_TCP_INFLOW_ENDED = 3,
    MUSTER_TCP_INFLOW_BROKEN = 4
} muster_tcp_inflow_state;

typedef struct muster_tcp_inflow {
    uint64_t epoch;
    uint64_t communicator;
    uint8_t *
        places[MUSTER_TCP_BOARD_PLACES]; /* of this peer's payloads, by round modulo their number */
    muster_tcp_inflow_state state;
    const char *fault; /* BROKEN: why */
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES];
    size_t taken; /* of the header, or of the body */
    muster_tcp_header header;
    uint64_t round;      /* the last one that came whole */
    uint64_t own_posted; /* the last one that this rank has posted */
    uint64_t sequence;   /* of the last DATA */
    /* The RECEIVE in turn. */
    uint8_t *data;
    size_t data_bytes;
    bool received; /* whole */
} muster_tcp_inflow;

void muster_tcp_inflow_init(muster_tcp_inflow *inflow, uint64_t epoch, uint64_t communicator);

/* Where the next bytes belong, and how many at most; NULL: none can be taken now (a DATA before its
 * RECEIVE, ended, broken). */
uint8_t *muster_tcp_inflow_where(const muster_tcp_inflow *inflow, size_t *bytes);
/* So many bytes were put there. */
void muster_tcp_inflow_took(muster_tcp_inflow *inflow, size_t bytes);

/* This rank has posted a round: the next one of the peer may come. */
void muster_tcp_inflow_posted(muster_tcp_inflow *inflow, uint64_t round);

/* The RECEIVE in turn, until it is whole or taken back. */
void muster_tcp_inflow_expect(muster_tcp_inflow *inflow, void *data, size_t bytes);
/* After it nothing is put there any more; one that had begun to come breaks the flow. */
void muster_tcp_inflow_forget(muster_tcp_inflow *inflow);

#endif
