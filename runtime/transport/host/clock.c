/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/clock.h"

#include <time.h>

int64_t muster_host_clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

muster_status muster_host_patience_check(const muster_host_patience *patience)
{
    if (patience->cancelled != NULL && patience->cancelled(patience->context))
        return MUSTER_ERR_RANK_LOST;
    return muster_host_clock_now_ns() >= patience->deadline_ns ? MUSTER_ERR_TIMEOUT : MUSTER_OK;
}

int64_t muster_host_patience_slice_ns(const muster_host_patience *patience, int64_t max_ns)
{
    int64_t left_ns = patience->deadline_ns - muster_host_clock_now_ns();

    if (left_ns < 0)
        return 0;
    return left_ns < max_ns ? left_ns : max_ns;
}

void muster_host_clock_nap(int64_t nap_ns)
{
    struct timespec nap = {.tv_sec = (time_t)(nap_ns / 1000000000), .tv_nsec = nap_ns % 1000000000};

    /* A nap that a signal cuts short is harmless: every caller looks again. */
    (void)nanosleep(&nap, NULL);
}
