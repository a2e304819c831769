/* SPDX-License-Identifier: Apache-2.0 */
/* Which host this is: ranks with equal numbers can share memory. */
#ifndef MUSTER_RECOVERY_HOST_ID_H
#define MUSTER_RECOVERY_HOST_ID_H

#include <stdint.h>

/* Hash of the kernel's boot id, which containers of one host share; of the host name where there is
 * no boot id. Reads a file. said (NULL or empty: nothing) makes several hosts out of one. */
uint64_t muster_host_id(const char *said);

#endif
