/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/emulated_device/kernel_channel.h"

#define POOL_BYTES ((size_t)FAKE_SLOT_BYTES * NCCL_SLOTS)
#define LINE_BYTES ((size_t)FAKE_LINE_SLOT_BYTES * NCCL_SLOTS)
#define MEMORY_BYTES (POOL_BYTES + LINE_BYTES)

uint64_t fake_random(fake_group *group)
{
    group->random = group->random * 6364136223846793005U + 1442695040888963407U;
    return group->random >> 33;
}

size_t fake_random_below(fake_group *group, size_t limit)
{
    return limit == 0 ? 0 : (size_t)(fake_random(group) % limit);
}

uint64_t fake_seed(void)
{
    const char *given = getenv("MUSTER_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec;
    print_message("MUSTER_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void connect_buffers(nccl_connection *connection, uint8_t *memory, uint64_t *head,
                            uint64_t *tail)
{
    connection->buffers[NCCL_SIMPLE] = memory;
    connection->buffers[NCCL_LL] = memory + POOL_BYTES;
    connection->slot_bytes = FAKE_SLOT_BYTES;
    connection->head = head;
    connection->tail = tail;
}

static void connect_slots(nccl_connection *connection, nccl_slot *slots, fake_way way)
{
    connection->slots = slots;
    for (int slot = 0; slot < NCCL_SLOTS; slot++)
        slots[slot] =
            (nccl_slot){.mode = way == FAKE_POOLED ? NCCL_SLOT_AT_OFFSET : NCCL_SLOT_IN_BUFFER,
                        .offset_bytes = -1,
                        .bytes = -1};
}

static void link_init(fake_group *group, fake_link *link, uint64_t first_step)
{
    link->send_memory = calloc(1, MEMORY_BYTES);
    assert_non_null(link->send_memory);
    link->send->step = link->receive->step = first_step;
    link->send_head = link->send_tail = first_step;
    link->receive_head = link->receive_tail = first_step;
    link->posted = link->carried = first_step;
    if (group->way == FAKE_DIRECT) {
        connect_buffers(link->send, link->send_memory, &link->send_head, &link->send_tail);
        connect_buffers(link->receive, link->send_memory, &link->send_head, &link->send_tail);
        return;
    }
    link->receive_memory = calloc(1, MEMORY_BYTES);
    assert_non_null(link->receive_memory);
    connect_buffers(link->send, link->send_memory, &link->send_head, &link->send_tail);
    connect_buffers(link->receive, link->receive_memory, &link->receive_head, &link->receive_tail);
    connect_slots(link->send, link->send_slots, group->way);
    connect_slots(link->receive, link->receive_slots, group->way);
    if (group->way == FAKE_POOLED)
        link->send_head = first_step - NCCL_SLOTS;
}

static void device_init(fake_group *group, int rank)
{
    fake_device *device = &group->devices[rank];
    size_t bytes = NCCL_CHANNELS_OFFSET + sizeof(nccl_channel) * NCCL_CHANNELS_MAX;

    device->memory = calloc(1, bytes);
    assert_non_null(device->memory);
    device->communicator = (nccl_communicator *)(void *)device->memory;
    *device->communicator = (nccl_communicator){
        .rank = rank,
        .rank_count = group->rank_count,
        .buffer_bytes = {[NCCL_LL] = (int32_t)LINE_BYTES, [NCCL_SIMPLE] = (int32_t)POOL_BYTES},
        .p2p_chunk_bytes = FAKE_SLOT_BYTES,
        .abort_flag = &device->abort_flag,
        .channels = (nccl_channel *)(void *)(device->memory + NCCL_CHANNELS_OFFSET),
    };
    for (int channel = 0; channel < group->channel_count; channel++) {
        nccl_channel *mine = &device->communicator->channels[channel];

        mine->peers = device->peer_addresses[channel];
        for (int peer = 0; peer < group->rank_count; peer++) {
            int step =
                channel == 0 ? 1 : group->rank_count - 1; /* the second ring runs backwards */

            device->peer_addresses[channel][peer] = &device->peers[channel][peer];
            device->ring_ranks[channel][peer] = (rank + step * peer) % group->rank_count;
            if (device->ring_ranks[channel][peer] == 0)
                mine->ring.index = (group->rank_count - peer) % group->rank_count;
        }
        mine->ring.ranks = device->ring_ranks[channel];
        mine->ring.next = mine->ring.ranks[1 % group->rank_count];
        mine->ring.previous = mine->ring.ranks[group->rank_count - 1];
    }
}

void fake_group_init(fake_group *group, int rank_count, int channel_count, fake_way way,
                     uint64_t first_step, uint64_t seed)
{
    memset(group, 0, sizeof(*group));
    group->rank_count = rank_count;
    group->channel_count = channel_count;
    group->way = way;
    group->random = seed;
    group->link_count = (size_t)channel_count * 2 * (size_t)rank_count * (size_t)rank_count;
    group->links = calloc(group->link_count, sizeof(*group->links));
    assert_non_null(group->links);
    for (int rank = 0; rank < rank_count; rank++)
        device_init(group, rank);
    for (size_t at = 0; at < group->link_count; at++) {
        fake_link *link = &group->links[at];
        size_t ranks = (size_t)rank_count;
        size_t from = at % ranks;
        size_t to = at / ranks % ranks;
        size_t which = at / ranks / ranks % 2;
        size_t channel = at / ranks / ranks / 2;

        link->send = &group->devices[from].peers[channel][to].send[which];
        link->receive = &group->devices[to].peers[channel][from].receive[which];
        link_init(group, link, first_step);
    }
}

void fake_group_clear(fake_group *group)
{
    for (size_t at = 0; at < group->link_count; at++) {
        free(group->links[at].send_memory);
        free(group->links[at].receive_memory);
    }
    free(group->links);
    for (int rank = 0; rank < group->rank_count; rank++)
        free(group->devices[rank].memory);
}

void fake_launch_init(fake_launch *launch, const fake_group *group, int rank, unsigned batch_count,
                      bool in_ring)
{
    nccl_arguments arguments = {
        .communicator = group->devices[rank].communicator,
        .channel_mask = (1ULL << group->channel_count) - 1,
        .storage = in_ring ? NCCL_STORED_IN_RING : NCCL_STORED_IN_ARGUMENTS,
        .ring_mask = in_ring ? (uint32_t)sizeof(launch->ring) - 1 : UINT32_MAX,
        .work = in_ring ? launch->ring : NULL,
    };

    memset(launch, 0, sizeof(*launch));
    memcpy(launch->block, &arguments, sizeof(arguments));
    launch->in_ring = in_ring;
    launch->batch_count = batch_count;
    /* In the ring so that work wraps around its end. */
    launch->next_offset = in_ring
                              ? (uint32_t)sizeof(launch->ring) - 32
                              : (uint32_t)(sizeof(arguments) + batch_count * sizeof(nccl_batch));
    launch->launch = (emulated_launch){
        .kernel_name = "_Z22ncclDevKernel_SendRecv24ncclDevKernelArgsStorageILm4096EE",
        .arguments = launch->block,
        .argument_bytes = sizeof(launch->block),
        .grid_x = (unsigned)group->channel_count,
        .block_x = 640,
    };
}

void fake_launch_batch(fake_launch *launch, unsigned batch, enum nccl_work_kind kind,
                       unsigned function, unsigned jump, bool extends, const void *works,
                       size_t count)
{
    static const size_t sizes[] = {[NCCL_WORK_P2P] = sizeof(nccl_p2p_work),
                                   [NCCL_WORK_COLLECTIVE] = sizeof(nccl_collective_work),
                                   [NCCL_WORK_REGISTERED] = 288,
                                   [NCCL_WORK_BROADCASTS] = sizeof(nccl_broadcast_work)};
    nccl_batch header = {.flags = jump | (extends ? 1U << 14 : 0) | (uint32_t)kind << 15 |
                                  function << 17,
                         .first_offset = launch->next_offset};
    const uint8_t *from = works;

    for (size_t item = 0; item < count; item++)
        header.works |= 1ULL << item;
    assert_true(batch < launch->batch_count);
    memcpy(launch->block + sizeof(nccl_arguments) + batch * sizeof(header), &header,
           sizeof(header));
    for (size_t at = 0; at < count * sizes[kind]; at++) {
        uint32_t offset = launch->next_offset++;

        if (launch->in_ring)
            launch->ring[offset % sizeof(launch->ring)] = from[at];
        else
            launch->block[offset] = from[at];
    }
    assert_true(launch->in_ring || launch->next_offset <= sizeof(launch->block));
}

/* One slot lent to the sender and to the receiver, as far as the pool reaches. */
static bool proxy_post(fake_group *group, fake_link *link, unsigned slice_steps)
{
    size_t slot = link->posted % NCCL_SLOTS;

    if (group->way != FAKE_POOLED || link->posted + slice_steps > link->receive_head + NCCL_SLOTS ||
        link->posted + slice_steps > link->carried + NCCL_SLOTS)
        return false;
    /* Not in order, and not the same on both sides. */
    link->send_slots[slot].offset_bytes = (int32_t)((slot ^ 3) * FAKE_SLOT_BYTES);
    link->receive_slots[slot].offset_bytes = (int32_t)((NCCL_SLOTS - 1 - slot) * FAKE_SLOT_BYTES);
    link->posted += slice_steps;
    link->send_head = link->posted - NCCL_SLOTS;
    return true;
}

static bool lines_ready(const uint8_t *lines, int64_t bytes, uint32_t flag)
{
    for (int64_t at = 0; at < bytes; at += NCCL_LINE_BYTES) {
        uint32_t words[4];

        memcpy(words, lines + at, sizeof(words));
        if (words[1] != flag || words[3] != flag)
            return false;
    }
    return true;
}

/* A slice from the sender's memory to the receiver's. */
static bool proxy_carry(fake_group *group, fake_link *link, enum nccl_protocol protocol,
                        unsigned slice_steps)
{
    size_t slot = link->carried % NCCL_SLOTS;
    int64_t bytes = link->send_slots[slot].bytes;
    size_t slot_bytes = protocol == NCCL_LL ? FAKE_LINE_SLOT_BYTES : FAKE_SLOT_BYTES;
    bool pooled = group->way == FAKE_POOLED && protocol == NCCL_SIMPLE;
    size_t from = pooled ? (size_t)link->send_slots[slot].offset_bytes : slot * slot_bytes;
    size_t to = pooled ? (size_t)link->receive_slots[slot].offset_bytes : slot * slot_bytes;
    size_t base = protocol == NCCL_LL ? POOL_BYTES : 0;

    if (bytes == -1 || link->carried + slice_steps > link->receive_head + NCCL_SLOTS ||
        (group->way == FAKE_POOLED && link->carried >= link->posted))
        return false;
    if (protocol == NCCL_SIMPLE && link->send_tail <= link->carried)
        return false;
    if (protocol == NCCL_LL &&
        !lines_ready(link->send_memory + base + from, bytes, (uint32_t)(link->carried + 1)))
        return false;
    assert_true((size_t)bytes <= slot_bytes * slice_steps);
    memcpy(link->receive_memory + base + to, link->send_memory + base + from, (size_t)bytes);
    link->send_slots[slot].bytes = -1;
    link->carried += slice_steps;
    if (group->way == FAKE_PROXIED)
        link->send_head = link->carried;
    link->receive_tail = link->carried;
    return true;
}

static bool proxy_advance(fake_group *group, fake_link *link, enum nccl_protocol protocol,
                          unsigned slice_steps)
{
    if (group->way == FAKE_DIRECT)
        return false;
    return proxy_post(group, link, slice_steps) || proxy_carry(group, link, protocol, slice_steps);
}

typedef struct stage {
    kernel_channel channels[FAKE_RANKS_MAX * FAKE_CHANNELS_MAX];
    size_t channel_count;
    size_t open;
} stage;

static bool channel_advance(stage *on, size_t which)
{
    kernel_channel *channel = &on->channels[which];
    char message[256] = "";
    bool moved = false;

    if (channel->over)
        return false;
    if (kernel_channel_advance(channel, &moved, message, sizeof(message)) != 0)
        fail_msg("%s", message);
    if (channel->over)
        on->open--;
    return moved;
}

static bool anything_moves(fake_group *group, stage *on, enum nccl_protocol protocol,
                           unsigned slice_steps)
{
    for (size_t at = 0; at < on->channel_count; at++)
        if (channel_advance(on, at))
            return true;
    for (size_t at = 0; at < group->link_count; at++)
        if (proxy_advance(group, &group->links[at], protocol, slice_steps))
            return true;
    return false;
}

static void mix(fake_group *group, stage *on, enum nccl_protocol protocol, unsigned slice_steps)
{
    unsigned idle = 0;

    while (on->open != 0) {
        size_t which = fake_random_below(group, on->channel_count + group->link_count);
        bool moved = which < on->channel_count
                         ? channel_advance(on, which)
                         : proxy_advance(group, &group->links[which - on->channel_count], protocol,
                                         slice_steps);

        idle = moved ? 0 : idle + 1;
        if (idle <= on->channel_count + group->link_count)
            continue;
        if (on->open != 0 && !anything_moves(group, on, protocol, slice_steps))
            fail_msg("%zu channels wait, and nothing moves", on->open);
        idle = 0;
    }
}

void fake_group_run(fake_group *group, fake_launch *launches, enum nccl_protocol protocol,
                    unsigned slice_steps, unsigned chunk_steps)
{
    stage *on = calloc(1, sizeof(*on));
    char message[256] = "";

    assert_non_null(on);
    for (size_t at = 0; at < group->link_count; at++) {
        fake_link *link = &group->links[at];
        uint64_t base = (link->send->step + chunk_steps - 1) / chunk_steps * chunk_steps;

        assert_int_equal(link->send->step, link->receive->step);
        link->carried = base;
        if (link->posted < base)
            link->posted = base;
    }
    for (int rank = 0; rank < group->rank_count; rank++) {
        for (int channel = 0; channel < group->channel_count; channel++) {
            if (kernel_channel_open(&on->channels[on->channel_count++], &launches[rank].launch,
                                    group->devices[rank].communicator, (unsigned)channel, channel,
                                    message, sizeof(message)) != 0)
                fail_msg("%s", message);
        }
    }
    on->open = on->channel_count;
    mix(group, on, protocol, slice_steps);
    /* A receiver does not wait for the lines of an empty move; the proxy thread passes its slot on all the same. */
    for (size_t at = 0; at < group->link_count; at++) {
        fake_link *link = &group->links[at];

        while (group->way != FAKE_DIRECT && link->carried < link->send->step)
            if (!proxy_advance(group, link, protocol, slice_steps))
                fail_msg("slot %llu is never passed on", (unsigned long long)link->carried);
    }
    for (size_t at = 0; at < on->channel_count; at++)
        kernel_channel_close(&on->channels[at]);
    free(on);
}
