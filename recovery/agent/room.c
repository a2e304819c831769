/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/room.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"

/* An I/O and a reaper thread of the context, and the agent's own. */
enum { ROOM_THREADS = 3, ROOM_DESCRIPTORS = 16 };

static void *room_thread(void *context)
{
    pthread_mutex_t *until = context;
    pthread_mutex_lock(until);
    pthread_mutex_unlock(until);
    return NULL;
}

/* All at once: one after the other would fit where they do not fit together. */
static muster_status room_for_threads(muster_error *error)
{
    pthread_mutex_t until = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[ROOM_THREADS];
    int started = 0;
    int failed = 0;
    pthread_mutex_lock(&until);
    while (started < ROOM_THREADS && failed == 0) {
        failed = pthread_create(&threads[started], NULL, room_thread, &until);
        started += failed == 0;
    }
    pthread_mutex_unlock(&until);
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&until);
    if (failed == 0) {
        return MUSTER_OK;
    }
    return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, ROOM_THREADS, started,
                            "no room for the %d threads of the control plane, %d fit: %s; raise "
                            "ulimit -v or -u, or lower ulimit -s",
                            ROOM_THREADS, started, strerror(failed));
}

static muster_status room_for_descriptors(muster_error *error)
{
    int descriptors[ROOM_DESCRIPTORS];
    int opened = 0;
    while (opened < ROOM_DESCRIPTORS && (descriptors[opened] = eventfd(0, EFD_CLOEXEC)) >= 0) {
        opened++;
    }
    int saved_errno = errno;
    for (int i = 0; i < opened; i++) {
        close(descriptors[i]);
    }
    if (opened == ROOM_DESCRIPTORS) {
        return MUSTER_OK;
    }
    return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, ROOM_DESCRIPTORS, opened,
                            "no room for the %d descriptors of the control plane, %d fit: %s; "
                            "raise ulimit -n",
                            ROOM_DESCRIPTORS, opened, strerror(saved_errno));
}

muster_status muster_agent_room(muster_error *error)
{
    muster_status status = room_for_threads(error);
    return status != MUSTER_OK ? status : room_for_descriptors(error);
}
