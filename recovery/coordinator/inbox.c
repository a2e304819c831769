/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/inbox.h"

#include <stdlib.h>
#include <string.h>

/* Longer ones have memory of their own. */
#define INBOX_COPIED_BYTES_MAX ((size_t)8192)

static muster_inbox_lane *inbox_find(const muster_inbox *inbox, uint64_t job)
{
    muster_inbox_lane *lane = inbox->turn;
    if (lane == NULL)
        return NULL;
    do {
        if (lane->job == job)
            return lane;
        lane = lane->next;
    } while (lane != inbox->turn);
    return NULL;
}

/* Last in the ring: it waits for the others once, and they for it once. */
static muster_inbox_lane *inbox_add(muster_inbox *inbox, uint64_t job)
{
    muster_inbox_lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        return NULL;
    lane->job = job;
    lane->credit_ns = MUSTER_INBOX_SLICE_NS;
    if (inbox->turn == NULL) {
        lane->next = lane;
        inbox->turn = lane;
        return lane;
    }
    muster_inbox_lane *last = inbox->turn;
    while (last->next != inbox->turn)
        last = last->next;
    last->next = lane;
    lane->next = inbox->turn;
    return lane;
}

static void inbox_remove_turn(muster_inbox *inbox)
{
    muster_inbox_lane *lane = inbox->turn;
    muster_inbox_lane *last = lane;
    while (last->next != lane)
        last = last->next;
    last->next = lane->next;
    inbox->turn = lane->next != lane ? lane->next : NULL;
    free(lane);
}

static bool inbox_has_room(const muster_inbox_lane *lane, const muster_peer *peer, size_t bytes)
{
    uint32_t peer_max =
        peer->launcher ? MUSTER_INBOX_LAUNCHER_MESSAGES : MUSTER_INBOX_PEER_MESSAGES;
    return peer->waiting < peer_max && lane->message_count < MUSTER_INBOX_JOB_MESSAGES &&
           (lane->message_count == 0 || lane->byte_count + bytes <= MUSTER_INBOX_JOB_BYTES);
}

/* ZeroMQ reads into buffers of 18 KiB, and a message that is a part of one keeps all of it: a short one
 * that waits is copied. */
static void inbox_keep(muster_inbox_item *item, zmq_msg_t *payload)
{
    const size_t bytes = zmq_msg_size(payload);
    if (bytes > INBOX_COPIED_BYTES_MAX || zmq_msg_init_size(&item->payload, bytes) != 0) {
        zmq_msg_init(&item->payload);
        zmq_msg_move(&item->payload, payload);
        return;
    }
    memcpy(zmq_msg_data(&item->payload), zmq_msg_data(payload), bytes);
}

bool muster_inbox_put(muster_inbox *inbox, muster_peer *peer, zmq_msg_t *payload)
{
    size_t bytes = zmq_msg_size(payload);
    muster_inbox_lane *lane = inbox_find(inbox, peer->job);
    if (lane == NULL)
        lane = inbox_add(inbox, peer->job);
    if (lane == NULL || !inbox_has_room(lane, peer, bytes))
        return false;
    muster_inbox_item *item = calloc(1, sizeof *item);
    if (item == NULL)
        return false;
    item->connection = peer->connection;
    inbox_keep(item, payload);
    if (lane->last != NULL)
        lane->last->next = item;
    else
        lane->first = item;
    lane->last = item;
    lane->message_count++;
    lane->byte_count += bytes;
    peer->waiting++;
    return true;
}

/* Whoever has had more than its turn is passed over, and has a slice more the next time. */
static void inbox_choose(muster_inbox *inbox)
{
    while (inbox->turn != NULL) {
        muster_inbox_lane *lane = inbox->turn;
        if (lane->first == NULL) {
            inbox_remove_turn(inbox);
        } else if (lane->credit_ns <= 0 && lane->next != lane) {
            lane->credit_ns += MUSTER_INBOX_SLICE_NS;
            inbox->turn = lane->next;
        } else {
            return;
        }
    }
}

muster_inbox_item *muster_inbox_take(muster_inbox *inbox)
{
    inbox_choose(inbox);
    muster_inbox_lane *lane = inbox->turn;
    if (lane == NULL)
        return NULL;
    muster_inbox_item *item = lane->first;
    lane->first = item->next;
    if (lane->first == NULL)
        lane->last = NULL;
    lane->message_count--;
    lane->byte_count -= zmq_msg_size(&item->payload);
    return item;
}

void muster_inbox_spend(muster_inbox *inbox, int64_t spent_ns)
{
    inbox->turn->credit_ns -= spent_ns;
    /* One that is alone owes nobody. */
    if (inbox->turn->next == inbox->turn && inbox->turn->credit_ns < 0)
        inbox->turn->credit_ns = 0;
}

void muster_inbox_item_free(muster_inbox_item *item)
{
    zmq_msg_close(&item->payload);
    free(item);
}

bool muster_inbox_empty(const muster_inbox *inbox)
{
    if (inbox->turn == NULL)
        return true;
    const muster_inbox_lane *lane = inbox->turn;
    do {
        if (lane->first != NULL)
            return false;
        lane = lane->next;
    } while (lane != inbox->turn);
    return true;
}

void muster_inbox_clean_up(muster_inbox *inbox)
{
    while (inbox->turn != NULL) {
        while (inbox->turn->first != NULL) {
            muster_inbox_item *item = inbox->turn->first;
            inbox->turn->first = item->next;
            muster_inbox_item_free(item);
        }
        inbox_remove_turn(inbox);
    }
}
