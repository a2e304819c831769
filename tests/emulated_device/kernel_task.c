/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_task.h"

#include <stdio.h>

kernel_progress kernel_task_advance(kernel_task *task)
{
    kernel_progress progress;

    if (task->over)
        return KERNEL_DONE;
    if (!task->busy) {
        kernel_move move = {0};

        if (!task->next(task, &move)) {
            kernel_pipe_close(&task->pipe);
            task->over = true;
            return KERNEL_DONE;
        }
        kernel_pipe_begin(&task->pipe, &move);
        task->busy = true;
    }
    progress = kernel_pipe_advance(&task->pipe);
    if (progress == KERNEL_DONE) {
        task->busy = false;
        return KERNEL_MOVED;
    }
    return progress;
}

int kernel_task_check(const nccl_connection *connection, char *message, size_t message_bytes)
{
    if (connection->network_kind == NCCL_NETWORK_UNPACKS) {
        (void)snprintf(message, message_bytes,
                       "a connection whose network device works inside the kernel: not carried"
                       " out on the CPU; use NCCL_NET=Socket");
        return -1;
    }
    if ((connection->flags & NCCL_CONNECTION_MULTICAST) != 0) {
        (void)snprintf(message, message_bytes,
                       "a connection by multicast (NVLS): not carried out on the CPU; set"
                       " NCCL_NVLS_ENABLE=0");
        return -1;
    }
    if (connection->head == NULL || connection->tail == NULL) {
        (void)snprintf(message, message_bytes,
                       "a connection without head or tail: NCCL has not connected it, or the"
                       " layout is not the one that is known");
        return -1;
    }
    return 0;
}
