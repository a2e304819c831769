/* SPDX-License-Identifier: Apache-2.0 */
/* One AGREED in bytes that all its receivers share. Every new rank is told all members: with a copy for each,
 * ten thousand ranks would take 18 GB of the coordinator. A second one is for those that are told what changed. So what they are sent names no receiver (slot
 * MUSTER_SLOT_NONE): a rank that has a slot knows it. */
#ifndef MUSTER_COORDINATOR_BROADCAST_H
#define MUSTER_COORDINATOR_BROADCAST_H

#include <stdbool.h>

#include <zmq.h>

#include "core/message.h"

/* All zero: empty. */
typedef struct muster_broadcast {
    const muster_member *members; /* those that bytes tell of; NULL: empty */
    uint64_t epoch;
    zmq_msg_t bytes;
} muster_broadcast;

/* *frame, to be sent or closed, shares the bytes of agreed, which are made where they are not at hand.
 * agreed's members stay as they are until muster_broadcast_forget. False: no memory, no frame. */
bool muster_broadcast_frame(muster_broadcast *broadcast, const muster_message *agreed,
                            zmq_msg_t *frame);
void muster_broadcast_forget(muster_broadcast *broadcast);

#endif
