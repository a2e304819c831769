/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the address under which other hosts reach this one, and listening there. */
#ifndef MUSTER_TRANSPORT_TCP_REACH_H
#define MUSTER_TRANSPORT_TCP_REACH_H

#include "transport/tcp/address.h"

/* Listens at host_address (a number or a name), or where that is NULL or empty at the local address of the route to
 * coordinator ("tcp://HOST:PORT"), on a port that the kernel picks; makes the cookie. *fd is -1 and the address has
 * no family where neither says that there are other hosts, or the route cannot be found. May block
 * while a name is looked up. MUSTER_ERR_INVALID_ARGUMENT (host_address is none of this host's),
 * MUSTER_ERR_SYSTEM. */
muster_status muster_tcp_reach_listen(const char *host_address, const char *coordinator,
                                      muster_tcp_address *address, int *fd, muster_error *error);

#endif
