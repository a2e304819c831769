/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/http_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "operator/endpoint.h"
#include "operator/policy_options.h"

#define HTTP_ADDRESS_UNIX "unix:"
#define HTTP_ADDRESS_BYTES 256
#define HTTP_ADDRESS_BACKLOG 64

bool muster_http_side_built(void)
{
    return MUSTER_HTTP_SIDE;
}

static muster_status http_address_refuse(const char *text, const char *why, muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                            "--http '%.80s': %s; expected PORT, ADDRESS:PORT such as "
                            "127.0.0.1:7401 or [::1]:7401, or unix:PATH",
                            text, why);
}

static muster_status http_address_parse_unix(const char *text, muster_http_address *address,
                                             muster_error *error)
{
    const char *path = text + strlen(HTTP_ADDRESS_UNIX);
    struct sockaddr_un *local = (struct sockaddr_un *)&address->address;
    if (path[0] == '\0')
        return http_address_refuse(text, "it has no path", error);
    if (strlen(path) >= sizeof local->sun_path)
        return http_address_refuse(text, "its path is too long for a socket", error);
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path, strlen(path));
    address->address_bytes = sizeof *local;
    address->is_unix = true;
    address->is_loopback = true;
    return muster_error_set_ok(error);
}

static bool http_address_take_host(const char *host, uint16_t port, muster_http_address *address)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&address->address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->address;
    char inside[HTTP_ADDRESS_BYTES];
    size_t length = strlen(host);
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        address->address_bytes = sizeof *four;
        address->is_loopback = ntohl(four->sin_addr.s_addr) >> 24 == 127;
        return true;
    }
    if (length < 2 || host[0] != '[' || host[length - 1] != ']')
        return false;
    snprintf(inside, sizeof inside, "%.*s", (int)length - 2, host + 1);
    if (inet_pton(AF_INET6, inside, &six->sin6_addr) != 1)
        return false;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    address->address_bytes = sizeof *six;
    address->is_loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
    return true;
}

muster_status muster_http_address_parse(const char *text, muster_http_address *address,
                                        muster_error *error)
{
    char host[HTTP_ADDRESS_BYTES];
    int64_t port = 0;
    memset(address, 0, sizeof *address);
    if (strncmp(text, HTTP_ADDRESS_UNIX, strlen(HTTP_ADDRESS_UNIX)) == 0)
        return http_address_parse_unix(text, address, error);
    if (strlen(text) >= sizeof host)
        return http_address_refuse(text, "it is too long", error);
    snprintf(host, sizeof host, "%s", text);
    char *colon = strrchr(host, ':');
    if (colon != NULL)
        *colon = '\0';
    if (!muster_option_number(colon != NULL ? colon + 1 : host, 0, UINT16_MAX, &port))
        return http_address_refuse(text, "its port is not a number from 0 to 65535", error);
    /* Other machines see it only where somebody has said so. */
    if (!http_address_take_host(colon != NULL ? host : "127.0.0.1", (uint16_t)port, address))
        return http_address_refuse(text, "its host is not an address in numbers", error);
    return muster_error_set_ok(error);
}

void muster_http_address_text(const muster_http_address *address, char *text, size_t bytes)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->is_unix) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)&address->address;
        snprintf(text, bytes, "unix:%s", local->sun_path);
    } else if (address->address.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&address->address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        snprintf(text, bytes, "http://%s:%u/", host, ntohs(four->sin_port));
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->address;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        snprintf(text, bytes, "http://[%s]:%u/", host, ntohs(six->sin6_port));
    }
}

static const char *http_address_path(const muster_http_address *address)
{
    return ((const struct sockaddr_un *)&address->address)->sun_path;
}

/* Nothing but a socket is removed. */
void muster_http_address_unlink(const muster_http_address *address)
{
    struct stat facts;
    if (address->is_unix && lstat(http_address_path(address), &facts) == 0 &&
        S_ISSOCK(facts.st_mode))
        unlink(http_address_path(address));
}

/* Bound, and listening. False: see errno. */
static bool http_address_bind(int fd, muster_http_address *address)
{
    const int yes = 1;
    socklen_t bytes = sizeof address->address;
    /* What is set before a Unix socket is bound is the mode of its file: there is no moment at which
     * others could connect. */
    if (address->is_unix ? fchmod(fd, S_IRUSR | S_IWUSR) != 0
                         : setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        return false;
    return bind(fd, (struct sockaddr *)&address->address, address->address_bytes) == 0 &&
           listen(fd, HTTP_ADDRESS_BACKLOG) == 0 &&
           (address->is_unix || getsockname(fd, (struct sockaddr *)&address->address, &bytes) == 0);
}

static muster_status http_address_fail(const muster_http_address *address, int reason,
                                       muster_error *error)
{
    char text[HTTP_ADDRESS_BYTES];
    muster_http_address_text(address, text, sizeof text);
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                            "--http: cannot listen at %.110s: %s; choose another address", text,
                            strerror(reason));
}

muster_status muster_http_address_listen(muster_http_address *address, int *fd, muster_error *error)
{
    *fd = -1;
    if (address->is_unix && muster_endpoint_ipc_taken(http_address_path(address)))
        return http_address_fail(address, EADDRINUSE, error);
    /* What a coordinator that was killed has left behind. */
    muster_http_address_unlink(address);
    int opened = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (opened < 0)
        return http_address_fail(address, errno, error);
    if (!http_address_bind(opened, address)) {
        int reason = errno;
        close(opened);
        return http_address_fail(address, reason, error);
    }
    *fd = opened;
    return muster_error_set_ok(error);
}
