/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/offers.h"

#include <string.h>

#include "base/assert.h"

void muster_host_offers_init(muster_host_offers *offers, uint64_t job)
{
    pthread_mutex_init(&offers->mutex, NULL);
    offers->first = NULL;
    offers->job = job;
}

void muster_host_offers_clean_up(muster_host_offers *offers)
{
    MUSTER_ASSERT(offers->first == NULL);
    pthread_mutex_destroy(&offers->mutex);
}

void muster_host_offers_add(muster_host_offers *offers, muster_host_offer *offer)
{
    pthread_mutex_lock(&offers->mutex);
    offer->next = offers->first;
    offers->first = offer;
    pthread_mutex_unlock(&offers->mutex);
}

void muster_host_offers_withdraw(muster_host_offers *offers, muster_host_offer *offer)
{
    muster_host_offer **link = &offers->first;

    pthread_mutex_lock(&offers->mutex);
    while (*link != NULL && *link != offer)
        link = &(*link)->next;
    if (*link != NULL)
        *link = offer->next;
    pthread_mutex_unlock(&offers->mutex);
}

static bool is_member(const muster_host_offer *offer, const muster_host_request *request)
{
    return request->rank > 0 && request->rank < offer->member_count &&
           offer->members[request->rank].slot == request->slot &&
           offer->members[request->rank].incarnation == request->incarnation;
}

static muster_host_answer answer_of(const muster_host_offers *offers,
                                    const muster_host_request *request,
                                    const muster_host_offer **found)
{
    if (request->job != offers->job)
        return MUSTER_HOST_ANSWER_REFUSED;
    for (const muster_host_offer *offer = offers->first; offer != NULL; offer = offer->next) {
        if (offer->key.epoch != request->epoch || offer->key.communicator != request->communicator)
            continue;
        /* A fenced incarnation that wakes up must not get into its successor's group. */
        if (!is_member(offer, request))
            return MUSTER_HOST_ANSWER_REFUSED;
        *found = offer;
        return MUSTER_HOST_ANSWER_OK;
    }
    return MUSTER_HOST_ANSWER_NOT_YET;
}

void muster_host_offers_answer(muster_host_offers *offers, int fd,
                               const muster_host_request *request)
{
    const muster_host_offer *found = NULL;
    muster_host_reply reply;

    memset(&reply, 0, sizeof reply);
    /* Held over the sending, so that the descriptor is not closed in between. */
    pthread_mutex_lock(&offers->mutex);
    reply.answer = answer_of(offers, request, &found);
    reply.fd_count = found != NULL ? 1 : 0;
    muster_host_handover_send_reply(fd, &reply, found != NULL ? &found->fd : NULL);
    pthread_mutex_unlock(&offers->mutex);
}
