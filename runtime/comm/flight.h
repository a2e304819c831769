/* SPDX-License-Identifier: Apache-2.0 */
/* A flight: one batch on its way on the device plane, from its submit until the device says that it is
 * complete. It outlives a blocking call, which returns once the batch is enqueued on the caller's stream.
 *
 *   request moving --(enqueued)--> blocking call: request done, the flight goes on alone
 *                                  started call:  request and flight go on together
 *   flight in the air --(done)--> request of a started call done
 *
 * While a batch is not enqueued it stays at the head of its communicator's queue, so that all ranks enqueue
 * in the order of their calls. Everything here is called under the communicator's lock, but for wait. */
#ifndef MUSTER_COMM_FLIGHT_H
#define MUSTER_COMM_FLIGHT_H

#include "comm/comm.h"

struct muster_flight {
    muster_flight *next;
    muster_request *request; /* NULL: its blocking call has returned */
    muster_device_batch *batch;
    muster_trace_batch trace;
};

/* Memory for one, before the round: false where there is none. */
bool muster_flight_reserve(muster_comm *comm, muster_request *request);
/* Gives back what was reserved and not used. */
void muster_flight_put_back(muster_comm *comm, muster_request *request);

/* Hands the operations of the head of the queue to the device. A failure becomes the communicator's fault. */
void muster_flight_submit(muster_comm *comm, muster_request *request);
/* True when the caller's stream has it: the flight is in the air, the request leaves the queue. */
bool muster_flight_take_off(muster_comm *comm, muster_request *request);

/* Looks at the batches in the air. True when one was complete. */
bool muster_flight_progress(muster_comm *comm);

/* Something that only polling notices: batches on the device, or a fault that waits for its explanation. */
bool muster_flight_polls(const muster_comm *comm);

/* Ends all flights, and fails the requests that they carry, because the communicator fails with status. Where
 * ranks may be gone (anything but COMM_FAILED) the plane is aborted first, bounded, and then nothing of this
 * rank touches a buffer any more; after COMM_FAILED the batches may still run, until the rebuild or the leave.
 * Returns status, or MUSTER_ERR_DEVICE_STUCK. */
muster_status muster_flight_fail_all(muster_comm *comm, muster_status status);

/* Frees what the communicator keeps for later flights. */
void muster_flight_clean_up(muster_comm *comm);

/* Waits until nothing of comm is in the air. Not under the lock. MUSTER_OK; MUSTER_ERR_TIMEOUT; or why the
 * communicator refuses calls. */
muster_status muster_flight_wait(muster_comm *comm, int64_t timeout_ns, muster_error *error);

/* The same where something of comm is in the air; else MUSTER_OK, whatever has become of comm. */
muster_status muster_flight_wait_if_any(muster_comm *comm, int64_t timeout_ns, muster_error *error);

/* One nap between two looks, at most left_ns; a revoke ends it. Not under the lock. */
#define MUSTER_FLIGHT_NAP_LEAST_NS INT64_C(20000)
#define MUSTER_FLIGHT_NAP_MOST_NS INT64_C(1000000)
void muster_flight_nap(muster_comm *comm, int64_t *nap_ns, int64_t left_ns);

#endif
