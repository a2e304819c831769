/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_task.h"

#include <stdio.h>
#include <string.h>

static bool transfer_next(kernel_task *task, kernel_move *move)
{
    kernel_transfer *transfer = &task->program.transfer;
    size_t left = transfer->bytes - transfer->cursor;

    if (transfer->begun && left == 0)
        return false;
    transfer->begun = true;
    move->count = left < transfer->chunk_bytes ? left : transfer->chunk_bytes;
    move->send = transfer->send;
    move->receive = !transfer->send;
    if (transfer->send)
        move->source = transfer->address + transfer->cursor;
    else
        move->destination = transfer->address + transfer->cursor;
    transfer->cursor += move->count;
    return true;
}

/* The share of this channel: parts of whole pages, the first one on the work's first channel. False: none. */
static bool part_of(const kernel_place *place, const nccl_p2p_work *work, size_t part_count,
                    size_t *begin, size_t *bytes)
{
    size_t part = (place->channel_number - work->first_channel) & (work->channel_count - 1U);
    size_t total = *bytes;
    size_t part_bytes;

    if (part >= part_count)
        return false;
    part_bytes = (total + part_count - 1) / part_count;
    part_bytes = (part_bytes + NCCL_PART_BYTES - 1) / NCCL_PART_BYTES * NCCL_PART_BYTES;
    *begin = part * part_bytes < total ? part * part_bytes : total;
    *bytes = total - *begin < part_bytes ? total - *begin : part_bytes;
    return true;
}

static int start_one(const kernel_place *place, bool send, int32_t rank, bool ll,
                     uint8_t chunk_code, uint8_t *address, size_t bytes, kernel_task *task,
                     char *message, size_t message_bytes)
{
    const nccl_communicator *communicator = place->communicator;
    nccl_connection *connection;
    size_t chunk_bytes = nccl_chunk_bytes(chunk_code);

    if (rank < 0 || rank >= communicator->rank_count || chunk_bytes == 0) {
        (void)snprintf(message, message_bytes,
                       "P2P work with rank %d of %d in chunks of %zu bytes: not the layout that"
                       " is known",
                       rank, communicator->rank_count, chunk_bytes);
        return -1;
    }
    connection = send ? &place->channel->peers[rank]->send[NCCL_CONNECTION_P2P]
                      : &place->channel->peers[rank]->receive[NCCL_CONNECTION_P2P];
    if (kernel_task_check(connection, message, message_bytes) != 0)
        return -1;
    memset(task, 0, sizeof(*task));
    task->next = transfer_next;
    task->program.transfer = (kernel_transfer){
        .send = send, .address = address, .bytes = bytes, .chunk_bytes = chunk_bytes};
    kernel_pipe_open(&task->pipe, communicator, send ? NULL : connection, send ? connection : NULL,
                     ll ? NCCL_LL : NCCL_SIMPLE, NULL, 1, 1, (size_t)communicator->p2p_chunk_bytes);
    return 0;
}

int kernel_send_receive_start(const kernel_place *place, const nccl_p2p_work *work,
                              kernel_task tasks[2], size_t *task_count, char *message,
                              size_t message_bytes)
{
    size_t send_begin = 0;
    size_t send_bytes = work->send_bytes;
    size_t receive_begin = 0;
    size_t receive_bytes = work->receive_bytes;
    bool sends = part_of(place, work, work->send_channel_count, &send_begin, &send_bytes);
    bool receives =
        part_of(place, work, work->receive_channel_count, &receive_begin, &receive_bytes);

    *task_count = 0;
    if ((work->flags & (NCCL_P2P_REGISTERED | NCCL_P2P_PROFILED)) != 0) {
        (void)snprintf(message, message_bytes,
                       "P2P work on registered buffers or under a profiler (flags 0x%x): not"
                       " carried out on the CPU",
                       work->flags);
        return -1;
    }
    if (work->send_rank == place->communicator->rank) {
        if (sends && send_bytes != 0)
            memmove(work->receive_address + receive_begin, work->send_address + send_begin,
                    send_bytes);
        return 0;
    }
    if (sends && start_one(place, true, work->send_rank, (work->flags & NCCL_P2P_SEND_LL) != 0,
                           work->send_chunk_code, work->send_address + send_begin, send_bytes,
                           &tasks[(*task_count)++], message, message_bytes) != 0)
        return -1;
    if (receives &&
        start_one(place, false, work->receive_rank, (work->flags & NCCL_P2P_RECEIVE_LL) != 0,
                  work->receive_chunk_code, work->receive_address + receive_begin, receive_bytes,
                  &tasks[(*task_count)++], message, message_bytes) != 0)
        return -1;
    return 0;
}
