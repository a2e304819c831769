/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent is made of: a protocol (what it knows and has to say; pure) with a thread, a link and
 * a clock. agent.c speaks with the working thread, agent_thread.c with the coordinator. */
#ifndef MUSTER_RECOVERY_AGENT_STATE_H
#define MUSTER_RECOVERY_AGENT_STATE_H

#include <pthread.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/link.h"
#include "agent/protocol.h"

struct muster_agent {
    /* Unchanging after the start. */
    char *coordinator;
    int wake_fd;   /* wakes the agent thread */
    int revoke_fd; /* readable while the current epoch is revoked */
    pthread_t thread;
    muster_link link;    /* the agent thread's alone */
    bool connected_once; /* likewise */

    pthread_mutex_t mutex; /* guards all below; the protocol's atomics may be read without it */
    pthread_cond_t changed;
    muster_protocol protocol;
    const char *trouble; /* why connections come to nothing, where that is known */
    bool stop;

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

void *muster_agent_thread(void *agent);

#endif
