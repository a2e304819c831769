/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that an endpoint allocates for its application, and which peers may map. The list has a
 * version that grows with every change. Any thread. */
#ifndef MUSTER_TRANSPORT_HOST_EXPORTS_H
#define MUSTER_TRANSPORT_HOST_EXPORTS_H

#include <pthread.h>

#include "transport/host/handover.h"
#include "transport/host/mapping.h"

typedef struct muster_host_region {
    uint64_t id;  /* the version that it came with: never used twice */
    size_t bytes; /* as asked for; the mapping has whole pages */
    muster_host_mapping mapping;
} muster_host_region;

typedef struct muster_host_exports {
    /* Serialises what changes the list and may take long (filling gigabytes); the listener never
     * takes it, so a peer's request is answered meanwhile. Taken before `mutex`. */
    pthread_mutex_t change_mutex;
    pthread_mutex_t mutex; /* guards everything below; held for moments only */
    muster_host_region *regions;
    size_t region_count;
    size_t region_capacity;
    uint64_t version;
    /* Told of each new version, with the mutex held. */
    void (*on_version)(void *context, uint64_t version);
    void *context;
} muster_host_exports;

void muster_host_exports_init(muster_host_exports *exports,
                              void (*on_version)(void *context, uint64_t version), void *context);
/* Frees all that is still allocated. */
void muster_host_exports_clean_up(muster_host_exports *exports);

muster_status muster_host_exports_alloc(muster_host_exports *exports, size_t bytes, void **memory,
                                        muster_error *error);
muster_status muster_host_exports_free(muster_host_exports *exports, void *memory);
uint64_t muster_host_exports_find(muster_host_exports *exports, const void *address, size_t bytes);

/* Region by region; on an error those before it are fresh, and the call may be made again. */
muster_status muster_host_exports_abandon(muster_host_exports *exports, muster_error *error);

/* Tells the version as it is, as if it had just changed. */
void muster_host_exports_announce(muster_host_exports *exports);

uint64_t muster_host_exports_version(muster_host_exports *exports);

/* Sends one page of the list. */
void muster_host_exports_answer(muster_host_exports *exports, int fd,
                                const muster_host_request *request);

#endif
