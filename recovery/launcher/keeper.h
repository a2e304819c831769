/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: a process between the launcher and each rank, so that nothing of a rank stays behind,
 * whoever dies first.
 *
 *     launcher ── keeper ── rank ── grandchildren ...
 *
 *   in a PID namespace: the keeper is its first process; when it ends, the kernel ends everything in
 *     it. It ends when the rank has ended, and is killed when the launcher dies.
 *   without: the keeper is the subreaper of whatever the rank starts; when the rank has ended, or the
 *     launcher has died, it kills the rank's process group and whoever was left to it.
 *
 * It is a fork of the launcher that never execs: only async-signal-safe calls, because the launcher's
 * other threads (ZeroMQ's) may have held any lock at the fork. */
#ifndef MUSTER_LAUNCHER_KEEPER_H
#define MUSTER_LAUNCHER_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum muster_keeper_report_kind {
    MUSTER_KEEPER_STARTED = 1,     /* value: process id of the rank, which waits at its gate */
    MUSTER_KEEPER_EXEC_FAILED = 2, /* value: errno; written by the rank */
    MUSTER_KEEPER_EXITED = 3,      /* value: wait status; the rank is reaped */
    MUSTER_KEEPER_FAILED = 4       /* value: errno; no rank was made */
} muster_keeper_report_kind;

/* Written in one piece, so that reports of keeper and rank never mix. */
typedef struct muster_keeper_report {
    int32_t kind;
    int32_t value;
} muster_keeper_report;

typedef struct muster_keeper_plan {
    bool process_namespace; /* the keeper is the first process of one */
    pid_t process_id_hint; /* namespace: where to look for a free number, the same inside and out */
    pid_t launcher_id;
    int report_fd; /* to write */
    int gate_fd;   /* to read: a byte lets the rank exec, an end without one ends it */
    int stdin_fd, stdout_fd, stderr_fd; /* of the rank */
    const char *file;                   /* NULL: a probe; the rank ends at once with code 0 */
    char *const *arguments;
    char *const *environment;
} muster_keeper_plan;

/* The life of a keeper; in the forked child. */
_Noreturn void muster_keeper_live(const muster_keeper_plan *plan);

#endif
