/* SPDX-License-Identifier: Apache-2.0 */
/* Where a coordinator's HTTP side listens: PORT, ADDRESS:PORT or unix:PATH. Numbers only, no names: whoever
 * binds should know to what. */
#ifndef MUSTER_OPERATOR_HTTP_ADDRESS_H
#define MUSTER_OPERATOR_HTTP_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include <muster/status.h>

typedef struct muster_http_address {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    bool is_unix;
    bool is_loopback; /* of this host only; as is a Unix socket */
} muster_http_address;

/* False: this build has no HTTP side (libmicrohttpd was not there). */
bool muster_http_side_built(void);

/* "7401" (of this machine alone), "127.0.0.1:7401", "[::1]:0", "0.0.0.0:7401", "unix:/run/x/status".
 * MUSTER_ERR_INVALID_ARGUMENT with a sentence. */
muster_status muster_http_address_parse(const char *text, muster_http_address *address,
                                        muster_error *error);

/* "http://127.0.0.1:7401/" or "unix:PATH", of what a socket is bound to. */
void muster_http_address_text(const muster_http_address *address, char *text, size_t bytes);

/* A socket that is bound there and listens; port 0 becomes the one that was taken. A Unix socket is for
 * its owner only, and takes the place of one that nobody listens at. MUSTER_ERR_INVALID_ARGUMENT: it is
 * taken, or not to be had. */
muster_status muster_http_address_listen(muster_http_address *address, int *fd,
                                         muster_error *error);
/* Removes the file of a Unix socket. */
void muster_http_address_unlink(const muster_http_address *address);

#endif
