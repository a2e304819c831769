/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint of one rank on its host: listener, watcher, allocated memory, over all epochs. */
#ifndef MUSTER_TRANSPORT_HOST_ENDPOINT_H
#define MUSTER_TRANSPORT_HOST_ENDPOINT_H

#include "transport/host/exports.h"
#include "transport/host/life.h"
#include "transport/host/listener.h"
#include "transport/host/offers.h"
#include "transport/host/watcher.h"

struct muster_transport_endpoint {
    muster_transport_endpoint_options options;
    muster_host_address address;
    muster_host_life life;
    muster_host_offers offers;
    muster_host_exports exports;
    muster_host_listener listener;
    muster_host_watcher watcher;
    /* The open transports: each segment says which exports version this endpoint has. Taken after the
     * mutex of the exports. */
    pthread_mutex_t transports_mutex;
    muster_transport *transports;
};

muster_status muster_host_endpoint_open(const muster_transport_endpoint_options *options,
                                        muster_transport_endpoint **endpoint, muster_error *error);
void muster_host_endpoint_close(muster_transport_endpoint *endpoint);
void muster_host_endpoint_blob(const muster_transport_endpoint *endpoint,
                               muster_transport_blob *blob);

/* Between these two, the transport's segment is told of each change of the exports. */
void muster_host_endpoint_add(muster_transport_endpoint *endpoint, muster_transport *transport);
void muster_host_endpoint_remove(muster_transport_endpoint *endpoint, muster_transport *transport);

#endif
