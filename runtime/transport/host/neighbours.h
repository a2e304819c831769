/* SPDX-License-Identifier: Apache-2.0 */
/* Who watches whom: each rank the ones after it in the ring of the world communicator. */
#ifndef MUSTER_TRANSPORT_HOST_NEIGHBOURS_H
#define MUSTER_TRANSPORT_HOST_NEIGHBOURS_H

#include "transport/host/connection.h"

/* Fetches the life pages of the next ranks and hands them to the endpoint's watcher. One that cannot be had
 * is left out: its death is noticed by others, and by other means. */
void muster_host_neighbours_watch(muster_transport *transport,
                                  const muster_transport_connect_options *options);

#endif
