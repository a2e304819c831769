/* SPDX-License-Identifier: Apache-2.0 */
/* What a communicator and a job are made of. Only runtime/comm and runtime/scope look inside. */
#ifndef MUSTER_COMM_COMM_H
#define MUSTER_COMM_COMM_H

#include <pthread.h>
#include <stdatomic.h>

#include <muster/comm.h>
#include <muster/job.h>

#include "agent/agent.h"
#include "base/rank_set.h"
#include "comm/device_plane.h"
#include "comm/device_side.h"
#include "comm/request.h"
#include "tracing/trace.h"
#include "transport/transport.h"

typedef struct muster_step_store muster_step_store;

struct muster_comm {
    muster_job *job;
    muster_comm *next; /* in the job's list, under the job's comms_lock */
    pthread_mutex_t
        lock; /* the queue, the transport's use, failed; a leaf but for transport calls */
    bool is_world;
    uint64_t id;
    uint64_t epoch;
    int32_t rank;
    int32_t size;
    muster_member *members;  /* by rank */
    int32_t *mirrored;       /* by rank, the rank whose step state it holds (scope/mirror.h) */
    int32_t *mirror_holders; /* and the rank that holds its own; behind the others */

    muster_transport *transport; /* NULL once closed */
    uint64_t sequence;           /* of the last call */
    uint64_t round;              /* of the transport's last round */
    muster_request *head;
    muster_request *tail;
    muster_request *newest;        /* of those that were made and not freed yet */
    muster_request *spare_request; /* kept for the next call */
    muster_status failed;          /* sticky: RANK_LOST, COMM_FAILED, ... */

    uint64_t tag;
    const muster_phase_context *phase;
    int64_t timeout_ns;
    muster_rank_set missing; /* of the last timeout */
    bool may_spin;       /* there is a core for each rank; asked once, asking takes microseconds */
    int32_t open_scopes; /* parameter scopes, innermost counted last (scope/params.c) */
    muster_params_scope *innermost_scope;
    muster_device_side device;
};

struct muster_job {
    muster_job_options options;
    const unsigned char *not_forked; /* one byte that reads 0 in a forked child (MADV_WIPEONFORK) */
    uint64_t hash;                   /* of the job's name */
    muster_policy policy;
    muster_agent *agent;
    muster_agent
        *_Atomic agent_for_watch; /* for the endpoint's watcher thread; NULL while leaving */
    const muster_transport_table *table;
    muster_transport_endpoint *endpoint;
    muster_tracer tracer;
    uint64_t revoke_traced; /* the epoch whose revoke is in the trace; the agent thread's alone */

    pthread_mutex_t comms_lock; /* the list; taken by the agent thread to wake sleepers */
    muster_comm *comms;
    muster_comm *world;

    muster_step_store *steps;
    _Atomic uint64_t epoch;       /* the current one */
    _Atomic uint64_t released_ns; /* when a waited call first returned RANK_LOST in this epoch */
    _Atomic bool first_batch_seen;

    struct muster_progress_thread *progress; /* NULL: none was asked for */
    muster_device_plane device;
};

/* True in the process that joined; false in a forked child. */
bool muster_job_is_ours(const muster_job *job);

/* True where an idle device communicator may be kept after a loss, to be shrunk. */
bool muster_job_keeps_devices(const muster_job *job);

/* Marks every communicator of the job failed, fails their requests, closes their transports, and makes the
 * device plane let go. MUSTER_OK, or MUSTER_ERR_DEVICE_STUCK: it does not. */
muster_status muster_job_close_transports(muster_job *job, muster_status status);

/* Puts a communicator over members and a connected transport into the job's list, or takes it out. */
muster_status muster_comm_new(muster_job *job, uint64_t id, muster_comm **comm,
                              muster_error *error);
void muster_comm_delete(muster_comm *comm); /* fails what is queued, closes the transport, frees */

/* Connects comm's transport, and its device side, for epoch over members (copied). Blocks until
 * deadline_ns, or a revoke of epoch. After an error it is to be closed like a connected one. */
muster_status muster_comm_connect(muster_comm *comm, uint64_t epoch, const muster_member *members,
                                  int32_t member_count, int32_t own_rank, int64_t deadline_ns,
                                  muster_error *error);

/* The engine (engine.c): moves the head of the queue as far as it goes. Under the lock. True when
 * anything moved. */
bool muster_comm_progress(muster_comm *comm);
/* Fails every queued request and all that is in the air, and marks the communicator. Under the lock. */
void muster_comm_fail(muster_comm *comm, muster_status status);
/* A request that has left the queue is done. Under the lock. */
void muster_comm_conclude(muster_comm *comm, muster_request *request, muster_status status);
/* Tells the agent once after a rebuild that rows have moved again. */
void muster_comm_note_first_batch(muster_comm *comm, uint32_t call);
/* OK, or why this communicator takes no call (sticky failure, revoke, standing). */
muster_status muster_comm_refusal(muster_comm *comm);

#endif
