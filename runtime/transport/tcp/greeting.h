/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a connecting rank to a member of another host, in steps that do not block:
 *
 *   pause ──> connecting ──> saying hello ──> awaiting the welcome ──> done
 *     ^            │               │                   │
 *     └────────────┴───────────────┴───────────────────┘   nobody there, another one there, too late */
#ifndef MUSTER_TRANSPORT_TCP_GREETING_H
#define MUSTER_TRANSPORT_TCP_GREETING_H

#include "transport/tcp/address.h"
#include "transport/host/want.h"

typedef enum muster_tcp_greeting_state {
    MUSTER_TCP_GREETING_PAUSE = 0,
    MUSTER_TCP_GREETING_CONNECTING = 1,
    MUSTER_TCP_GREETING_SAYING = 2,
    MUSTER_TCP_GREETING_AWAITING = 3,
    MUSTER_TCP_GREETING_DONE = 4
} muster_tcp_greeting_state;

typedef struct muster_tcp_greeting {
    muster_tcp_address address; /* the peer's */
    uint8_t own_cookie[MUSTER_TCP_COOKIE_BYTES];
    muster_tcp_header header;
    muster_tcp_hello hello;
    int64_t silence_ns;
    muster_tcp_greeting_state state;
    int fd;
    int64_t at_ns;              /* PAUSE: until then; CONNECTING: at most until then */
    int64_t pause_ns;           /* the next one */
    int64_t unreached_since_ns; /* 0: it has answered, or was not tried yet */
    int native_code;            /* of the last failure */
    muster_host_want want;      /* of what a socket takes */
    size_t sent;
    size_t taken;
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + MUSTER_TCP_WELCOME_BYTES];
} muster_tcp_greeting;

/* address, own_cookie, header, hello and silence_ns are the caller's to fill in before; all else is zero. */
void muster_tcp_greeting_init(muster_tcp_greeting *greeting);

/* Goes as far as it can now. MUSTER_OK (look at the state; DONE: fd is the caller's to take);
 * MUSTER_ERR_FOREIGN: the peer says that this rank is no member; MUSTER_ERR_VERSION. */
muster_status muster_tcp_greeting_step(muster_tcp_greeting *greeting, int64_t now_ns);

/* What to poll the socket for; 0: nothing now. */
short muster_tcp_greeting_events(const muster_tcp_greeting *greeting);

void muster_tcp_greeting_clean_up(muster_tcp_greeting *greeting);

#endif
