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
    request->compared_verdict = (muster_verdict){.status = MUSTER_OK};
    post_page(comm, request);
}

/* Of a batch: the lowest rank that differs from rank 0, and its first tensor that does, as if all lists lay side by side.
 * Without memory, which could run out on one rank and make its code another than that of the others. */
static void compare_page_of_batch(const muster_comm *comm, muster_request *request,
                                  const unsigned char *payloads)
{
    compare_page reference_page;
    compare_page page;
    muster_descriptor reference[DESCRIPTORS_PER_ROUND];
    muster_descriptor list[DESCRIPTORS_PER_ROUND];
    muster_verdict *verdict = &request->compared_verdict;
    memcpy(&reference_page, payloads, sizeof(reference_page));
    memcpy(reference, payloads + sizeof(reference_page), sizeof(reference));
    int32_t left = reference_page.total - reference_page.first;
    int32_t here = left < DESCRIPTORS_PER_ROUND ? left : DESCRIPTORS_PER_ROUND;
    int32_t end = verdict->status == MUSTER_OK ? comm->size : verdict->rank;
    for (int32_t rank = 1; rank < end; rank++) {
        const unsigned char *payload = payloads + (size_t)rank * MUSTER_ROUND_BYTES;
        memcpy(&page, payload, sizeof(page));
        memcpy(list, payload + sizeof(page), sizeof(list));
        muster_verdict found = muster_verdict_of_page(reference, reference_page.total, list,
                                                      page.total, reference_page.first, here, rank);
        if (found.status != MUSTER_OK) {
            *verdict = found;
            return;
        }
    }
}

/* Of a P2P list: which operation of one rank belongs to which of another is known at the end. Without memory for the
 * lists this rank still takes its part in the rounds, and its error has the same code, without the two sides. */
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
    bool lists = request->record.call == MUSTER_CALL_P2P;
    if (lists)
        keep_page(comm, request, payloads);
    else
        compare_page_of_batch(comm, request, payloads);
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
    muster_verdict detailed = request->compared_verdict;
    if (lists && kept_all(comm, request))
        detailed =
            muster_verdict_of_descriptors((const muster_descriptor *const *)request->compared,
                                          request->compared_counts, comm->size, MUSTER_CALL_P2P);
    /* Digests that differ over equal lists would be a hash of ours gone wrong; keep the refusal. */
    if (detailed.status != MUSTER_OK)
        request->verdict = detailed;
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
