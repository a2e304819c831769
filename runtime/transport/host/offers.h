/* SPDX-License-Identifier: Apache-2.0 */
/* The segments that this endpoint, as rank 0, is offering to the members of their communicators. */
#ifndef MUSTER_TRANSPORT_HOST_OFFERS_H
#define MUSTER_TRANSPORT_HOST_OFFERS_H

#include <pthread.h>

#include "transport/host/handover.h"
#include "transport/host/segment.h"

typedef struct muster_host_offer {
    muster_host_segment_key key;
    int fd; /* the segment's; belongs to the one who offers */
    const muster_transport_member *members;
    int32_t member_count;
    struct muster_host_offer *next;
} muster_host_offer;

typedef struct muster_host_offers {
    pthread_mutex_t mutex;
    muster_host_offer *first;
    uint64_t job;
} muster_host_offers;

void muster_host_offers_init(muster_host_offers *offers, uint64_t job);
void muster_host_offers_clean_up(muster_host_offers *offers);

/* The offer, its fd and its members stay the caller's and must live until they are withdrawn. */
void muster_host_offers_add(muster_host_offers *offers, muster_host_offer *offer);
void muster_host_offers_withdraw(muster_host_offers *offers, muster_host_offer *offer);

/* Answers a peer: the segment, "not yet" or a refusal. */
void muster_host_offers_answer(muster_host_offers *offers, int fd,
                               const muster_host_request *request);

#endif
