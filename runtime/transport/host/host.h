/* SPDX-License-Identifier: Apache-2.0 */
/* The host plane: shared memory between the ranks of one host. See README.md of this folder. */
#ifndef MUSTER_TRANSPORT_HOST_HOST_H
#define MUSTER_TRANSPORT_HOST_HOST_H

#include "transport/transport.h"

/* The table of the host plane; static. */
const muster_transport_table *muster_host_table(void);

#endif
