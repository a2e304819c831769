/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of shared memory: a sealed memfd and where it is mapped here. */
#ifndef MUSTER_TRANSPORT_HOST_MAPPING_H
#define MUSTER_TRANSPORT_HOST_MAPPING_H

#include <stddef.h>

#include <muster/status.h>

typedef struct muster_host_mapping {
    void *memory; /* NULL: none */
    size_t bytes; /* whole pages */
    int fd;       /* -1 where this side keeps none */
} muster_host_mapping;

#define MUSTER_HOST_MAPPING_NONE ((muster_host_mapping){.memory = NULL, .bytes = 0, .fd = -1})

/* bytes rounded up to whole pages; 0 where that overflows. */
size_t muster_host_mapping_round_up(size_t bytes);

/* Makes fresh zeroed memory of at least bytes > 0: every page is allocated before this returns, so that
 * a later touch never raises SIGBUS; not inherited by fork. at: NULL, or the address of an existing mapping of the
 * same size, which is replaced in one step (and left as it was on an error). what names it in errors.
 * MUSTER_ERR_NO_MEMORY, MUSTER_ERR_SYSTEM. */
muster_status muster_host_mapping_create(size_t bytes, void *at, const char *what,
                                         muster_host_mapping *mapping, muster_error *error);

/* Maps what another rank made. Refuses an fd that is not exactly bytes long or whose size could still
 * change: a file that shrinks under a mapping raises SIGBUS. fd stays the caller's; mapping->fd is -1. */
muster_status muster_host_mapping_open(int fd, size_t bytes, const char *what,
                                       muster_host_mapping *mapping, muster_error *error);

/* Fills the page tables for writing, so that the first copy does not fault page by page, until
 * deadline_ns at the latest. Failing is harmless. */
void muster_host_mapping_populate(const muster_host_mapping *mapping, int64_t deadline_ns);

/* Gives the pages of a memfd back to the kernel now, although peers may still have it mapped. */
void muster_host_mapping_drop_pages(int fd, size_t bytes);

/* Closes the fd and keeps the memory. */
void muster_host_mapping_close_fd(muster_host_mapping *mapping);

/* Unmaps and closes; safe on MUSTER_HOST_MAPPING_NONE and twice. */
void muster_host_mapping_close(muster_host_mapping *mapping);

#endif
