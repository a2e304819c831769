/* SPDX-License-Identifier: Apache-2.0 */
/* The life page of an endpoint: a robust mutex that a thread of the endpoint holds as long as it lives.
 *
 * When the process dies, whatever kills it, the kernel marks the mutex and wakes its waiters on the way
 * out of each thread, before it starts to free the process's memory: proof of dying, long before a
 * descriptor closes. An orderly end unlocks it instead. */
#ifndef MUSTER_TRANSPORT_HOST_LIFE_H
#define MUSTER_TRANSPORT_HOST_LIFE_H

#include "transport/host/mapping.h"

typedef struct muster_host_life {
    muster_host_mapping mapping;
} muster_host_life;

typedef enum muster_host_life_state {
    MUSTER_HOST_LIFE_ALIVE = 1, /* or not known yet */
    MUSTER_HOST_LIFE_DYING = 2,
    MUSTER_HOST_LIFE_LEFT = 3 /* ended in order */
} muster_host_life_state;

muster_status muster_host_life_create(muster_host_life *life, muster_error *error);
muster_status muster_host_life_open(int fd, muster_host_life *life, muster_error *error);
void muster_host_life_close(muster_host_life *life);

size_t muster_host_life_bytes(void);

/* Both on the same thread, which must live until the second. */
void muster_host_life_hold(muster_host_life *life);
void muster_host_life_let_go(muster_host_life *life);

/* Waits at most max_ns for the holder's end. */
muster_host_life_state muster_host_life_watch(muster_host_life *life, int64_t max_ns);

#endif
