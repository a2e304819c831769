/* SPDX-License-Identifier: Apache-2.0 */
/* What one transport has mapped of one peer's exports. */
#ifndef MUSTER_TRANSPORT_HOST_IMPORTS_H
#define MUSTER_TRANSPORT_HOST_IMPORTS_H

#include "transport/host/handover.h"
#include "transport/host/mapping.h"

typedef struct muster_host_import {
    uint64_t id;
    uint64_t address; /* in the peer's address space */
    muster_host_mapping mapping;
} muster_host_import;

typedef struct muster_host_imports {
    muster_host_import *regions;
    size_t region_count;
    uint64_t version;        /* mapped wholly; 0: none */
    uint64_t failed_version; /* did not work out: not tried again before the list changes */
} muster_host_imports;

/* Maps the peer's list as it is now, keeping what it has already; leaves everything as it was where that
 * fails. Blocks until deadline_ns at most. */
void muster_host_imports_update(muster_host_imports *imports, const muster_host_address *peer,
                                uint64_t announced_version, int64_t deadline_ns);

void muster_host_imports_clean_up(muster_host_imports *imports);

/* Where [address, address + bytes) of the peer lies here; NULL where it is not inside one region. */
void *muster_host_imports_resolve(const muster_host_imports *imports, uint64_t address,
                                  size_t bytes);

#endif
