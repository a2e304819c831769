/* SPDX-License-Identifier: Apache-2.0 */
/* The agent: a thread in every rank that speaks with the coordinator (ZeroMQ DEALER), so that the
 * working thread never does. It sends heartbeats with the working thread's progress mark, hears
 * verdicts, and carries the rank through joins and rebuilds.
 *
 * It reconnects for ever: without a coordinator batches and commits go on; a coordinator that comes
 * back with a higher term is told who we are (JOIN with rejoin), one with a lower term is ignored. */
#ifndef MUSTER_RECOVERY_AGENT_H
#define MUSTER_RECOVERY_AGENT_H

#include "core/message.h"

typedef struct muster_agent muster_agent;

typedef struct muster_agent_options {
    const char *coordinator;     /* endpoint */
    const char *coordinator_key; /* file of its public key; NULL or empty, both: plain */
    const char *key_file;        /* of our own secret key */
    const char *job_name;
    int32_t slot; /* or MUSTER_SLOT_SPARE_WIRE */
    int32_t slot_count;
    uint32_t incarnation; /* or UINT32_MAX */
    muster_blob blob;
    const char *host_id;        /* NULL: the machine's */
    int64_t contact_timeout_ns; /* how long until "nobody answers": MUSTER_ERR_NO_COORDINATOR */
    int64_t deadline_ns;        /* CLOCK_MONOTONIC: of the whole join */
    /* Called on the agent thread after a revoke, a fence, or the job's end became visible; wakes
     * sleepers. May be NULL at the start: muster_agent_set_wake. */
} muster_agent_options;

/* What an AGREED said, as a value of this rank's own. */
typedef struct muster_membership {
    uint64_t epoch; /* 0: none */
    uint64_t term;
    muster_message agreed; /* type AGREED; owned */
} muster_membership;

void muster_membership_clean_up(muster_membership *membership);

/* Starts the thread and joins. Blocks until WELCOME or REFUSED (or a spare is registered).
 * MUSTER_OK and the errors of muster_job_join. */
muster_status muster_agent_start(const muster_agent_options *options, muster_agent **agent,
                                 muster_error *error);

/* Facts; valid after WELCOME. A spare's slot is known after its first AGREED. */
int32_t muster_agent_slot(const muster_agent *agent);
uint32_t muster_agent_incarnation(const muster_agent *agent);
muster_policy muster_agent_policy(const muster_agent *agent);
uint64_t muster_agent_term(const muster_agent *agent);

/* Wakes sleepers of the working thread; called on the agent thread, must not block. NULL: none. On
 * return no call of an earlier one is running. */
void muster_agent_set_wake(muster_agent *agent, void (*wake)(void *context), void *context);

/* Blocks until an AGREED of an epoch greater than after_epoch is here. A survivor in a rebuild has
 * said QUIET before. MUSTER_OK; MUSTER_ERR_TIMEOUT; MUSTER_ERR_FENCED; MUSTER_ERR_GAVE_UP;
 * MUSTER_ERR_NO_COORDINATOR (deadline passed with no coordinator there); MUSTER_ERR_CALLS_DIFFER. */
muster_status muster_agent_await_agreed(muster_agent *agent, uint64_t after_epoch,
                                        int64_t deadline_ns, muster_membership *membership,
                                        muster_error *error);

/* This rank is connected in epoch; then blocks until everyone is (ESTABLISHED).
 * MUSTER_ERR_RANK_LOST when the epoch was revoked meanwhile; else as above. */
muster_status muster_agent_await_established(muster_agent *agent, uint64_t epoch,
                                             int64_t deadline_ns, muster_error *error);

/* This survivor touches nobody's memory any more: what it holds, and when its call returned (0: none
 * was in flight). Copied. May be called for each epoch once; returns at once. */
void muster_agent_quiet(muster_agent *agent, uint64_t epoch, uint64_t released_ns,
                        const muster_blob *blob, const muster_holding *holdings,
                        int32_t holding_count);

/* Evidence from a peer; return at once. Any thread. */
void muster_agent_report_dying(muster_agent *agent, int32_t slot, uint32_t incarnation);
void muster_agent_report_unreachable(muster_agent *agent, int32_t slot, uint32_t incarnation);
void muster_agent_report_batch_deadline(muster_agent *agent, int32_t slot, uint32_t incarnation,
                                        uint64_t communicator, uint64_t sequence, uint32_t call);
void muster_agent_report_committed(muster_agent *agent, uint64_t step);
void muster_agent_report_resumed(muster_agent *agent, uint64_t returned_ns,
                                 uint64_t first_batch_ns);

/* The working thread's marks; atomics, any thread, never block. */
void muster_agent_progress(muster_agent *agent);
void muster_agent_waiting(muster_agent *agent, uint64_t communicator, uint64_t sequence,
                          uint32_t call, uint64_t since_ns);
void muster_agent_not_waiting(muster_agent *agent);
/* A call is complete on this rank; it counts as progress. */
void muster_agent_completed(muster_agent *agent, uint64_t communicator, uint64_t sequence,
                            uint32_t call);

/* What the coordinator has said, as atomics. */
bool muster_agent_revoked(const muster_agent *agent, uint64_t epoch);
/* MUSTER_OK, or why this rank can take no part any more: FENCED, GAVE_UP, CALLS_DIFFER. */
muster_status muster_agent_standing(const muster_agent *agent);
int muster_agent_revoke_fd(const muster_agent *agent); /* eventfd: readable while revoked */
/* Deaths known for an epoch: at most capacity, returns the full count. Any thread. */
int32_t muster_agent_deaths(const muster_agent *agent, uint64_t epoch, muster_death *deaths,
                            int32_t capacity);

/* Says LEAVE and waits for GOODBYE, bounded; then stops the thread and frees. */
muster_status muster_agent_leave(muster_agent *agent, muster_error *error);
/* Stops and frees without a word (after an error of the join, or in tests a crash). */
void muster_agent_stop(muster_agent *agent);

#endif
