/* SPDX-License-Identifier: Apache-2.0 */
/* One rank's connection to a communicator of one epoch: what a muster_transport is on the host plane. */
#ifndef MUSTER_TRANSPORT_HOST_CONNECTION_H
#define MUSTER_TRANSPORT_HOST_CONNECTION_H

#include "transport/host/batch.h"
#include "transport/host/board.h"
#include "transport/host/handover.h"
#include "transport/host/imports.h"
#include "transport/host/ring.h"

typedef struct muster_host_peer {
    muster_host_address address;
    muster_host_imports imports;
    muster_host_ring outgoing;
    muster_host_ring incoming;
    muster_host_pair *to;   /* own rank to peer; NULL for the own rank */
    muster_host_pair *from; /* peer to own rank */
    uint64_t writes_done;   /* own WRITEs into the peer's memory */
    uint64_t reads_done;
    uint64_t writes_met; /* the peer's WRITEs that a batch has waited for */
    uint64_t reads_met;
    /* Kinds of operation on which this pass of progress got stuck: later ones of a kind wait for the
     * earlier one. */
    uint64_t stuck_pass;
    uint32_t stuck_kinds;
} muster_host_peer;

struct muster_transport {
    muster_transport_endpoint *endpoint;
    muster_transport *next; /* of the endpoint's list */
    int32_t own_rank;
    int32_t member_count;
    muster_host_segment segment;
    muster_host_board board;
    muster_host_peer *peers; /* by rank */
    muster_transport_batch batch;
    _Atomic int32_t armed; /* threads between arm and disarm */
};

muster_status muster_host_connection_open(muster_transport_endpoint *endpoint,
                                          const muster_transport_connect_options *options,
                                          muster_transport **transport, muster_error *error);
void muster_host_connection_close(muster_transport *transport);

#endif
