/* SPDX-License-Identifier: Apache-2.0 */
/* The membership rules of one job: pure. An event and `now` go in; actions and the next deadline come
 * out. No clock, no socket, no thread, no environment: "what if rank 3 dies now?" is one call.
 *
 * A connection is a number by which the caller knows a peer; the core never looks inside. */
#ifndef MUSTER_RECOVERY_CORE_H
#define MUSTER_RECOVERY_CORE_H

#include "core/message.h"

typedef struct muster_core muster_core;

typedef uint64_t muster_connection; /* 0: none */

typedef enum muster_core_event_kind {
    MUSTER_CORE_MESSAGE = 1,         /* a message came on a connection */
    MUSTER_CORE_CONNECTION_LOST = 2, /* its socket was closed or reset */
    MUSTER_CORE_TICK = 3             /* a deadline passed */
} muster_core_event_kind;

typedef struct muster_core_event {
    muster_core_event_kind kind;
    muster_connection connection;
    const muster_message *message; /* MESSAGE only; borrowed for the call */
} muster_core_event;

/* So many launchers hear of all that every rank does. Of more, each hears that of its own ranks only (and what
 * happens to a rank or to the job, as the others): all ranks do it at once, and told to a launcher for every
 * few of them it would be their square. */
#define MUSTER_CORE_LAUNCHERS_OF_ALL 16

typedef enum muster_core_action_kind {
    MUSTER_CORE_SEND = 1, /* message to connection */
    /* message.u.note: trace it, log it, tell the launcher of connection; 0: all launchers */
    MUSTER_CORE_NOTE = 2,
    MUSTER_CORE_PERSIST =
        3,              /* write muster_core_save's bytes durably before the actions after it */
    MUSTER_CORE_END = 4 /* the job is over: everyone left, or it was given up */
} muster_core_action_kind;

typedef struct muster_core_action {
    muster_core_action_kind kind;
    muster_connection connection;
    muster_message message; /* owned by the list */
    /* An AGREED whose members, without and restore_slots are the core's own, until its next step: thousands of
     * ranks are sent the same ones, all members or (base_epoch is not 0) what has changed. Its slot and
     * incarnation say whom it is for; the rank knows them. */
    bool shared;
} muster_core_action;

typedef struct muster_core_actions {
    muster_core_action *items;
    size_t count;
    size_t capacity;
} muster_core_actions;

void muster_core_actions_init(muster_core_actions *actions);
/* Empties the list and frees what the actions hold; keeps the array. */
void muster_core_actions_clear(muster_core_actions *actions);
void muster_core_actions_clean_up(muster_core_actions *actions);

/* A job that has not formed yet. term: greater than any used before. policy->slot_count may be 0:
 * the first LAUNCHER_JOIN or JOIN brings it. NULL when memory ran out. */
muster_core *muster_core_new(uint64_t job, uint64_t term, const muster_policy *policy);

/* As above, from what an earlier term saved: epochs go on growing, and the ranks of the last epoch
 * are expected to JOIN again (rejoin) within the reconnect deadline before anything is judged. */
muster_core *muster_core_restore(const void *saved, size_t saved_bytes, uint64_t term,
                                 muster_error *error);
void muster_core_free(muster_core *core);

/* One turn. Appends to actions, in the order in which they are to be done. Returns the time of the
 * next deadline, INT64_MAX for none. A TICK may come early or late. Time must not go back; a jump
 * forward larger than half the silence deadline since the last turn is taken as "the coordinator was
 * paused" and starts the silence timers anew. */
int64_t muster_core_step(muster_core *core, int64_t now_ns, const muster_core_event *event,
                         muster_core_actions *actions);

/* Bytes that muster_core_restore takes: policy, term, last epoch with its members, restore history,
 * replacements used. The caller frees *saved. MUSTER_OK or MUSTER_ERR_NO_MEMORY. */
muster_status muster_core_save(const muster_core *core, void **saved, size_t *saved_bytes);

/* Questions, for tests, status and metrics. */
uint64_t muster_core_epoch(const muster_core *core);
uint64_t muster_core_term(const muster_core *core);
const muster_policy *muster_core_policy(const muster_core *core);
bool muster_core_ended(const muster_core *core, muster_status *status);
/* "forming", "running", "revoked", "connecting", "ended" */
const char *muster_core_state_text(const muster_core *core);
/* For whom it waits: "slot 2, 3 to join". False, and an empty text, where it waits for nobody. */
bool muster_core_awaited(const muster_core *core, char *text, size_t text_bytes);

#endif
