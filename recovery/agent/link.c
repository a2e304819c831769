/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/link.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zmq.h>

#include "agent/room.h"
#include "base/error.h"
#include "wire/wire.h"

#define LINK_HIGH_WATER_MARK 256 /* messages each way */
#define LINK_RECONNECT_MS 50
#define LINK_RECONNECT_MAX_MS 500
#define LINK_NS_PER_MS ((int64_t)1000000)
/* A coordinator's host that vanished without a word: the kernel gives the connection up after this,
 * and the next one finds the coordinator's new place. */
#define LINK_TCP_GIVE_UP_MS 10000
#define LINK_TCP_KEEPALIVE_IDLE_S 5
#define LINK_TCP_KEEPALIVE_INTERVAL_S 2
#define LINK_TCP_KEEPALIVE_COUNT 3
#define LINK_EVENT_BYTES 6u /* 16 bit of event, 32 of value */
#define LINK_FAILURES \
    (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

static int64_t link_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool link_set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool link_configure(void *socket)
{
    int64_t message_bytes_max = (int64_t)MUSTER_WIRE_MESSAGE_BYTES_MAX;
    return link_set_int(socket, ZMQ_LINGER, 0) &&
           link_set_int(socket, ZMQ_SNDHWM, LINK_HIGH_WATER_MARK) &&
           link_set_int(socket, ZMQ_RCVHWM, LINK_HIGH_WATER_MARK) &&
           link_set_int(socket, ZMQ_IMMEDIATE, 1) &&
           link_set_int(socket, ZMQ_RECONNECT_IVL, LINK_RECONNECT_MS) &&
           link_set_int(socket, ZMQ_RECONNECT_IVL_MAX, LINK_RECONNECT_MAX_MS) &&
           link_set_int(socket, ZMQ_TCP_MAXRT, LINK_TCP_GIVE_UP_MS) &&
           link_set_int(socket, ZMQ_TCP_KEEPALIVE, 1) &&
           link_set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, LINK_TCP_KEEPALIVE_IDLE_S) &&
           link_set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, LINK_TCP_KEEPALIVE_INTERVAL_S) &&
           link_set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, LINK_TCP_KEEPALIVE_COUNT) &&
           zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_bytes_max, sizeof message_bytes_max) ==
               0;
}

/* ZeroMQ looks at the scheme and the form; a port out of range it would try for ever. */
static bool link_endpoint_usable(const char *endpoint)
{
    if (strncmp(endpoint, "ipc://", 6) == 0) {
        return endpoint[6] != '\0';
    }
    const char *colon = strrchr(endpoint, ':');
    if (strncmp(endpoint, "tcp://", 6) != 0 || colon < endpoint + 6 ||
        !isdigit((unsigned char)colon[1])) {
        return false;
    }
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return *end == '\0' && port >= 1 && port <= 65535;
}

/* In a context of its own the name is nobody else's. No limit on the monitor's queue: ZeroMQ's I/O
 * thread would wait at a full one. */
static bool link_watch(muster_link *link)
{
    const char *name = "inproc://connections";
    if (zmq_socket_monitor(link->socket, name, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | LINK_FAILURES) !=
        0) {
        return false;
    }
    link->monitor = zmq_socket(link->context, ZMQ_PAIR);
    return link->monitor && link_set_int(link->monitor, ZMQ_RCVHWM, 0) &&
           link_set_int(link->monitor, ZMQ_LINGER, 0) && zmq_connect(link->monitor, name) == 0;
}

static muster_status link_use_keys(muster_link *link, const muster_client_keys *keys,
                                   muster_error *error)
{
    char derived[MUSTER_KEY_TEXT_LENGTH + 1];
    if (!keys || keys->own.secret_key.text[0] == '\0') {
        return MUSTER_OK;
    }
    if (zmq_has("curve") == 0) {
        return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_OPTION, 0, 0,
                                "this machine's ZeroMQ was built without CURVE: keys cannot be "
                                "used; install one with libsodium");
    }
    if (zmq_curve_public(derived, keys->own.secret_key.text) != 0 ||
        strcmp(derived, keys->own.public_key.text) != 0) {
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "the key file is damaged: its public key is not that of its secret "
                                "key; make a new one with `muster keys`");
    }
    if (zmq_setsockopt(link->socket, ZMQ_CURVE_SERVERKEY, keys->coordinator.text,
                       sizeof keys->coordinator.text) != 0 ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_PUBLICKEY, keys->own.public_key.text,
                       sizeof keys->own.public_key.text) != 0 ||
        zmq_setsockopt(link->socket, ZMQ_CURVE_SECRETKEY, keys->own.secret_key.text,
                       sizeof keys->own.secret_key.text) != 0) {
        return muster_error_set_errno(error, errno, "giving the agent's socket its keys");
    }
    link->has_keys = true;
    return MUSTER_OK;
}

muster_status muster_link_open(muster_link *link, const char *endpoint,
                               const muster_client_keys *keys, muster_error *error)
{
    *link = (muster_link){0};
    if (!link_endpoint_usable(endpoint)) {
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "the coordinator's endpoint is \"%.120s\"; expected "
                                "tcp://HOST:PORT or ipc://PATH: correct MUSTER_COORDINATOR",
                                endpoint);
    }
    muster_status room = muster_agent_room(error);
    if (room != MUSTER_OK) {
        return room;
    }
    link->context = zmq_ctx_new();
    if (!link->context) {
        return muster_error_set_errno(error, errno, "creating a ZeroMQ context for the agent");
    }
    link->socket = zmq_socket(link->context, ZMQ_DEALER);
    if (!link->socket || !link_configure(link->socket) || !link_watch(link)) {
        int saved_errno = errno;
        muster_link_close(link, 0);
        return muster_error_set_errno(error, saved_errno,
                                      "creating a ZeroMQ socket for the agent (see ulimit -n)");
    }
    muster_status keyed = link_use_keys(link, keys, error);
    if (keyed != MUSTER_OK) {
        muster_link_close(link, 0);
        return keyed;
    }
    link->endpoint = strdup(endpoint);
    if (!link->endpoint) {
        muster_link_close(link, 0);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "memory ran out for the coordinator's endpoint");
    }
    if (zmq_connect(link->socket, endpoint) != 0) {
        int saved_errno = errno;
        muster_link_close(link, 0);
        return muster_error_set(
            error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
            "the coordinator's endpoint \"%.120s\" cannot be used: %s; expected "
            "tcp://HOST:PORT or ipc://PATH: correct MUSTER_COORDINATOR",
            endpoint, zmq_strerror(saved_errno));
    }
    return MUSTER_OK;
}

void muster_link_close(muster_link *link, int linger_ms)
{
    if (link->monitor) {
        zmq_socket_monitor(link->socket, NULL, 0);
        zmq_close(link->monitor);
    }
    if (link->socket) {
        link_set_int(link->socket, ZMQ_LINGER, linger_ms);
        zmq_close(link->socket);
    }
    if (link->context) {
        while (zmq_ctx_term(link->context) != 0 && errno == EINTR) {
        }
    }
    free(link->endpoint);
    *link = (muster_link){0};
}

muster_status muster_link_send(muster_link *link, const muster_message *message)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    muster_status status = muster_wire_encode(message, &bytes, &byte_count);
    if (status != MUSTER_OK) {
        return status;
    }
    int sent = 0;
    do {
        sent = zmq_send(link->socket, bytes, byte_count, ZMQ_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    free(bytes);
    return sent < 0 ? MUSTER_ERR_TIMEOUT : MUSTER_OK;
}

/* Muster's messages are one frame; anything longer is somebody else's. */
static bool link_drop_rest(void *socket)
{
    int more = 0;
    bool dropped = false;
    size_t more_bytes = sizeof more;
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &more_bytes) == 0 && more) {
        zmq_msg_t rest;
        zmq_msg_init(&rest);
        int came = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT);
        zmq_msg_close(&rest);
        if (came < 0) {
            break;
        }
        dropped = true;
    }
    return dropped;
}

muster_status muster_link_receive(muster_link *link, muster_message *message, muster_error *error)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    int came = 0;
    do {
        came = zmq_msg_recv(&frame, link->socket, ZMQ_DONTWAIT);
    } while (came < 0 && errno == EINTR);
    if (came < 0) {
        zmq_msg_close(&frame);
        return MUSTER_ERR_TIMEOUT;
    }
    muster_status status = MUSTER_OK;
    if (link_drop_rest(link->socket)) {
        status = muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BYTES, 1, 2,
                                  "a message of several frames came; check that the endpoint is a "
                                  "muster coordinator's");
    } else {
        status = muster_wire_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), message, error);
    }
    zmq_msg_close(&frame);
    return status;
}

int muster_link_connections(muster_link *link)
{
    int connections = 0;
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    /* Two frames each: event and value, then an address. */
    while (zmq_msg_recv(&frame, link->monitor, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        if (!zmq_msg_more(&frame) || zmq_msg_size(&frame) != LINK_EVENT_BYTES) {
            continue;
        }
        uint32_t value = 0;
        memcpy(&event, zmq_msg_data(&frame), sizeof event);
        memcpy(&value, (const char *)zmq_msg_data(&frame) + sizeof event, sizeof value);
        connections += (event & LINK_FAILURES) == 0;
        /* A reason is not forgotten for a later end without one: whether it is heard depends on which
         * side ends the connection first. */
        if (event != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || link->failure == 0) {
            link->failure = event & LINK_FAILURES;
            link->failure_value = value;
        }
        /* After these ZeroMQ does not try again. But a coordinator can be started with other keys, and
         * its port can for a while have been somebody else's. */
        if ((event & LINK_FAILURES) != 0 && event != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) {
            link->connect_again_ns = link_now_ns() + LINK_RECONNECT_MAX_MS * LINK_NS_PER_MS;
        }
    }
    zmq_msg_close(&frame);
    if (connections > 0) {
        link->connect_again_ns = 0;
    }
    if (link->connect_again_ns != 0 && link_now_ns() >= link->connect_again_ns) {
        link->connect_again_ns = 0;
        (void)zmq_disconnect(link->socket, link->endpoint); /* it may be forgotten already */
        (void)zmq_connect(link->socket, link->endpoint);    /* succeeded once */
    }
    return connections;
}

const char *muster_link_trouble(const muster_link *link)
{
    bool mismatch = link->failure == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
                    link->failure_value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH;
    if (link->failure == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        return "it refuses this key: its --allowed list lacks it";
    }
    if (mismatch && link->has_keys) {
        return "it speaks without keys: start it with --keys, or take the keys away here";
    }
    if (mismatch) {
        return "it asks for keys: set MUSTER_COORDINATOR_KEY and MUSTER_KEY_FILE";
    }
    if (link->failure == 0) {
        return NULL;
    }
    return link->has_keys
               ? "it does not know itself by the key in MUSTER_COORDINATOR_KEY, or is no "
                 "coordinator"
               : "it ends the connection at once: it asks for keys (set MUSTER_COORDINATOR_KEY and "
                 "MUSTER_KEY_FILE), is another user's, or is no coordinator";
}

void muster_link_wait(muster_link *link, int wake_fd, bool want_room, long timeout_ms)
{
    zmq_pollitem_t items[3] = {
        {.socket = link->socket, .events = (short)(ZMQ_POLLIN | (want_room ? ZMQ_POLLOUT : 0))},
        {.socket = link->monitor, .events = ZMQ_POLLIN},
        {.fd = wake_fd, .events = ZMQ_POLLIN},
    };
    if (link->connect_again_ns != 0 && (timeout_ms < 0 || timeout_ms > LINK_RECONNECT_MAX_MS)) {
        timeout_ms = LINK_RECONNECT_MAX_MS;
    }
    /* Interrupted or not, the caller looks at everything anew. */
    (void)zmq_poll(items, 3, timeout_ms);
}
