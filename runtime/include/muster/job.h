/* SPDX-License-Identifier: Apache-2.0 */
/* A job as one rank sees it: join, leave, and what to ask in between.
 *
 * One muster_job is one rank. A process may hold several (ranks as threads, several jobs); nothing is
 * global. A job has an agent thread that talks to the coordinator; it never calls into the
 * application. After fork, the child may not use the parent's handles (MUSTER_ERR_FORKED). */
#ifndef MUSTER_JOB_H
#define MUSTER_JOB_H

#include <stdbool.h>

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

#define MUSTER_NAME_BYTES 64
#define MUSTER_ENDPOINT_BYTES 256
#define MUSTER_PATH_BYTES 1024

/* A slot argument that means: wait as a spare until a slot is given (MUSTER_SLOT=spare). */
#define MUSTER_SLOT_SPARE (-2)

/* Let the coordinator say which incarnation this is. */
#define MUSTER_INCARNATION_ASSIGN UINT32_MAX

/* How to join. Fill with muster_job_options_init, then from the environment or by hand. */
typedef struct muster_job_options {
    size_t struct_bytes;
    char coordinator[MUSTER_ENDPOINT_BYTES]; /* ZeroMQ endpoint: tcp://HOST:PORT or ipc://PATH */
    char job_name[MUSTER_NAME_BYTES];        /* names the job at the coordinator */
    int32_t slot;                            /* 0 .. slot_count-1, or MUSTER_SLOT_SPARE */
    int32_t slot_count;
    uint32_t incarnation;    /* given by a launcher, else MUSTER_INCARNATION_ASSIGN */
    int64_t join_timeout_ns; /* how long muster_job_join may block; 0: the default, 120 s */
    bool progress_thread;    /* progress requests on a thread of the library too */
    bool trace;              /* load the LTTng provider (libmuster-lttng.so) */
    char coordinator_key[MUSTER_PATH_BYTES]; /* file of its public key; empty: a plain connection */
    char key_file[MUSTER_PATH_BYTES];        /* file of this rank's secret key; both or neither */
    /* Jobs over several hosts: where others reach this rank (empty: the local address of the route to the
     * coordinator); and, for tests, which host this is (empty: ask the machine). */
    char host_address[MUSTER_NAME_BYTES];
    char host_id[MUSTER_NAME_BYTES];
    /* ---- the device plane (device.h) ---- */
    char device_plane[16]; /* "": host memory only; "nccl": load libmuster-nccl.so */
    int32_t device;        /* index of the rank's device; -1: the one current on this thread */
    /* A spare learns its slot late: if that is one of device_slot_count slots from device_first_slot on
     * (those of its host), it takes the device of the lost rank, index slot - device_first_slot, and
     * `device` else. device_count > 0: that index modulo it. device_slot_count 0: always `device`. */
    int32_t device_first_slot;
    int32_t device_slot_count;
    int32_t device_count;
    bool exit_when_device_stuck; /* end the process where NCCL does not let go in time */
    /* How long an abort after a loss may take before the device is called stuck, ns; 0: the default, 30 s. */
    int64_t device_abort_timeout_ns;
    /* How long that abort first waits for a borrowed communicator to be returned, ns; 0: 5 s. */
    int64_t device_bracket_timeout_ns;
    char nccl_library[MUSTER_PATH_BYTES]; /* file or name for the loader; "": libnccl.so.2 */
    char cuda_library[MUSTER_PATH_BYTES]; /* "": libcudart.so.13, then .12 */
} muster_job_options;

/* Defaults: empty names, slot -1, slot_count 0, incarnation to be assigned. Any thread. */
MUSTER_API void muster_job_options_init(muster_job_options *options);

/* Reads the environment into *options (initialised by this function):
 *   MUSTER_COORDINATOR  endpoint, required
 *   MUSTER_JOB          job name, default "job"
 *   MUSTER_SLOT (a number, or "spare"), MUSTER_SLOT_COUNT   required; where absent RANK and WORLD_SIZE (torchrun), or
 *                       SLURM_PROCID and SLURM_NTASKS (srun), or JOB_COMPLETION_INDEX (Kubernetes,
 *                       with MUSTER_SLOT_COUNT) are taken
 *   MUSTER_INCARNATION  optional
 *   MUSTER_COORDINATOR_KEY, MUSTER_KEY_FILE  optional, both or neither: the files that `muster keys` made
 *   MUSTER_JOIN_TIMEOUT_MS, MUSTER_PROGRESS_THREAD (0|1), MUSTER_TRACE (0|1)  optional
 *   MUSTER_HOST_ADDRESS, MUSTER_HOST_ID  optional, for jobs over several hosts
 *   MUSTER_DEVICE_PLANE ("nccl", or empty), MUSTER_DEVICE, MUSTER_EXIT_WHEN_DEVICE_STUCK (0|1)  optional
 *   MUSTER_DEVICE_PLANE ("nccl", or empty), MUSTER_DEVICE, MUSTER_DEVICE_SLOTS (A-B, or A-B/N: the slots of
 *                       this host, for a spare; N: the number of devices that they share),
 *                       MUSTER_EXIT_WHEN_DEVICE_STUCK (0|1), MUSTER_DEVICE_ABORT_MS, MUSTER_DEVICE_BRACKET_MS,
 *                       MUSTER_NCCL_LIBRARY, MUSTER_CUDA_LIBRARY (files)  optional
 * Any thread (reads getenv). Does not block.
 * Returns MUSTER_OK; MUSTER_ERR_ENVIRONMENT (the message names the variable, what was expected and
 * what came); MUSTER_ERR_INVALID_ARGUMENT (options NULL). */
MUSTER_API muster_status muster_job_options_from_environment(muster_job_options *options,
                                                             muster_error *error);

/* Joins: says hello to the coordinator, waits until the epoch has formed, connects to the other
 * ranks. A spare waits until it is given a slot (join_timeout_ns does not count meanwhile). options
 * NULL: as muster_job_options_from_environment. On success *job is the caller's, to
 * be ended with muster_job_leave. Any thread. Blocks until the epoch has formed, or join_timeout_ns.
 * Returns MUSTER_OK; MUSTER_ERR_ENVIRONMENT; MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_STRUCT_SIZE;
 * MUSTER_ERR_NO_COORDINATOR (nobody answers at the endpoint); MUSTER_ERR_TIMEOUT (the others did not
 * come in time); MUSTER_ERR_GAVE_UP (the message says which rule, and who did not come within the
 * job's own --join-ms); MUSTER_ERR_SLOT_TAKEN; MUSTER_ERR_VERSION; MUSTER_ERR_FENCED;
 * MUSTER_ERR_NO_MEMORY; MUSTER_ERR_SYSTEM; with a device plane MUSTER_ERR_LIBRARY, MUSTER_ERR_DRIVER,
 * MUSTER_ERR_NO_DEVICE, MUSTER_ERR_WRONG_DEVICE, MUSTER_ERR_DEVICE_CALL, MUSTER_ERR_DEVICE_STUCK, and
 * MUSTER_ERR_NO_DEVICE_PLANE on every rank where only some were joined with one. On an error *job is NULL and
 * nothing is left running. */
MUSTER_API muster_status muster_job_join(const muster_job_options *options, muster_job **job,
                                         muster_error *error);

/* Leaves on purpose and frees the handle, all communicators, requests and memory of the job with it:
 * the coordinator is told (bounded, 2 s), so that no verdict follows; ranks that still wait for this
 * one get MUSTER_ERR_RANK_LOST. Not collective: end with muster_barrier to leave together.
 * The thread that serialises calls on the job. job NULL is MUSTER_OK.
 * A device plane is closed in the time that an abort may take.
 * Returns MUSTER_OK; MUSTER_ERR_FORKED; MUSTER_ERR_NO_COORDINATOR (left, but could not say so);
 * MUSTER_ERR_DEVICE_STUCK (left, but the device plane may still touch this process's buffers: end it). The
 * handle is gone whatever is returned, except with MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_job_leave(muster_job *job, muster_error *error);

/* The communicator of all ranks of the current epoch. Owned by the job; the pointer stays the same
 * over a rebuild and then denotes the new epoch. Never NULL. Any thread; does not block. */
MUSTER_API muster_comm *muster_job_world(muster_job *job);

/* Facts about this rank. Any thread; do not block. */
MUSTER_API int32_t muster_job_slot(const muster_job *job);
MUSTER_API int32_t muster_job_slot_count(const muster_job *job);
MUSTER_API uint32_t muster_job_incarnation(const muster_job *job);
MUSTER_API muster_epoch muster_job_epoch(const muster_job *job);

/* Says "alive, computing": moves the progress mark that heartbeats carry. Cheap (one relaxed atomic
 * add); call it from the working thread, as often as you like. */
MUSTER_API void muster_progress(muster_job *job);

/* A descriptor that becomes readable (POLLIN) when the current epoch is revoked, so that a rank that
 * computes can notice. Owned by the job, close-on-exec, never read from it; it is not readable again
 * after a rebuild. -1 never comes. Any thread; does not block. */
MUSTER_API int muster_job_revoke_fd(const muster_job *job);

/* True when the current epoch is revoked. Any thread; does not block (one atomic load). */
MUSTER_API bool muster_job_revoked(const muster_job *job);

/* A token that grows with every membership: guard writes outside Muster (checkpoints) with it, and
 * refuse a writer that comes with a smaller one. Compare term, then epoch, then incarnation. */
typedef struct muster_fence_token {
    size_t struct_bytes;
    uint64_t term; /* of the coordinator */
    uint64_t epoch;
    int32_t slot;
    uint32_t incarnation;
} muster_fence_token;

/* Returns MUSTER_OK; MUSTER_ERR_RANK_LOST (the epoch is revoked: do not write);
 * MUSTER_ERR_FENCED; MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_STRUCT_SIZE; MUSTER_ERR_FORKED. Any
 * thread; does not block. */
MUSTER_API muster_status muster_job_fence_token(const muster_job *job, muster_fence_token *token);

MUSTER_END_DECLS

#endif
