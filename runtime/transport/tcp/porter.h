/* SPDX-License-Identifier: Apache-2.0 */
/* The porter of an endpoint: the thread that lets ranks of other hosts in, and that tells a rank when one of its
 * sockets has something for it. It never reads or writes what ranks say to each other.
 *
 *   stranger ──> guest (has some seconds to say HELLO) ──> parked (its epoch has not begun here yet)
 *                  │ wrong, or too slow: out                  │
 *                  └──────────────> connection of a mesh <────┘
 *
 * The thread starts with the first mesh: ranks of one host have none. */
#ifndef MUSTER_TRANSPORT_TCP_PORTER_H
#define MUSTER_TRANSPORT_TCP_PORTER_H

#include <pthread.h>

#include "transport/tcp/address.h"
#include "transport/tcp/connection.h"
#include "transport/host/want.h"

typedef struct muster_tcp_mesh muster_tcp_mesh;
typedef struct muster_tcp_guest muster_tcp_guest;

typedef struct muster_tcp_watched {
    muster_tcp_mesh *mesh; /* NULL: free */
    muster_tcp_connection *connection;
    uint32_t generation;
} muster_tcp_watched;

typedef struct muster_tcp_porter {
    uint64_t job;
    muster_tcp_address address; /* where it listens, and the cookie */
    int listen_fd;              /* -1: no other host reaches this rank */
    int epoll_fd;
    int stop_fd; /* eventfd */
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t admitted;
    muster_tcp_mesh *meshes;
    uint64_t newest_epoch;
    muster_tcp_guest *guests;
    size_t guest_count;
    muster_tcp_watched *watched;
    size_t watched_capacity;
    muster_host_want want;  /* of descriptors or memory, for those that it would let in */
    uint64_t refused_count; /* strangers, half-open connections, fenced incarnations */
} muster_tcp_porter;

/* Takes listen_fd, which may be -1. */
void muster_tcp_porter_init(muster_tcp_porter *porter, uint64_t job,
                            const muster_tcp_address *address, int listen_fd);
/* All its meshes are closed before. Joins the thread. */
void muster_tcp_porter_clean_up(muster_tcp_porter *porter);

/* From now on the members of this mesh are let in; starts the thread. MUSTER_ERR_NO_MEMORY, MUSTER_ERR_SYSTEM. */
muster_status muster_tcp_porter_add(muster_tcp_porter *porter, muster_tcp_mesh *mesh,
                                    muster_error *error);
/* On return the thread touches nothing of this mesh any more. */
void muster_tcp_porter_remove(muster_tcp_porter *porter, muster_tcp_mesh *mesh);

/* A connection that this rank made: takes fd. False with errno. */
bool muster_tcp_porter_attach(muster_tcp_porter *porter, muster_tcp_mesh *mesh,
                              muster_tcp_connection *connection, int fd);

#endif
