/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/neighbours.h"

#include <stdlib.h>
#include <unistd.h>

#include "transport/host/endpoint.h"

/* The first is watched; the others are for when it dies, and several may die at once: then nobody is there any
 * more to hand over a page. */
#define NEIGHBOURS_MAX 8
/* For all of them. Whoever is dead refuses at once, and a revoke ends the wait, so this is spent on one that is
 * stopped alone. On a busy machine a listener's answer takes a while; who is not fetched is not watched in this
 * epoch. */
#define FETCH_NS (2000 * MUSTER_HOST_MILLISECOND_NS)

static bool fetch_life(const muster_host_address *address, const muster_host_patience *patience,
                       muster_host_life *life)
{
    muster_host_request request = {.kind = MUSTER_HOST_REQUEST_LIFE};
    muster_host_reply reply;
    int fds[MUSTER_HOST_HANDOVER_FDS];
    int native_code;
    bool ok;

    if (muster_host_handover_ask(address, &request, &reply, fds, patience, &native_code) !=
        MUSTER_OK)
        return false;
    ok = reply.answer == MUSTER_HOST_ANSWER_OK && reply.fd_count == 1 &&
         muster_host_life_open(fds[0], life, NULL) == MUSTER_OK;
    for (uint32_t i = 0; i < reply.fd_count; i++)
        close(fds[i]);
    return ok;
}

void muster_host_neighbours_watch(muster_transport *transport,
                                  const muster_transport_connect_options *options)
{
    int32_t others = options->member_count - 1;
    int32_t wanted = others < NEIGHBOURS_MAX ? others : NEIGHBOURS_MAX;
    muster_host_watched *watched = calloc((size_t)wanted + 1, sizeof *watched);
    int32_t count = 0;
    muster_host_patience patience = {.deadline_ns = muster_host_clock_now_ns() + FETCH_NS,
                                     .cancelled = options->cancelled,
                                     .context = options->context};

    if (watched == NULL)
        return;
    if (patience.deadline_ns > options->deadline_ns)
        patience.deadline_ns = options->deadline_ns;
    for (int32_t step = 1; step <= wanted; step++) {
        int32_t rank = (options->own_rank + step) % options->member_count;

        if (!fetch_life(&transport->peers[rank].address, &patience, &watched[count].life))
            continue;
        watched[count].slot = options->members[rank].slot;
        watched[count].incarnation = options->members[rank].incarnation;
        count++;
    }
    muster_host_watcher_watch(&transport->endpoint->watcher, watched, count);
}
