/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All transfers of a batch run side by side: their order may differ from rank to rank. */
static int start_transfers(kernel_channel *channel, char *message, size_t message_bytes)
{
    for (size_t item = 0; item < channel->work.count; item++) {
        size_t made = 0;

        if (kernel_send_receive_start(&channel->place, &channel->work.items.p2p[item],
                                      channel->tasks + channel->task_count, &made, message,
                                      message_bytes) != 0)
            return -1;
        channel->task_count += made;
    }
    return 0;
}

/* Collectives of a batch follow each other on the same connections. */
static int start_collective(kernel_channel *channel, char *message, size_t message_bytes)
{
    channel->task_count = 1;
    return kernel_ring_start(&channel->place, &channel->function,
                             &channel->work.items.collective[channel->item], channel->tasks,
                             message, message_bytes);
}

static bool kind_fits(const kernel_channel *channel)
{
    switch (channel->work.kind) {
    case NCCL_WORK_P2P:
        return channel->function.kind == KERNEL_SEND_RECEIVE;
    case NCCL_WORK_BROADCASTS:
        return channel->function.kind == KERNEL_BROADCASTS;
    default:
        return channel->function.kind != KERNEL_SEND_RECEIVE &&
               channel->function.kind != KERNEL_BROADCASTS;
    }
}

static int start_batch(kernel_channel *channel, int batch, char *message, size_t message_bytes)
{
    if (kernel_work_load(channel->launch, batch, &channel->work, message, message_bytes) != 0)
        return -1;
    if (!kernel_function_find(channel->work.function, &channel->function) || !kind_fits(channel)) {
        (void)snprintf(message, message_bytes,
                       "function %u for work of kind %d is not one of this NCCL version",
                       channel->work.function, (int)channel->work.kind);
        return -1;
    }
    free(channel->tasks);
    channel->tasks = calloc(2 * channel->work.count + 1, sizeof(*channel->tasks));
    if (channel->tasks == NULL) {
        (void)snprintf(message, message_bytes, "no memory for the tasks of %zu pieces of work",
                       channel->work.count);
        return -1;
    }
    channel->task_count = 0;
    channel->item = 0;
    if (channel->work.count == 0)
        return 0;
    switch (channel->work.kind) {
    case NCCL_WORK_P2P:
        return start_transfers(channel, message, message_bytes);
    case NCCL_WORK_BROADCASTS:
        channel->task_count = 1;
        return kernel_broadcasts_start(&channel->place, &channel->function,
                                       channel->work.items.broadcasts, channel->work.count,
                                       channel->tasks, message, message_bytes);
    default:
        return start_collective(channel, message, message_bytes);
    }
}

int kernel_channel_open(kernel_channel *channel, const emulated_launch *launch,
                        nccl_communicator *communicator, unsigned channel_number, int first_batch,
                        char *message, size_t message_bytes)
{
    memset(channel, 0, sizeof(*channel));
    channel->launch = launch;
    channel->place = (kernel_place){.communicator = communicator,
                                    .channel = &communicator->channels[channel_number],
                                    .channel_number = channel_number};
    return start_batch(channel, first_batch, message, message_bytes);
}

static int next_batch(kernel_channel *channel, char *message, size_t message_bytes)
{
    int next = channel->work.next_batch;

    channel->place.communicator->channels[channel->place.channel_number].work_count +=
        channel->work.count;
    kernel_work_clear(&channel->work);
    if (next < 0) {
        channel->over = true;
        return 0;
    }
    return start_batch(channel, next, message, message_bytes);
}

int kernel_channel_advance(kernel_channel *channel, bool *moved, char *message,
                           size_t message_bytes)
{
    bool open = false;

    for (size_t task = 0; task < channel->task_count; task++) {
        kernel_progress progress = kernel_task_advance(&channel->tasks[task]);

        *moved = *moved || progress == KERNEL_MOVED;
        open = open || progress != KERNEL_DONE;
    }
    if (open)
        return 0;
    *moved = true;
    if (channel->work.kind == NCCL_WORK_COLLECTIVE && channel->item + 1 < channel->work.count) {
        channel->item++;
        return start_collective(channel, message, message_bytes);
    }
    return next_batch(channel, message, message_bytes);
}

void kernel_channel_close(kernel_channel *channel)
{
    kernel_work_clear(&channel->work);
    free(channel->tasks);
    channel->tasks = NULL;
}
