/* SPDX-License-Identifier: Apache-2.0 */
/* The device plane: tensors in device memory, moved by NCCL. Loaded when a job is joined with
 * device_plane = "nccl" (MUSTER_DEVICE_PLANE=nccl, `muster run --device nccl`); everything of this
 * header but muster_tensor_device returns MUSTER_ERR_NO_DEVICE_PLANE in a job without one.
 *
 * The collectives are the same functions (collective.h, batch.h, p2p.h); all tensors of one batch lie in
 * one kind of memory, the same on every rank, also those without rows (MUSTER_ERR_MEMORY_KIND).
 * - The agreement round runs on the host plane and blocks the caller; then the batch is enqueued on the
 *   communicator's stream. A blocking call that returns MUSTER_OK is agreed and enqueued: what is enqueued
 *   on the same stream afterwards sees its rows. The host sees them once a request of a _start call, a
 *   muster_comm_synchronize or a committed step says so.
 * - Buffers must lie on this rank's device and stay the call's until then.
 * - After a loss every call ends with MUSTER_ERR_RANK_LOST once NCCL was made to let go of the buffers: all
 *   communicators of the job are aborted on a thread of the plane. Where that takes longer than its bound
 *   the code is MUSTER_ERR_DEVICE_STUCK: end the process, its launcher starts another (with
 *   exit_when_device_stuck the plane ends it itself, exit code MUSTER_DEVICE_STUCK_EXIT_CODE). */
#ifndef MUSTER_DEVICE_H
#define MUSTER_DEVICE_H

#include <muster/status.h>
#include <muster/tensor.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* NCCL's own type, as nccl.h has it: ncclComm_t is struct ncclComm *. */
struct ncclComm;

/* EX_TEMPFAIL of sysexits.h: start me anew. */
#define MUSTER_DEVICE_STUCK_EXIT_CODE 75

/* A contiguous tensor in memory of `device` (index of the CUDA runtime), else as muster_tensor_host. Checks
 * nothing: the call that takes it does. Any thread; does not block. */
MUSTER_API muster_tensor muster_tensor_device(void *data, muster_dtype dtype, int64_t rows,
                                              int64_t features, int32_t device);

/* The stream (a cudaStream_t of this rank's device; NULL, the default: the legacy default stream) on which
 * later calls of comm enqueue. It is the caller's, and must outlive them. A stream that captures is refused
 * by those calls (MUSTER_ERR_STREAM), on all ranks alike, and so is cudaStreamPerThread: NCCL enqueues on a thread
 * of its own. Begin no capture on it while a started call is in flight. The thread that serialises calls
 * on comm; does not block. Returns MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT (comm NULL); MUSTER_ERR_NO_DEVICE_PLANE;
 * MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_comm_set_stream(muster_comm *comm, void *stream);

/* Waits until everything that comm has enqueued is complete. Same thread rule. Blocks until then, the
 * communicator's timeout, or a revoke. Local: no rank waits for another one's call. Returns MUSTER_OK;
 * MUSTER_ERR_TIMEOUT (nothing is failed; call again); MUSTER_ERR_RANK_LOST; MUSTER_ERR_COMM_FAILED;
 * MUSTER_ERR_DEVICE_CALL; MUSTER_ERR_DEVICE_STUCK; MUSTER_ERR_INVALID_ARGUMENT;
 * MUSTER_ERR_NO_DEVICE_PLANE; MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_comm_synchronize(muster_comm *comm, muster_error *error);

/* Lends comm's live NCCL communicator, for NCCL calls of the job's own (all-reduce and the rest), made by the
 * same thread until muster_comm_return_nccl. It is non-blocking (config.blocking = 0): a call may return
 * ncclInProgress, and ncclCommGetAsyncError says when it is through. Borrow anew each time: after a rebuild it
 * is another one. Never destroy, abort, finalize or split it: an abort does not reach a communicator that was
 * split from it; split with muster_comm_split and borrow from that. Nor capture calls on it into a CUDA graph: an
 * abort waits until every graph that holds one is destroyed. Between borrow and return no call of comm
 * is made (MUSTER_ERR_BORROWED); keep the bracket short, since an abort after a loss waits for it, bounded.
 * A communicator that was lent in an epoch is not kept over the epoch's end. Does not block. Returns
 * MUSTER_OK; MUSTER_ERR_RANK_LOST (the epoch is revoked: rebuild first); MUSTER_ERR_COMM_FAILED;
 * MUSTER_ERR_IN_FLIGHT (a started call of comm has not been enqueued yet, and would come before these calls
 * on one rank and after them on another: wait for it); MUSTER_ERR_BORROWED;
 * MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_NO_DEVICE_PLANE; MUSTER_ERR_FENCED; MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_comm_borrow_nccl(muster_comm *comm, struct ncclComm **nccl_comm,
                                                 muster_error *error);
/* Ends the bracket; the job's own kernels may still run. Same thread. MUSTER_OK; MUSTER_ERR_BORROWED (it was
 * not borrowed); MUSTER_ERR_RANK_LOST (it ended, and the epoch was revoked meanwhile: what ran on it
 * is undefined); MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_NO_DEVICE_PLANE; MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_comm_return_nccl(muster_comm *comm);

/* What the device plane runs on. Versions as the libraries give them (NCCL 2.29.7 is 22907, CUDA 13.0 is
 * 13000). */
typedef struct muster_device_facts {
    size_t struct_bytes;
    int32_t device; /* index of the CUDA runtime */
    int32_t nccl_version;
    int32_t runtime_version;
    int32_t driver_version;
} muster_device_facts;

/* Any thread; does not block. MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_STRUCT_SIZE;
 * MUSTER_ERR_NO_DEVICE_PLANE. */
MUSTER_API muster_status muster_job_device_facts(const muster_job *job, muster_device_facts *facts);

MUSTER_END_DECLS

#endif
