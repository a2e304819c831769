/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/reach.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"

#define BACKLOG 1024
#define HOST_BYTES_MAX 256

/* "tcp://HOST:PORT" or "tcp://[HOST]:PORT" to its two parts. False: no such endpoint. */
static bool split_endpoint(const char *endpoint, char *host, char *port)
{
    const char *begin;
    const char *colon;
    size_t host_bytes;

    if (strncmp(endpoint, "tcp://", 6) != 0)
        return false;
    begin = endpoint + 6;
    colon = strrchr(begin, ':');
    if (colon == NULL || colon == begin)
        return false;
    host_bytes = (size_t)(colon - begin);
    if (begin[0] == '[' && colon[-1] == ']') {
        begin++;
        host_bytes -= 2;
    }
    if (host_bytes == 0 || host_bytes >= HOST_BYTES_MAX || strlen(colon + 1) >= HOST_BYTES_MAX)
        return false;
    memcpy(host, begin, host_bytes);
    host[host_bytes] = '\0';
    snprintf(port, HOST_BYTES_MAX, "%s", colon + 1);
    return true;
}

/* The local address that the kernel would use towards one of the places: a datagram socket that is connected
 * sends nothing. */
static bool route_to(const struct addrinfo *places, struct sockaddr_storage *local)
{
    for (const struct addrinfo *place = places; place != NULL; place = place->ai_next) {
        socklen_t bytes = sizeof *local;
        int fd = socket(place->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool found;

        if (fd < 0)
            continue;
        found = connect(fd, place->ai_addr, place->ai_addrlen) == 0 &&
                getsockname(fd, (struct sockaddr *)local, &bytes) == 0;
        close(fd);
        if (found)
            return true;
    }
    return false;
}

static bool find_route(const char *coordinator, struct sockaddr_storage *local)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char host[HOST_BYTES_MAX];
    char port[HOST_BYTES_MAX];
    struct addrinfo *places = NULL;
    bool found;

    /* A name that is not known is no error here: the join will say that the coordinator is not there. */
    if (!split_endpoint(coordinator, host, port) || getaddrinfo(host, port, &hints, &places) != 0)
        return false;
    found = route_to(places, local);
    freeaddrinfo(places);
    return found;
}

static muster_status look_up(const char *host_address, struct sockaddr_storage *local,
                             muster_error *error)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *places = NULL;
    int code = getaddrinfo(host_address, NULL, &hints, &places);

    if (code != 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "host address \"%.60s\": %s; give an address of this host that the "
                                "other hosts reach",
                                host_address, gai_strerror(code));
    memset(local, 0, sizeof *local);
    memcpy(local, places->ai_addr, places->ai_addrlen);
    freeaddrinfo(places);
    return MUSTER_OK;
}

static void set_port(struct sockaddr_storage *local, uint16_t port)
{
    if (local->ss_family == AF_INET)
        ((struct sockaddr_in *)local)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)local)->sin6_port = htons(port);
}

static muster_status listen_at(struct sockaddr_storage *local, muster_tcp_address *address, int *fd,
                               muster_error *error)
{
    socklen_t bytes = sizeof *local;
    int code;

    set_port(local, 0);
    bytes = local->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    *fd = socket(local->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return muster_error_set_errno(error, errno, "socket for ranks of other hosts");
    if (bind(*fd, (const struct sockaddr *)local, bytes) == 0 && listen(*fd, BACKLOG) == 0 &&
        getsockname(*fd, (struct sockaddr *)local, &bytes) == 0 &&
        muster_tcp_address_from_socket(local, address))
        return MUSTER_OK;
    code = errno;
    close(*fd);
    *fd = -1;
    if (code == EADDRNOTAVAIL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "the host address is no address of this host; give one that is, "
                                "and that the other hosts reach");
    return muster_error_set_errno(error, code, "listening for ranks of other hosts");
}

muster_status muster_tcp_reach_listen(const char *host_address, const char *coordinator,
                                      muster_tcp_address *address, int *fd, muster_error *error)
{
    struct sockaddr_storage local = {.ss_family = AF_UNSPEC};

    memset(address, 0, sizeof *address);
    *fd = -1;
    if (getrandom(address->cookie, sizeof address->cookie, 0) != (ssize_t)sizeof address->cookie)
        return muster_error_set_errno(error, errno, "getrandom for the endpoint's cookie");
    if (host_address != NULL && host_address[0] != '\0') {
        muster_status status = look_up(host_address, &local, error);

        if (status != MUSTER_OK)
            return status;
    } else if (coordinator == NULL || !find_route(coordinator, &local)) {
        return MUSTER_OK;
    }
    return listen_at(&local, address, fd, error);
}
