/* SPDX-License-Identifier: Apache-2.0 */
/* Where other hosts reach an endpoint, and the cookie that they must show: its part of a blob. */
#ifndef MUSTER_TRANSPORT_TCP_ADDRESS_H
#define MUSTER_TRANSPORT_TCP_ADDRESS_H

#include <sys/socket.h>

#include "transport/tcp/frame.h"

#define MUSTER_TCP_ADDRESS_BYTES ((size_t)48) /* in a blob */
#define MUSTER_TCP_ADDRESS_TEXT_BYTES 64

typedef struct muster_tcp_address {
    uint32_t family; /* 4 or 6; 0: no other host reaches it */
    uint32_t scope;  /* of a link-local IPv6 address */
    uint16_t port;
    uint8_t number[16];
    uint8_t cookie[MUSTER_TCP_COOKIE_BYTES];
} muster_tcp_address;

void muster_tcp_address_encode(const muster_tcp_address *address, uint8_t *bytes);
/* False where these are none of this version. */
bool muster_tcp_address_decode(const uint8_t *bytes, muster_tcp_address *address);

/* Without the cookie. Returns the length; 0 where the address has no family. */
socklen_t muster_tcp_address_to_socket(const muster_tcp_address *address,
                                       struct sockaddr_storage *socket_address);
/* False: neither IPv4 nor IPv6. Leaves the cookie. */
bool muster_tcp_address_from_socket(const struct sockaddr_storage *socket_address,
                                    muster_tcp_address *address);

bool muster_tcp_address_is_loopback(const muster_tcp_address *address);

/* "10.0.0.1:4711", for people. */
void muster_tcp_address_text(const muster_tcp_address *address, char *text, size_t text_bytes);

#endif
