/* SPDX-License-Identifier: Apache-2.0 */
/* The session daemon: found, started, stopped. Worker thread only. */
#ifndef MUSTER_TRACING_SESSION_DAEMON_H
#define MUSTER_TRACING_SESSION_DAEMON_H

#include <stdint.h>

#include "tracing/session/place.h"

/* Prefix of all our sessions: this, the token of the set, a dash. */
#define MUSTER_DAEMON_SESSION_PREFIX "muster-"

/* Joins the place, finds the daemon or starts one, and destroys what launchers that were killed left
 * in it. Again after a daemon that ended: starts the next. place is open; the caller closes it, on an
 * error too. */
muster_status muster_daemon_acquire(muster_place *place, int64_t deadline_ns, muster_error *error);

/* Stops the daemon if Muster started it and nobody uses it any more. */
void muster_daemon_release(muster_place *place, int64_t deadline_ns);

#endif
