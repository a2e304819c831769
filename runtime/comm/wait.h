/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a request: spin briefly, then give the core away, then sleep on the doorbell. */
#ifndef MUSTER_COMM_WAIT_H
#define MUSTER_COMM_WAIT_H

#include "comm/request.h"

/* As muster_request_wait, of a launched request in our own process. */
muster_status muster_wait(muster_request *request, int64_t timeout_ns, muster_error *error);

#endif
