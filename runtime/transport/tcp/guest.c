/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/guest.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static bool header_possible(struct muster_tcp_guest *guest, muster_tcp_guest_news *news)
{
    muster_tcp_header_fault fault = muster_tcp_header_decode(guest->bytes, &guest->header);

    *news = fault == MUSTER_TCP_HEADER_VERSION ? MUSTER_TCP_GUEST_VERSION : MUSTER_TCP_GUEST_GONE;
    return fault == MUSTER_TCP_HEADER_OK && guest->header.kind == MUSTER_TCP_HELLO &&
           guest->header.sequence == 0;
}

muster_tcp_guest_news muster_tcp_guest_listen(struct muster_tcp_guest *guest)
{
    muster_tcp_guest_news news;

    for (;;) {
        uint8_t stray;
        bool whole = guest->taken == sizeof guest->bytes;
        /* Not a byte further than the hello: what follows is the connection's. Nothing may follow before the
         * welcome. */
        ssize_t got = whole ? recv(guest->fd, &stray, 1, MSG_DONTWAIT)
                            : recv(guest->fd, guest->bytes + guest->taken,
                                   sizeof guest->bytes - guest->taken, MSG_DONTWAIT);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return MUSTER_TCP_GUEST_WAITS;
        if (got <= 0 || whole)
            return MUSTER_TCP_GUEST_GONE;
        guest->taken += (size_t)got;
        if (guest->taken >= MUSTER_TCP_HEADER_BYTES && !header_possible(guest, &news))
            return news;
        if (guest->taken == sizeof guest->bytes)
            return muster_tcp_hello_decode(guest->bytes + MUSTER_TCP_HEADER_BYTES, &guest->hello)
                       ? MUSTER_TCP_GUEST_HELLO
                       : MUSTER_TCP_GUEST_GONE;
    }
}

static bool say(const struct muster_tcp_guest *guest, muster_tcp_kind kind, uint8_t *bytes,
                size_t body_bytes)
{
    const muster_tcp_header header = {.kind = kind,
                                      .epoch = guest->header.epoch,
                                      .communicator = guest->header.communicator,
                                      .bytes = body_bytes};
    size_t all_bytes = MUSTER_TCP_HEADER_BYTES + body_bytes;
    ssize_t sent;

    muster_tcp_header_encode(&header, bytes);
    do
        sent = send(guest->fd, bytes, all_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)all_bytes;
}

bool muster_tcp_guest_welcome(const struct muster_tcp_guest *guest, int32_t slot,
                              uint32_t incarnation, const uint8_t *cookie)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + MUSTER_TCP_WELCOME_BYTES];
    muster_tcp_welcome welcome = {.slot = slot, .incarnation = incarnation};

    memcpy(welcome.cookie, cookie, sizeof welcome.cookie);
    muster_tcp_welcome_encode(&welcome, bytes + MUSTER_TCP_HEADER_BYTES);
    return say(guest, MUSTER_TCP_WELCOME, bytes, MUSTER_TCP_WELCOME_BYTES);
}

void muster_tcp_guest_refuse(const struct muster_tcp_guest *guest, muster_tcp_refusal refusal)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + MUSTER_TCP_REFUSED_BYTES];

    muster_tcp_refused_encode(refusal, bytes + MUSTER_TCP_HEADER_BYTES);
    (void)say(guest, MUSTER_TCP_REFUSED, bytes, MUSTER_TCP_REFUSED_BYTES);
}
