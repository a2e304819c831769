/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory may still be taken, so that running out is an error and not the kernel's killer. */
#ifndef MUSTER_TRANSPORT_HOST_AVAILABLE_H
#define MUSTER_TRANSPORT_HOST_AVAILABLE_H

#include <stdint.h>

/* The least of what the machine and the memory cgroups above this process say is left; UINT64_MAX
 * where neither can be read. An estimate: others allocate too. */
uint64_t muster_host_available_bytes(void);

#endif
