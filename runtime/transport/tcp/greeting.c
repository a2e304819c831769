/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/greeting.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "transport/host/clock.h"
#include "transport/tcp/connection.h"

#define FIRST_PAUSE_NS MUSTER_HOST_MILLISECOND_NS
#define LAST_PAUSE_NS (100 * MUSTER_HOST_MILLISECOND_NS)
/* The kernel doubles the time between its tries; a fresh socket finds a network that is back sooner. */
#define CONNECTING_NS (2000 * MUSTER_HOST_MILLISECOND_NS)

void muster_tcp_greeting_init(muster_tcp_greeting *greeting)
{
    greeting->state = MUSTER_TCP_GREETING_PAUSE;
    greeting->fd = -1;
    greeting->at_ns = 0;
    greeting->pause_ns = FIRST_PAUSE_NS;
}

void muster_tcp_greeting_clean_up(muster_tcp_greeting *greeting)
{
    if (greeting->fd >= 0)
        close(greeting->fd);
    greeting->fd = -1;
}

static void pause_now(muster_tcp_greeting *greeting, int native_code, int64_t now_ns)
{
    muster_tcp_greeting_clean_up(greeting);
    greeting->state = MUSTER_TCP_GREETING_PAUSE;
    greeting->native_code = native_code;
    greeting->at_ns = now_ns + greeting->pause_ns;
    greeting->pause_ns =
        2 * greeting->pause_ns < LAST_PAUSE_NS ? 2 * greeting->pause_ns : LAST_PAUSE_NS;
}

static void unreached(muster_tcp_greeting *greeting, int native_code, int64_t now_ns)
{
    if (greeting->unreached_since_ns == 0)
        greeting->unreached_since_ns = now_ns;
    pause_now(greeting, native_code, now_ns);
}

static void begin(muster_tcp_greeting *greeting, int64_t now_ns)
{
    struct sockaddr_storage place;
    socklen_t bytes = muster_tcp_address_to_socket(&greeting->address, &place);

    greeting->fd = socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (greeting->fd < 0 || !muster_tcp_connection_set_up(greeting->fd, greeting->silence_ns)) {
        if (muster_host_want_is(errno))
            muster_host_want_failed(&greeting->want, errno, now_ns);
        pause_now(greeting, errno, now_ns);
        return;
    }
    muster_host_want_ended(&greeting->want);
    greeting->state = MUSTER_TCP_GREETING_CONNECTING;
    greeting->at_ns = now_ns + CONNECTING_NS;
    greeting->sent = 0;
    greeting->taken = 0;
    if (connect(greeting->fd, (const struct sockaddr *)&place, bytes) != 0 &&
        errno != EINPROGRESS && errno != EINTR)
        unreached(greeting, errno, now_ns);
}

static void look_at_connecting(muster_tcp_greeting *greeting, int64_t now_ns)
{
    struct pollfd entry = {.fd = greeting->fd, .events = POLLOUT};
    socklen_t bytes = sizeof(int);
    int code = 0;

    if (poll(&entry, 1, 0) <= 0) {
        if (now_ns >= greeting->at_ns)
            unreached(greeting, ETIMEDOUT, now_ns);
        return;
    }
    if (getsockopt(greeting->fd, SOL_SOCKET, SO_ERROR, &code, &bytes) != 0)
        code = errno;
    if (code != 0) {
        unreached(greeting, code, now_ns);
        return;
    }
    greeting->unreached_since_ns = 0;
    greeting->state = MUSTER_TCP_GREETING_SAYING;
}

static void say(muster_tcp_greeting *greeting, int64_t now_ns)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + MUSTER_TCP_HELLO_BYTES];
    ssize_t sent;

    muster_tcp_header_encode(&greeting->header, bytes);
    muster_tcp_hello_encode(&greeting->hello, bytes + MUSTER_TCP_HEADER_BYTES);
    sent = send(greeting->fd, bytes + greeting->sent, sizeof bytes - greeting->sent,
                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        pause_now(greeting, errno, now_ns);
        return;
    }
    greeting->sent += sent > 0 ? (size_t)sent : 0;
    if (greeting->sent == sizeof bytes)
        greeting->state = MUSTER_TCP_GREETING_AWAITING;
}

/* How long the answer is: known once its header is whole. 0: no answer of ours. */
static size_t answer_bytes(const muster_tcp_greeting *greeting, muster_tcp_header *header)
{
    if (greeting->taken < MUSTER_TCP_HEADER_BYTES)
        return MUSTER_TCP_HEADER_BYTES;
    if (muster_tcp_header_decode(greeting->bytes, header) != MUSTER_TCP_HEADER_OK ||
        (header->kind != MUSTER_TCP_WELCOME && header->kind != MUSTER_TCP_REFUSED) ||
        header->epoch != greeting->header.epoch ||
        header->communicator != greeting->header.communicator)
        return 0;
    return MUSTER_TCP_HEADER_BYTES + (size_t)header->bytes;
}

static muster_status refused(muster_tcp_greeting *greeting, int64_t now_ns)
{
    muster_tcp_refusal refusal = MUSTER_TCP_REFUSAL_LATE;

    if (!muster_tcp_refused_decode(greeting->bytes + MUSTER_TCP_HEADER_BYTES, &refusal))
        refusal = MUSTER_TCP_REFUSAL_LATE;
    /* A wrong cookie: somebody else listens there now, since the peer is gone. The verdict will say so. */
    pause_now(greeting, ECONNREFUSED, now_ns);
    switch (refusal) {
    case MUSTER_TCP_REFUSAL_VERSION:
        return MUSTER_ERR_VERSION;
    case MUSTER_TCP_REFUSAL_MEMBER:
        return MUSTER_ERR_FOREIGN;
    default:
        return MUSTER_OK;
    }
}

static bool is_the_peer(const muster_tcp_greeting *greeting)
{
    muster_tcp_welcome welcome;

    return muster_tcp_welcome_decode(greeting->bytes + MUSTER_TCP_HEADER_BYTES, &welcome) &&
           welcome.slot == greeting->hello.to.slot &&
           welcome.incarnation == greeting->hello.to.incarnation &&
           muster_tcp_cookie_equal(welcome.cookie, greeting->own_cookie);
}

static muster_status hear(muster_tcp_greeting *greeting, int64_t now_ns)
{
    for (;;) {
        muster_tcp_header header = {.kind = MUSTER_TCP_WELCOME};
        size_t wanted = answer_bytes(greeting, &header);
        ssize_t got;

        if (wanted == 0 || wanted > sizeof greeting->bytes) {
            pause_now(greeting, EPROTO, now_ns);
            return MUSTER_OK;
        }
        if (greeting->taken == wanted) {
            if (header.kind == MUSTER_TCP_REFUSED)
                return refused(greeting, now_ns);
            if (is_the_peer(greeting))
                greeting->state = MUSTER_TCP_GREETING_DONE;
            else
                pause_now(greeting, EPROTO, now_ns);
            return MUSTER_OK;
        }
        got = recv(greeting->fd, greeting->bytes + greeting->taken, wanted - greeting->taken,
                   MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return MUSTER_OK;
        if (got <= 0) {
            pause_now(greeting, got == 0 ? ECONNRESET : errno, now_ns);
            return MUSTER_OK;
        }
        greeting->taken += (size_t)got;
    }
}

muster_status muster_tcp_greeting_step(muster_tcp_greeting *greeting, int64_t now_ns)
{
    if (greeting->state == MUSTER_TCP_GREETING_PAUSE && now_ns >= greeting->at_ns)
        begin(greeting, now_ns);
    if (greeting->state == MUSTER_TCP_GREETING_CONNECTING)
        look_at_connecting(greeting, now_ns);
    if (greeting->state == MUSTER_TCP_GREETING_SAYING)
        say(greeting, now_ns);
    if (greeting->state == MUSTER_TCP_GREETING_AWAITING)
        return hear(greeting, now_ns);
    return MUSTER_OK;
}

short muster_tcp_greeting_events(const muster_tcp_greeting *greeting)
{
    switch (greeting->state) {
    case MUSTER_TCP_GREETING_CONNECTING:
    case MUSTER_TCP_GREETING_SAYING:
        return POLLOUT;
    case MUSTER_TCP_GREETING_AWAITING:
        return POLLIN;
    default:
        return 0;
    }
}
