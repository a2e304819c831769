/* SPDX-License-Identifier: Apache-2.0 */
/* The one clock of the runtime: CLOCK_MONOTONIC in ns. */
#ifndef MUSTER_COMM_CLOCK_H
#define MUSTER_COMM_CLOCK_H

#include <stdint.h>

int64_t muster_clock_now_ns(void);

/* now + timeout, without overflow. */
int64_t muster_clock_deadline_ns(int64_t timeout_ns);

#endif
