/* SPDX-License-Identifier: Apache-2.0 */
/* The folder where all Muster sessions of one user on one machine find each other: lock files say who
 * still uses the session daemon, and which sessions were left by a launcher that was killed. Locks
 * (flock) rather than process ids, because the kernel drops them with the process and they hold
 * across PID namespaces. */
#ifndef MUSTER_TRACING_SESSION_PLACE_H
#define MUSTER_TRACING_SESSION_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>

#define MUSTER_PLACE_TOKEN_BYTES 17 /* 16 hexadecimal digits */

typedef struct muster_place {
    int directory; /* descriptor of the folder; -1: not open */
    char path[PATH_MAX / 2];
    char home[PATH_MAX / 2]; /* LTTNG_HOME of daemon and traced processes; "": the system's */
    char token[MUSTER_PLACE_TOKEN_BYTES]; /* names the sessions of this set */
    int own_lock;                         /* held while this set lives */
    int users_lock;                       /* shared while this set lives */
} muster_place;

/* Root: /run/muster-lttng, and the system's session daemon. A user: LTTNG_HOME where it is set, else a
 * folder of their own in XDG_RUNTIME_DIR or /tmp that becomes LTTNG_HOME (of this process too: what
 * liblttng-ctl goes by). Makes what is missing. */
muster_status muster_place_open(muster_place *place, muster_error *error);
/* Takes a token and both locks. Under the daemon lock: a half-made set would look like an orphan. */
muster_status muster_place_join(muster_place *place, muster_error *error);
/* Drops the locks and forgets the token. */
void muster_place_close(muster_place *place);

/* Serialises starting, sweeping and stopping. Polls up to the deadline (CLOCK_MONOTONIC). A
 * descriptor to close, or -1. */
int muster_place_lock_daemon(const muster_place *place, int64_t deadline_ns);

/* Whether no other set uses the place; lets go of this set's share in any case. Under the daemon
 * lock. */
bool muster_place_leave_users(muster_place *place);

/* The next set that died without closing: *token gets its name. *cursor starts at 0, and does so again
 * after a forget. False: no more. Under the daemon lock. */
bool muster_place_next_orphan(const muster_place *place, long *cursor,
                              char token[MUSTER_PLACE_TOKEN_BYTES]);
void muster_place_forget(const muster_place *place, const char *token);

/* What was written about the daemon that Muster started: process id and its start time. */
bool muster_place_read_daemon(const muster_place *place, int *process_id, uint64_t *start_ticks);
void muster_place_write_daemon(const muster_place *place, int process_id, uint64_t start_ticks);
void muster_place_remove_daemon(const muster_place *place);

#endif
