/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/clock.h"

#define SECOND_NS ((int64_t)1000000000)
#define FIRST_NAP_NS ((int64_t)20000)

int64_t muster_nccl_clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

int64_t muster_nccl_clock_after_ns(int64_t from_ns, int64_t span_ns)
{
    return span_ns > INT64_MAX - from_ns ? INT64_MAX : from_ns + span_ns;
}

struct timespec muster_nccl_clock_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

void muster_nccl_clock_nap(int64_t nap_ns)
{
    const struct timespec nap = muster_nccl_clock_timespec(nap_ns);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

int64_t muster_nccl_clock_next_nap_ns(int64_t nap_ns)
{
    if (nap_ns == 0)
        return FIRST_NAP_NS;
    return nap_ns > MUSTER_NCCL_POLL_NS / 2 ? MUSTER_NCCL_POLL_NS : nap_ns * 2;
}
