/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/life.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#include "base/assert.h"
#include "base/error.h"
#include "transport/host/clock.h"

#define MAGIC UINT64_C(0x4d55535445524c46)

typedef struct life_page {
    uint64_t magic;
    uint64_t mutex_bytes; /* both sides must mean the same mutex: another libc may not */
    pthread_mutex_t mutex;
} life_page;

size_t muster_host_life_bytes(void)
{
    return muster_host_mapping_round_up(sizeof(life_page));
}

muster_status muster_host_life_create(muster_host_life *life, muster_error *error)
{
    pthread_mutexattr_t attributes;
    life_page *page;
    muster_status status =
        muster_host_mapping_create(sizeof *page, NULL, "the life page", &life->mapping, error);
    int code;

    if (status != MUSTER_OK)
        return status;
    page = life->mapping.memory;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    code = pthread_mutex_init(&page->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (code != 0) {
        muster_host_mapping_close(&life->mapping);
        return muster_error_set_errno(error, code, "a robust mutex for the life page");
    }
    page->magic = MAGIC;
    page->mutex_bytes = sizeof page->mutex;
    return MUSTER_OK;
}

muster_status muster_host_life_open(int fd, muster_host_life *life, muster_error *error)
{
    const life_page *page;
    muster_status status = muster_host_mapping_open(fd, muster_host_life_bytes(), "a life page",
                                                    &life->mapping, error);

    if (status != MUSTER_OK)
        return status;
    page = life->mapping.memory;
    if (page->magic == MAGIC && page->mutex_bytes == sizeof page->mutex)
        return MUSTER_OK;
    muster_host_mapping_close(&life->mapping);
    return muster_error_set(error, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION, 0, 0,
                            "a peer's life page has another layout; run the same version of "
                            "Muster and of the C library on all ranks");
}

void muster_host_life_close(muster_host_life *life)
{
    muster_host_mapping_close(&life->mapping);
}

void muster_host_life_hold(muster_host_life *life)
{
    life_page *page = life->mapping.memory;

    MUSTER_ASSERT(pthread_mutex_lock(&page->mutex) == 0);
}

void muster_host_life_let_go(muster_host_life *life)
{
    life_page *page = life->mapping.memory;

    MUSTER_ASSERT(pthread_mutex_unlock(&page->mutex) == 0);
}

/* 0, EOWNERDEAD (both: locked), or another errno value. */
static int lock_within(pthread_mutex_t *mutex, int64_t max_ns)
{
    int64_t until_ns = muster_host_clock_now_ns() + max_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = until_ns % 1000000000};
    int code;

#if defined(__SANITIZE_THREAD__)
    /* The run-time of gcc 12 does not know clocklock, and would take the unlock for a mistake. */
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
#endif
    code = pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
#if defined(__SANITIZE_THREAD__)
    __tsan_mutex_post_lock(mutex,
                           code == 0 || code == EOWNERDEAD
                               ? __tsan_mutex_try_lock
                               : __tsan_mutex_try_lock | __tsan_mutex_try_lock_failed,
                           0);
#endif
    return code;
}

muster_host_life_state muster_host_life_watch(muster_host_life *life, int64_t max_ns)
{
    life_page *page = life->mapping.memory;

    switch (lock_within(&page->mutex, max_ns)) {
    case 0:
        /* Unlocked again, so that every other watcher learns it too. */
        pthread_mutex_unlock(&page->mutex);
        return MUSTER_HOST_LIFE_LEFT;
    case EOWNERDEAD:
        /* Unlocked without being made consistent: from now on everyone gets ENOTRECOVERABLE. */
        pthread_mutex_unlock(&page->mutex);
        return MUSTER_HOST_LIFE_DYING;
    case ENOTRECOVERABLE:
        return MUSTER_HOST_LIFE_DYING;
    default:
        return MUSTER_HOST_LIFE_ALIVE;
    }
}
