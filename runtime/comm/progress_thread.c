/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/progress_thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "comm/flight.h"
#include "comm/refusal.h"

/* Between two looks at calls in flight that did not move: short at first, then longer, so that an
 * idle wait costs little and a busy one is followed closely. */
enum { NAP_LEAST_NS = 20000, NAP_MOST_NS = 1000000 };

struct muster_progress_thread {
    muster_job *job;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    bool poked;
    pthread_mutex_t turn; /* held while the communicators are walked */
};

/* One look at every communicator. Says whether anything is in flight, and whether it moved. */
static bool take_turn(muster_progress_thread *self, bool *moved)
{
    bool busy = false;
    *moved = false;
    pthread_mutex_lock(&self->turn);
    for (muster_comm *comm = self->job->comms; comm != NULL; comm = comm->next) {
        pthread_mutex_lock(&comm->lock);
        *moved = muster_comm_progress(comm) || *moved;
        busy = busy || comm->head != NULL || muster_flight_polls(comm);
        pthread_mutex_unlock(&comm->lock);
    }
    pthread_mutex_unlock(&self->turn);
    return busy;
}

static void *progress_main(void *context)
{
    muster_progress_thread *self = context;
    int64_t nap_ns = NAP_LEAST_NS;
    for (;;) {
        bool moved = false;
        bool busy = take_turn(self, &moved);
        nap_ns = moved ? NAP_LEAST_NS : nap_ns * 2 < NAP_MOST_NS ? nap_ns * 2 : NAP_MOST_NS;
        pthread_mutex_lock(&self->lock);
        if (!busy)
            while (!self->stop && !self->poked)
                pthread_cond_wait(&self->changed, &self->lock);
        self->poked = false;
        bool stop = self->stop;
        pthread_mutex_unlock(&self->lock);
        if (stop)
            return NULL;
        if (busy && !moved) {
            struct timespec nap = {.tv_nsec = (long)nap_ns};
            nanosleep(&nap, NULL);
        }
    }
}

muster_status muster_progress_thread_start(muster_job *job, muster_progress_thread **thread,
                                           muster_error *error)
{
    muster_progress_thread *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return muster_error_set_errno(error, ENOMEM, "starting the progress thread");
    self->job = job;
    pthread_mutex_init(&self->lock, NULL);
    pthread_mutex_init(&self->turn, NULL);
    pthread_cond_init(&self->changed, NULL);
    /* The application's handlers must not run here. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&self->thread, NULL, progress_main, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        free(self);
        return muster_error_set_errno(error, failed, "starting the progress thread");
    }
    *thread = self;
    return MUSTER_OK;
}

void muster_progress_thread_poke(muster_progress_thread *thread)
{
    if (thread == NULL)
        return;
    pthread_mutex_lock(&thread->lock);
    thread->poked = true;
    pthread_cond_signal(&thread->changed);
    pthread_mutex_unlock(&thread->lock);
}

void muster_progress_thread_stop(muster_progress_thread *thread)
{
    if (thread == NULL)
        return;
    pthread_mutex_lock(&thread->lock);
    thread->stop = true;
    pthread_cond_signal(&thread->changed);
    pthread_mutex_unlock(&thread->lock);
    pthread_join(thread->thread, NULL);
    pthread_cond_destroy(&thread->changed);
    pthread_mutex_destroy(&thread->turn);
    pthread_mutex_destroy(&thread->lock);
    free(thread);
}

void muster_progress_thread_pause(muster_progress_thread *thread)
{
    if (thread != NULL)
        pthread_mutex_lock(&thread->turn);
}

void muster_progress_thread_resume(muster_progress_thread *thread)
{
    if (thread != NULL)
        pthread_mutex_unlock(&thread->turn);
}
