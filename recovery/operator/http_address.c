/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"
#include "operator/policy_options.h"

#define HTTP_ADDRESS_UNIX "unix:"
#define HTTP_ADDRESS_BYTES 256

bool muster_http_side_built(void)
{
    return MUSTER_HTTP_SIDE;
}

static muster_status http_address_refuse(const char *text, const char *why, muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                            "HTTP address '%.80s': %s; expected ADDRESS:PORT such as "
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
    if (colon == NULL)
        return http_address_refuse(text, "it has no port", error);
    *colon = '\0';
    if (!muster_option_number(colon + 1, 0, UINT16_MAX, &port))
        return http_address_refuse(text, "its port is not a number from 0 to 65535", error);
    if (!http_address_take_host(host, (uint16_t)port, address))
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
