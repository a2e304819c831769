/* SPDX-License-Identifier: Apache-2.0 */
/* A rank of another host that a test plays by hand, byte by byte, against a real one. */
#ifndef MUSTER_TESTS_UNIT_TCP_RAW_H
#define MUSTER_TESTS_UNIT_TCP_RAW_H

#include <pthread.h>

#include "transport/plane/endpoint.h"
#include "transport/plane/plane.h"

#define RAW_JOB UINT64_C(77)
#define RAW_EPOCH UINT64_C(5)
#define RAW_COMMUNICATOR UINT64_C(8)
#define RAW_SECOND_NS INT64_C(1000000000)

/* Rank 0 is real, on host "real"; rank 1 is played, and its cookie is this. */
typedef struct raw_pair {
    const muster_transport_table *table;
    muster_transport_endpoint *endpoint;
    muster_transport_member members[2];
    muster_transport *transport;
    muster_tcp_address address; /* of the real one */
    uint8_t played_cookie[MUSTER_TCP_COOKIE_BYTES];
    _Atomic int unreachable_count;
    pthread_t thread;
    muster_status connected;
    muster_error error; /* why not */
    int64_t patience_ns;
    int fd_count;
} raw_pair;

void raw_open(raw_pair *pair);
/* Closes what there is, and checks that no descriptor was left. */
void raw_close(raw_pair *pair);

/* The real one connects, on a thread; raw_connected waits for what comes of it. */
void raw_connect(raw_pair *pair);
muster_status raw_connected(raw_pair *pair);

/* A socket to the real one. */
int raw_socket(const raw_pair *pair);
muster_tcp_hello raw_hello(const raw_pair *pair);
void raw_say_hello(int fd, const muster_tcp_hello *hello, uint64_t epoch, uint64_t communicator);
/* Reads one answer: its kind, 0 where the connection was closed. Blocks. */
int raw_answer(int fd, muster_tcp_refusal *refusal);
/* A whole handshake: the played rank's live connection. */
int raw_meet(raw_pair *pair);

void raw_send(int fd, const void *bytes, size_t count);
void raw_send_header(int fd, muster_tcp_kind kind, uint64_t epoch, uint64_t sequence, size_t bytes);
void raw_receive(int fd, void *bytes, size_t count);

int64_t raw_now_ns(void);
void raw_nap_ms(long milliseconds);

#endif
