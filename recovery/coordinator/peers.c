/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

#define PEERS_BUCKET_COUNT 4096u
#define PEERS_EVENT_BYTES 6u /* 16 bit of event, 32 of value */
/* The value of these is no descriptor. */
#define PEERS_EVENTS_FAILED \
    (ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
#define PEERS_EVENTS \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | PEERS_EVENTS_FAILED)

/* What is known of one descriptor: descriptors are used again, so the monitor's order counts. */
typedef struct peers_descriptor {
    uint64_t connection; /* 0: none that has spoken */
    bool closed;
} peers_descriptor;

struct muster_peers {
    void *monitor;
    void *router;
    muster_gate *gate;
    muster_peer *by_id[PEERS_BUCKET_COUNT];
    muster_peer *by_connection[PEERS_BUCKET_COUNT];
    uint64_t last_connection;
    size_t count;
    peers_descriptor *descriptors; /* by number */
    size_t descriptor_count;
    uint64_t *lost; /* a queue: lost_from .. lost_to */
    size_t lost_from;
    size_t lost_to;
    size_t lost_capacity;
};

static muster_status peers_watch(muster_peers *peers, void *context, muster_error *error)
{
    char name[64];
    int no_limit = 0;
    int no_linger = 0;
    snprintf(name, sizeof name, "inproc://muster-monitor-%p", (void *)peers);
    if (zmq_socket_monitor(peers->router, name, PEERS_EVENTS) != 0)
        return muster_error_set_errno(error, zmq_errno(), "watching the coordinator's socket");
    peers->monitor = zmq_socket(context, ZMQ_PAIR);
    /* No limit: ZeroMQ's I/O thread would wait for us at a full pipe, and we for it. */
    if (peers->monitor == NULL ||
        zmq_setsockopt(peers->monitor, ZMQ_RCVHWM, &no_limit, sizeof no_limit) != 0 ||
        zmq_setsockopt(peers->monitor, ZMQ_LINGER, &no_linger, sizeof no_linger) != 0 ||
        zmq_connect(peers->monitor, name) != 0)
        return muster_error_set_errno(error, zmq_errno(), "watching the coordinator's socket");
    return muster_error_set_ok(error);
}

muster_status muster_peers_open(void *context, void *router, muster_gate *gate,
                                muster_peers **peers, muster_error *error)
{
    muster_peers *opened = calloc(1, sizeof *opened);
    *peers = NULL;
    if (opened == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the coordinator's table of peers");
    opened->router = router;
    opened->gate = gate;
    muster_status status = peers_watch(opened, context, error);
    if (status == MUSTER_OK)
        *peers = opened;
    else
        muster_peers_close(opened);
    return status;
}

void muster_peers_close(muster_peers *peers)
{
    if (peers == NULL)
        return;
    zmq_socket_monitor(peers->router, NULL, 0);
    if (peers->monitor != NULL)
        zmq_close(peers->monitor);
    for (size_t i = 0; i < PEERS_BUCKET_COUNT; i++) {
        while (peers->by_connection[i] != NULL) {
            muster_peer *peer = peers->by_connection[i];
            peers->by_connection[i] = peer->next_by_connection;
            free(peer);
        }
    }
    free(peers->descriptors);
    free(peers->lost);
    free(peers);
}

void *muster_peers_monitor(muster_peers *peers)
{
    return peers->monitor;
}

/* NULL when memory ran out: its loss is then found by silence only. */
static peers_descriptor *peers_descriptor_of(muster_peers *peers, int fd)
{
    if (fd < 0)
        return NULL;
    size_t index = (size_t)fd;
    if (index >= peers->descriptor_count) {
        size_t count = index * 2 + 64;
        peers_descriptor *grown = realloc(peers->descriptors, count * sizeof *peers->descriptors);
        if (grown == NULL)
            return NULL;
        memset(grown + peers->descriptor_count, 0,
               (count - peers->descriptor_count) * sizeof *grown);
        peers->descriptors = grown;
        peers->descriptor_count = count;
    }
    return &peers->descriptors[index];
}

void muster_peers_lose(muster_peers *peers, uint64_t connection)
{
    if (peers->lost_to == peers->lost_capacity) {
        size_t waiting = peers->lost_to - peers->lost_from;
        size_t capacity = waiting * 2 + 16;
        uint64_t *lost = malloc(capacity * sizeof *lost);
        if (lost == NULL)
            return; /* silence will tell */
        if (waiting > 0)
            memcpy(lost, peers->lost + peers->lost_from, waiting * sizeof *lost);
        free(peers->lost);
        peers->lost = lost;
        peers->lost_from = 0;
        peers->lost_to = waiting;
        peers->lost_capacity = capacity;
    }
    peers->lost[peers->lost_to++] = connection;
}

uint64_t muster_peers_next_lost(muster_peers *peers)
{
    while (peers->lost_from < peers->lost_to) {
        uint64_t connection = peers->lost[peers->lost_from++];
        if (muster_peers_find(peers, connection) != NULL)
            return connection;
    }
    peers->lost_from = 0;
    peers->lost_to = 0;
    return 0;
}

static void peers_take_event(muster_peers *peers, uint16_t event, int fd)
{
    if ((event & PEERS_EVENTS_FAILED) != 0) {
        muster_gate_count_failure(peers->gate, event, (uint32_t)fd);
        return;
    }
    peers_descriptor *descriptor = peers_descriptor_of(peers, fd);
    if (descriptor == NULL)
        return;
    if (descriptor->connection != 0)
        muster_peers_lose(peers, descriptor->connection);
    descriptor->connection = 0;
    descriptor->closed = event != ZMQ_EVENT_ACCEPTED;
}

void muster_peers_listen(muster_peers *peers)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    /* Each event is two frames: the numbers, then an address that nobody needs. */
    while (zmq_msg_recv(&frame, peers->monitor, ZMQ_DONTWAIT) >= 0) {
        if (zmq_msg_size(&frame) == PEERS_EVENT_BYTES && zmq_msg_more(&frame)) {
            uint16_t event;
            int32_t value;
            memcpy(&event, zmq_msg_data(&frame), sizeof event);
            memcpy(&value, (const char *)zmq_msg_data(&frame) + sizeof event, sizeof value);
            peers_take_event(peers, event, value);
        }
    }
    zmq_msg_close(&frame);
}

static size_t peers_id_bucket(const void *routing_id, size_t bytes)
{
    return (size_t)(muster_hash_bytes(routing_id, bytes, 0) % PEERS_BUCKET_COUNT);
}

static muster_peer *peers_find_id(muster_peers *peers, const void *routing_id, size_t bytes)
{
    muster_peer *peer = peers->by_id[peers_id_bucket(routing_id, bytes)];
    while (peer != NULL &&
           (peer->routing_id_bytes != bytes || memcmp(peer->routing_id, routing_id, bytes) != 0))
        peer = peer->next_by_id;
    return peer;
}

/* Binds a new connection to its descriptor. What the monitor said before is taken in first, so that
 * the descriptor's former user is not mistaken for this one. */
static void peers_bind(muster_peers *peers, muster_peer *peer)
{
    muster_peers_listen(peers);
    peers_descriptor *descriptor = peers_descriptor_of(peers, peer->fd);
    if (descriptor == NULL)
        return;
    if (descriptor->closed) {
        /* It spoke and went before we looked. */
        muster_peers_lose(peers, peer->connection);
        return;
    }
    if (descriptor->connection != 0)
        muster_peers_lose(peers, descriptor->connection);
    descriptor->connection = peer->connection;
}

muster_peer *muster_peers_sender(muster_peers *peers, const void *routing_id, size_t bytes, int fd,
                                 const char *key)
{
    muster_peer *peer = peers_find_id(peers, routing_id, bytes);
    /* The key too: a descriptor's next user may choose its last one's routing id, and the monitor may
     * not have said yet that it is another. */
    if (peer != NULL && peer->fd == fd && strcmp(peer->key.text, key != NULL ? key : "") == 0)
        return peer;
    /* A peer that chose its own routing id and came back with it is another connection. */
    if (peer != NULL)
        muster_peers_lose(peers, peer->connection);
    if (bytes > MUSTER_ROUTING_ID_BYTES || peers->count >= MUSTER_PEERS_MAX)
        return NULL;
    peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    memcpy(peer->routing_id, routing_id, bytes);
    peer->routing_id_bytes = (uint8_t)bytes;
    peer->fd = fd;
    if (key != NULL)
        snprintf(peer->key.text, sizeof peer->key.text, "%s", key);
    peer->connection = ++peers->last_connection;
    size_t id_bucket = peers_id_bucket(routing_id, bytes);
    size_t connection_bucket = (size_t)(peer->connection % PEERS_BUCKET_COUNT);
    peer->next_by_id = peers->by_id[id_bucket];
    peers->by_id[id_bucket] = peer;
    peer->next_by_connection = peers->by_connection[connection_bucket];
    peers->by_connection[connection_bucket] = peer;
    peers->count++;
    peers_bind(peers, peer);
    return peer;
}

muster_peer *muster_peers_find(muster_peers *peers, uint64_t connection)
{
    muster_peer *peer = peers->by_connection[connection % PEERS_BUCKET_COUNT];
    while (peer != NULL && peer->connection != connection)
        peer = peer->next_by_connection;
    return peer;
}

void muster_peers_forget(muster_peers *peers, uint64_t connection)
{
    muster_peer **at = &peers->by_connection[connection % PEERS_BUCKET_COUNT];
    while (*at != NULL && (*at)->connection != connection)
        at = &(*at)->next_by_connection;
    muster_peer *peer = *at;
    if (peer == NULL)
        return;
    *at = peer->next_by_connection;
    at = &peers->by_id[peers_id_bucket(peer->routing_id, peer->routing_id_bytes)];
    while (*at != peer)
        at = &(*at)->next_by_id;
    *at = peer->next_by_id;
    if (peer->fd >= 0 && (size_t)peer->fd < peers->descriptor_count &&
        peers->descriptors[peer->fd].connection == connection)
        peers->descriptors[peer->fd].connection = 0;
    MUSTER_ASSERT(peers->count > 0);
    peers->count--;
    free(peer);
}

muster_peer *muster_peers_next(muster_peers *peers, const muster_peer *after)
{
    size_t bucket = 0;
    if (after != NULL) {
        if (after->next_by_connection != NULL)
            return after->next_by_connection;
        bucket = (size_t)(after->connection % PEERS_BUCKET_COUNT) + 1;
    }
    while (bucket < PEERS_BUCKET_COUNT && peers->by_connection[bucket] == NULL)
        bucket++;
    return bucket < PEERS_BUCKET_COUNT ? peers->by_connection[bucket] : NULL;
}

size_t muster_peers_count(const muster_peers *peers)
{
    return peers->count;
}
