/* SPDX-License-Identifier: Apache-2.0 */
/* Every rank sends to every other and to itself, by each protocol and each kind of connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"

#define SEND_RECEIVE 672
#define GUARD_BYTES 16
#define GUARD 0xa5

typedef struct buffers {
    size_t bytes[FAKE_RANKS_MAX][FAKE_RANKS_MAX]; /* from, to */
    uint8_t *sent[FAKE_RANKS_MAX][FAKE_RANKS_MAX];
    uint8_t *received[FAKE_RANKS_MAX][FAKE_RANKS_MAX];
} buffers;

static void buffers_init(buffers *all, fake_group *group, size_t bytes, bool ragged)
{
    memset(all, 0, sizeof(*all));
    for (int from = 0; from < group->rank_count; from++) {
        for (int to = 0; to < group->rank_count; to++) {
            size_t own = ragged ? fake_random_below(group, bytes + 1) : bytes;
            uint8_t *sent = malloc(own + 1);
            uint8_t *received = malloc(own + GUARD_BYTES);

            if (sent == NULL || received == NULL) {
                fail_msg("no memory for %zu bytes", own);
                abort();
            }
            all->bytes[from][to] = own;
            all->sent[from][to] = sent;
            all->received[from][to] = received;
            memset(received, GUARD, own + GUARD_BYTES);
            for (size_t at = 0; at < own; at++)
                sent[at] = (uint8_t)fake_random(group);
        }
    }
}

static void buffers_check(buffers *all, const fake_group *group)
{
    for (int from = 0; from < group->rank_count; from++) {
        for (int to = 0; to < group->rank_count; to++) {
            size_t own = all->bytes[from][to];
            uint8_t *sent = all->sent[from][to];
            uint8_t *received = all->received[from][to];

            if (sent == NULL || received == NULL) {
                fail_msg("no buffers from %d to %d", from, to);
                abort();
            }
            assert_memory_equal(sent, received, own);
            for (size_t at = own; at < own + GUARD_BYTES; at++)
                assert_int_equal(received[at], GUARD);
            free(sent);
            free(received);
        }
    }
}

/* LL puts at most half a line slot's bytes in a chunk, Simple a slot's. Codes of nccl_chunk_bytes. */
static uint8_t chunk_code(enum nccl_protocol protocol)
{
    return protocol == NCCL_LL ? 8 << 3 : 10 << 3; /* 1 KiB, 4 KiB */
}

/* What a rank sends and receives with the peer that is round steps away, as one piece of work. */
static nccl_p2p_work make_work(const fake_group *group, buffers *all, int rank, int round,
                               enum nccl_protocol protocol)
{
    int to = (rank + round) % group->rank_count;
    int from = (rank + group->rank_count - round) % group->rank_count;

    return (nccl_p2p_work){
        .send_address = all->sent[rank][to],
        .receive_address = all->received[from][rank],
        .send_bytes = all->bytes[rank][to],
        .receive_bytes = all->bytes[from][rank],
        .send_rank = to,
        .receive_rank = from,
        .channel_count = (uint8_t)group->channel_count,
        .first_channel = (uint8_t)(round % group->channel_count),
        .send_channel_count = (uint8_t)group->channel_count,
        .receive_channel_count = (uint8_t)group->channel_count,
        .send_chunk_code = chunk_code(protocol),
        .receive_chunk_code = chunk_code(protocol),
        .flags = protocol == NCCL_LL ? NCCL_P2P_SEND_LL | NCCL_P2P_RECEIVE_LL : 0,
    };
}

/* Everyone to everyone: the rounds of one batch side by side, or a batch for each. */
static void exchange(fake_group *group, enum nccl_protocol protocol, size_t bytes, bool ragged,
                     bool in_ring, bool one_batch)
{
    fake_launch *launches = calloc((size_t)group->rank_count, sizeof(*launches));
    unsigned channels = (unsigned)group->channel_count;
    unsigned rounds = (unsigned)group->rank_count;
    buffers all;

    assert_non_null(launches);
    buffers_init(&all, group, bytes, ragged);
    for (int rank = 0; rank < group->rank_count; rank++) {
        fake_launch *launch = &launches[rank];
        nccl_p2p_work works[FAKE_RANKS_MAX];
        unsigned batch = 0;

        for (unsigned round = 0; round < rounds; round++)
            works[round] = make_work(group, &all, rank, (int)round, protocol);
        fake_launch_init(launch, group, rank, one_batch ? channels : channels * rounds, in_ring);
        for (unsigned round = 0; round < (one_batch ? 1 : rounds); round++)
            for (unsigned channel = 0; channel < channels; channel++)
                fake_launch_batch(launch, batch++, NCCL_WORK_P2P, SEND_RECEIVE,
                                  one_batch || round + 1 == rounds ? 0 : channels, false,
                                  &works[round], one_batch ? rounds : 1);
    }
    fake_group_run(group, launches, protocol, 1, 1);
    buffers_check(&all, group);
    free(launches);
}

static const size_t sizes[] = {0,    1,    7,     8,     9,     15,    16,    17,    1023,
                               1024, 1025, 2047,  2048,  2049,  4095,  4096,  4097,  8191,
                               8192, 8193, 12288, 32767, 32768, 32769, 65536, 65537, 8192 * 9 + 5};

static void all_sizes(int ranks, int channels, fake_way way, enum nccl_protocol protocol,
                      uint64_t first_step)
{
    fake_group group;

    fake_group_init(&group, ranks, channels, way, first_step, fake_seed());
    for (size_t at = 0; at < sizeof(sizes) / sizeof(sizes[0]); at++)
        exchange(&group, protocol, sizes[at], false, at % 2 == 0, at % 3 != 0);
    for (int time = 0; time < 10; time++)
        exchange(&group, protocol, 40000, true, time % 2 == 0, time % 3 != 0);
    fake_group_clear(&group);
}

static void all_ways(enum nccl_protocol protocol)
{
    for (int way = 0; way < FAKE_WAYS; way++) {
        all_sizes(2, 1, (fake_way)way, protocol, 0);
        all_sizes(4, 2, (fake_way)way, protocol, 0);
    }
}

static void simple_moves_right_bytes(void **state)
{
    (void)state;
    all_ways(NCCL_SIMPLE);
}

static void ll_moves_right_bytes(void **state)
{
    (void)state;
    all_ways(NCCL_LL);
}

static void protocols_alternate(void **state)
{
    (void)state;
    for (int way = 0; way < FAKE_WAYS; way++) {
        fake_group group;

        fake_group_init(&group, 3, 1, (fake_way)way, 0, fake_seed());
        for (int time = 0; time < 60; time++)
            exchange(&group, time % 2 == 0 ? NCCL_LL : NCCL_SIMPLE, 20000, true, false, true);
        fake_group_clear(&group);
    }
}

static void megabytes_go_round_the_slots(void **state)
{
    fake_group group;

    (void)state;
    fake_group_init(&group, 2, 2, FAKE_PROXIED, 0, fake_seed());
    exchange(&group, NCCL_SIMPLE, ((size_t)3 << 20) + 1, false, false, true);
    exchange(&group, NCCL_LL, ((size_t)1 << 20) + 1, false, false, true);
    fake_group_clear(&group);
}

/* Flags repeat after 2^32 steps; all lines of a slot are written where the mask says so. Begins shortly before. */
static void flags_go_round(void **state)
{
    (void)state;
    for (int way = 0; way < FAKE_WAYS; way++) {
        fake_group group;

        fake_group_init(&group, 2, 1, (fake_way)way, (uint64_t)NCCL_LINE_CLEAN_MASK - 11,
                        fake_seed());
        for (int time = 0; time < 30; time++)
            exchange(&group, NCCL_LL, 3000, true, false, true);
        fake_group_clear(&group);
        fake_group_init(&group, 2, 1, (fake_way)way, (uint64_t)UINT32_MAX - 11, fake_seed());
        for (int time = 0; time < 30; time++)
            exchange(&group, NCCL_LL, 3000, true, false, true);
        fake_group_clear(&group);
    }
}

/* After the eight steps that clean, no line holds a flag of before them: what comes round 2^32 steps later cannot be
 * taken for it. */
static void cleaning_leaves_no_old_flag(void **state)
{
    fake_group group;
    const uint64_t first = NCCL_LINE_CLEAN_MASK - NCCL_SLOTS;

    (void)state;
    fake_group_init(&group, 2, 1, FAKE_DIRECT, first, fake_seed());
    exchange(&group, NCCL_LL, 8 * 1024, false, false, true); /* fills every line of every slot */
    for (int time = 0; time < NCCL_SLOTS; time++)
        exchange(&group, NCCL_LL, 8, false, false, true);
    for (int from = 0; from < 2; from++) {
        const nccl_connection *connection =
            &group.devices[from].peers[0][1 - from].send[NCCL_CONNECTION_P2P];
        const uint32_t *words = (const uint32_t *)(const void *)connection->buffers[NCCL_LL];
        size_t lines = (size_t)FAKE_LINE_SLOT_BYTES / NCCL_LINE_BYTES;

        assert_int_equal(connection->step, first + 2 * NCCL_SLOTS);
        for (size_t line = 0; line < lines * NCCL_SLOTS; line++) {
            uint32_t flag = (uint32_t)(first + NCCL_SLOTS + line / lines + 1);

            assert_int_equal(words[4 * line + 1], flag);
            assert_int_equal(words[4 * line + 3], flag);
        }
    }
    fake_group_clear(&group);
}

/* Only one side of a pair has something to send: the other direction is not begun. */
static void one_direction_alone(void **state)
{
    fake_group group;
    fake_launch launches[2];
    uint8_t sent[5000];
    uint8_t received[5000] = {0};
    nccl_p2p_work works[2];

    (void)state;
    fake_group_init(&group, 2, 1, FAKE_POOLED, 0, fake_seed());
    for (size_t at = 0; at < sizeof(sent); at++)
        sent[at] = (uint8_t)fake_random(&group);
    works[0] = (nccl_p2p_work){.send_address = sent,
                               .send_bytes = sizeof(sent),
                               .send_rank = 1,
                               .receive_rank = -1,
                               .channel_count = 1,
                               .send_channel_count = 1,
                               .send_chunk_code = 10 << 3};
    works[1] = (nccl_p2p_work){.receive_address = received,
                               .receive_bytes = sizeof(received),
                               .send_rank = -1,
                               .receive_rank = 0,
                               .channel_count = 1,
                               .receive_channel_count = 1,
                               .receive_chunk_code = 10 << 3};
    for (int rank = 0; rank < 2; rank++) {
        fake_launch_init(&launches[rank], &group, rank, 1, false);
        fake_launch_batch(&launches[rank], 0, NCCL_WORK_P2P, SEND_RECEIVE, 0, false, &works[rank],
                          1);
    }
    fake_group_run(&group, launches, NCCL_SIMPLE, 1, 1);
    assert_memory_equal(sent, received, sizeof(sent));
    assert_int_equal(group.devices[0].peers[0][1].send[NCCL_CONNECTION_P2P].step, 2);
    assert_int_equal(group.devices[1].peers[0][0].send[NCCL_CONNECTION_P2P].step, 0);
    assert_int_equal(group.devices[0].communicator->channels[0].work_count, 1);
    fake_group_clear(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_moves_right_bytes), cmocka_unit_test(ll_moves_right_bytes),
        cmocka_unit_test(protocols_alternate),      cmocka_unit_test(megabytes_go_round_the_slots),
        cmocka_unit_test(flags_go_round),           cmocka_unit_test(cleaning_leaves_no_old_flag),
        cmocka_unit_test(one_direction_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
