/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's HTTP side: read only, on a thread of its own, so that nobody who reads slowly, or asks
 * a lot, costs the thread that serves ranks more than a copy of what it knows, and that not too often.
 *
 *   GET /            the status page          GET /healthz   is it alive?
 *   GET /status      all of it, as JSON       GET /readyz    does it answer within a second?
 *   GET /status.txt  for a terminal           GET /metrics   for Prometheus
 *
 * A request that finds what is known too old asks the coordinator's thread for an overview, by a
 * descriptor that it polls, and waits a second at most. Connections are few, short, and end after one
 * request. */
#ifndef MUSTER_COORDINATOR_HTTP_H
#define MUSTER_COORDINATOR_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/status.h>

#include "coordinator/coordinator.h"
#include "status/overview.h"

#define MUSTER_HTTP_ADDRESS_TEXT_BYTES 160

typedef struct muster_http muster_http;

/* Binds and starts. NULL with MUSTER_OK where count is 0. MUSTER_ERR_INVALID_ARGUMENT: an address is
 * malformed, taken, or not to be had; MUSTER_ERR_SYSTEM, MUSTER_ERR_NO_MEMORY. */
muster_status muster_http_open(const char *const *addresses, size_t count, muster_http **http,
                               muster_error *error);
/* Ends all requests. NULL is fine. */
void muster_http_close(muster_http *http);

/* Where it listens: "http://127.0.0.1:7401/" or "unix:PATH"; NULL: there are no more. */
const char *muster_http_address_at(const muster_http *http, size_t index);

/* For the coordinator's thread. Readable when an overview is wanted. */
int muster_http_wanted_fd(const muster_http *http);
/* True when an overview is to be made now; clears the descriptor. */
bool muster_http_wants(muster_http *http, int64_t now_ns);
/* Takes overview over; NULL: there was no memory for one. */
void muster_http_give(muster_http *http, muster_overview *overview);

#endif
