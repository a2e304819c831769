/* SPDX-License-Identifier: Apache-2.0 */
/* The listener of an endpoint: the thread that answers peers on the endpoint's socket, and that holds
 * the life page from its start to its orderly end. */
#ifndef MUSTER_TRANSPORT_HOST_LISTENER_H
#define MUSTER_TRANSPORT_HOST_LISTENER_H

#include <pthread.h>
#include <stdbool.h>

#include "transport/host/exports.h"
#include "transport/host/life.h"
#include "transport/host/offers.h"
#include "transport/host/want.h"

typedef struct muster_host_listener {
    pthread_t thread;
    int listen_fd;
    int stop_fd; /* eventfd */
    muster_host_life *life;
    muster_host_offers *offers;
    muster_host_exports *exports;
    pthread_mutex_t mutex;
    pthread_cond_t started;
    bool holds_life;       /* guarded by mutex, as is what follows */
    muster_host_want want; /* of descriptors or memory, for peers that come */
} muster_host_listener;

/* Takes listen_fd, also on an error. On return the life page is held. */
muster_status muster_host_listener_start(muster_host_listener *listener, int listen_fd,
                                         muster_host_life *life, muster_host_offers *offers,
                                         muster_host_exports *exports, muster_error *error);
/* Peers come, and cannot be let in, and could not for a while: the native code why. 0 otherwise. Any thread. */
int muster_host_listener_in_want(muster_host_listener *listener);
void muster_host_listener_stop(muster_host_listener *listener);

#endif
