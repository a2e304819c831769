/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting: one round tells everyone everyone's color and key; the ranks of one color connect among
 * themselves; a second round on the parent makes sure that all of them could. */
#include <muster/comm.h>

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "comm/clock.h"
#include "comm/comm.h"

/* Connecting a group whose member cannot (out of memory) must not last as long as a batch may. */
#define CONNECT_TIMEOUT_NS INT64_C(30000000000)

typedef struct split_place {
    int64_t color;
    int64_t key;
    int32_t rank;
} split_place;

static void copy_places(muster_request *request, const muster_verdict *verdict,
                        const void *payloads)
{
    (void)verdict;
    split_place *places = request->context;
    for (int32_t rank = 0; rank < request->comm->size; rank++) {
        const muster_record *record = muster_request_record_of(payloads, rank);
        places[rank] = (split_place){
            .color = record->own_argument[0], .key = record->own_argument[1], .rank = rank};
    }
}

static int compare_places(const void *left, const void *right)
{
    const split_place *a = left;
    const split_place *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

static muster_status exchange_places(muster_comm *comm, int32_t color, int32_t key, bool has_place,
                                     split_place *places, uint64_t *sequence, muster_error *error)
{
    muster_request *request;
    muster_status status = muster_request_new(comm, MUSTER_CALL_SPLIT, &request, error);
    if (status != MUSTER_OK)
        return status;
    if (!has_place || places == NULL) {
        muster_error local;
        muster_error_init(&local);
        muster_error_set(&local, has_place ? MUSTER_ERR_NO_MEMORY : MUSTER_ERR_INVALID_ARGUMENT,
                         has_place ? MUSTER_FIELD_NONE : MUSTER_FIELD_ARGUMENT, 0, 0, "%s",
                         has_place
                             ? "no memory to split a communicator"
                             : "muster_comm_split: split is NULL; pass where the handle goes");
        muster_request_refuse(request, &local);
    }
    request->record.own_argument[0] = color < 0 ? -1 : color;
    request->record.own_argument[1] = key;
    request->context = places;
    request->agreed = copy_places;
    status = muster_request_run(request, error);
    *sequence = comm->sequence;
    return status;
}

/* Connects the group of `color` out of all places. */
static muster_status connect_group(muster_comm *comm, int32_t color, split_place *places,
                                   uint64_t sequence, muster_comm **split, muster_error *error)
{
    int32_t count = 0;
    for (int32_t rank = 0; rank < comm->size; rank++)
        if (places[rank].color == color)
            places[count++] = places[rank];
    MUSTER_ASSERT(count > 0); /* this rank's own place is among them */
    qsort(places, (size_t)count, sizeof(*places), compare_places);
    muster_member *members = calloc((size_t)count, sizeof(*members));
    if (members == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the %d members of a split", count);
    int32_t own_rank = 0;
    for (int32_t i = 0; i < count; i++) {
        members[i] = comm->members[places[i].rank];
        if (places[i].rank == comm->rank)
            own_rank = i;
    }
    uint64_t identity[4] = {comm->id, comm->epoch, sequence, (uint64_t)color};
    uint64_t id = muster_hash_bytes(identity, sizeof(identity), comm->job->hash);
    muster_status status = muster_comm_new(comm->job, id, split, error);
    if (status == MUSTER_OK) {
        (*split)->timeout_ns = comm->timeout_ns;
        /* Half of what the others wait for us in the round that follows: one that could not connect
         * must get there in time, or it would be accused of staying out. */
        int64_t timeout_ns =
            comm->timeout_ns / 2 < CONNECT_TIMEOUT_NS ? comm->timeout_ns / 2 : CONNECT_TIMEOUT_NS;
        status = muster_comm_connect(*split, comm->epoch, members, count, own_rank,
                                     muster_clock_deadline_ns(timeout_ns), error);
    }
    free(members);
    return status;
}

/* All or nobody: a rank that could not connect makes everyone return its code, of several the lowest's. */
static muster_status confirm(muster_comm *comm, muster_status connected,
                             const muster_error *connect_error, muster_error *error)
{
    muster_request *request;
    muster_status status = muster_request_new(comm, MUSTER_CALL_SPLIT, &request, error);
    if (status != MUSTER_OK)
        return status;
    if (connected != MUSTER_OK)
        muster_request_refuse(request, connect_error);
    return muster_request_run(request, error);
}

muster_status muster_comm_split(muster_comm *comm, int32_t color, int32_t key, muster_comm **split,
                                muster_error *error)
{
    /* NULL goes into the round as well: the others must not wait for this rank in vain. */
    if (split != NULL)
        *split = NULL;
    if (comm == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_COMMUNICATOR, 0, 0,
                                "muster_comm_split: comm is NULL; pass a communicator");
    split_place *places = calloc((size_t)comm->size, sizeof(*places));
    uint64_t sequence = 0;
    muster_status status =
        exchange_places(comm, color, key, split != NULL, places, &sequence, error);
    if (status != MUSTER_OK) {
        free(places);
        return status;
    }
    MUSTER_ASSERT(split != NULL); /* else this rank has refused, and so have all */
    muster_error connect_error;
    muster_error_init(&connect_error);
    muster_comm *made = NULL;
    muster_status connected = MUSTER_OK;
    if (color >= 0)
        connected = connect_group(comm, color, places, sequence, &made, &connect_error);
    free(places);
    /* First those that failed by themselves: a rank that waited for one of them in vain has passed its deadline,
     * and might be the lower one, whose word counts; the cause would never be said. */
    status = confirm(comm, connected == MUSTER_ERR_TIMEOUT ? MUSTER_OK : connected, &connect_error,
                     error);
    if (status == MUSTER_OK)
        status = confirm(comm, connected, &connect_error, error);
    if (status != MUSTER_OK) {
        muster_comm_delete(made);
        return status;
    }
    *split = made;
    return MUSTER_OK;
}
