/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's files in /dev/shm. NCCL removes one as soon as all who need it have it open; who is killed before that
 * leaves it there, under a name that nobody else knows. */
#ifndef MUSTER_TRANSPORT_NCCL_ABANDONED_H
#define MUSTER_TRANSPORT_NCCL_ABANDONED_H

#include <time.h>

/* Where NCCL makes them. */
#define MUSTER_NCCL_ABANDONED_FOLDER "/dev/shm"

/* Removes those of this user that are not older than `since` (CLOCK_REALTIME_COARSE) and that no process has open or
 * mapped. The kernel says so, for all processes that it runs, in other containers too; where it cannot say, they stay. */
void muster_nccl_abandoned_remove(const char *folder, const struct timespec *since);

#endif
