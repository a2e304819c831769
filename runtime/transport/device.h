/* SPDX-License-Identifier: Apache-2.0 */
/* The device plane: a function table that a plug-in fills (libmuster-nccl.so). It moves the bytes of device
 * tensors and nothing else: rounds, verdicts and the exchange of ids are the host plane's.
 *
 * device  one for each rank of a job: from join to leave, over all epochs; owns the abort thread
 * comm    one for each communicator of one epoch
 * batch   what one call enqueues
 *
 * Threads: revoke and revoked may be called from any thread. Everything else of one comm is serialised by the
 * communicator's lock; different comms are independent. Nothing here reads the environment. No function
 * blocks unless it says so. After revoke, every function of every comm of the device that would go
 * into the native library returns MUSTER_ERR_RANK_LOST instead. */
#ifndef MUSTER_TRANSPORT_DEVICE_H
#define MUSTER_TRANSPORT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/device.h>
#include <muster/status.h>
#include <muster/tensor.h>

#include "transport/transport.h"

#define MUSTER_DEVICE_TABLE_VERSION 1u
#define MUSTER_DEVICE_ID_BYTES 128

typedef struct muster_device muster_device;
typedef struct muster_device_comm muster_device_comm;
typedef struct muster_device_batch muster_device_batch;

typedef struct muster_device_id {
    uint8_t data[MUSTER_DEVICE_ID_BYTES];
} muster_device_id;

typedef struct muster_device_options {
    int32_t device; /* index; -1: the one that is current on the calling thread */
    int64_t
        abort_timeout_ns; /* > 0: how long an abort may take before the device is called stuck */
    int64_t
        bracket_timeout_ns; /* > 0: how long an abort first waits for brackets and pollers to leave */
    bool exit_when_stuck;   /* then end the process with MUSTER_DEVICE_STUCK_EXIT_CODE */
    const char *nccl_library; /* file or name for the loader; NULL: libnccl.so.2 */
    const char *cuda_library; /* NULL: libcudart.so.13, then .12 */
} muster_device_options;

typedef struct muster_device_connect_options {
    uint64_t epoch;
    uint64_t communicator;
    const muster_device_id
        *ids; /* made by `id_count` of the ranks, in the order of the table's id_root */
    int32_t id_count;
    int32_t own_rank;
    int32_t rank_count;
    int64_t deadline_ns; /* CLOCK_MONOTONIC */
    /* Polled at least every 10 ms while connect or shrink blocks; true: give up with MUSTER_ERR_RANK_LOST. */
    bool (*cancelled)(void *context);
    void *context;
} muster_device_connect_options;

typedef struct muster_device_table {
    uint32_t table_version;
    const char *name; /* "nccl" */

    /* ---- device ---- */
    /* Loads the libraries, checks versions, driver and device. MUSTER_ERR_LIBRARY, MUSTER_ERR_DRIVER,
     * MUSTER_ERR_NO_DEVICE, MUSTER_ERR_WRONG_DEVICE (no such index), MUSTER_ERR_DEVICE_CALL, MUSTER_ERR_NO_MEMORY,
     * MUSTER_ERR_SYSTEM. May block for as long as the driver takes to start. */
    muster_status (*open)(const muster_device_options *options, muster_device **device,
                          muster_error *error);
    /* All its comms are closed before. Joins its thread, unless that is stuck. */
    void (*close)(muster_device *device);
    void (*facts)(const muster_device *device, muster_device_facts *facts);
    /* That [data, data + bytes) is memory of this device: MUSTER_OK, MUSTER_ERR_WRONG_DEVICE,
     * MUSTER_ERR_MEMORY_KIND (host memory), MUSTER_ERR_DEVICE_CALL. bytes > 0. Any thread. */
    muster_status (*check_memory)(muster_device *device, const void *data, size_t bytes,
                                  muster_error *error);
    /* That work may be enqueued: MUSTER_OK, MUSTER_ERR_STREAM, MUSTER_ERR_DEVICE_CALL. */
    muster_status (*check_stream)(muster_device *device, void *stream, muster_error *error);

    /* ---- connecting ---- */
    /* How many ids a communicator of so many ranks takes (1 up to the size at which the native library's
     * scalable initialisation pays), and which rank makes id i. The same on every rank of one version. */
    int32_t (*id_count)(const muster_device *device, int32_t rank_count);
    int32_t (*id_root)(int32_t id, int32_t id_count, int32_t rank_count);
    muster_status (*make_id)(muster_device *device, muster_device_id *id, muster_error *error);
    /* Blocks until every rank is connected, the deadline, or cancelled; what had begun is aborted then. */
    muster_status (*connect)(muster_device *device, const muster_device_connect_options *options,
                             muster_device_comm **comm, muster_error *error);
    /* That comm could be kept for a smaller epoch: nothing of it in flight, never lent, no asynchronous
     * error, not revoked, and a version that can shrink. */
    bool (*can_shrink)(muster_device_comm *comm);
    /* The next epoch's comm out of parent's ranks but `excluded` (ranks of parent, ascending). Every other
     * rank of parent calls it. Blocks as connect. parent stays to be closed. ids of options are not used. */
    muster_status (*shrink)(muster_device_comm *parent, const int32_t *excluded,
                            int32_t excluded_count, const muster_device_connect_options *options,
                            muster_device_comm **comm, muster_error *error);
    /* Ends a comm: destroyed where it is healthy, aborted else. Its batches are released before. Blocks,
     * at most abort_timeout_ns. MUSTER_ERR_DEVICE_STUCK: it could not; the handle is gone all the same. */
    muster_status (*comm_close)(muster_device_comm *comm, muster_error *error);

    /* ---- a loss ---- */
    /* Begins to abort the device's comms (all in one group, on the device's thread); returns at once. Comms
     * for which keep is true and can_shrink holds are left alone. Idempotent until revive. */
    void (*revoke)(muster_device *device, bool keep_healthy);
    /* Blocks until the abort is through: nothing of this rank's comms touches anybody's memory, or
     * MUSTER_ERR_DEVICE_STUCK, also when it is asked again. Any thread. */
    muster_status (*await_revoked)(muster_device *device, muster_error *error);
    /* Once the abort is through and every comm that was not kept is closed: connect, and shrink of a kept
     * comm, may be called again. Also called before the first connect, where there is nothing to revive. */
    void (*revive)(muster_device *device);

    /* ---- data ---- */
    /* Enqueues one group (SEND, RECEIVE) and the copies (COPY) on stream; other kinds do not come. Checks have
     * been made; operations are read during the call only. Several batches may be live, and complete in order. No batch and an error: nothing went in, or
     * the comm is failed. MUSTER_ERR_DEVICE_CALL, MUSTER_ERR_NO_MEMORY, MUSTER_ERR_RANK_LOST. */
    muster_status (*submit)(muster_device_comm *comm, void *stream,
                            const muster_transport_operation *operations, size_t operation_count,
                            muster_device_batch **batch, muster_error *error);
    /* *enqueued: the caller's stream has it (a first send to a peer connects, which takes the peer's call);
     * *done: complete on the device. Watches the comm's asynchronous error. */
    muster_status (*progress)(muster_device_batch *batch, bool *enqueued, bool *done,
                              muster_error *error);
    /* Frees a batch. One that is not done is waited for or aborted before (revoke and await_revoked); where
     * that said MUSTER_ERR_DEVICE_STUCK, what the device may still touch is kept for good. */
    void (*release)(muster_device_batch *batch);

    /* ---- the bracket ---- */
    muster_status (*borrow)(muster_device_comm *comm, struct ncclComm **native,
                            muster_error *error);
    muster_status (*give_back)(muster_device_comm *comm);
} muster_device_table;

/* The one symbol of a plug-in: `const muster_device_table *muster_device_plugin(void)`. */
#define MUSTER_DEVICE_PLUGIN_SYMBOL "muster_device_plugin"
/* Looked for as the trace provider is: beside the object that holds this code, in the library folder that
 * belongs to it, then by the loader's rules. */
#define MUSTER_DEVICE_PLUGIN_NCCL "libmuster-nccl.so.0"

#endif
