/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's process as its launcher holds it: behind a keeper, watched through descriptors, never
 * waited for with a blocking call. */
#ifndef MUSTER_LAUNCHER_CHILD_H
#define MUSTER_LAUNCHER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <muster/status.h>

typedef struct muster_child {
    pid_t process_id; /* of the rank, as it calls itself */
    pid_t keeper_id;
    int rank_pidfd;
    int keeper_pidfd; /* readable when the keeper ended, and with it everything below */
    int report_fd;    /* readable when there is a report */
    int gate_fd;      /* -1: opened */
    int stdout_fd;    /* to read; -1: not redirected */
    int stderr_fd;
    bool process_namespace;
    bool exited; /* the rank ended: wait_status */
    int wait_status;
    int exec_errno; /* not 0: the command could not be started */
    bool gone;      /* the keeper was reaped */
} muster_child;

typedef struct muster_child_options {
    const char *file; /* looked for in PATH; NULL: a probe that ends at once */
    char *const *arguments;
    char *const *environment;
    bool redirect; /* stdout and stderr into pipes */
    bool process_namespace;
    /* Namespace: where to look for a free number, the same inside and out. Not that of a process
     * that ended a moment ago, which others may still take for it. */
    pid_t process_id_hint;
} muster_child_options;

/* Whether ranks can have a PID namespace of their own here; errno says why not. Blocks for the life
 * of a probe (milliseconds). */
bool muster_child_namespace_works(void);

/* Makes the process; it waits at its gate until muster_child_open_gate. Blocks until the keeper said
 * its number (bounded by 10 s). MUSTER_ERR_SYSTEM, MUSTER_ERR_NO_MEMORY; *child is then empty. */
muster_status muster_child_spawn(const muster_child_options *options, muster_child *child,
                                 muster_error *error);
void muster_child_open_gate(muster_child *child);

/* Takes in what is to be read. None of them blocks. True: exited, or exec_errno, or gone changed. */
bool muster_child_read_reports(muster_child *child);
bool muster_child_reap(muster_child *child);

/* A signal for the rank's process group, as a terminal would give it. Nothing once it exited. */
void muster_child_signal(const muster_child *child, int signal_number);
/* A signal for the rank alone. */
bool muster_child_signal_rank(const muster_child *child, int signal_number);
/* SIGKILL, works on a stopped one; its keeper then ends its grandchildren. */
void muster_child_kill(const muster_child *child);
/* For a keeper that does not end by itself: SIGKILL for it too. */
void muster_child_kill_keeper(const muster_child *child);

/* Closes what is open. The processes must be gone. */
void muster_child_close(muster_child *child);

#endif
