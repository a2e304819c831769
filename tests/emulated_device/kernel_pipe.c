/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_pipe.h"

#include <string.h>

void kernel_pipe_open(kernel_pipe *pipe, const nccl_communicator *communicator,
                      nccl_connection *from, nccl_connection *to, enum nccl_protocol protocol,
                      const kernel_reduction *reduction, unsigned slices, unsigned slice_steps,
                      size_t slot_bytes)
{
    memset(pipe, 0, sizeof(*pipe));
    pipe->from = from;
    pipe->to = to;
    pipe->from_step = from == NULL ? 0 : from->step;
    pipe->to_step = to == NULL ? 0 : to->step;
    pipe->protocol = protocol;
    pipe->reduction = reduction;
    pipe->slices = slices;
    pipe->slice_steps = slice_steps;
    pipe->slot_elements = slot_bytes / kernel_pipe_element_bytes(pipe);
    pipe->slot_lines = (size_t)communicator->buffer_bytes[NCCL_LL] / NCCL_SLOTS / NCCL_LINE_BYTES;
    if (protocol == NCCL_SIMPLE)
        kernel_simple_open(pipe);
}

void kernel_pipe_begin(kernel_pipe *pipe, const kernel_move *move)
{
    pipe->move = *move;
    pipe->slice = 0;
    pipe->done = 0;
    pipe->granted = false;
}

kernel_progress kernel_pipe_advance(kernel_pipe *pipe)
{
    return pipe->protocol == NCCL_SIMPLE ? kernel_simple_advance(pipe) : kernel_ll_advance(pipe);
}

void kernel_pipe_close(kernel_pipe *pipe)
{
    if (pipe->from != NULL)
        pipe->from->step = pipe->from_step;
    if (pipe->to != NULL)
        pipe->to->step = pipe->to_step;
}
