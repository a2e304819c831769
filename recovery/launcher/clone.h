/* SPDX-License-Identifier: Apache-2.0 */
/* Making processes with what fork(2) lacks: a pidfd, a PID namespace, a chosen number. */
#ifndef MUSTER_LAUNCHER_CLONE_H
#define MUSTER_LAUNCHER_CLONE_H

#include <stdbool.h>
#include <sys/types.h>

/* As fork; the child is the first process of a new PID namespace where process_namespace is true.
 * pidfd (may be NULL) gets a close-on-exec descriptor of the child. -1: errno. */
pid_t muster_clone(bool process_namespace, int *pidfd);

/* As fork, in the PID namespace that muster_clone made: the child bears the number process_id there and
 * in the namespace above, so that what it calls itself is what others call it. -1: errno, EEXIST where
 * the number is taken. */
pid_t muster_clone_as(pid_t process_id);

#endif
