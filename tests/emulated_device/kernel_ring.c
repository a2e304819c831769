/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives on a ring, each a list of moves for every chunk. Ranks are counted in ring order; a chunk of rank r
 * goes round from r, and every rank makes the same number of moves, empty ones too. */
#include "kernel_task.h"

#include <stdio.h>
#include <string.h>

/* Slices of a chunk and slots of a slice, for Simple. */
static const struct {
    unsigned slices;
    unsigned slice_steps;
} cuts[KERNEL_KINDS] = {
    [KERNEL_ALL_GATHER] = {2, 2}, [KERNEL_BROADCASTS] = {1, 1}, [KERNEL_ALL_REDUCE] = {2, 2},
    [KERNEL_BROADCAST] = {1, 1},  [KERNEL_REDUCE] = {1, 1},     [KERNEL_REDUCE_SCATTER] = {2, 2},
};

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

static size_t divided_up(size_t value, size_t by)
{
    return (value + by - 1) / by;
}

static void move_fill(const kernel_ring *ring, kernel_move *move, bool from_input, size_t input,
                      bool to_output, size_t output)
{
    size_t bytes = ring->reduction.element_bytes;

    move->source = from_input ? ring->work.send_buffer + input * bytes : NULL;
    move->destination = to_output ? ring->work.receive_buffer + output * bytes : NULL;
}

/* Own rows go out first, then each rank passes on what comes, and keeps it. */
static bool all_gather_next(kernel_task *task, kernel_move *move)
{
    kernel_ring *ring = &task->program.ring;
    int ranks = ring->communicator->rank_count;
    const int32_t *order = ring->ring->ranks;
    size_t at = ring->part_begin + ring->done;
    int phase = ring->phase;
    int32_t whose = phase == 0 ? order[0] : order[ranks - phase];
    size_t place = at + (size_t)whose * ring->rank_count;

    if (ring->done >= ring->part_count)
        return false;
    move->count = smaller(ring->chunk_count, ring->part_count - ring->done);
    move->receive = phase != 0;
    move->send = phase != ranks - 1;
    move_fill(ring, move, phase == 0, at, true, place);
    if (move->source == move->destination) /* in place */
        move->destination = NULL;
    if (++ring->phase == ranks) {
        ring->phase = 0;
        ring->done += ring->chunk_count;
    }
    return true;
}

static bool broadcast_next(kernel_task *task, kernel_move *move)
{
    kernel_ring *ring = &task->program.ring;
    bool root = (uint32_t)ring->ring->ranks[0] == ring->work.root;
    size_t at = ring->part_begin + ring->done;

    if (ring->done >= ring->part_count)
        return false;
    move->count = smaller(ring->chunk_count, ring->part_count - ring->done);
    move->receive = !root;
    move->send = root || (uint32_t)ring->ring->ranks[1] != ring->work.root;
    move_fill(ring, move, root, at, true, at);
    if (move->source == move->destination)
        move->destination = NULL;
    ring->done += ring->chunk_count;
    return true;
}

static bool reduce_next(kernel_task *task, kernel_move *move)
{
    kernel_ring *ring = &task->program.ring;
    bool root = (uint32_t)ring->communicator->rank == ring->work.root;
    bool first = (uint32_t)ring->ring->ranks[ring->communicator->rank_count - 1] == ring->work.root;
    size_t at = ring->part_begin + ring->done;

    if (ring->done >= ring->part_count)
        return false;
    move->count = smaller(ring->chunk_count, ring->part_count - ring->done);
    move->receive = !first;
    move->send = !root;
    move->last = root;
    move_fill(ring, move, true, at, root, at);
    ring->done += ring->chunk_count;
    return true;
}

static bool reduce_scatter_next(kernel_task *task, kernel_move *move)
{
    kernel_ring *ring = &task->program.ring;
    int ranks = ring->communicator->rank_count;
    int phase = ring->phase;
    bool last = phase == ranks - 1;
    int32_t whose = ring->ring->ranks[ranks - 1 - phase];
    size_t at = ring->part_begin + ring->done;

    if (ring->done >= ring->part_count)
        return false;
    move->count = smaller(ring->chunk_count, ring->part_count - ring->done);
    move->receive = phase != 0;
    move->send = !last;
    move->last = last;
    move_fill(ring, move, true, at + (size_t)whose * ring->rank_count, last, at);
    if (++ring->phase == ranks) {
        ring->phase = 0;
        ring->done += ring->chunk_count;
    }
    return true;
}

/* A chunk for each rank: once round to be summed, once more to be handed out. */
static bool all_reduce_next(kernel_task *task, kernel_move *move)
{
    kernel_ring *ring = &task->program.ring;
    int ranks = ring->communicator->rank_count;
    int phase = ring->phase;
    size_t left = ring->part_count - ring->done;
    size_t loop = (size_t)ranks * ring->chunk_count;
    size_t chunk = ring->chunk_count;
    size_t chunk_begin;
    size_t at;

    if (ring->done >= ring->part_count)
        return false;
    if (left < loop) {
        size_t grain = 16 / ring->reduction.element_bytes;

        chunk = divided_up(divided_up(left, (size_t)ranks), grain) * grain;
    }
    chunk_begin = (size_t)((ring->ring->index + 2 * ranks - 1 - phase) % ranks) * chunk;
    move->count = chunk_begin < left ? smaller(chunk, left - chunk_begin) : 0;
    at = ring->part_begin + ring->done + (move->count == 0 ? 0 : chunk_begin);
    move->receive = phase != 0;
    move->send = phase != 2 * ranks - 2;
    move->last = phase == ranks - 1;
    move_fill(ring, move, phase < ranks, at, phase >= ranks - 1, at);
    if (++ring->phase == 2 * ranks - 1) {
        ring->phase = 0;
        ring->done += loop;
    }
    return true;
}

/* A channel's share of the elements, and its chunks. */
static void divide(kernel_ring *ring, const nccl_collective_work *work, unsigned channel,
                   enum nccl_protocol protocol)
{
    size_t grain = (protocol == NCCL_LL ? NCCL_GRAIN_BYTES_LL : NCCL_GRAIN_BYTES_SIMPLE) /
                   ring->reduction.element_bytes;
    size_t middle = work->last_channel > work->first_channel
                        ? work->last_channel - work->first_channel - 1U
                        : 0;
    unsigned shift = 21;

    ring->rank_count = work->first_count + work->middle_count * middle + work->last_count;
    if (channel == work->first_channel) {
        ring->part_begin = 0;
        ring->part_count = work->first_count;
        shift = 0;
    } else if (channel == work->last_channel) {
        ring->part_begin = work->first_count + middle * work->middle_count;
        ring->part_count = work->last_count;
        shift = 42;
    } else {
        ring->part_begin =
            work->first_count + (channel - work->first_channel - 1U) * work->middle_count;
        ring->part_count = work->middle_count;
    }
    ring->chunk_count = (size_t)(work->chunk_grains >> shift & 0x1fffffU) * grain;
}

/* Where the argument is only known on the device, it has the type's size. */
static uint64_t load_argument(const nccl_collective_work *work, size_t element_bytes)
{
    uint64_t argument = 0;

    if ((work->flags & NCCL_COLLECTIVE_ARGUMENT_IS_ADDRESS) == 0)
        return work->argument;
    memcpy(&argument, (const void *)(uintptr_t)work->argument, element_bytes);
    return argument;
}

static int open_ring(const kernel_place *place, const kernel_function *function,
                     const kernel_reduction *reduction, kernel_task *task, char *message,
                     size_t message_bytes)
{
    const nccl_communicator *communicator = place->communicator;
    const nccl_ring *ring = &place->channel->ring;
    nccl_connection *from = &place->channel->peers[ring->previous]->receive[NCCL_CONNECTION_RING];
    nccl_connection *to = &place->channel->peers[ring->next]->send[NCCL_CONNECTION_RING];

    if (strcmp(function->algorithm, "RING") != 0 || function->protocol == NCCL_LL128) {
        (void)snprintf(message, message_bytes,
                       "%s with algorithm %s and protocol %s: not carried out on the CPU; set"
                       " NCCL_ALGO=RING NCCL_PROTO=Simple,LL",
                       kernel_function_kind_name(function->kind), function->algorithm,
                       kernel_function_protocol_name(function->protocol));
        return -1;
    }
    if (kernel_task_check(from, message, message_bytes) != 0 ||
        kernel_task_check(to, message, message_bytes) != 0)
        return -1;
    kernel_pipe_open(&task->pipe, communicator, from, to, function->protocol, reduction,
                     cuts[function->kind].slices, cuts[function->kind].slice_steps,
                     (size_t)communicator->buffer_bytes[NCCL_SIMPLE] / NCCL_SLOTS);
    return 0;
}

int kernel_ring_start(const kernel_place *place, const kernel_function *function,
                      const nccl_collective_work *work, kernel_task *task, char *message,
                      size_t message_bytes)
{
    static bool (*const programs[KERNEL_KINDS])(kernel_task *, kernel_move *) = {
        [KERNEL_ALL_GATHER] = all_gather_next,         [KERNEL_ALL_REDUCE] = all_reduce_next,
        [KERNEL_BROADCAST] = broadcast_next,           [KERNEL_REDUCE] = reduce_next,
        [KERNEL_REDUCE_SCATTER] = reduce_scatter_next,
    };
    kernel_ring *ring = &task->program.ring;

    memset(task, 0, sizeof(*task));
    task->next = programs[function->kind];
    if ((work->flags & (NCCL_COLLECTIVE_REGISTERED | NCCL_COLLECTIVE_PROFILED)) != 0 ||
        task->next == NULL) {
        (void)snprintf(message, message_bytes,
                       "%s on registered buffers or under a profiler (flags 0x%x): not carried"
                       " out on the CPU",
                       kernel_function_kind_name(function->kind), work->flags);
        return -1;
    }
    ring->communicator = place->communicator;
    ring->ring = &place->channel->ring;
    ring->work = *work;
    ring->kind = function->kind;
    if (!kernel_reduction_init(&ring->reduction, function->operation, function->type, 0)) {
        (void)snprintf(message, message_bytes, "%s of 8-bit floats: not carried out on the CPU",
                       kernel_function_kind_name(function->kind));
        return -1;
    }
    ring->reduction.argument = load_argument(work, ring->reduction.element_bytes);
    divide(ring, work, place->channel_number, function->protocol);
    if (ring->chunk_count == 0 && ring->part_count != 0) {
        (void)snprintf(message, message_bytes,
                       "%s of %zu elements in chunks of none: not the layout that is known",
                       kernel_function_kind_name(function->kind), ring->part_count);
        return -1;
    }
    return open_ring(place, function,
                     kernel_function_reduces(function->kind) ? &ring->reduction : NULL, task,
                     message, message_bytes);
}

static bool broadcasts_next(kernel_task *task, kernel_move *move)
{
    kernel_broadcasts *broadcasts = &task->program.broadcasts;

    for (size_t tried = 0; tried < broadcasts->count; tried++) {
        nccl_broadcast_work *work = &broadcasts->works[broadcasts->next];

        broadcasts->next = (broadcasts->next + 1) % broadcasts->count;
        if (work->bytes == 0)
            continue;
        move->count = smaller(work->bytes, (size_t)work->chunk_bytes);
        move->receive = work->depth != 0;
        move->send = work->depth != broadcasts->last_depth;
        move->source = move->receive ? NULL : work->send_buffer + work->bytes_done;
        move->destination = work->receive_buffer + work->bytes_done;
        if (move->source == move->destination)
            move->destination = NULL;
        work->bytes -= move->count;
        work->bytes_done += move->count;
        return true;
    }
    return false;
}

int kernel_broadcasts_start(const kernel_place *place, const kernel_function *function,
                            nccl_broadcast_work *works, size_t count, kernel_task *task,
                            char *message, size_t message_bytes)
{
    memset(task, 0, sizeof(*task));
    task->next = broadcasts_next;
    task->program.broadcasts = (kernel_broadcasts){
        .works = works, .count = count, .last_depth = place->communicator->rank_count - 1};
    return open_ring(place, function, NULL, task, message, message_bytes);
}
