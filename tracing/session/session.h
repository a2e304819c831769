/* SPDX-License-Identifier: Apache-2.0 */
/* Recording sessions of LTTng, as a launcher uses them: one flight recorder for each process that it
 * starts, so that the ring of a rank that was killed can be read, and those of the others stay whole.
 *
 *   muster_session_open     finds a session daemon or starts one
 *   fork; the child waits on a pipe
 *   muster_session_begin    makes the session that records only that process; then let the child exec
 *   muster_session_snapshot when a verdict falls, for each process that lives
 *   muster_session_end      when the process is gone: last snapshot, session destroyed
 *   muster_session_close
 *
 * All talk with the daemon runs on a worker thread, because liblttng-ctl blocks without a bound. A
 * daemon that does not answer in time is given up: every later call returns at once and the job runs
 * on untraced. The calls of this header are made from one thread (each returns within its bound), and
 * a process has one set at work at a time: liblttng-ctl keeps one connection a process.
 * Open and begin must be called before the child could have spoken to LTTng: made later, a session
 * would miss the first events. */
#ifndef MUSTER_TRACING_SESSION_H
#define MUSTER_TRACING_SESSION_H

#include <stdint.h>
#include <sys/types.h>

#include <muster/status.h>

typedef struct muster_session_set muster_session_set;

/* Slots that are no rank's. A spare's incarnation tells it from other spares; its events carry the
 * slot that it is given later. */
#define MUSTER_SESSION_SLOT_COORDINATOR (-1)
#define MUSTER_SESSION_SLOT_SPARE (-2)

typedef struct muster_session_options {
    const char *directory;    /* the trace directory; made where missing (one level) */
    const char *job_name;     /* goes into session names, for people */
    int32_t session_count;    /* processes recorded at once, replacements that overlap included:
                              what /dev/shm must hold. ranks + 1 is right for a launcher */
    uint64_t subbuffer_bytes; /* a power of two, at least a page; 0: 256 KiB */
    uint64_t subbuffer_count; /* a power of two, at least 2; 0: 4 */
    int64_t call_timeout_ns;  /* bound of open, begin and close each; 0: 10 s */
} muster_session_options;

/* Finds the daemon, or starts lttng-sessiond in the background (root: the system's run directory; a
 * user: a run directory of this set's own). Blocks up to call_timeout_ns.
 * MUSTER_OK; MUSTER_ERR_UNSUPPORTED (no daemon and none could be started, or it does not answer);
 * MUSTER_ERR_NO_MEMORY (also: /dev/shm is too small for the buffers; the sentence says how much is
 * needed); MUSTER_ERR_SYSTEM (directory not writable); MUSTER_ERR_INVALID_ARGUMENT. On an error *set
 * is NULL: say the sentence once and run on untraced. */
muster_status muster_session_open(const muster_session_options *options, muster_session_set **set,
                                  muster_error *error);

/* What the traced processes need in their environment: NAME=VALUE strings, NULL at the end, valid
 * until close. (MUSTER_TRACE=1 is among them.) A set of NULL gives those of an untraced process. */
const char *const *muster_session_environment(const muster_session_set *set);

/* Makes the session of a process that waits before its exec. process_id: as the process itself sees it
 * (getpid), which in a PID namespace of its own is not what the launcher sees. slot: or one of the
 * above.
 * Blocks up to call_timeout_ns (about 30 ms where all is well). On any error the process runs on
 * untraced. set NULL: MUSTER_OK. */
muster_status muster_session_begin(muster_session_set *set, pid_t process_id, int32_t slot,
                                   uint32_t incarnation, muster_error *error);

/* Asks for a snapshot of one process's ring under DIR/traces/slotS.incarnationI/REASON-...; reason:
 * letters, digits and dashes ("verdict-epoch3"). Does not block; done in order. An unknown process, or
 * set NULL, is nothing to do. */
void muster_session_snapshot(muster_session_set *set, int32_t slot, uint32_t incarnation,
                             const char *reason);

/* The process is gone (or untraced from here on): a last snapshot, then its session is destroyed.
 * Does not block. */
void muster_session_end(muster_session_set *set, int32_t slot, uint32_t incarnation,
                        const char *reason);

/* Waits until all that was asked for is done, up to call_timeout_ns for each; then destroys what is left, stops
 * a daemon that was started by Muster and that nobody uses any more, and frees the set. NULL is fine.
 * MUSTER_OK; MUSTER_ERR_SYSTEM (something was not recorded: the sentence says what failed first, and
 * how many); MUSTER_ERR_TIMEOUT. The set is gone whatever is returned. */
muster_status muster_session_close(muster_session_set *set, muster_error *error);

#endif
