/* SPDX-License-Identifier: Apache-2.0 */
/* What is said on a socket between two ranks of different hosts: frames, each a header of a fixed size and
 * a body whose length the header gives. Pure: values to bytes and back, everything checked and bounded.
 *
 *   HELLO     the rank that connects: who I am, whom I mean, and the cookie of the one that listens
 *   WELCOME   the answer: who I am, and the cookie of the one that connected
 *   REFUSED   or: why not
 *   ROUND     one rank's payload of one round
 *   DATA      the bytes of one SEND
 *   BYE       nothing follows; the end of the stream is no loss
 *
 * Numbers travel with the lowest byte first. */
#ifndef MUSTER_TRANSPORT_TCP_FRAME_H
#define MUSTER_TRANSPORT_TCP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/transport.h"

#define MUSTER_TCP_HEADER_BYTES ((size_t)40)
#define MUSTER_TCP_HELLO_BYTES ((size_t)56)
#define MUSTER_TCP_WELCOME_BYTES ((size_t)24)
#define MUSTER_TCP_REFUSED_BYTES ((size_t)8)
#define MUSTER_TCP_COOKIE_BYTES 16
/* More than one tensor has; a bound on what a header can claim. */
#define MUSTER_TCP_DATA_BYTES_MAX ((uint64_t)1 << 46)

typedef enum muster_tcp_kind {
    MUSTER_TCP_HELLO = 1,
    MUSTER_TCP_WELCOME = 2,
    MUSTER_TCP_REFUSED = 3,
    MUSTER_TCP_ROUND = 4,
    MUSTER_TCP_DATA = 5,
    MUSTER_TCP_BYE = 6
} muster_tcp_kind;

typedef struct muster_tcp_header {
    muster_tcp_kind kind;
    uint64_t epoch;
    uint64_t communicator;
    uint64_t sequence; /* ROUND: its number; DATA: 1, 2, 3 ... of this direction; else 0 */
    uint64_t bytes;    /* of the body */
} muster_tcp_header;

/* A rank as both sides know it from the control plane. */
typedef struct muster_tcp_party {
    int32_t rank;
    int32_t slot;
    uint32_t incarnation;
} muster_tcp_party;

typedef struct muster_tcp_hello {
    uint64_t job;
    muster_tcp_party from;
    muster_tcp_party to;
    int32_t member_count;
    uint8_t cookie[MUSTER_TCP_COOKIE_BYTES]; /* of the one that listens */
} muster_tcp_hello;

typedef struct muster_tcp_welcome {
    int32_t slot;
    uint32_t incarnation;
    uint8_t cookie[MUSTER_TCP_COOKIE_BYTES]; /* of the one that connected */
} muster_tcp_welcome;

typedef enum muster_tcp_refusal {
    MUSTER_TCP_REFUSAL_VERSION = 1, /* another layout of frames */
    MUSTER_TCP_REFUSAL_COOKIE = 2,  /* another job, or not the cookie of this endpoint */
    MUSTER_TCP_REFUSAL_MEMBER = 3,  /* no member of that epoch, or not the one meant */
    MUSTER_TCP_REFUSAL_LATE = 4     /* that epoch is over here */
} muster_tcp_refusal;

typedef enum muster_tcp_header_fault {
    MUSTER_TCP_HEADER_OK = 0,
    MUSTER_TCP_HEADER_FOREIGN = 1, /* not Muster's */
    MUSTER_TCP_HEADER_VERSION = 2,
    MUSTER_TCP_HEADER_KIND = 3,
    MUSTER_TCP_HEADER_LENGTH = 4 /* impossible for its kind */
} muster_tcp_header_fault;

void muster_tcp_header_encode(const muster_tcp_header *header, uint8_t *bytes);
/* bytes: MUSTER_TCP_HEADER_BYTES of them. */
muster_tcp_header_fault muster_tcp_header_decode(const uint8_t *bytes, muster_tcp_header *header);

/* The bodies; their sizes are the constants above. A body that cannot be is refused (false). */
void muster_tcp_hello_encode(const muster_tcp_hello *hello, uint8_t *bytes);
bool muster_tcp_hello_decode(const uint8_t *bytes, muster_tcp_hello *hello);
void muster_tcp_welcome_encode(const muster_tcp_welcome *welcome, uint8_t *bytes);
bool muster_tcp_welcome_decode(const uint8_t *bytes, muster_tcp_welcome *welcome);
void muster_tcp_refused_encode(muster_tcp_refusal refusal, uint8_t *bytes);
bool muster_tcp_refused_decode(const uint8_t *bytes, muster_tcp_refusal *refusal);

/* In a time that does not depend on where they differ. */
bool muster_tcp_cookie_equal(const uint8_t *one, const uint8_t *other);

#endif
