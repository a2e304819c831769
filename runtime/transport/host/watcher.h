/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher of an endpoint: a thread that waits for the end of the next rank in the ring of the world
 * communicator, and then of the one after. */
#ifndef MUSTER_TRANSPORT_HOST_WATCHER_H
#define MUSTER_TRANSPORT_HOST_WATCHER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport/host/life.h"

typedef struct muster_host_watched {
    int32_t slot;
    uint32_t incarnation;
    muster_host_life life;
} muster_host_watched;

typedef struct muster_host_watcher {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t changed;
    bool stop;
    muster_host_watched *next; /* handed over, not yet taken by the thread */
    int32_t next_count;
    bool has_next;
    void (*on_peer_dying)(void *context, int32_t slot, uint32_t incarnation);
    void *context;
} muster_host_watcher;

muster_status muster_host_watcher_start(muster_host_watcher *watcher,
                                        void (*on_peer_dying)(void *context, int32_t slot,
                                                              uint32_t incarnation),
                                        void *context, muster_error *error);
/* Joins the thread: at most one slice of the watch. */
void muster_host_watcher_stop(muster_host_watcher *watcher);

/* From now on these, in this order, instead of those before. Takes the array (malloc) and the lives. */
void muster_host_watcher_watch(muster_host_watcher *watcher, muster_host_watched *watched,
                               int32_t count);

#endif
