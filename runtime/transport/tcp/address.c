/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "transport/tcp/bytes.h"

#define MAGIC UINT32_C(0x4d544350)
#define VERSION 1u

void muster_tcp_address_encode(const muster_tcp_address *address, uint8_t *bytes)
{
    bytes = muster_tcp_put(bytes, MAGIC, 4);
    bytes = muster_tcp_put(bytes, VERSION, 2);
    bytes = muster_tcp_put(bytes, address->port, 2);
    bytes = muster_tcp_put(bytes, address->family, 4);
    bytes = muster_tcp_put(bytes, address->scope, 4);
    memcpy(bytes, address->number, sizeof address->number);
    memcpy(bytes + sizeof address->number, address->cookie, sizeof address->cookie);
}

bool muster_tcp_address_decode(const uint8_t *bytes, muster_tcp_address *address)
{
    uint64_t magic, version, port;

    bytes = muster_tcp_take(bytes, &magic, 4);
    bytes = muster_tcp_take(bytes, &version, 2);
    bytes = muster_tcp_take(bytes, &port, 2);
    bytes = muster_tcp_take_32(bytes, &address->family);
    bytes = muster_tcp_take_32(bytes, &address->scope);
    address->port = (uint16_t)port;
    memcpy(address->number, bytes, sizeof address->number);
    memcpy(address->cookie, bytes + sizeof address->number, sizeof address->cookie);
    return magic == MAGIC && version == VERSION &&
           (address->family == 0 || address->family == 4 || address->family == 6);
}

socklen_t muster_tcp_address_to_socket(const muster_tcp_address *address,
                                       struct sockaddr_storage *socket_address)
{
    memset(socket_address, 0, sizeof *socket_address);
    if (address->family == 4) {
        struct sockaddr_in *four = (struct sockaddr_in *)socket_address;

        four->sin_family = AF_INET;
        four->sin_port = htons(address->port);
        memcpy(&four->sin_addr, address->number, sizeof four->sin_addr);
        return sizeof *four;
    }
    if (address->family == 6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)socket_address;

        six->sin6_family = AF_INET6;
        six->sin6_port = htons(address->port);
        six->sin6_scope_id = address->scope;
        memcpy(&six->sin6_addr, address->number, sizeof six->sin6_addr);
        return sizeof *six;
    }
    return 0;
}

bool muster_tcp_address_from_socket(const struct sockaddr_storage *socket_address,
                                    muster_tcp_address *address)
{
    memset(address->number, 0, sizeof address->number);
    address->scope = 0;
    if (socket_address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)socket_address;

        address->family = 4;
        address->port = ntohs(four->sin_port);
        memcpy(address->number, &four->sin_addr, sizeof four->sin_addr);
        return true;
    }
    if (socket_address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)socket_address;

        address->family = 6;
        address->port = ntohs(six->sin6_port);
        address->scope = six->sin6_scope_id;
        memcpy(address->number, &six->sin6_addr, sizeof six->sin6_addr);
        return true;
    }
    return false;
}

bool muster_tcp_address_is_loopback(const muster_tcp_address *address)
{
    static const uint8_t six[16] = {[15] = 1};

    return address->family == 4 ? address->number[0] == 127
                                : address->family == 6 && memcmp(address->number, six, 16) == 0;
}

void muster_tcp_address_text(const muster_tcp_address *address, char *text, size_t text_bytes)
{
    char number[INET6_ADDRSTRLEN] = "nowhere";

    if (address->family != 0)
        (void)inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->number, number,
                        sizeof number);
    snprintf(text, text_bytes, address->family == 6 ? "[%s]:%u" : "%s:%u", number,
             (unsigned)address->port);
}
