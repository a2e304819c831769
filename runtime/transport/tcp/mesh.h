/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of one communicator of one epoch with its ranks on other hosts: one for each such rank. Nothing of
 * it is used for another epoch, so whatever a fenced rank still sends ends up in a socket that nobody reads. */
#ifndef MUSTER_TRANSPORT_TCP_MESH_H
#define MUSTER_TRANSPORT_TCP_MESH_H

#include "transport/host/clock.h"
#include "transport/tcp/porter.h"

typedef struct muster_tcp_member {
    int32_t slot;
    uint32_t incarnation;
    bool remote; /* false: it is on this host, or this rank itself */
    muster_tcp_address address;
} muster_tcp_member;

typedef struct muster_tcp_mesh_options {
    uint64_t epoch;
    uint64_t communicator;
    const muster_tcp_member *members; /* by rank; copied */
    int32_t member_count;
    int32_t own_rank;
    int64_t silence_ns; /* a connection is lost once nothing was acknowledged for so long */
    /* As in the endpoint's options. */
    void (*on_peer_unreachable)(void *context, int32_t slot, uint32_t incarnation);
    void *context;
} muster_tcp_mesh_options;

/* What progress of a batch remembers of one peer. */
typedef struct muster_tcp_peer {
    muster_tcp_connection connection;
    uint64_t stuck_pass;
    uint32_t stuck_kinds;
    int64_t reported_ns; /* when it was last said that nothing connects to it */
    bool reported_lost;  /* its connection is lost for good, and that was said */
} muster_tcp_peer;

struct muster_tcp_mesh {
    muster_tcp_porter *porter;
    muster_tcp_mesh *next; /* of the porter's list */
    muster_tcp_mesh_options options;
    muster_tcp_member *members; /* by rank */
    muster_tcp_peer *peers;     /* by rank; used where the member is remote */
    int32_t *remotes;           /* ranks on other hosts */
    int32_t remote_count;
    uint8_t *board; /* payloads of rounds: MUSTER_TCP_BOARD_PLACES times all ranks */
    uint64_t posted;
    bool broken; /* an incomplete batch was released: streams may have stopped in the middle */
    /* Guarded by the porter's mutex. */
    bool connecting; /* until the first round is posted */
    void (*wake)(void *context);
    void *wake_context;
};

/* Lets the others in from now on; connects to nobody yet. */
muster_status muster_tcp_mesh_open(muster_tcp_porter *porter,
                                   const muster_tcp_mesh_options *options, muster_tcp_mesh **mesh,
                                   muster_error *error);
/* Blocks until every remote rank is connected, within patience: MUSTER_ERR_TIMEOUT, MUSTER_ERR_RANK_LOST,
 * MUSTER_ERR_FOREIGN, MUSTER_ERR_VERSION, MUSTER_ERR_SYSTEM; the error names the rank. */
muster_status muster_tcp_mesh_connect(muster_tcp_mesh *mesh, const muster_host_patience *patience,
                                      muster_error *error);
void muster_tcp_mesh_close(muster_tcp_mesh *mesh);

/* Called on the porter's thread when a socket has something for this rank; must not block. */
void muster_tcp_mesh_set_wake(muster_tcp_mesh *mesh, void (*wake)(void *context), void *context);

/* May this one be let in? Under the porter's mutex. */
bool muster_tcp_mesh_knows(const muster_tcp_mesh *mesh, const muster_tcp_hello *hello);

/* Tells a fresh connection with rank where its payloads go. */
void muster_tcp_mesh_lay_out(muster_tcp_mesh *mesh, int32_t rank);

/* Rounds, as the table has them. */
void muster_tcp_mesh_post(muster_tcp_mesh *mesh, uint64_t round, const void *payload);
/* True once every remote payload of round is in its place and the own one is on its way. */
bool muster_tcp_mesh_poll(muster_tcp_mesh *mesh, uint64_t round);
void muster_tcp_mesh_missing(muster_tcp_mesh *mesh, uint64_t round, muster_rank_set *missing);
/* Where the payloads of round lie, by rank; those of this host are the caller's to fill in. */
uint8_t *muster_tcp_mesh_places(const muster_tcp_mesh *mesh, uint64_t round);

/* While connecting: says of one rank that it cannot be reached, unless that was just said. */
bool muster_tcp_mesh_report_rank(muster_tcp_mesh *mesh, int32_t rank, int64_t now_ns);
/* Says so, once, where the connection with a rank is lost. */
void muster_tcp_mesh_report(muster_tcp_mesh *mesh);

#endif
