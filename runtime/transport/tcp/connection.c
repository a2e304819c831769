/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"

#define NS_PER_MS INT64_C(1000000)

void muster_tcp_connection_init(muster_tcp_connection *connection, uint64_t epoch,
                                uint64_t communicator)
{
    memset(connection, 0, sizeof *connection);
    connection->fd = -1;
    muster_tcp_inflow_init(&connection->inflow, epoch, communicator);
}

void muster_tcp_connection_begin(muster_tcp_connection *connection, int fd)
{
    MUSTER_ASSERT(connection->fd < 0 && !connection->lost);
    connection->fd = fd;
    atomic_store(&connection->ready, MUSTER_TCP_READABLE | MUSTER_TCP_WRITABLE);
}

static bool set_number(int fd, int level, int option, int number)
{
    return setsockopt(fd, level, option, &number, sizeof number) == 0;
}

bool muster_tcp_connection_set_up(int fd, int64_t silence_ns)
{
    int64_t silence_ms = silence_ns / NS_PER_MS < 1000 ? 1000 : silence_ns / NS_PER_MS;
    int probe_s = (int)(silence_ms / 4000 > 0 ? silence_ms / 4000 : 1);

    /* Where data waits for its acknowledgement, TCP_USER_TIMEOUT counts; on an idle connection the probes
     * do, of which TCP_USER_TIMEOUT then says how long they may go unanswered. */
    return set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
           set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)silence_ms) &&
           set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, probe_s) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, probe_s);
}

/* The stream cannot go on. Whether the peer is dead, is for the control plane to find out. */
static void lose(muster_tcp_connection *connection, int native_code)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->native_code = native_code;
    connection->lost = connection->inflow.state != MUSTER_TCP_INFLOW_ENDED;
}

/* Says which of ready there is, and takes the mark away: the porter sets it anew with the next edge. Whoever
 * leaves before EAGAIN puts it back. */
static bool claim(muster_tcp_connection *connection, uint32_t what)
{
    if (connection->fd < 0 || (atomic_load(&connection->ready) & what) == 0)
        return false;
    atomic_fetch_and(&connection->ready, ~what);
    return true;
}

static void put_back(muster_tcp_connection *connection, uint32_t what)
{
    atomic_fetch_or(&connection->ready, what);
}

/* ---- out ---- */

/* Sends from up to two places; returns how many bytes went. *blocked: the socket takes no more now. */
static size_t send_some(muster_tcp_connection *connection, struct iovec *parts, size_t part_count,
                        bool *blocked)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
    ssize_t sent;

    *blocked = false;
    do
        sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return (size_t)sent;
    *blocked = true;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        lose(connection, errno);
    return 0;
}

static bool frame_waits(const muster_tcp_connection *connection)
{
    return connection->frame_sent < connection->frame_bytes;
}

static void begin_frame(muster_tcp_connection *connection, muster_tcp_kind kind, uint64_t sequence,
                        uint64_t bytes)
{
    const muster_tcp_header header = {.kind = kind,
                                      .epoch = connection->inflow.epoch,
                                      .communicator = connection->inflow.communicator,
                                      .sequence = sequence,
                                      .bytes = bytes};

    MUSTER_ASSERT(!frame_waits(connection) && connection->data_left == 0);
    muster_tcp_header_encode(&header, connection->frame);
    connection->frame_bytes = MUSTER_TCP_HEADER_BYTES;
    connection->frame_sent = 0;
}

/* Sends the rest of the frame, and of data what goes along. Returns how much of data went. */
static size_t send_along(muster_tcp_connection *connection, const void *data, size_t data_bytes,
                         size_t limit_bytes)
{
    size_t data_sent = 0;
    bool blocked = false;

    if (!claim(connection, MUSTER_TCP_WRITABLE))
        return 0;
    while (!blocked && connection->fd >= 0 && data_sent < limit_bytes &&
           (frame_waits(connection) || data_sent < data_bytes)) {
        size_t frame_left = connection->frame_bytes - connection->frame_sent;
        size_t piece = data_bytes - data_sent;
        struct iovec parts[2] = {
            {.iov_base = connection->frame + connection->frame_sent, .iov_len = frame_left},
            {.iov_base = (char *)(uintptr_t)data + data_sent, .iov_len = piece}};
        size_t sent;

        if (piece > limit_bytes - data_sent)
            parts[1].iov_len = limit_bytes - data_sent;
        sent = send_some(connection, parts, data_bytes > 0 ? 2 : 1, &blocked);
        frame_left = sent < frame_left ? sent : frame_left;
        connection->frame_sent += frame_left;
        data_sent += sent - frame_left;
    }
    if (!blocked)
        put_back(connection, MUSTER_TCP_WRITABLE);
    return data_sent;
}

void muster_tcp_connection_post(muster_tcp_connection *connection, uint64_t round,
                                const void *payload)
{
    muster_tcp_inflow_posted(&connection->inflow, round);
    if (connection->fd < 0)
        return;
    begin_frame(connection, MUSTER_TCP_ROUND, round, MUSTER_ROUND_BYTES);
    memcpy(connection->frame + MUSTER_TCP_HEADER_BYTES, payload, MUSTER_ROUND_BYTES);
    connection->frame_bytes += MUSTER_ROUND_BYTES;
    (void)muster_tcp_connection_flush(connection);
}

bool muster_tcp_connection_flush(muster_tcp_connection *connection)
{
    if (frame_waits(connection) && connection->data_left == 0)
        (void)send_along(connection, NULL, 0, 1);
    return connection->fd < 0 || !frame_waits(connection);
}

size_t muster_tcp_connection_put(muster_tcp_connection *connection, const void *data, size_t bytes,
                                 size_t done, size_t limit_bytes)
{
    size_t sent;

    if (connection->fd < 0)
        return 0;
    if (done == 0 && connection->data_left == 0) {
        begin_frame(connection, MUSTER_TCP_DATA, ++connection->sequence, bytes);
        connection->data_left = bytes;
    }
    sent = send_along(connection, (const char *)data + done, bytes - done, limit_bytes);
    connection->data_left -= sent;
    return sent;
}

/* ---- in ---- */

bool muster_tcp_connection_take(muster_tcp_connection *connection, size_t limit_bytes)
{
    muster_tcp_inflow *inflow = &connection->inflow;
    size_t came = 0;

    if (!claim(connection, MUSTER_TCP_READABLE))
        return false;
    while (came < limit_bytes) {
        size_t wanted;
        uint8_t *where = muster_tcp_inflow_where(inflow, &wanted);
        ssize_t got;

        if (where == NULL) {
            if (inflow->state == MUSTER_TCP_INFLOW_DATA) {
                put_back(connection, MUSTER_TCP_READABLE); /* its RECEIVE is not in turn yet */
                return came > 0;
            }
            lose(connection, inflow->state == MUSTER_TCP_INFLOW_BROKEN ? EPROTO : 0);
            return true;
        }
        got = recv(connection->fd, where, wanted, MSG_DONTWAIT);
        if (got > 0) {
            came += (size_t)got;
            muster_tcp_inflow_took(inflow, (size_t)got);
            continue;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
            lose(connection, got == 0 ? 0 : errno);
            return true;
        }
        return came > 0;
    }
    put_back(connection, MUSTER_TCP_READABLE);
    return true;
}

void muster_tcp_connection_end(muster_tcp_connection *connection)
{
    if (connection->fd < 0)
        return;
    /* A word of farewell, where it fits in between: without it the peer would report a loss. */
    if (!frame_waits(connection) && connection->data_left == 0) {
        begin_frame(connection, MUSTER_TCP_BYE, 0, 0);
        put_back(connection, MUSTER_TCP_WRITABLE);
        (void)muster_tcp_connection_flush(connection);
    }
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}
