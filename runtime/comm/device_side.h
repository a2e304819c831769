/* SPDX-License-Identifier: Apache-2.0 */
/* What a communicator has on the device plane: its native communicator, the caller's stream, and, between
 * a loss and the next epoch, the one that may be shrunk instead of connected anew.
 *
 * Connecting goes in raw rounds of the communicator's own host transport, not over the control plane: it
 * works while the coordinator is away, a split needs nobody's help, and every rank sees the same records
 * and so comes to the same end. */
#ifndef MUSTER_COMM_DEVICE_SIDE_H
#define MUSTER_COMM_DEVICE_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/types.h>

#include "core/message.h"
#include "transport/device.h"

typedef struct muster_flight muster_flight;

typedef struct muster_device_side {
    muster_device_comm *live; /* NULL: no device plane, or not connected */
    void *stream;
    bool borrowed;
    /* Kept over the end of its epoch, world only. */
    muster_device_comm *parent;
    uint64_t parent_epoch;
    muster_member *parent_members;
    int32_t parent_size;
    int32_t parent_rank;
    /* Batches on their way (flight.h). Under the communicator's lock. */
    muster_flight *first;
    muster_flight *last;
    muster_flight *stale; /* of a failed communicator: let go of when the plane was aborted */
    muster_flight *spare;
    muster_error
        fault; /* status OK: none. The first failure of a native call, while a loss may explain it */
    int64_t fault_ns;
} muster_device_side;

typedef struct muster_device_side_options {
    int64_t deadline_ns;
    bool (*cancelled)(void *context);
    void *context;
} muster_device_side_options;

/* comm has a fresh host transport, its members, rank and epoch. Every rank of it calls this, also those of a
 * job without a device plane, so that a mixture is found. The same code on every rank, but for
 * MUSTER_ERR_RANK_LOST (cancelled), MUSTER_ERR_TIMEOUT and MUSTER_ERR_DEVICE_STUCK (this rank's own abort). */
muster_status muster_device_side_connect(muster_comm *comm,
                                         const muster_device_side_options *options,
                                         muster_error *error);

/* Ends the bracket of a borrowed communicator, where there is one. True: there was. */
bool muster_device_side_end_bracket(muster_comm *comm);

/* Lets go of the native communicators; no batch is in flight. keep: one that can shrink becomes the
 * parent. The plane is told where an abort did not end. */
void muster_device_side_close(muster_comm *comm, bool keep);

#endif
