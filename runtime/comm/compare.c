/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/compare.h"

#include <stdlib.h>
#include <string.h>

typedef struct compare_page {
    int32_t total; /* descriptors of this rank */
    int32_t first; /* index of the first one here */
} compare_page;

#define DESCRIPTORS_PER_ROUND \
    ((int32_t)((MUSTER_ROUND_BYTES - sizeof(compare_page)) / sizeof(muster_descriptor)))

static void post_page(muster_comm *comm, muster_request *request)
{
    unsigned char payload[MUSTER_ROUND_BYTES] = {0};
    compare_page page = {.total = request->descriptor_count,
                         .first = request->compared_chunk * DESCRIPTORS_PER_ROUND};
    memcpy(payload, &page, sizeof(page));
    int32_t left = page.total - page.first;
    int32_t here = left < DESCRIPTORS_PER_ROUND ? left : DESCRIPTORS_PER_ROUND;
    if (here > 0)
        memcpy(payload + sizeof(page), request->descriptors + page.first,
               (size_t)here * sizeof(muster_descriptor));
    request->round = ++comm->round;
    comm->job->table->round_post(comm->transport, request->round, payload);
}

void muster_compare_begin(muster_comm *comm, muster_request *request)
{
    request->compared_chunk = 0;
    post_page(comm, request);
}

/* Without memory for the lists this rank still takes its part in the rounds; its error then has the
 * code of the digest's mismatch, without the two sides. */
static void keep_page(muster_comm *comm, muster_request *request, const unsigned char *payloads)
{
    if (request->compared == NULL && request->compared_chunk == 0) {
        request->compared = calloc((size_t)comm->size, sizeof(*request->compared));
        request->compared_counts = calloc((size_t)comm->size, sizeof(*request->compared_counts));
    }
    if (request->compared == NULL || request->compared_counts == NULL)
        return;
    for (int32_t rank = 0; rank < comm->size; rank++) {
        compare_page page;
        const unsigned char *payload = payloads + (size_t)rank * MUSTER_ROUND_BYTES;
        memcpy(&page, payload, sizeof(page));
        request->compared_counts[rank] = page.total;
        if (request->compared_chunk == 0 && page.total > 0)
            request->compared[rank] = calloc((size_t)page.total, sizeof(muster_descriptor));
        int32_t left = page.total - page.first;
        int32_t here = left < DESCRIPTORS_PER_ROUND ? left : DESCRIPTORS_PER_ROUND;
        if (here > 0 && request->compared[rank] != NULL)
            memcpy(request->compared[rank] + page.first, payload + sizeof(page),
                   (size_t)here * sizeof(muster_descriptor));
    }
}

static bool kept_all(const muster_comm *comm, const muster_request *request)
{
    if (request->compared == NULL || request->compared_counts == NULL)
        return false;
    for (int32_t rank = 0; rank < comm->size; rank++)
        if (request->compared_counts[rank] > 0 && request->compared[rank] == NULL)
            return false;
    return true;
}

bool muster_compare_progress(muster_comm *comm, muster_request *request, bool *done)
{
    *done = false;
    const unsigned char *payloads = comm->job->table->round_poll(comm->transport, request->round);
    if (payloads == NULL)
        return false;
    keep_page(comm, request, payloads);
    int32_t most = 0;
    for (int32_t rank = 0; rank < comm->size; rank++) {
        compare_page page;
        memcpy(&page, payloads + (size_t)rank * MUSTER_ROUND_BYTES, sizeof(page));
        most = page.total > most ? page.total : most;
    }
    request->compared_chunk++;
    if (request->compared_chunk * DESCRIPTORS_PER_ROUND < most) {
        post_page(comm, request);
        return true;
    }
    if (kept_all(comm, request)) {
        muster_verdict detailed = muster_verdict_of_descriptors(
            (const muster_descriptor *const *)request->compared, request->compared_counts,
            comm->size, (muster_call)request->record.call);
        /* Digests that differ over equal lists would be a hash of ours gone wrong; keep the refusal. */
        if (detailed.status != MUSTER_OK)
            request->verdict = detailed;
    }
    *done = true;
    return true;
}

void muster_compare_clean_up(muster_request *request)
{
    if (request->compared != NULL)
        for (int32_t rank = 0; rank < request->comm->size; rank++)
            free(request->compared[rank]);
    free(request->compared);
    free(request->compared_counts);
    request->compared = NULL;
    request->compared_counts = NULL;
}
