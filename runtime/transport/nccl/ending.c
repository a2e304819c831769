/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/ending.h"

#include <signal.h>

#include "transport/nccl/clock.h"
#include "transport/nccl/current.h"
#include "transport/nccl/failure.h"
#include "transport/nccl/stuck.h"

static bool any_ending(const muster_device *device)
{
    for (const muster_device_comm *comm = device->comms; comm != NULL; comm = comm->next) {
        if (comm->state == MUSTER_NCCL_COMM_ENDING)
            return true;
    }
    return false;
}

void muster_nccl_ending_want(muster_device_comm *comm, muster_nccl_comm_end end)
{
    switch (comm->state) {
    case MUSTER_NCCL_COMM_LIVE:
    case MUSTER_NCCL_COMM_KEPT:
        comm->state = MUSTER_NCCL_COMM_ENDING;
        comm->end = end;
        break;
    case MUSTER_NCCL_COMM_ENDING:
        if (end > comm->end)
            comm->end = end;
        break;
    case MUSTER_NCCL_COMM_ENDED:
        return;
    }
    if (comm->end != MUSTER_NCCL_END_KEEP_OR_ABORT)
        muster_nccl_bracket_refuse(&comm->bracket, MUSTER_NCCL_ENDING);
    pthread_cond_broadcast(&comm->device->changed);
}

/* The comms of this round as a list of the thread's own: others may join the device's list meanwhile. */
static muster_device_comm *collect(muster_device *device)
{
    muster_device_comm *first = NULL, **end = &first;
    for (muster_device_comm *comm = device->comms; comm != NULL; comm = comm->next) {
        if (comm->state != MUSTER_NCCL_COMM_ENDING)
            continue;
        *end = comm;
        end = &comm->ending;
        comm->ending = NULL;
    }
    return first;
}

static void wait_for_brackets(const muster_device *device, const muster_device_comm *first)
{
    const int64_t deadline_ns =
        muster_nccl_clock_after_ns(muster_nccl_clock_now_ns(), device->bracket_timeout_ns);
    int64_t nap_ns = 0;
    for (const muster_device_comm *comm = first; comm != NULL; comm = comm->ending) {
        while (!muster_nccl_bracket_is_empty(&comm->bracket)) {
            if (muster_nccl_clock_now_ns() >= deadline_ns)
                return;
            nap_ns = muster_nccl_clock_next_nap_ns(nap_ns);
            muster_nccl_clock_nap(nap_ns);
        }
    }
}

/* Nobody can enter what is empty here: REVOKED or ENDING stands on it, and a shrink asks for KEPT. */
static muster_nccl_step choose(muster_device_comm *comm)
{
    muster_device *device = comm->device;
    const bool empty = muster_nccl_bracket_is_empty(&comm->bracket);
    pthread_mutex_lock(&device->lock);
    muster_nccl_comm_end end = comm->end;
    pthread_mutex_unlock(&device->lock);
    if (end == MUSTER_NCCL_END_KEEP_OR_ABORT) {
        const bool healthy = empty && muster_nccl_comm_is_healthy(comm);
        pthread_mutex_lock(&device->lock);
        if (!healthy)
            muster_nccl_ending_want(comm, MUSTER_NCCL_END_ABORT);
        end = comm->end;
        pthread_mutex_unlock(&device->lock);
        if (end == MUSTER_NCCL_END_KEEP_OR_ABORT)
            return MUSTER_NCCL_STEP_KEEP;
    }
    if (!empty)
        return MUSTER_NCCL_STEP_LATER;
    return end == MUSTER_NCCL_END_DESTROY ? MUSTER_NCCL_STEP_DESTROY : MUSTER_NCCL_STEP_ABORT;
}

static void note(muster_device_comm *comm, ncclResult_t result)
{
    if (comm->end_result == ncclSuccess)
        comm->end_result = result;
}

/* Aborting a parent joins NCCL's thread that writes its child, which is therefore read only then. */
static void abort_all(const muster_nccl_library *library, muster_device_comm *first)
{
    const ncclResult_t started = library->ncclGroupStart();
    for (muster_device_comm *comm = first; comm != NULL; comm = comm->ending) {
        if (comm->step != MUSTER_NCCL_STEP_ABORT || comm->native == NULL)
            continue;
        note(comm, library->ncclCommAbort(comm->native));
        if (comm->child != NULL)
            note(comm, library->ncclCommAbort(comm->child));
    }
    if (started != ncclSuccess)
        return;
    const ncclResult_t ended = library->ncclGroupEnd();
    for (muster_device_comm *comm = first; comm != NULL; comm = comm->ending) {
        if (comm->step == MUSTER_NCCL_STEP_ABORT && comm->native != NULL)
            note(comm, ended);
    }
}

static bool any_step(const muster_device_comm *first, muster_nccl_step wanted)
{
    for (const muster_device_comm *comm = first; comm != NULL; comm = comm->ending) {
        if (comm->step == wanted)
            return true;
    }
    return false;
}

/* Under the lock: what was done becomes the state. Returns the orphans, to be freed without the lock; the
 * others may be gone as soon as it is given up. */
static muster_device_comm *settle(muster_device_comm *first)
{
    muster_device_comm *orphans = NULL;
    for (muster_device_comm *comm = first, *next = NULL; comm != NULL; comm = next) {
        next = comm->ending;
        if (comm->step == MUSTER_NCCL_STEP_KEEP && comm->end == MUSTER_NCCL_END_KEEP_OR_ABORT)
            comm->state = MUSTER_NCCL_COMM_KEPT;
        if (comm->step != MUSTER_NCCL_STEP_DESTROY && comm->step != MUSTER_NCCL_STEP_ABORT)
            continue;
        comm->state = MUSTER_NCCL_COMM_ENDED;
        comm->native = NULL;
        comm->child = NULL;
        if (comm->orphan) {
            comm->ending = orphans;
            orphans = comm;
        }
    }
    return orphans;
}

static void run_round(muster_device *device)
{
    const muster_nccl_library *library = &device->library;
    muster_device_comm *first = collect(device);
    pthread_mutex_unlock(&device->lock);

    wait_for_brackets(device, first);
    for (muster_device_comm *comm = first; comm != NULL; comm = comm->ending)
        comm->step = choose(comm);
    for (muster_device_comm *comm = first; comm != NULL; comm = comm->ending) {
        if (comm->step == MUSTER_NCCL_STEP_DESTROY && comm->native != NULL)
            note(comm, library->ncclCommDestroy(comm->native));
    }
    if (any_step(first, MUSTER_NCCL_STEP_ABORT))
        abort_all(library, first);

    pthread_mutex_lock(&device->lock);
    muster_device_comm *orphans = settle(first);
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
    for (muster_device_comm *comm = orphans, *next = NULL; comm != NULL; comm = next) {
        next = comm->ending;
        muster_nccl_comm_free(comm);
    }
    pthread_mutex_lock(&device->lock);
}

static void *run(void *argument)
{
    muster_device *device = argument;
    const cudaError_t begin_code = muster_nccl_current_begin(device);
    pthread_mutex_lock(&device->lock);
    device->begin_code = begin_code;
    device->begun = true;
    pthread_cond_broadcast(&device->changed);
    for (;;) {
        if (any_ending(device))
            run_round(device);
        else if (device->stopping)
            break;
        else
            pthread_cond_wait(&device->changed, &device->lock);
    }
    muster_nccl_device_disown(device);
    return NULL;
}

int muster_nccl_ending_start(muster_device *device)
{
    sigset_t all, before;
    device->owners++;
    /* Blocked before the start and inherited: the application's handlers never run on this thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&device->thread, NULL, run, device);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        (void)pthread_setname_np(device->thread, "muster-nccl");
    else
        device->owners--;
    return code;
}

void muster_nccl_ending_stop(muster_device *device)
{
    pthread_mutex_lock(&device->lock);
    device->stopping = true;
    const bool stuck = any_ending(device);
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
    if (stuck)
        pthread_detach(device->thread);
    else
        pthread_join(device->thread, NULL);
}

static muster_status await_end(muster_device_comm *comm, muster_nccl_comm_end end,
                               int64_t deadline_ns, bool and_free, muster_error *error)
{
    muster_device *device = comm->device;
    const struct timespec deadline = muster_nccl_clock_timespec(deadline_ns);
    int code = 0;
    pthread_mutex_lock(&device->lock);
    muster_nccl_ending_want(comm, end);
    while (comm->state != MUSTER_NCCL_COMM_ENDED && code == 0)
        code = pthread_cond_timedwait(&device->changed, &device->lock, &deadline);
    const bool ended = comm->state == MUSTER_NCCL_COMM_ENDED;
    const bool aborted = comm->end == MUSTER_NCCL_END_ABORT;
    const bool inside = !muster_nccl_bracket_is_empty(&comm->bracket);
    const ncclResult_t result = ended ? comm->end_result : ncclSuccess;
    comm->orphan = and_free && !ended;
    pthread_mutex_unlock(&device->lock);
    if (!ended)
        return muster_nccl_stuck_late(device, inside, error);
    if (and_free)
        muster_nccl_comm_free(comm);
    if (result == ncclSuccess)
        return MUSTER_OK;
    return aborted ? muster_nccl_stuck_failed(device, result, error)
                   : muster_nccl_failure(&device->library, result, "ncclCommDestroy", error);
}

muster_status muster_nccl_ending_await(muster_device_comm *comm, muster_nccl_comm_end end,
                                       int64_t deadline_ns, muster_error *error)
{
    return await_end(comm, end, deadline_ns, false, error);
}

muster_status muster_nccl_ending_finish(muster_device_comm *comm, muster_nccl_comm_end end,
                                        int64_t deadline_ns, muster_error *error)
{
    return await_end(comm, end, deadline_ns, true, error);
}
