/* SPDX-License-Identifier: Apache-2.0 */
/* What one block of a kernel does: the batches of one channel, one after the other. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_CHANNEL_H
#define MUSTER_TESTS_EMULATED_KERNEL_CHANNEL_H

#include "kernel_task.h"

typedef struct kernel_channel {
    const emulated_launch *launch;
    kernel_place place;
    kernel_work work; /* of the batch at hand */
    kernel_function function;
    kernel_task *tasks;
    size_t task_count;
    size_t item; /* collectives: which piece of work the one task is at */
    bool over;
} kernel_channel;

/* Both 0, or -1 and a sentence. moved: whether anything was moved; over is set when nothing is left. */
int kernel_channel_open(kernel_channel *channel, const emulated_launch *launch,
                        nccl_communicator *communicator, unsigned channel_number, int first_batch,
                        char *message, size_t message_bytes);
int kernel_channel_advance(kernel_channel *channel, bool *moved, char *message,
                           size_t message_bytes);
void kernel_channel_close(kernel_channel *channel);

#endif
