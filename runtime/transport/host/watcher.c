/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/watcher.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "transport/host/clock.h"
#include "transport/host/thread.h"

/* How late a new list, or the stop, may be noticed. A death is noticed at once. */
#define SLICE_NS (50 * MUSTER_HOST_MILLISECOND_NS)

static void free_list(muster_host_watched *watched, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        muster_host_life_close(&watched[i].life);
    free(watched);
}

/* Takes a new list where there is one. Sleeps while there is nothing to watch. False: stop. */
static bool take_list(muster_host_watcher *watcher, muster_host_watched **watched, int32_t *count,
                      int32_t *at)
{
    bool go_on;

    pthread_mutex_lock(&watcher->mutex);
    while (!watcher->stop && !watcher->has_next && *at == *count)
        pthread_cond_wait(&watcher->changed, &watcher->mutex);
    if (watcher->has_next) {
        free_list(*watched, *count);
        *watched = watcher->next;
        *count = watcher->next_count;
        *at = 0;
        watcher->next = NULL;
        watcher->next_count = 0;
        watcher->has_next = false;
    }
    go_on = !watcher->stop;
    pthread_mutex_unlock(&watcher->mutex);
    return go_on;
}

static void *run(void *argument)
{
    muster_host_watcher *watcher = argument;
    muster_host_watched *watched = NULL;
    int32_t count = 0;
    int32_t at = 0;

    while (take_list(watcher, &watched, &count, &at)) {
        muster_host_life_state state;

        if (at == count)
            continue;
        state = muster_host_life_watch(&watched[at].life, SLICE_NS);
        if (state == MUSTER_HOST_LIFE_ALIVE)
            continue;
        if (state == MUSTER_HOST_LIFE_DYING && watcher->on_peer_dying != NULL)
            watcher->on_peer_dying(watcher->context, watched[at].slot, watched[at].incarnation);
        at++;
    }
    free_list(watched, count);
    return NULL;
}

muster_status muster_host_watcher_start(muster_host_watcher *watcher,
                                        void (*on_peer_dying)(void *context, int32_t slot,
                                                              uint32_t incarnation),
                                        void *context, muster_error *error)
{
    int code;

    memset(watcher, 0, sizeof *watcher);
    watcher->on_peer_dying = on_peer_dying;
    watcher->context = context;
    pthread_mutex_init(&watcher->mutex, NULL);
    pthread_cond_init(&watcher->changed, NULL);
    code = muster_host_thread_start(&watcher->thread, "muster-watch", run, watcher);
    if (code == 0)
        return MUSTER_OK;
    pthread_cond_destroy(&watcher->changed);
    pthread_mutex_destroy(&watcher->mutex);
    return muster_error_set_errno(error, code, "starting the thread that watches peers");
}

void muster_host_watcher_stop(muster_host_watcher *watcher)
{
    pthread_mutex_lock(&watcher->mutex);
    watcher->stop = true;
    pthread_cond_signal(&watcher->changed);
    pthread_mutex_unlock(&watcher->mutex);
    pthread_join(watcher->thread, NULL);
    free_list(watcher->next, watcher->next_count);
    pthread_cond_destroy(&watcher->changed);
    pthread_mutex_destroy(&watcher->mutex);
}

void muster_host_watcher_watch(muster_host_watcher *watcher, muster_host_watched *watched,
                               int32_t count)
{
    pthread_mutex_lock(&watcher->mutex);
    free_list(watcher->next, watcher->next_count);
    watcher->next = watched;
    watcher->next_count = count;
    watcher->has_next = true;
    pthread_cond_signal(&watcher->changed);
    pthread_mutex_unlock(&watcher->mutex);
}
