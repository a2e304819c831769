/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a thread of the library: it blocks all signals, so that the application's handlers never run
 * on it. */
#ifndef MUSTER_TRANSPORT_HOST_THREAD_H
#define MUSTER_TRANSPORT_HOST_THREAD_H

#include <pthread.h>

/* name: at most 15 characters. Returns 0 or an errno value. */
int muster_host_thread_start(pthread_t *thread, const char *name, void *(*run)(void *argument),
                             void *argument);

#endif
