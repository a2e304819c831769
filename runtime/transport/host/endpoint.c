/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/host/connection.h"

static void announce(void *context, uint64_t version)
{
    muster_transport_endpoint *endpoint = context;

    pthread_mutex_lock(&endpoint->transports_mutex);
    for (muster_transport *transport = endpoint->transports; transport != NULL;
         transport = transport->next)
        atomic_store(&transport->segment.ranks[transport->own_rank].exports_version, version);
    pthread_mutex_unlock(&endpoint->transports_mutex);
}

muster_status muster_host_endpoint_open(const muster_transport_endpoint_options *options,
                                        muster_transport_endpoint **opened, muster_error *error)
{
    muster_transport_endpoint *endpoint = calloc(1, sizeof *endpoint);
    muster_status status;
    int listen_fd = -1;

    *opened = NULL;
    if (endpoint == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the endpoint of slot %d", options->slot);
    endpoint->options = *options;
    status = muster_host_life_create(&endpoint->life, error);
    if (status != MUSTER_OK)
        goto no_life;
    status = muster_host_handover_listen(&endpoint->address, &listen_fd, error);
    if (status != MUSTER_OK)
        goto no_socket;
    pthread_mutex_init(&endpoint->transports_mutex, NULL);
    muster_host_offers_init(&endpoint->offers, options->job);
    muster_host_exports_init(&endpoint->exports, announce, endpoint);
    status = muster_host_listener_start(&endpoint->listener, listen_fd, &endpoint->life,
                                        &endpoint->offers, &endpoint->exports, error);
    if (status != MUSTER_OK)
        goto no_listener;
    status = muster_host_watcher_start(&endpoint->watcher, options->on_peer_dying, options->context,
                                       error);
    if (status != MUSTER_OK)
        goto no_watcher;
    *opened = endpoint;
    return muster_error_set_ok(error);

no_watcher:
    muster_host_listener_stop(&endpoint->listener);
no_listener:
    muster_host_exports_clean_up(&endpoint->exports);
    muster_host_offers_clean_up(&endpoint->offers);
    pthread_mutex_destroy(&endpoint->transports_mutex);
no_socket:
    muster_host_life_close(&endpoint->life);
no_life:
    free(endpoint);
    return status;
}

void muster_host_endpoint_close(muster_transport_endpoint *endpoint)
{
    MUSTER_ASSERT(endpoint->transports == NULL);
    muster_host_watcher_stop(&endpoint->watcher);
    muster_host_listener_stop(&endpoint->listener);
    muster_host_exports_clean_up(&endpoint->exports);
    muster_host_offers_clean_up(&endpoint->offers);
    pthread_mutex_destroy(&endpoint->transports_mutex);
    muster_host_life_close(&endpoint->life);
    free(endpoint);
}

void muster_host_endpoint_blob(const muster_transport_endpoint *endpoint,
                               muster_transport_blob *blob)
{
    memset(blob, 0, sizeof *blob);
    blob->bytes = sizeof endpoint->address;
    memcpy(blob->data, &endpoint->address, sizeof endpoint->address);
}

void muster_host_endpoint_add(muster_transport_endpoint *endpoint, muster_transport *transport)
{
    pthread_mutex_lock(&endpoint->transports_mutex);
    transport->next = endpoint->transports;
    endpoint->transports = transport;
    pthread_mutex_unlock(&endpoint->transports_mutex);
    muster_host_exports_announce(&endpoint->exports);
}

void muster_host_endpoint_remove(muster_transport_endpoint *endpoint, muster_transport *transport)
{
    muster_transport **link = &endpoint->transports;

    pthread_mutex_lock(&endpoint->transports_mutex);
    while (*link != NULL && *link != transport)
        link = &(*link)->next;
    if (*link != NULL)
        *link = transport->next;
    pthread_mutex_unlock(&endpoint->transports_mutex);
}
