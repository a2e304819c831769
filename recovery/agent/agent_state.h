/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent is made of. agent.c speaks with the working thread, agent_thread.c with the
 * coordinator, agent_hear.c takes in what the coordinator says. */
#ifndef MUSTER_RECOVERY_AGENT_STATE_H
#define MUSTER_RECOVERY_AGENT_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "agent/activity.h"
#include "agent/agent.h"
#include "agent/deaths.h"
#include "agent/link.h"
#include "agent/outbox.h"

#define AGENT_NO_MEMORY_RETRY_NS ((int64_t)100000000)

struct muster_agent {
    /* Unchanging after the start. */
    char *coordinator;
    uint64_t job;
    int32_t slot_count;
    int32_t process_id;
    uint64_t host;
    int wake_fd;   /* wakes the agent thread */
    int revoke_fd; /* readable while the current epoch is revoked */
    pthread_t thread;
    muster_link link;     /* the agent thread's alone */
    bool connected_once;  /* likewise */
    muster_policy policy; /* of the first WELCOME, before which nobody asks */

    /* Read by any thread, written by the agent thread under the mutex. */
    atomic_int_fast32_t slot;
    atomic_uint_fast32_t incarnation;
    atomic_uint_fast64_t term;
    atomic_uint_fast64_t epoch; /* of the newest AGREED; 0: none yet */
    atomic_uint_fast64_t revoked_epoch;
    atomic_int standing; /* muster_status */
    muster_activity_marks marks;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    muster_outbox outbox;
    muster_deaths deaths;
    muster_blob blob;
    bool joined;         /* welcomed once */
    bool join_pending;   /* a JOIN waits for its answer */
    const char *trouble; /* why connections come to nothing, where that is known */
    bool contact;        /* the last send found a connection, or something came since */
    bool heard;          /* anything at all came from a coordinator */
    bool leaving;
    bool goodbye; /* the leave was heard */
    bool stop;
    int64_t join_due_ns;
    int64_t heartbeat_due_ns;
    int64_t leave_due_ns;
    int64_t connected_due_ns; /* CONNECTED is said again until it is answered */
    muster_error refused;     /* status other than OK: the first join failed; why */
    muster_status ending;     /* what waits return where the standing is not OK */
    char standing_text[MUSTER_NOTE_TEXT_BYTES];
    muster_message agreed; /* the newest; its type is 0 where there is none */
    uint64_t established_epoch;

    /* Held while wake runs, so that set_wake can promise that no earlier one does. */
    pthread_mutex_t wake_mutex;
    void (*wake)(void *context);
    void *wake_context;
};

static inline int64_t muster_agent_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Wakes the agent thread out of its poll. */
void muster_agent_nudge(muster_agent *agent);

/* An empty message of type with this rank's header. The mutex is held or not: atomics only. */
muster_message muster_agent_header(const muster_agent *agent, uint32_t type);

void *muster_agent_thread(void *agent);

/* One message from the coordinator, at its arrival; takes *message over. Agent thread, mutex not
 * held. */
void muster_agent_hear(muster_agent *agent, muster_message *message, int64_t now_ns);

/* A connection was made anew: everything said or heard over the last one may be lost. */
void muster_agent_hear_reconnect(muster_agent *agent);

/* Something came that is no message for this build. */
void muster_agent_hear_failure(muster_agent *agent, muster_status status,
                               const muster_error *error);

#endif
