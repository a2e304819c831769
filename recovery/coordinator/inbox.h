/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the socket and the core: a queue for each job, and one for those who have not named
 * theirs yet. They take turns by the time that their messages cost, so that a job that floods, or whose
 * messages are dear, waits for itself and not the others for it.
 *
 * A job that is served as fast as it speaks never waits here. Each queue and each peer's part of it are
 * bounded; what does not fit is dropped, which the protocol forgives: whatever counts is said again. */
#ifndef MUSTER_COORDINATOR_INBOX_H
#define MUSTER_COORDINATOR_INBOX_H

#include <zmq.h>

#include "coordinator/peers.h"

/* What may wait of one job. A burst of a launcher's or of all ranks is no flood. */
#define MUSTER_INBOX_JOB_MESSAGES 65536u
#define MUSTER_INBOX_JOB_BYTES ((size_t)32 << 20)
/* And of one peer: a rank says a handful at once, a launcher tells all its processes. */
#define MUSTER_INBOX_PEER_MESSAGES 256u
#define MUSTER_INBOX_LAUNCHER_MESSAGES 32768u
/* One turn of a job. */
#define MUSTER_INBOX_SLICE_NS ((int64_t)500000)

typedef struct muster_inbox_item {
    uint64_t connection;
    zmq_msg_t payload;
    struct muster_inbox_item *next;
} muster_inbox_item;

typedef struct muster_inbox_lane {
    uint64_t job; /* 0: not named yet */
    muster_inbox_item *first;
    muster_inbox_item *last;
    size_t message_count;
    size_t byte_count;
    int64_t credit_ns; /* below zero: it has had more than its turn */
    struct muster_inbox_lane *next;
} muster_inbox_lane;

typedef struct muster_inbox {
    muster_inbox_lane *turn; /* whose turn it is; the others follow in a ring. NULL: all empty */
} muster_inbox;

/* Takes payload over where it returns true; false: there is no room, or no memory. */
bool muster_inbox_put(muster_inbox *inbox, muster_peer *peer, zmq_msg_t *payload);

/* The next message, for the caller to end with muster_inbox_item_free; NULL: none waits. */
muster_inbox_item *muster_inbox_take(muster_inbox *inbox);
/* What the last one taken has cost. */
void muster_inbox_spend(muster_inbox *inbox, int64_t spent_ns);
void muster_inbox_item_free(muster_inbox_item *item);

bool muster_inbox_empty(const muster_inbox *inbox);
void muster_inbox_clean_up(muster_inbox *inbox);

#endif
