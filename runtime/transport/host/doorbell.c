/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/doorbell.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint32_t muster_host_doorbell_arm(muster_host_doorbell *doorbell)
{
    /* `sleeping` before the word: a ring that comes in between changes a word that is not read yet, but
     * then what it published is there for the caller's last look. */
    atomic_store(&doorbell->sleeping, 1);
    return atomic_load(&doorbell->word);
}

void muster_host_doorbell_disarm(muster_host_doorbell *doorbell)
{
    atomic_store(&doorbell->sleeping, 0);
}

void muster_host_doorbell_sleep(muster_host_doorbell *doorbell, uint32_t ticket, int64_t max_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(max_ns / 1000000000),
                               .tv_nsec = max_ns % 1000000000};

    if (max_ns <= 0)
        return;
    /* EAGAIN, EINTR and ETIMEDOUT all mean: look again. Not FUTEX_PRIVATE: other processes ring. */
    (void)syscall(SYS_futex, &doorbell->word, FUTEX_WAIT, ticket, &timeout, NULL, 0);
}

void muster_host_doorbell_ring(muster_host_doorbell *doorbell)
{
    if (atomic_load(&doorbell->sleeping) == 0)
        return;
    /* The first ringer takes the flag, so that a burst of small pieces to a rank that is awake already, but not
     * yet running, costs one system call and not one each. */
    if (atomic_exchange(&doorbell->sleeping, 0) != 0)
        muster_host_doorbell_wake(doorbell);
}

void muster_host_doorbell_wake(muster_host_doorbell *doorbell)
{
    atomic_fetch_add(&doorbell->word, 1);
    (void)syscall(SYS_futex, &doorbell->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
