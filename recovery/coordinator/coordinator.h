/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator: a ZeroMQ ROUTER around one muster_core per job. It does what the core says, in the
 * order in which it says it, and knows nothing of membership itself.
 *
 * One thread. It reads the clock once per turn, hands it in, and sleeps until the core's next
 * deadline. Either `muster coordinator` (muster_coordinator_main), or a thread of a test program:
 *
 *     muster_coordinator_options options;
 *     muster_coordinator_options_init(&options);
 *     options.endpoint = "ipc:///tmp/x/coordinator";
 *     muster_coordinator_start(&options, &coordinator, &error);
 *     ... muster_coordinator_endpoint(coordinator) ...
 *     muster_coordinator_stop(coordinator); */
#ifndef MUSTER_RECOVERY_COORDINATOR_H
#define MUSTER_RECOVERY_COORDINATOR_H

#include "coordinator/counters.h"
#include "core/message.h"

typedef struct muster_coordinator muster_coordinator;

#define MUSTER_COORDINATOR_HTTP_MAX 4

typedef struct muster_coordinator_options {
    const char *endpoint; /* to bind; "tcp://127.0.0.1:*" takes a free port */
    const char *journal;  /* file, or NULL: terms from the wall clock, nothing survives a restart */
    bool
        journal_no_sync; /* the journal outlives this process, not the machine: no waiting for disks */
    bool journal_copied; /* the journal may be a copy: no coordinator of the original lives */
    const char *keys;    /* its secret key file: ranks and launchers need keys, too. NULL: plain */
    const char *allowed; /* list of the public keys that it serves; needed with keys */
    /* Where its status is shown: ADDRESS:PORT or unix:PATH, http_count of them. */
    const char *http[MUSTER_COORDINATOR_HTTP_MAX];
    size_t http_count;
    const char *events; /* file for notes as JSON lines, appended, or NULL */
    muster_policy
        policy;  /* of jobs that are not brought by a launcher; slot_count 0: by the JOIN */
    bool trace;  /* recovery events through the trace facade */
    int stop_fd; /* muster_coordinator_serve returns when it is readable; -1: none */
    /* Every note, on the coordinator's thread; must not block. May be NULL. */
    void (*on_note)(void *context, uint64_t job, const muster_note *note);
    void *on_note_context;
} muster_coordinator_options;

/* Defaults: replace, default deadlines, no files, no descriptors. */
void muster_coordinator_options_init(muster_coordinator_options *options);

/* Reads the journal, writes a higher term to it, binds. The strings of options are copied.
 * MUSTER_ERR_INVALID_ARGUMENT: the endpoint is malformed, taken, or the policy cannot work;
 * MUSTER_ERR_ENVIRONMENT: the journal is damaged or held by another coordinator, or a key file is
 * unusable;
 * MUSTER_ERR_SYSTEM, MUSTER_ERR_NO_MEMORY. */
muster_status muster_coordinator_open(const muster_coordinator_options *options,
                                      muster_coordinator **coordinator, muster_error *error);

/* Serves on the calling thread until stop_fd is readable. MUSTER_ERR_SYSTEM when the journal cannot
 * be written any more: a coordinator that cannot keep its promises ends. */
muster_status muster_coordinator_serve(muster_coordinator *coordinator, muster_error *error);

/* Opens, and serves on a thread of its own until muster_coordinator_stop. */
muster_status muster_coordinator_start(const muster_coordinator_options *options,
                                       muster_coordinator **coordinator, muster_error *error);

/* Ends the thread where there is one, closes and frees; says goodbye to nobody, so that for agents
 * and launchers it looks like a coordinator that died. The endpoint is free on return. */
void muster_coordinator_stop(muster_coordinator *coordinator);

/* What was bound, with the port that was taken. Valid until stop. */
const char *muster_coordinator_endpoint(const muster_coordinator *coordinator);
uint64_t muster_coordinator_term(const muster_coordinator *coordinator);
/* Where its status is shown: "http://127.0.0.1:7401/" or "unix:PATH"; NULL: no more. Likewise. */
const char *muster_coordinator_http(const muster_coordinator *coordinator, size_t index);

/* What was refused since the start. Any thread. */
muster_refusals muster_coordinator_refusals(const muster_coordinator *coordinator);
/* "3 plain connections, where keys are asked for; ..." into text; empty where nothing was refused. */
void muster_refusals_text(const muster_refusals *refusals, char *text, size_t text_bytes);

/* `muster coordinator ...`; returns the exit code. */
int muster_coordinator_main(int argc, char **argv);

#endif
