/* SPDX-License-Identifier: Apache-2.0 */
/* The host plane over several hosts: shared memory between the ranks of one host, TCP between hosts, behind one
 * table. Where all ranks are on one host it hands everything on and opens no socket. See README.md of this
 * folder. */
#ifndef MUSTER_TRANSPORT_PLANE_PLANE_H
#define MUSTER_TRANSPORT_PLANE_PLANE_H

#include "transport/transport.h"

/* Static. */
const muster_transport_table *muster_plane_table(void);

#endif
