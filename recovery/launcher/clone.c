/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/clone.h"

#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t clone_call(struct clone_args *arguments)
{
    arguments->exit_signal = SIGCHLD;
    return (pid_t)syscall(SYS_clone3, arguments, sizeof *arguments);
}

pid_t muster_clone(bool process_namespace, int *pidfd)
{
    struct clone_args arguments;
    memset(&arguments, 0, sizeof arguments);
    if (process_namespace)
        arguments.flags |= CLONE_NEWPID;
    if (pidfd != NULL) {
        arguments.flags |= CLONE_PIDFD;
        arguments.pidfd = (uint64_t)(uintptr_t)pidfd;
    }
    return clone_call(&arguments);
}

pid_t muster_clone_as(pid_t process_id)
{
    /* From the innermost namespace outward. */
    pid_t numbers[2] = {process_id, process_id};
    struct clone_args arguments;
    memset(&arguments, 0, sizeof arguments);
    arguments.set_tid = (uint64_t)(uintptr_t)numbers;
    arguments.set_tid_size = sizeof numbers / sizeof numbers[0];
    return clone_call(&arguments);
}
