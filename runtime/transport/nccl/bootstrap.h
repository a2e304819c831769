/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind an id: in the process that made it, NCCL runs a thread that waits at a socket for every rank
 * to report, and ends once all have. Where one never comes it would wait for ever: a thread and a descriptor for
 * each loss while ranks connect. NCCL has no call that ends it. */
#ifndef MUSTER_TRANSPORT_NCCL_BOOTSTRAP_H
#define MUSTER_TRANSPORT_NCCL_BOOTSTRAP_H

#include <stdbool.h>

#include "transport/device.h"

/* One that was made here and that nobody has connected with yet. */
typedef struct muster_nccl_bootstrap {
    muster_device_id id;
    struct muster_nccl_bootstrap *next;
} muster_nccl_bootstrap;

/* An id that NCCL has just made. False: no memory, and its thread is ended. */
bool muster_nccl_bootstrap_note(muster_device *device, const muster_device_id *id);
/* A connect with those ids is over; where not all ranks came, what waits here for the rest is ended. */
void muster_nccl_bootstrap_settle(muster_device *device, const muster_device_id *ids, int32_t count,
                                  bool connected);
/* Those that nobody will connect with: of an epoch that is over, of a device that is closed. */
void muster_nccl_bootstrap_end_all(muster_device *device);

#endif
