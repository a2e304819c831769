/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/thread.h"

#include <signal.h>

int muster_host_thread_start(pthread_t *thread, const char *name, void *(*run)(void *argument),
                             void *argument)
{
    sigset_t all, before;
    int code;

    /* Blocked before the start and inherited: blocked in the thread itself, a signal could come first. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        (void)pthread_setname_np(*thread, name);
    return code;
}
