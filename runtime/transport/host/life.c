/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/life.h"

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"

#define MAGIC UINT64_C(0x4d55535445524c46)

typedef struct life_page {
    uint64_t magic;
    _Atomic uint32_t
        holder; /* thread number, FUTEX_WAITERS, FUTEX_OWNER_DIED; 0: left, or not yet held */
} life_page;

size_t muster_host_life_bytes(void)
{
    return muster_host_mapping_round_up(sizeof(life_page));
}

muster_status muster_host_life_create(muster_host_life *life, muster_error *error)
{
    life_page *page;
    muster_status status =
        muster_host_mapping_create(sizeof *page, NULL, "the life page", &life->mapping, error);

    if (status != MUSTER_OK)
        return status;
    page = life->mapping.memory;
    page->magic = MAGIC;
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
    if (page->magic == MAGIC)
        return MUSTER_OK;
    muster_host_mapping_close(&life->mapping);
    return muster_error_set(error, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION, 0, 0,
                            "a peer's life page has another layout; run the same version of "
                            "Muster on all ranks");
}

void muster_host_life_close(muster_host_life *life)
{
    muster_host_mapping_close(&life->mapping);
}

void muster_host_life_hold(muster_host_life *life)
{
    life_page *page = life->mapping.memory;

    MUSTER_ASSERT(syscall(SYS_get_robust_list, 0, &life->list_before, &life->list_before_bytes) ==
                  0);
    life->entry.next = &life->list.list;
    life->list.list.next = &life->entry;
    /* The kernel finds the futex at this distance from the entry. */
    life->list.futex_offset = (long)((intptr_t)&page->holder - (intptr_t)&life->entry);
    life->list.list_op_pending = NULL;
    atomic_store(&page->holder, (uint32_t)gettid());
    MUSTER_ASSERT(syscall(SYS_set_robust_list, &life->list, sizeof life->list) == 0);
}

static void wake_watchers(life_page *page)
{
    (void)syscall(SYS_futex, &page->holder, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void muster_host_life_let_go(muster_host_life *life)
{
    life_page *page = life->mapping.memory;

    /* Killed between these two, the rank has left in order: it has said so. */
    atomic_store(&page->holder, 0);
    MUSTER_ASSERT(syscall(SYS_set_robust_list, life->list_before, life->list_before_bytes) == 0);
    wake_watchers(page);
}

static muster_host_life_state state_of(uint32_t holder)
{
    if ((holder & FUTEX_OWNER_DIED) != 0)
        return MUSTER_HOST_LIFE_DYING;
    return (holder & FUTEX_TID_MASK) == 0 ? MUSTER_HOST_LIFE_LEFT : MUSTER_HOST_LIFE_ALIVE;
}

muster_host_life_state muster_host_life_watch(muster_host_life *life, int64_t max_ns)
{
    life_page *page = life->mapping.memory;
    struct timespec timeout = {.tv_sec = (time_t)(max_ns / 1000000000),
                               .tv_nsec = max_ns % 1000000000};
    uint32_t holder = atomic_load(&page->holder);

    /* Without this mark the kernel would not wake anybody. */
    while (state_of(holder) == MUSTER_HOST_LIFE_ALIVE && (holder & FUTEX_WAITERS) == 0)
        if (atomic_compare_exchange_weak(&page->holder, &holder, holder | FUTEX_WAITERS))
            holder |= FUTEX_WAITERS;
    if (state_of(holder) == MUSTER_HOST_LIFE_ALIVE) {
        (void)syscall(SYS_futex, &page->holder, FUTEX_WAIT, holder, &timeout, NULL, 0);
        holder = atomic_load(&page->holder);
    }
    /* The kernel wakes one; there may be more. */
    if (state_of(holder) == MUSTER_HOST_LIFE_DYING)
        wake_watchers(page);
    return state_of(holder);
}
