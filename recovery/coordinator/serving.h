/* SPDX-License-Identifier: Apache-2.0 */
/* One turn of the coordinator: what came in is handed to the core of its job, and what the core says
 * is done, in its order. Nothing here calls itself: a send that fails becomes a lost connection, which
 * is handed in after the actions at hand are done. */
#ifndef MUSTER_COORDINATOR_SERVING_H
#define MUSTER_COORDINATOR_SERVING_H

#include <pthread.h>

#include "coordinator/coordinator.h"
#include "coordinator/gate.h"
#include "coordinator/http.h"
#include "coordinator/inbox.h"
#include "coordinator/jobs.h"
#include "coordinator/journal.h"
#include "coordinator/peers.h"
#include "core/core.h"
#include "operator/event_log.h"
#include "tracing/trace.h"

struct muster_coordinator {
    muster_coordinator_options options; /* its strings are not ours; not read after the open */
    void *context;
    void *router;
    muster_gate *gate;
    muster_counters counters;
    muster_peers *peers;
    muster_inbox inbox;
    muster_jobs jobs;
    muster_journal journal; /* its term is the highest that was handed out */
    muster_event_log events;
    muster_tracer tracer;
    muster_http *http; /* NULL: none was asked for */
    int64_t started_ns;
    uint64_t messages_heard;
    uint64_t last_ping_id;
    muster_core_actions actions;
    int64_t said_refused_ns;          /* when a refused message was last worth a line */
    muster_refusals written_refusals; /* as the events file has them */
    int64_t written_refusals_ns;
    bool events_failed;   /* said once */
    muster_error failure; /* status not OK: it cannot keep its promises and ends */
    uint64_t term;        /* of this start */
    bool term_taken;      /* a job uses it */
    int wake_fd;
    bool has_thread;
    pthread_t thread;
    char endpoint[MUSTER_ENDPOINT_BYTES + 32];
};

/* The jobs of the journal are taken up again. */
muster_status muster_serving_restore(muster_coordinator *coordinator, muster_error *error);

/* An answer to a message that no core has heard, or that it could not answer. */
void muster_serving_refuse(muster_coordinator *coordinator, uint64_t connection,
                           const muster_message *asked, muster_status status, const char *text);
void muster_serving_answer(muster_coordinator *coordinator, uint64_t connection,
                           const muster_message *asked, muster_message_type type);

/* What was refused, into the events file, where that has changed: now and then, or now. */
void muster_serving_write_refusals(muster_coordinator *coordinator, int64_t now_ns, bool now);

/* Everything that is to be done now. */
void muster_serving_turn(muster_coordinator *coordinator);
int64_t muster_serving_clock_ns(void);

#endif
