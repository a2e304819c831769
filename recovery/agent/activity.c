/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/activity.h"

#include <sched.h>
#include <string.h>

/* Spins before a writer gives way to one that was preempted inside. */
#define ACTIVITY_SPINS 64

void muster_activity_init(muster_activity_marks *marks)
{
    atomic_init(&marks->progress_mark, 0);
    atomic_init(&marks->version, 0);
    atomic_init(&marks->waiting, false);
    atomic_init(&marks->communicator, 0);
    atomic_init(&marks->sequence, 0);
    atomic_init(&marks->call, 0);
    atomic_init(&marks->waiting_since_ns, 0);
    atomic_init(&marks->completed_calls, 0);
    atomic_init(&marks->last_communicator, 0);
    atomic_init(&marks->last_sequence, 0);
    atomic_init(&marks->last_call, 0);
    atomic_init(&marks->committed_step, 0);
    atomic_init(&marks->has_committed_step, false);
}

void muster_activity_progress(muster_activity_marks *marks)
{
    atomic_fetch_add_explicit(&marks->progress_mark, 1, memory_order_relaxed);
}

/* Only writers wait for each other, and each is inside for a few stores. */
static uint_fast32_t activity_begin(muster_activity_marks *marks)
{
    for (int spins = 0;; spins++) {
        uint_fast32_t version = atomic_load_explicit(&marks->version, memory_order_relaxed);
        if ((version & 1) == 0 &&
            atomic_compare_exchange_weak_explicit(&marks->version, &version, version + 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            return version + 1;
        }
        if (spins >= ACTIVITY_SPINS) {
            sched_yield();
        }
    }
}

/* Each field is stored with release, so that a reader that sees it sees the odd version too: fences
 * would do the same but are invisible to the thread sanitizer. */
void muster_activity_waiting(muster_activity_marks *marks, uint64_t communicator, uint64_t sequence,
                             uint32_t call, uint64_t since_ns)
{
    muster_activity_progress(marks);
    uint_fast32_t version = activity_begin(marks);
    atomic_store_explicit(&marks->communicator, communicator, memory_order_release);
    atomic_store_explicit(&marks->sequence, sequence, memory_order_release);
    atomic_store_explicit(&marks->call, call, memory_order_release);
    atomic_store_explicit(&marks->waiting_since_ns, since_ns, memory_order_release);
    atomic_store_explicit(&marks->waiting, true, memory_order_release);
    atomic_store_explicit(&marks->version, version + 1, memory_order_release);
}

void muster_activity_not_waiting(muster_activity_marks *marks)
{
    muster_activity_progress(marks);
    uint_fast32_t version = activity_begin(marks);
    atomic_store_explicit(&marks->waiting, false, memory_order_release);
    atomic_store_explicit(&marks->version, version + 1, memory_order_release);
}

void muster_activity_completed(muster_activity_marks *marks, uint64_t communicator,
                               uint64_t sequence, uint32_t call)
{
    muster_activity_progress(marks);
    uint_fast32_t version = activity_begin(marks);
    /* Inside there is one writer: no need for an atomic addition. */
    uint64_t calls = atomic_load_explicit(&marks->completed_calls, memory_order_relaxed);
    atomic_store_explicit(&marks->completed_calls, calls + 1, memory_order_release);
    atomic_store_explicit(&marks->last_communicator, communicator, memory_order_release);
    atomic_store_explicit(&marks->last_sequence, sequence, memory_order_release);
    atomic_store_explicit(&marks->last_call, call, memory_order_release);
    atomic_store_explicit(&marks->version, version + 1, memory_order_release);
}

void muster_activity_forget_last(muster_activity_marks *marks)
{
    uint_fast32_t version = activity_begin(marks);
    atomic_store_explicit(&marks->last_communicator, 0, memory_order_release);
    atomic_store_explicit(&marks->last_sequence, 0, memory_order_release);
    atomic_store_explicit(&marks->last_call, 0, memory_order_release);
    atomic_store_explicit(&marks->version, version + 1, memory_order_release);
}

void muster_activity_committed(muster_activity_marks *marks, uint64_t step)
{
    atomic_store_explicit(&marks->committed_step, step, memory_order_relaxed);
    atomic_store_explicit(&marks->has_committed_step, true, memory_order_release);
}

void muster_activity_forget_committed(muster_activity_marks *marks)
{
    atomic_store_explicit(&marks->has_committed_step, false, memory_order_release);
}

void muster_activity_read(muster_activity_marks *marks, muster_activity *activity)
{
    memset(activity, 0, sizeof *activity);
    for (;;) {
        uint_fast32_t version = atomic_load_explicit(&marks->version, memory_order_acquire);
        if ((version & 1) == 0) {
            activity->waiting = atomic_load_explicit(&marks->waiting, memory_order_acquire);
            activity->communicator =
                atomic_load_explicit(&marks->communicator, memory_order_acquire);
            activity->sequence = atomic_load_explicit(&marks->sequence, memory_order_acquire);
            activity->call = (uint32_t)atomic_load_explicit(&marks->call, memory_order_acquire);
            activity->waiting_since_ns =
                atomic_load_explicit(&marks->waiting_since_ns, memory_order_acquire);
            activity->completed_calls =
                atomic_load_explicit(&marks->completed_calls, memory_order_acquire);
            activity->last_communicator =
                atomic_load_explicit(&marks->last_communicator, memory_order_acquire);
            activity->last_sequence =
                atomic_load_explicit(&marks->last_sequence, memory_order_acquire);
            activity->last_call =
                (uint32_t)atomic_load_explicit(&marks->last_call, memory_order_acquire);
            if (atomic_load_explicit(&marks->version, memory_order_relaxed) == version) {
                break;
            }
        }
        sched_yield();
    }
    activity->progress_mark = atomic_load_explicit(&marks->progress_mark, memory_order_relaxed);
    activity->has_committed_step =
        atomic_load_explicit(&marks->has_committed_step, memory_order_acquire);
    activity->committed_step = atomic_load_explicit(&marks->committed_step, memory_order_relaxed);
}
