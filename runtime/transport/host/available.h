/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory may still be taken, so that running out is an error and not the kernel's killer. */
#ifndef MUSTER_TRANSPORT_HOST_AVAILABLE_H
#define MUSTER_TRANSPORT_HOST_AVAILABLE_H

#include <stdint.h>

/* The least of what the machine and the memory cgroups above this process say is left; UINT64_MAX
 * where neither can be read. An estimate: others allocate too. */
uint64_t muster_host_available_bytes(void);

/* The files of a memory cgroup, by version of the interface. */
typedef struct muster_host_group_files {
    const char *limit;
    const char *used;
    const char *reclaimable; /* a key of memory.stat */
} muster_host_group_files;

extern const muster_host_group_files muster_host_group_files_v1;
extern const muster_host_group_files muster_host_group_files_v2;

/* The tightest limit on the way up from group ("/a/b") to root, a mounted hierarchy; UINT64_MAX where
 * there is none. */
uint64_t muster_host_available_in_group(const muster_host_group_files *files, const char *root,
                                        const char *group);

#endif
