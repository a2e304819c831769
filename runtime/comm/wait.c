/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/wait.h"

#include <sched.h>
#include <stdio.h>

#include "base/error.h"
#include "comm/clock.h"
#include "comm/comm.h"
#include "comm/flight.h"
#include "comm/refusal.h"

/* Spinning finds what comes within a few microseconds; with more ranks than cores it would only keep
 * the core from the rank that is awaited (seen elsewhere: 4 ms per hand-over), so it is left out. */
enum { SPINS = 4000, YIELDS = 20 };
#define SLEEP_SLICE_NS INT64_C(100000000)

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One look: progresses, and says whether the request is done; *polls where nobody rings when it moves. */
static bool look(muster_request *request, bool *moved, bool *polls)
{
    muster_comm *comm = request->comm;
    pthread_mutex_lock(&comm->lock);
    *moved = muster_comm_progress(comm);
    *polls = muster_flight_polls(comm);
    bool done = request->state == MUSTER_REQUEST_DONE;
    pthread_mutex_unlock(&comm->lock);
    return done;
}

/* The ranks that the head of the queue waits for, into comm->missing. Under the lock. */
static void find_missing(muster_comm *comm)
{
    muster_rank_set_clear(&comm->missing);
    muster_request *head = comm->head;
    if (head == NULL)
        return;
    if (head->state == MUSTER_REQUEST_AGREEING || head->state == MUSTER_REQUEST_COMPARING)
        comm->job->table->round_missing(comm->transport, head->round, &comm->missing);
    else if (head->state == MUSTER_REQUEST_MOVING && head->batch != NULL)
        comm->job->table->batch_missing(head->batch, &comm->missing);
}

static void describe_timeout(muster_comm *comm, const muster_request *request, muster_error *error)
{
    char who[96] = "";
    size_t used = 0;
    int32_t count = muster_rank_set_count(&comm->missing);
    int32_t named = 0;
    for (int32_t rank = muster_rank_set_next(&comm->missing, 0); rank >= 0 && named < 8;
         rank = muster_rank_set_next(&comm->missing, rank + 1), named++) {
        int written = snprintf(who + used, sizeof(who) - used, "%s%d", named > 0 ? ", " : "", rank);
        used += written > 0 ? (size_t)written : 0;
        if (used >= sizeof(who))
            break;
    }
    muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT, comm->size,
                     comm->size - count,
                     "%s (sequence %llu) still waits for rank %s%s; wait longer, or recover if it "
                     "does not come",
                     muster_call_text((muster_call)request->record.call),
                     (unsigned long long)request->record.sequence, count == 0 ? "none" : who,
                     count > named ? " and more" : "");
    if (error != NULL)
        error->rank = muster_rank_set_next(&comm->missing, 0);
}

static void accuse_missing(muster_comm *comm, const muster_request *request)
{
    pthread_mutex_lock(&comm->lock);
    find_missing(comm);
    pthread_mutex_unlock(&comm->lock);
    for (int32_t rank = muster_rank_set_next(&comm->missing, 0); rank >= 0;
         rank = muster_rank_set_next(&comm->missing, rank + 1))
        muster_agent_report_batch_deadline(comm->job->agent, comm->members[rank].slot,
                                           comm->members[rank].incarnation, comm->id,
                                           request->record.sequence, request->record.call);
}

/* Waits until done or deadline_ns. False at the deadline. */
static bool wait_until(muster_request *request, int64_t deadline_ns)
{
    muster_comm *comm = request->comm;
    const muster_transport_table *table = comm->job->table;
    int spin_budget = comm->may_spin ? SPINS : 0;
    int spins = 0;
    int yields = 0;
    bool said_waiting = false;
    bool moved = false;
    bool polls = false;
    bool done = false;
    int64_t nap_ns = MUSTER_FLIGHT_NAP_LEAST_NS;
    for (;;) {
        done = look(request, &moved, &polls);
        if (done)
            break;
        if (moved) {
            spins = 0;
            yields = 0;
            nap_ns = MUSTER_FLIGHT_NAP_LEAST_NS;
            continue;
        }
        if (spins < spin_budget) {
            spins++;
            relax();
            continue;
        }
        int64_t now_ns = muster_clock_now_ns();
        if (now_ns >= deadline_ns)
            break;
        if (!said_waiting) {
            /* Only now: a call that completes while spinning never costs the heartbeat's fields. */
            muster_agent_waiting(comm->job->agent, comm->id, request->record.sequence,
                                 request->record.call, (uint64_t)now_ns);
            said_waiting = true;
        }
        if (yields < YIELDS) {
            yields++;
            sched_yield();
            continue;
        }
        if (comm->transport == NULL)
            break; /* closed under us: muster_comm_fail has finished the request, look again */
        if (polls) {
            muster_flight_nap(comm, &nap_ns, deadline_ns - now_ns);
            continue;
        }
        uint32_t ticket = table->arm(comm->transport);
        done = look(request, &moved, &polls);
        if (!done && !moved && !polls) {
            int64_t left_ns = deadline_ns - now_ns;
            table->sleep(comm->transport, ticket,
                         left_ns < SLEEP_SLICE_NS ? left_ns : SLEEP_SLICE_NS);
        }
        table->disarm(comm->transport);
        if (done)
            break;
    }
    if (said_waiting)
        muster_agent_not_waiting(comm->job->agent);
    return done;
}

/* The inherited deadline of a blocking call: evidence for the control plane, a grace for its verdict,
 * and if none comes the communicator fails for good. */
static void give_up(muster_request *request)
{
    muster_comm *comm = request->comm;
    accuse_missing(comm, request);
    if (wait_until(request, muster_clock_deadline_ns(comm->job->policy.deadlines.verdict_grace_ns)))
        return;
    pthread_mutex_lock(&comm->lock);
    if (request->state != MUSTER_REQUEST_DONE) {
        muster_error timeout;
        muster_error_init(&timeout);
        find_missing(comm);
        describe_timeout(comm, request, &timeout);
        muster_comm_fail(comm, MUSTER_ERR_COMM_FAILED);
        request->outcome = timeout;
    }
    pthread_mutex_unlock(&comm->lock);
}

muster_status muster_wait(muster_request *request, int64_t timeout_ns, muster_error *error)
{
    muster_comm *comm = request->comm;
    bool inherit = timeout_ns == MUSTER_TIMEOUT_INHERIT_NS;
    int64_t deadline_ns = muster_clock_deadline_ns(inherit ? comm->timeout_ns : timeout_ns);
    if (!wait_until(request, deadline_ns)) {
        if (!inherit) {
            pthread_mutex_lock(&comm->lock);
            find_missing(comm);
            describe_timeout(comm, request, error);
            pthread_mutex_unlock(&comm->lock);
            return MUSTER_ERR_TIMEOUT;
        }
        give_up(request);
    }
    if (request->outcome.status == MUSTER_ERR_RANK_LOST)
        muster_comm_note_released(comm);
    return muster_request_outcome(request, error);
}
