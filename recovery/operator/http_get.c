/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/http_get.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define NS_PER_MS ((int64_t)1000000)

typedef struct http_exchange {
    char where[160];
    int fd;
    int64_t end_ns;
    char *bytes; /* of the answer so far; ends with NUL */
    size_t count;
    size_t capacity;
} http_exchange;

static int64_t http_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static muster_status http_nobody(const http_exchange *exchange, const char *why,
                                 muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_NO_COORDINATOR, MUSTER_FIELD_NONE, 0, 0,
                            "no coordinator shows its status at %.100s: %s", exchange->where, why);
}

/* False at the deadline. */
static bool http_await(const http_exchange *exchange, short events)
{
    for (;;) {
        int64_t left_ns = exchange->end_ns - http_now_ns();
        struct pollfd ready = {.fd = exchange->fd, .events = events};
        if (left_ns <= 0)
            return false;
        int count = poll(&ready, 1, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS));
        if (count > 0)
            return true;
        if (count < 0 && errno != EINTR)
            return false;
    }
}

static muster_status http_connect(http_exchange *exchange, const muster_http_address *address,
                                  muster_error *error)
{
    int reason = 0;
    socklen_t bytes = sizeof reason;
    exchange->fd =
        socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (exchange->fd < 0)
        return muster_error_set_errno(error, errno, "making a socket");
    if (connect(exchange->fd, (const struct sockaddr *)&address->address, address->address_bytes) ==
        0)
        return MUSTER_OK;
    if (errno != EINPROGRESS)
        return http_nobody(exchange, strerror(errno), error);
    if (!http_await(exchange, POLLOUT))
        return http_nobody(exchange, "it does not answer", error);
    if (getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &reason, &bytes) == 0 && reason != 0)
        return http_nobody(exchange, strerror(reason), error);
    return MUSTER_OK;
}

static muster_status http_say(http_exchange *exchange, const char *request, muster_error *error)
{
    size_t length = strlen(request);
    for (size_t said = 0; said < length;) {
        ssize_t count = send(exchange->fd, request + said, length - said, MSG_NOSIGNAL);
        if (count > 0)
            said += (size_t)count;
        else if (errno != EAGAIN && errno != EINTR)
            return http_nobody(exchange, strerror(errno), error);
        else if (!http_await(exchange, POLLOUT))
            return http_nobody(exchange, "it does not answer", error);
    }
    return MUSTER_OK;
}

static bool http_make_room(http_exchange *exchange)
{
    if (exchange->capacity - exchange->count > 1)
        return true;
    size_t capacity = exchange->capacity > 0 ? 2 * exchange->capacity : 65536;
    char *bytes = realloc(exchange->bytes, capacity);
    if (bytes == NULL)
        return false;
    exchange->bytes = bytes;
    exchange->capacity = capacity;
    return true;
}

static muster_status http_hear(http_exchange *exchange, muster_error *error)
{
    for (;;) {
        if (exchange->count > MUSTER_HTTP_GET_BYTES_MAX)
            return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_BYTES,
                                    (int64_t)MUSTER_HTTP_GET_BYTES_MAX, (int64_t)exchange->count,
                                    "the answer of %.100s does not end", exchange->where);
        if (!http_make_room(exchange))
            return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0,
                                    (int64_t)exchange->count, "no memory for an answer");
        ssize_t count = recv(exchange->fd, exchange->bytes + exchange->count,
                             exchange->capacity - exchange->count - 1, 0);
        if (count == 0)
            return MUSTER_OK;
        if (count > 0)
            exchange->count += (size_t)count;
        else if (errno != EAGAIN && errno != EINTR)
            return http_nobody(exchange, strerror(errno), error);
        else if (!http_await(exchange, POLLIN))
            return http_nobody(exchange, "it does not answer", error);
    }
}

/* The answer ends with its connection; so what counts is its code and what follows the headers. */
static muster_status http_body(http_exchange *exchange, char **body, muster_error *error)
{
    int code = 0;
    exchange->bytes[exchange->count] = '\0';
    char *end = strstr(exchange->bytes, "\r\n\r\n");
    const char *space = strchr(exchange->bytes, ' ');
    if (strncmp(exchange->bytes, "HTTP/1.", 7) != 0 || end == NULL || space == NULL)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_NONE, 0, 0,
                                "what listens at %.100s does not speak HTTP", exchange->where);
    code = atoi(space);
    memmove(exchange->bytes, end + 4, exchange->count - (size_t)(end + 4 - exchange->bytes) + 1);
    if (code != 200)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_NONE, 200, code,
                                "%.100s answers with code %d: %.*s", exchange->where, code,
                                (int)strcspn(exchange->bytes, "\n"), exchange->bytes);
    *body = exchange->bytes;
    exchange->bytes = NULL;
    return muster_error_set_ok(error);
}

muster_status muster_http_get(const muster_http_address *address, const char *url,
                              int64_t timeout_ns, char **body, muster_error *error)
{
    http_exchange exchange = {.fd = -1, .end_ns = http_now_ns() + timeout_ns};
    char request[256];
    *body = NULL;
    muster_http_address_text(address, exchange.where, sizeof exchange.where);
    snprintf(request, sizeof request, "GET %.100s HTTP/1.0\r\nConnection: close\r\n\r\n", url);
    muster_status status = http_connect(&exchange, address, error);
    if (status == MUSTER_OK)
        status = http_say(&exchange, request, error);
    if (status == MUSTER_OK)
        status = http_hear(&exchange, error);
    if (status == MUSTER_OK)
        status = http_body(&exchange, body, error);
    free(exchange.bytes);
    if (exchange.fd >= 0)
        close(exchange.fd);
    return status;
}
