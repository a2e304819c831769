/* SPDX-License-Identifier: Apache-2.0 */
/* The optional thread that progresses requests while the application computes. */
#ifndef MUSTER_COMM_PROGRESS_THREAD_H
#define MUSTER_COMM_PROGRESS_THREAD_H

#include "comm/comm.h"

typedef struct muster_progress_thread muster_progress_thread;

muster_status muster_progress_thread_start(muster_job *job, muster_progress_thread **thread,
                                           muster_error *error);
/* Joins it. NULL is fine. */
void muster_progress_thread_stop(muster_progress_thread *thread);

/* No communicator may be freed, connected or closed while a pause lasts; NULL is fine. Pauses are
 * not nested. */
void muster_progress_thread_pause(muster_progress_thread *thread);
void muster_progress_thread_resume(muster_progress_thread *thread);

#endif
