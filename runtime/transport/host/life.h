/* SPDX-License-Identifier: Apache-2.0 */
/* The life page of an endpoint: a robust futex that a thread of the endpoint holds as long as it lives.
 *
 * When the process dies, whatever kills it, the kernel marks the futex and wakes a waiter on the way out
 * of that thread, before it starts to free the process's memory: proof of dying, long before a descriptor
 * closes. An orderly end clears it instead.
 *
 * Not a pthread mutex: whoever waits for one enters it into its own robust list meanwhile, and the
 * kernel tells owners apart by thread number only. Between PID namespaces numbers repeat, so a watcher that is killed while it
 * waits could mark a living peer as dead. A watcher of a bare futex holds nothing. */
#ifndef MUSTER_TRANSPORT_HOST_LIFE_H
#define MUSTER_TRANSPORT_HOST_LIFE_H

#include <linux/futex.h>

#include "transport/host/mapping.h"

typedef struct muster_host_life {
    muster_host_mapping mapping;
    /* The holder's: what its thread has registered with the kernel. Stays in place while held. */
    struct robust_list_head list;
    struct robust_list entry;
    struct robust_list_head *list_before; /* the C library's */
    size_t list_before_bytes;
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

/* Both on the same thread, which must live until the second and hold no robust mutex in between. */
void muster_host_life_hold(muster_host_life *life);
void muster_host_life_let_go(muster_host_life *life);

/* Waits at most max_ns for the holder's end. */
muster_host_life_state muster_host_life_watch(muster_host_life *life, int64_t max_ns);

#endif
