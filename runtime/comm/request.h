/* SPDX-License-Identifier: Apache-2.0 */
/* A request: one agreed call of a communicator, from its record to its last byte. Whoever makes a new
 * kind of call (a collective, a scope, a step) fills one of these and hands it to the engine; nobody
 * else posts rounds or moves bytes.
 *
 *   muster_request *request;
 *   status = muster_request_new(comm, MUSTER_CALL_X, &request, error);   // refused: comm is dead
 *   if (status != MUSTER_OK) return status;
 *   request->record.argument = ...;                    // what all must agree on
 *   muster_request_refuse(request, &local_error);      // where a local check failed; still goes on
 *   append operations to request->operations;          // moved after an OK verdict
 *   return muster_request_run(request, error);         // or muster_request_launch for a _start call
 *
 * States: draft -> queued -> agreeing -> (comparing ->) moving -> (enqueued ->) done. Requests of one
 * communicator are progressed strictly in their order. Enqueued ones complete in their order, too, but
 * a host request that was started after them may complete before them. */
#ifndef MUSTER_COMM_REQUEST_H
#define MUSTER_COMM_REQUEST_H

#include <stdbool.h>

#include <muster/phase.h>
#include <muster/request.h>

#include "collective/pattern.h"
#include "collective/record.h"
#include "collective/verdict.h"
#include "transport/transport.h"
#include "tracing/trace.h"

typedef struct muster_flight muster_flight;

typedef enum muster_request_state {
    MUSTER_REQUEST_DRAFT = 0,
    MUSTER_REQUEST_QUEUED = 1,    /* behind others of its communicator */
    MUSTER_REQUEST_AGREEING = 2,  /* its record is posted */
    MUSTER_REQUEST_COMPARING = 3, /* the slow round: descriptors are exchanged */
    MUSTER_REQUEST_MOVING = 4,    /* the verdict was OK; bytes move, or are being enqueued */
    MUSTER_REQUEST_ENQUEUED = 5,  /* device tensors: left the queue, its flight is in the air */
    MUSTER_REQUEST_DONE = 6
} muster_request_state;

struct muster_request {
    muster_comm *comm;
    muster_request *next;
    muster_request *older; /* of the communicator's requests that are not freed yet */
    muster_request *newer;
    uint64_t epoch; /* in which it was drafted: its ranks and lengths are that epoch's */
    muster_request_state state;
    uint64_t round; /* of the transport, while agreeing or comparing */

    muster_record record; /* identity, sequence, tag and phase are filled by the engine */
    muster_operation_list operations;
    /* Descriptors for the slow round; NULL where the record says all. Owned. */
    muster_descriptor *descriptors;
    int32_t descriptor_count;

    /* Called once, under the communicator's lock, after an OK verdict and before the first byte:
     * payloads are all ranks' records, MUSTER_ROUND_BYTES apart. It may append operations within what
     * was reserved before; it cannot fail and must not block or call into the communicator. */
    void (*agreed)(muster_request *request, const muster_verdict *verdict, const void *payloads);
    /* Called once when the request is done, whatever came of it, on the thread that finds out, under
     * the lock: copies results out (status OK) and frees what context holds. May be NULL. */
    void (*finished)(muster_request *request, muster_status status);
    void *context;

    /* The slow round's. */
    muster_descriptor **compared;
    int32_t *compared_counts;
    int32_t compared_chunk;
    muster_verdict compared_verdict; /* of a batch, so far; MUSTER_OK: no difference yet */
    muster_verdict verdict;

    muster_transport_batch *batch;
    bool blocking;         /* nobody looks at it after its call: done when its batch is enqueued */
    void *stream;          /* device tensors: the communicator's when the call was made */
    muster_flight *flight; /* reserved, or not enqueued yet */
    muster_trace_batch trace;
    muster_error local; /* this rank's own refusal, in its own words */
    muster_error outcome;
    bool waited; /* a thread was inside a blocking wait for it */
};

/* A draft. MUSTER_ERR_INVALID_ARGUMENT (comm NULL), MUSTER_ERR_FORKED, MUSTER_ERR_RANK_LOST,
 * MUSTER_ERR_COMM_FAILED, MUSTER_ERR_FENCED, MUSTER_ERR_GAVE_UP, MUSTER_ERR_CALLS_DIFFER,
 * MUSTER_ERR_NO_MEMORY: then there is no request and no round. */
muster_status muster_request_new(muster_comm *comm, muster_call call, muster_request **request,
                                 muster_error *error);

/* Notes a failed local check in the record; the first one stays. The call still goes to the round. */
void muster_request_refuse(muster_request *request, const muster_error *local);

/* Drops a draft that is never launched. NULL is fine. */
void muster_request_drop(muster_request *request);

/* Queues it and returns at once; never fails. */
void muster_request_launch(muster_request *request);

/* Launches for a _start call. where NULL is the caller's mistake, made after the others may have begun:
 * it goes into the round like any other, so that nobody waits for this rank; the code comes back here. */
muster_status muster_request_start(muster_request *request, muster_request **where,
                                   muster_error *error);

/* Launches, waits with the communicator's timeout, frees: a blocking call. */
muster_status muster_request_run(muster_request *request, muster_error *error);

/* The record of one rank among payloads as `agreed` gets them. */
const muster_record *muster_request_record_of(const void *payloads, int32_t rank);

#endif
