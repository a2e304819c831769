/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of the control plane as people write them: tcp://HOST:PORT or ipc://PATH. */
#ifndef MUSTER_OPERATOR_ENDPOINT_H
#define MUSTER_OPERATOR_ENDPOINT_H

#include <stdbool.h>

#include <muster/status.h>

/* Pure. to_bind: an interface or "*" stands for HOST, and "*" for PORT takes a free one.
 * MUSTER_ERR_INVALID_ARGUMENT says what is wrong with it and what was expected. */
muster_status muster_endpoint_check(const char *endpoint, bool to_bind, muster_error *error);

/* The path of an ipc endpoint, NULL for others. */
const char *muster_endpoint_ipc_path(const char *endpoint);

/* Whether only this machine reaches it: an ipc path, or a loopback address in numbers. */
bool muster_endpoint_stays_here(const char *endpoint);

/* Whether somebody listens at an ipc path now. ZeroMQ does not ask: it would take the path from a
 * living coordinator without a word. Does not block. */
bool muster_endpoint_ipc_taken(const char *path);

#endif
