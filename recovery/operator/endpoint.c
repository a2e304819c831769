/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <muster/job.h>

#include "base/error.h"
#include "operator/policy_options.h"

#define ENDPOINT_TCP "tcp://"
#define ENDPOINT_IPC "ipc://"
#define ENDPOINT_PORT_MAX 65535

static muster_status endpoint_refuse(const char *endpoint, const char *why, muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                            "endpoint '%.80s': %s; expected tcp://HOST:PORT or ipc://PATH",
                            endpoint, why);
}

static muster_status endpoint_check_tcp(const char *endpoint, bool to_bind, muster_error *error)
{
    const char *host = endpoint + strlen(ENDPOINT_TCP);
    const char *colon = strrchr(host, ':');
    int64_t port = 0;
    if (colon == NULL)
        return endpoint_refuse(endpoint, "it has no port", error);
    if (colon == host)
        return endpoint_refuse(endpoint, "it has no host", error);
    if (to_bind && strcmp(colon + 1, "*") == 0)
        return muster_error_set_ok(error);
    if (!muster_option_number(colon + 1, 1, ENDPOINT_PORT_MAX, &port))
        return endpoint_refuse(endpoint, "its port is not a number from 1 to 65535", error);
    if (!to_bind && strncmp(host, "*", (size_t)(colon - host)) == 0)
        return endpoint_refuse(endpoint, "'*' is no host to connect to", error);
    return muster_error_set_ok(error);
}

static muster_status endpoint_check_ipc(const char *endpoint, muster_error *error)
{
    struct sockaddr_un address;
    const char *path = endpoint + strlen(ENDPOINT_IPC);
    if (path[0] == '\0')
        return endpoint_refuse(endpoint, "it has no path", error);
    if (strlen(path) >= sizeof address.sun_path)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION,
                                (int64_t)sizeof address.sun_path - 1, (int64_t)strlen(path),
                                "endpoint '%.120s': its path has %zu bytes, and a socket's may "
                                "have %zu: choose a shorter one",
                                endpoint, strlen(path), sizeof address.sun_path - 1);
    return muster_error_set_ok(error);
}

muster_status muster_endpoint_check(const char *endpoint, bool to_bind, muster_error *error)
{
    if (endpoint == NULL || endpoint[0] == '\0')
        return endpoint_refuse("", "it is empty", error);
    if (strlen(endpoint) >= MUSTER_ENDPOINT_BYTES)
        return endpoint_refuse(endpoint, "it is too long", error);
    if (strncmp(endpoint, ENDPOINT_TCP, strlen(ENDPOINT_TCP)) == 0)
        return endpoint_check_tcp(endpoint, to_bind, error);
    if (strncmp(endpoint, ENDPOINT_IPC, strlen(ENDPOINT_IPC)) == 0)
        return endpoint_check_ipc(endpoint, error);
    return endpoint_refuse(endpoint, "it has no transport that Muster knows", error);
}

const char *muster_endpoint_ipc_path(const char *endpoint)
{
    size_t prefix = strlen(ENDPOINT_IPC);
    return strncmp(endpoint, ENDPOINT_IPC, prefix) == 0 ? endpoint + prefix : NULL;
}

bool muster_endpoint_stays_here(const char *endpoint)
{
    static const char *const here[] = {ENDPOINT_IPC, ENDPOINT_TCP "127.", ENDPOINT_TCP "[::1]:"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        if (strncmp(endpoint, here[i], strlen(here[i])) == 0)
            return true;
    }
    return false;
}

bool muster_endpoint_ipc_taken(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool taken = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN ||
                 errno == EINPROGRESS;
    close(fd);
    return taken;
}
