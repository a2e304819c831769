/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/editions.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

/* One that is this old is not shown where a newer one comes within the wait. */
#define EDITIONS_FRESH_NS ((int64_t)200000000)
/* Of the making thread's time, one part of so many at most goes into overviews. */
#define EDITIONS_SHARE 20

static int64_t editions_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

muster_status muster_editions_init(muster_editions *editions, muster_error *error)
{
    pthread_condattr_t attributes;
    memset(editions, 0, sizeof *editions);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&editions->given, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&editions->lock, NULL);
    atomic_init(&editions->wanted, false);
    editions->wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return editions->wanted_fd >= 0 ? muster_error_set_ok(error)
                                    : muster_error_set_errno(error, errno, "making an eventfd");
}

void muster_editions_clean_up(muster_editions *editions)
{
    muster_overview_free(editions->newest);
    if (editions->wanted_fd >= 0)
        close(editions->wanted_fd);
    pthread_cond_destroy(&editions->given);
    pthread_mutex_destroy(&editions->lock);
}

bool muster_editions_wants(muster_editions *editions, int64_t now_ns)
{
    uint64_t count = 0;
    /* Asked on every turn of the making thread: no lock and no system call where nobody wants one. */
    if (!atomic_load_explicit(&editions->wanted, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&editions->lock);
    atomic_store_explicit(&editions->wanted, false, memory_order_relaxed);
    (void)!read(editions->wanted_fd, &count, sizeof count);
    pthread_mutex_unlock(&editions->lock);
    editions->making_ns = now_ns;
    return true;
}

void muster_editions_give(muster_editions *editions, muster_overview *overview, int64_t now_ns)
{
    muster_overview *old = NULL;
    pthread_mutex_lock(&editions->lock);
    editions->next_ns = now_ns + (now_ns - editions->making_ns) * (EDITIONS_SHARE - 1);
    editions->given_ns = now_ns;
    if (overview != NULL) {
        old = editions->newest;
        editions->newest = overview;
    }
    pthread_cond_broadcast(&editions->given);
    pthread_mutex_unlock(&editions->lock);
    muster_overview_free(old);
}

/* Under the lock, which also keeps the flag and the descriptor together. */
static void editions_ask(muster_editions *editions)
{
    const uint64_t one = 1;
    (void)!write(editions->wanted_fd, &one, sizeof one);
    atomic_store_explicit(&editions->wanted, true, memory_order_relaxed);
}

int64_t muster_editions_await(muster_editions *editions)
{
    const int64_t begun_ns = editions_now_ns();
    /* Whoever comes just after one that waited in vain need not do so again. */
    const bool hopeless =
        editions->in_vain_ns > 0 && begun_ns - editions->in_vain_ns < MUSTER_EDITIONS_WAIT_NS;
    const int64_t end_ns = hopeless ? begun_ns : begun_ns + MUSTER_EDITIONS_WAIT_NS;
    int64_t now_ns = begun_ns;
    pthread_mutex_lock(&editions->lock);
    while (now_ns < end_ns && !editions->ending &&
           (editions->given_ns == 0 || begun_ns - editions->given_ns > EDITIONS_FRESH_NS)) {
        const bool early = now_ns < editions->next_ns;
        if (!early)
            editions_ask(editions);
        const int64_t until_ns = early && editions->next_ns < end_ns ? editions->next_ns : end_ns;
        const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                                       .tv_nsec = (long)(until_ns % 1000000000)};
        pthread_cond_timedwait(&editions->given, &editions->lock, &until);
        now_ns = editions_now_ns();
    }
    const int64_t age_ns = editions->given_ns > 0 ? now_ns - editions->given_ns : -1;
    pthread_mutex_unlock(&editions->lock);
    if (age_ns >= 0 && age_ns <= MUSTER_EDITIONS_WAIT_NS)
        editions->in_vain_ns = 0;
    else if (!hopeless)
        editions->in_vain_ns = now_ns;
    return age_ns;
}

muster_overview *muster_editions_take(muster_editions *editions)
{
    pthread_mutex_lock(&editions->lock);
    muster_overview *newest = editions->newest;
    editions->newest = NULL;
    pthread_mutex_unlock(&editions->lock);
    return newest;
}

void muster_editions_end(muster_editions *editions)
{
    pthread_mutex_lock(&editions->lock);
    editions->ending = true;
    pthread_cond_broadcast(&editions->given);
    pthread_mutex_unlock(&editions->lock);
}
