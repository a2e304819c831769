/* SPDX-License-Identifier: Apache-2.0 */
/* What one group of a kernel's threads does with one neighbour or two: receive, combine with own data, keep, send
 * on, chunk by chunk. A pipe never waits: it is advanced again and again, and says what came of it, so that all
 * channels and directions of a launch progress on one thread. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_PIPE_H
#define MUSTER_TESTS_EMULATED_KERNEL_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel_reduce.h"
#include "nccl_layout.h"

typedef enum kernel_progress { KERNEL_WAITS, KERNEL_MOVED, KERNEL_DONE } kernel_progress;

/* One chunk. What goes out and what is kept are the same: own data, what came, or both combined. */
typedef struct kernel_move {
    bool receive;
    bool send;
    const uint8_t *source; /* NULL: no own data */
    uint8_t *destination;  /* NULL: nothing is kept */
    size_t count;          /* elements */
    bool last;             /* of a reduction: divide a sum, if that is asked for */
} kernel_move;

typedef struct kernel_pipe {
    nccl_connection *from; /* NULL: nothing is received */
    nccl_connection *to;
    uint64_t from_step;
    uint64_t to_step;
    enum nccl_protocol protocol;
    const kernel_reduction *reduction; /* NULL: bytes */
    unsigned slices;                   /* Simple: slices of a chunk, slots of a slice */
    unsigned slice_steps;
    size_t slot_elements;
    size_t slot_lines; /* LL */
    kernel_move move;
    unsigned slice;
    size_t done;  /* elements of a move; lines of a move for LL */
    bool granted; /* LL: the slot to send in is free, and its size is told */
} kernel_pipe;

static inline size_t kernel_pipe_element_bytes(const kernel_pipe *pipe)
{
    return pipe->reduction == NULL ? 1 : pipe->reduction->element_bytes;
}

/* The step at which either side goes on was left in the connections by the launch before. slot_bytes: the Simple
 * protocol's idea of a slot, which for P2P is not the connection's. */
void kernel_pipe_open(kernel_pipe *pipe, const nccl_communicator *communicator,
                      nccl_connection *from, nccl_connection *to, enum nccl_protocol protocol,
                      const kernel_reduction *reduction, unsigned slices, unsigned slice_steps,
                      size_t slot_bytes);
void kernel_pipe_begin(kernel_pipe *pipe, const kernel_move *move);
/* KERNEL_DONE: the move is complete. */
kernel_progress kernel_pipe_advance(kernel_pipe *pipe);
void kernel_pipe_close(kernel_pipe *pipe);

/* One protocol each. */
void kernel_simple_open(kernel_pipe *pipe);
kernel_progress kernel_simple_advance(kernel_pipe *pipe);
kernel_progress kernel_ll_advance(kernel_pipe *pipe);

#endif
