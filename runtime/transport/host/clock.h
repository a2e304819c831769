/* SPDX-License-Identifier: Apache-2.0 */
/* The monotonic clock, and how long a blocking step of the host plane may go on. */
#ifndef MUSTER_TRANSPORT_HOST_CLOCK_H
#define MUSTER_TRANSPORT_HOST_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/status.h>

#define MUSTER_HOST_MILLISECOND_NS ((int64_t)1000000)
/* cancelled() is polled at least this often. */
#define MUSTER_HOST_POLL_NS (10 * MUSTER_HOST_MILLISECOND_NS)

int64_t muster_host_clock_now_ns(void);

/* A deadline, and a question that can end the wait before it. */
typedef struct muster_host_patience {
    int64_t deadline_ns;              /* CLOCK_MONOTONIC */
    bool (*cancelled)(void *context); /* NULL: never */
    void *context;
} muster_host_patience;

/* MUSTER_OK while the wait may go on, MUSTER_ERR_RANK_LOST once cancelled, MUSTER_ERR_TIMEOUT after the
 * deadline. */
muster_status muster_host_patience_check(const muster_host_patience *patience);

/* How long the next slice of a wait may be: at most max_ns, never beyond the deadline, never < 0. */
int64_t muster_host_patience_slice_ns(const muster_host_patience *patience, int64_t max_ns);

void muster_host_clock_nap(int64_t nap_ns);

#endif
