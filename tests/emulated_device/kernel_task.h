/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe and the program that says which move comes next. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_TASK_H
#define MUSTER_TESTS_EMULATED_KERNEL_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel_function.h"
#include "kernel_pipe.h"
#include "kernel_work.h"

/* One direction of a P2P transfer. */
typedef struct kernel_transfer {
    bool send;
    uint8_t *address;
    size_t bytes;
    size_t chunk_bytes;
    size_t cursor;
    bool begun; /* a transfer of 0 bytes is one empty move */
} kernel_transfer;

/* One piece of collective work on a channel's ring, in elements. */
typedef struct kernel_ring {
    const nccl_communicator *communicator;
    const nccl_ring *ring;
    nccl_collective_work work;
    kernel_kind kind;
    kernel_reduction reduction;
    size_t rank_count; /* elements of one rank, on all channels together */
    size_t part_begin; /* this channel's share */
    size_t part_count;
    size_t chunk_count;
    size_t done; /* of the share */
    int phase;   /* of one chunk: which move of the ring's algorithm */
} kernel_ring;

/* Broadcasts of one group, a chunk of each in turn. The work is changed. */
typedef struct kernel_broadcasts {
    nccl_broadcast_work *works;
    size_t count;
    size_t next;
    int last_depth;
} kernel_broadcasts;

typedef struct kernel_task {
    kernel_pipe pipe;
    /* False: nothing is left. */
    bool (*next)(struct kernel_task *task, kernel_move *move);
    bool busy;
    bool over;
    union {
        kernel_transfer transfer;
        kernel_ring ring;
        kernel_broadcasts broadcasts;
    } program;
} kernel_task;

kernel_progress kernel_task_advance(kernel_task *task);

/* What a task needs to know of where it runs. */
typedef struct kernel_place {
    const nccl_communicator *communicator;
    const nccl_channel *channel;
    unsigned channel_number;
} kernel_place;

/* Each starts tasks for work of its kind: 0, or -1 and a sentence. kernel_send_receive_start makes up to two tasks
 * for one piece of work, and copies at once what a rank sends to itself. */
int kernel_send_receive_start(const kernel_place *place, const nccl_p2p_work *work,
                              kernel_task tasks[2], size_t *task_count, char *message,
                              size_t message_bytes);
int kernel_ring_start(const kernel_place *place, const kernel_function *function,
                      const nccl_collective_work *work, kernel_task *task, char *message,
                      size_t message_bytes);
int kernel_broadcasts_start(const kernel_place *place, const kernel_function *function,
                            nccl_broadcast_work *works, size_t count, kernel_task *task,
                            char *message, size_t message_bytes);
/* Whether this connection can be used as it is. */
int kernel_task_check(const nccl_connection *connection, char *message, size_t message_bytes);

#endif
