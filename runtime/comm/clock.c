/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/clock.h"

#include <time.h>

int64_t muster_clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t muster_clock_deadline_ns(int64_t timeout_ns)
{
    int64_t now_ns = muster_clock_now_ns();
    return timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
}
