/* SPDX-License-Identifier: Apache-2.0 */
/* LL: each line of sixteen bytes carries eight of data, and the flag of its step in both halves. A half is written
 * and read as one word, so that data and flag are never torn apart, and no counter tells that they are there.
 * The head counter gives slots back as in Simple. */
#include "kernel_pipe.h"

#include <string.h>

typedef struct line {
    uint64_t low; /* data in the lower 32 bits, flag in the upper ones */
    uint64_t high;
} line;

static line *slot_of(const kernel_pipe *pipe, const nccl_connection *connection, uint64_t step)
{
    return (line *)(void *)connection->buffers[NCCL_LL] + step % NCCL_SLOTS * pipe->slot_lines;
}

static void line_store(line *place, uint64_t data, uint32_t flag)
{
    __atomic_store_n(&place->low, (uint64_t)flag << 32 | (data & UINT32_MAX), __ATOMIC_RELEASE);
    __atomic_store_n(&place->high, (uint64_t)flag << 32 | data >> 32, __ATOMIC_RELEASE);
}

static bool line_load(const line *place, uint64_t *data, uint32_t flag)
{
    uint64_t low = __atomic_load_n(&place->low, __ATOMIC_ACQUIRE);
    uint64_t high = __atomic_load_n(&place->high, __ATOMIC_ACQUIRE);

    *data = (low & UINT32_MAX) | high << 32;
    return low >> 32 == flag && high >> 32 == flag;
}

static bool cleaning(uint64_t step)
{
    return (step & NCCL_LINE_CLEAN_MASK) == NCCL_LINE_CLEAN_MASK;
}

/* The proxy thread is told how many bytes of lines to wait for, before the first of them is written. */
static bool slot_granted(kernel_pipe *pipe, size_t lines)
{
    if (pipe->granted)
        return true;
    if (__atomic_load_n(pipe->to->head, __ATOMIC_ACQUIRE) + NCCL_SLOTS < pipe->to_step + 1)
        return false;
    if (pipe->to->slots != NULL) {
        size_t told = cleaning(pipe->to_step) ? pipe->slot_lines : lines;

        __atomic_store_n(&pipe->to->slots[pipe->to_step % NCCL_SLOTS].bytes,
                         (int64_t)(told * NCCL_LINE_BYTES), __ATOMIC_RELEASE);
    }
    pipe->granted = true;
    return true;
}

/* Own data of one line with what came of it. */
static uint64_t combine(const kernel_pipe *pipe, const uint8_t *source, size_t bytes, uint64_t came)
{
    const kernel_reduction *reduction = pipe->reduction;
    uint64_t value = 0;

    if (pipe->move.source == NULL)
        return came;
    if (reduction == NULL) {
        memcpy(&value, source, bytes);
        return value;
    }
    kernel_reduce_begin(reduction, (uint8_t *)&value, source, bytes / reduction->element_bytes);
    if (pipe->move.receive)
        kernel_reduce_add(reduction, (uint8_t *)&value, (const uint8_t *)&came,
                          bytes / reduction->element_bytes);
    if (pipe->move.last)
        kernel_reduce_finish(reduction, (uint8_t *)&value, bytes / reduction->element_bytes);
    return value;
}

static void finish(kernel_pipe *pipe, size_t lines)
{
    if (pipe->move.receive) {
        pipe->from_step++;
        __atomic_store_n(pipe->from->head, pipe->from_step, __ATOMIC_RELEASE);
    }
    if (!pipe->move.send)
        return;
    if (cleaning(pipe->to_step)) {
        line *slot = slot_of(pipe, pipe->to, pipe->to_step);

        for (size_t at = lines; at < pipe->slot_lines; at++)
            line_store(slot + at, 0, (uint32_t)(pipe->to_step + 1));
    }
    pipe->to_step++;
}

kernel_progress kernel_ll_advance(kernel_pipe *pipe)
{
    const kernel_move *move = &pipe->move;
    size_t total_bytes = move->count * kernel_pipe_element_bytes(pipe);
    size_t lines = (total_bytes + NCCL_LINE_DATA_BYTES - 1) / NCCL_LINE_DATA_BYTES;
    size_t before = pipe->done;
    const line *came = move->receive ? slot_of(pipe, pipe->from, pipe->from_step) : NULL;
    line *goes = move->send ? slot_of(pipe, pipe->to, pipe->to_step) : NULL;

    if (move->send && !slot_granted(pipe, lines))
        return KERNEL_WAITS;
    for (; pipe->done < lines; pipe->done++) {
        size_t begin = pipe->done * NCCL_LINE_DATA_BYTES;
        size_t bytes =
            total_bytes - begin < NCCL_LINE_DATA_BYTES ? total_bytes - begin : NCCL_LINE_DATA_BYTES;
        uint64_t value = 0;

        if (came != NULL && !line_load(came + pipe->done, &value, (uint32_t)(pipe->from_step + 1)))
            return pipe->done > before ? KERNEL_MOVED : KERNEL_WAITS;
        value = combine(pipe, move->source == NULL ? NULL : move->source + begin, bytes, value);
        if (goes != NULL)
            line_store(goes + pipe->done, value, (uint32_t)(pipe->to_step + 1));
        if (move->destination != NULL)
            memcpy(move->destination + begin, &value, bytes);
    }
    finish(pipe, lines);
    return KERNEL_DONE;
}
