/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: calls in flight. Progressed by test and wait (and by the job's progress thread where it
 * was asked for). Requests of one communicator complete in the order in which they were started, so
 * testing a later one progresses the earlier ones too. With a device plane that holds within each kind of
 * memory: a batch of device tensors leaves the queue once it is enqueued on its stream, and a host
 * request that was started after it may be complete before it. While a communicator is lent
 * (muster_comm_borrow_nccl), testing and waiting return MUSTER_ERR_BORROWED. */
#ifndef MUSTER_REQUEST_H
#define MUSTER_REQUEST_H

#include <stdbool.h>

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* Progresses, and says whether the request is complete. The thread that serialises calls on the
 * request's communicator; waits for no peer, but copies what can be copied now (a large tensor takes
 * its time), and maps a root's runtime-allocated memory when it meets it first (at most 100 ms). When
 * *done is true the request's own status is returned (any of the status codes of the call that started
 * it) and error is filled; when false, MUSTER_OK. MUSTER_ERR_INVALID_ARGUMENT for NULL. Where ranks were lost
 * while a device batch was in the air, it returns once the device plane has let go, bounded (device.h). */
MUSTER_API muster_status muster_request_test(muster_request *request, bool *done,
                                             muster_error *error);

/* Waits until the request is complete or timeout_ns has passed (MUSTER_TIMEOUT_INHERIT_NS: the
 * communicator's timeout). A wait that times out returns MUSTER_ERR_TIMEOUT and leaves the request in
 * flight, its buffers still Muster's; with the inherited timeout it fails the communicator as a
 * blocking call does. Otherwise returns the request's own status. Same thread rule. */
MUSTER_API muster_status muster_request_wait(muster_request *request, int64_t timeout_ns,
                                             muster_error *error);

/* Frees a complete request; NULL is MUSTER_OK; MUSTER_ERR_IN_FLIGHT (and nothing is freed) for one
 * that is not complete. Same thread rule; does not block. */
MUSTER_API muster_status muster_request_free(muster_request *request);

MUSTER_END_DECLS

#endif
