/* SPDX-License-Identifier: Apache-2.0 */
/* Simple: the sender copies into a slot and raises the tail, the receiver copies out of it and raises the head.
 * Where a proxy thread carries the slot further, the sender tells it how many bytes there are, and the thread
 * may tell both sides where in a shared pool the slot lies. Counters are raised with release order after the
 * bytes, and read with acquire order before them. */
#include "kernel_pipe.h"

#include <string.h>

static uint64_t round_up(uint64_t step, unsigned multiple)
{
    return (step + multiple - 1) / multiple * multiple;
}

void kernel_simple_open(kernel_pipe *pipe)
{
    unsigned chunk_steps = pipe->slices * pipe->slice_steps;

    /* A chunk begins at a multiple of its slots. Both sides skip alike, and the receiver gives the skipped slots
     * back at once, or a sender that had filled its eight would wait for them. */
    pipe->to_step = round_up(pipe->to_step, chunk_steps);
    if (pipe->from == NULL)
        return;
    pipe->from_step = round_up(pipe->from_step, chunk_steps);
    __atomic_store_n(pipe->from->head, pipe->from_step, __ATOMIC_RELEASE);
}

static uint8_t *slot_of(const nccl_connection *connection, uint64_t step)
{
    size_t slot = step % NCCL_SLOTS;

    if (connection->slots != NULL &&
        __atomic_load_n(&connection->slots[slot].mode, __ATOMIC_ACQUIRE) == NCCL_SLOT_AT_OFFSET) {
        int32_t offset = __atomic_load_n(&connection->slots[slot].offset_bytes, __ATOMIC_ACQUIRE);

        return connection->buffers[NCCL_SIMPLE] + offset;
    }
    return connection->buffers[NCCL_SIMPLE] + slot * (size_t)connection->slot_bytes;
}

/* How many elements the slice has that is next. Empty slices at the end take their slots all the same. */
static size_t slice_elements(const kernel_pipe *pipe)
{
    size_t part = (pipe->move.count + 16 * pipe->slices - 1) / (16 * pipe->slices) * 16;
    size_t least = pipe->slot_elements * pipe->slice_steps / 32;
    size_t slice = part > least ? part : least;
    size_t left = pipe->move.count - pipe->done;

    return slice < left ? slice : left;
}

static void copy_slice(const kernel_pipe *pipe, const uint8_t *came, uint8_t *goes, size_t count)
{
    const kernel_move *move = &pipe->move;
    size_t element_bytes = kernel_pipe_element_bytes(pipe);
    size_t bytes = count * element_bytes;
    size_t begin = pipe->done * element_bytes;
    uint8_t *kept = move->destination == NULL ? NULL : move->destination + begin;
    uint8_t *first = goes != NULL ? goes : kept;

    if (bytes == 0 || first == NULL)
        return;
    if (move->source == NULL) {
        if (came != NULL)
            memcpy(first, came, bytes);
    } else if (pipe->reduction == NULL) {
        memmove(first, move->source + begin, bytes);
    } else {
        kernel_reduce_begin(pipe->reduction, first, move->source + begin, count);
        if (came != NULL)
            kernel_reduce_add(pipe->reduction, first, came, count);
        if (move->last)
            kernel_reduce_finish(pipe->reduction, first, count);
    }
    if (goes != NULL && kept != NULL)
        memcpy(kept, goes, bytes);
}

kernel_progress kernel_simple_advance(kernel_pipe *pipe)
{
    const kernel_move *move = &pipe->move;
    size_t count = slice_elements(pipe);
    const uint8_t *came = NULL;
    uint8_t *goes = NULL;

    /* Sums, not differences: before it lends its first slot, a proxy thread has set head to -8. */
    if (move->receive &&
        __atomic_load_n(pipe->from->tail, __ATOMIC_ACQUIRE) < pipe->from_step + pipe->slice_steps)
        return KERNEL_WAITS;
    if (move->send && __atomic_load_n(pipe->to->head, __ATOMIC_ACQUIRE) + NCCL_SLOTS <
                          pipe->to_step + pipe->slice_steps)
        return KERNEL_WAITS;
    if (move->receive)
        came = slot_of(pipe->from, pipe->from_step);
    if (move->send) {
        goes = slot_of(pipe->to, pipe->to_step);
        if (pipe->to->slots != NULL)
            __atomic_store_n(&pipe->to->slots[pipe->to_step % NCCL_SLOTS].bytes,
                             (int64_t)(count * kernel_pipe_element_bytes(pipe)), __ATOMIC_RELEASE);
    }
    copy_slice(pipe, came, goes, count);
    pipe->done += count;
    if (move->receive) {
        pipe->from_step += pipe->slice_steps;
        __atomic_store_n(pipe->from->head, pipe->from_step, __ATOMIC_RELEASE);
    }
    if (move->send) {
        pipe->to_step += pipe->slice_steps;
        __atomic_store_n(pipe->to->tail, pipe->to_step, __ATOMIC_RELEASE);
    }
    pipe->slice++;
    return pipe->slice == pipe->slices ? KERNEL_DONE : KERNEL_MOVED;
}
