/* SPDX-License-Identifier: Apache-2.0 */
/* The end of communicators: aborted or destroyed on the device's own thread, since NCCL may take its time
 * over it, and whoever asks has a deadline.
 *
 * All that are to be aborted at one time go in one group: one after the other, the first could wait for a
 * kernel that only the abort of the second ends. */
#ifndef MUSTER_TRANSPORT_NCCL_ENDING_H
#define MUSTER_TRANSPORT_NCCL_ENDING_H

#include "transport/nccl/comm.h"
#include "transport/nccl/device.h"

/* 0 or an errno value. The thread owns a share of the device. */
int muster_nccl_ending_start(muster_device *device);
/* Asks the thread to end once nothing is left to do; joined, or left alone where it is stuck. */
void muster_nccl_ending_stop(muster_device *device);

/* With the lock held: comm is to be ended so; one that waits already is ended in the harsher way. */
void muster_nccl_ending_want(muster_device_comm *comm, muster_nccl_comm_end end);

/* Ends comm and waits for that until deadline_ns. MUSTER_OK, MUSTER_ERR_DEVICE_STUCK, and
 * MUSTER_ERR_DEVICE_CALL where a destroy failed. */
muster_status muster_nccl_ending_await(muster_device_comm *comm, muster_nccl_comm_end end,
                                       int64_t deadline_ns, muster_error *error);
/* Ends comm, waits for that until deadline_ns, and frees it; where it takes longer the device's thread
 * frees it. The same codes. */
muster_status muster_nccl_ending_finish(muster_device_comm *comm, muster_nccl_comm_end end,
                                        int64_t deadline_ns, muster_error *error);

#endif
