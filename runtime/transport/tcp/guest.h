/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody who has connected to this rank and is not let in yet. */
#ifndef MUSTER_TRANSPORT_TCP_GUEST_H
#define MUSTER_TRANSPORT_TCP_GUEST_H

#include "transport/tcp/frame.h"

struct muster_tcp_guest {
    int fd;
    int64_t deadline_ns;
    bool parked; /* has shown the cookie; its epoch has not begun here */
    size_t taken;
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + MUSTER_TCP_HELLO_BYTES];
    muster_tcp_header header;
    muster_tcp_hello hello;
};

typedef enum muster_tcp_guest_news {
    MUSTER_TCP_GUEST_WAITS = 0,   /* nothing to decide yet */
    MUSTER_TCP_GUEST_HELLO = 1,   /* header and hello are whole */
    MUSTER_TCP_GUEST_VERSION = 2, /* speaks another version */
    MUSTER_TCP_GUEST_GONE = 3     /* ended, or nonsense: nothing to answer */
} muster_tcp_guest_news;

/* Reads what has come; does not block. */
muster_tcp_guest_news muster_tcp_guest_listen(struct muster_tcp_guest *guest);

/* Both in one piece, since a fresh socket has room; false where it cannot be said. */
bool muster_tcp_guest_welcome(const struct muster_tcp_guest *guest, int32_t slot,
                              uint32_t incarnation, const uint8_t *cookie);
void muster_tcp_guest_refuse(const struct muster_tcp_guest *guest, muster_tcp_refusal refusal);

#endif
