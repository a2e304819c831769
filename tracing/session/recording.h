/* SPDX-License-Identifier: Apache-2.0 */
/* One recording session of LTTng: a flight recorder that records one process. Every call here asks
 * the session daemon and blocks for as long as that takes: worker thread only. */
#ifndef MUSTER_TRACING_SESSION_RECORDING_H
#define MUSTER_TRACING_SESSION_RECORDING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <muster/status.h>

#define MUSTER_RECORDING_NAME_BYTES 200

typedef struct muster_recording_options {
    const char *name;
    pid_t process_id; /* as the process itself sees it */
    uint64_t subbuffer_bytes;
    uint64_t subbuffer_count;
} muster_recording_options;

/* Creates and starts. On an error nothing is left of the session. */
muster_status muster_recording_create(const muster_recording_options *options, muster_error *error);

/* Writes what the ring holds into a new folder below directory; its name begins with reason. A ring
 * with nothing in it is MUSTER_OK and leaves no folder. */
muster_status muster_recording_snapshot(const char *name, const char *directory, const char *reason,
                                        muster_error *error);

muster_status muster_recording_destroy(const char *name, muster_error *error);

/* Names of the daemon's sessions that begin with prefix, at most capacity; returns how many were
 * written, -1 where the daemon does not say. others (may be NULL): how many begin otherwise. */
int32_t muster_recording_list(const char *prefix, char (*names)[MUSTER_RECORDING_NAME_BYTES],
                              int32_t capacity, int32_t *others);

/* Whether a daemon answers, asked as liblttng-ctl would for this process. */
bool muster_recording_daemon_alive(void);

#endif
