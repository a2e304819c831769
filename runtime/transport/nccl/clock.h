/* SPDX-License-Identifier: Apache-2.0 */
/* The monotonic clock, and how long a blocking step of the device plane may go on. */
#ifndef MUSTER_TRANSPORT_NCCL_CLOCK_H
#define MUSTER_TRANSPORT_NCCL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MUSTER_NCCL_MILLISECOND_NS ((int64_t)1000000)
/* cancelled() is polled at least this often. */
#define MUSTER_NCCL_POLL_NS (5 * MUSTER_NCCL_MILLISECOND_NS)

int64_t muster_nccl_clock_now_ns(void);
/* Saturates instead of overflowing. */
int64_t muster_nccl_clock_after_ns(int64_t from_ns, int64_t span_ns);
struct timespec muster_nccl_clock_timespec(int64_t ns);
void muster_nccl_clock_nap(int64_t nap_ns);

/* The next nap of a poll that found nothing: short at first, since most things take microseconds, then
 * doubled up to MUSTER_NCCL_POLL_NS. Starts at 0. */
int64_t muster_nccl_clock_next_nap_ns(int64_t nap_ns);

#endif
