/* SPDX-License-Identifier: Apache-2.0 */
/* Ring, board and doorbell on one mapping that several threads share, so that the thread sanitizer sees
 * every access of every rank at the same address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "group.h"
#include "transport/host/board.h"
#include "transport/host/copy.h"
#include "transport/host/ring.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SCALE 10
#else
#define SCALE 1
#endif

#define RANKS 3

static void make_segment(muster_host_segment *segment, int32_t rank_count)
{
    const muster_host_segment_key key = {.job = 1, .epoch = 2, .communicator = 3};

    assert_int_equal(muster_host_segment_create(&key, rank_count, segment, NULL), MUSTER_OK);
}

static void segment_has_room_for_everything(void **state)
{
    (void)state;
    for (int32_t count = 1; count <= 64; count++) {
        muster_host_segment segment;
        size_t ring_bytes = muster_host_segment_ring_bytes(count);
        size_t total_bytes = muster_host_segment_total_bytes(count);
        uint8_t *memory = (uint8_t *)(uintptr_t)MUSTER_HOST_LINE_BYTES;

        assert_true(ring_bytes >= MUSTER_HOST_RING_BYTES_MIN);
        assert_true(ring_bytes <= MUSTER_HOST_RING_BYTES_MAX);
        assert_int_equal(ring_bytes & (ring_bytes - 1), 0);
        assert_true(total_bytes <= MUSTER_HOST_SEGMENT_BYTES_AIM + ((size_t)4 << 20));
        muster_host_segment_locate(&segment, memory, count);
        assert_true((uint8_t *)&segment.ranks[count] <= segment.board);
        assert_true(muster_host_segment_place(&segment, 2, count - 1) + MUSTER_ROUND_BYTES <=
                    (uint8_t *)segment.pairs);
        if (count == 1)
            continue;
        assert_true((uint8_t *)(muster_host_segment_pair(&segment, count - 1, count - 2) + 1) <=
                    segment.rings);
        assert_true(muster_host_segment_ring(&segment, count - 1, count - 2) + ring_bytes <=
                    memory + total_bytes);
    }
}

static void pairs_are_all_different(void **state)
{
    muster_host_segment segment;
    uint8_t *memory = (uint8_t *)(uintptr_t)MUSTER_HOST_LINE_BYTES;

    (void)state;
    muster_host_segment_locate(&segment, memory, 5);
    for (int32_t a = 0; a < 25; a++)
        for (int32_t b = 0; b < 25; b++) {
            if (a / 5 == a % 5 || b / 5 == b % 5 || a == b)
                continue;
            assert_ptr_not_equal(muster_host_segment_pair(&segment, a / 5, a % 5),
                                 muster_host_segment_pair(&segment, b / 5, b % 5));
            assert_ptr_not_equal(muster_host_segment_ring(&segment, a / 5, a % 5),
                                 muster_host_segment_ring(&segment, b / 5, b % 5));
        }
}

/* ---- ring ---- */

#define RING_TRANSFERS (3000 / SCALE)

typedef struct ring_side {
    muster_host_segment *segment;
    bool producer;
} ring_side;

static size_t transfer_bytes(uint64_t *random)
{
    /* Around a line, around a piece, around the ring. */
    static const size_t around[] = {1, 48, 49, 64, 1000, 32768, 131072, 1048576};
    size_t base = around[group_random(random) % 8];

    if (group_random(random) % 20 != 0 && base > 40000)
        base = 4096;
    return base + group_random(random) % 100;
}

static void *run_side(void *argument)
{
    const ring_side *side = argument;
    muster_host_ring ring;
    uint64_t random = 4711;
    size_t room = ((size_t)1 << 20) + 200;
    uint8_t *data = malloc(room);

    CHECK(data != NULL);
    muster_host_ring_init(&ring, side->segment, 0, 1);
    for (uint64_t k = 0; k < RING_TRANSFERS; k++) {
        size_t bytes = transfer_bytes(&random);
        size_t done = 0;

        if (side->producer)
            group_fill(data, bytes, k);
        while (done < bytes) {
            size_t piece = side->producer ? muster_host_ring_put(&ring, data, bytes, done)
                                          : muster_host_ring_take(&ring, data, bytes, done);

            done += piece;
            if (piece == 0)
                sched_yield();
        }
        if (!side->producer)
            CHECK(group_same(data, bytes, k));
    }
    free(data);
    return NULL;
}

static void ring_keeps_every_byte(void **state)
{
    muster_host_segment segment;
    ring_side producer = {.segment = &segment, .producer = true};
    ring_side consumer = {.segment = &segment, .producer = false};
    pthread_t thread;

    (void)state;
    make_segment(&segment, 2);
    CHECK(pthread_create(&thread, NULL, run_side, &producer) == 0);
    run_side(&consumer);
    pthread_join(thread, NULL);
    muster_host_segment_close(&segment);
}

static void ring_says_full_and_empty(void **state)
{
    muster_host_segment segment;
    muster_host_ring in, out;
    size_t bytes = (size_t)3 << 20;
    size_t put = 0, taken = 0, piece;
    uint8_t *from = malloc(bytes);
    uint8_t *to = malloc(bytes);

    (void)state;
    assert_non_null(from);
    assert_non_null(to);
    make_segment(&segment, 2);
    muster_host_ring_init(&out, &segment, 0, 1);
    muster_host_ring_init(&in, &segment, 0, 1);
    group_fill(from, bytes, 1);
    assert_int_equal(muster_host_ring_take(&in, to, bytes, 0), 0);
    while ((piece = muster_host_ring_put(&out, from, bytes, put)) > 0)
        put += piece;
    assert_true(put > segment.ring_bytes / 2 && put <= segment.ring_bytes);
    while (put < bytes || taken < bytes) {
        while (taken < bytes && (piece = muster_host_ring_take(&in, to, bytes, taken)) > 0)
            taken += piece;
        assert_int_equal(taken, put);
        while (put < bytes && (piece = muster_host_ring_put(&out, from, bytes, put)) > 0)
            put += piece;
    }
    assert_true(group_same(to, bytes, 1));
    assert_int_equal(atomic_load(&out.pair->tail), atomic_load(&out.pair->head));
    muster_host_segment_close(&segment);
    free(from);
    free(to);
}

/* ---- copy ---- */

static void copies_are_exact_at_every_alignment(void **state)
{
    size_t room = (size_t)64 << 10;
    uint8_t *from = malloc(room);
    uint8_t *to = malloc(room);
    uint64_t random = 5;

    (void)state;
    assert_non_null(from);
    assert_non_null(to);
    for (int i = 0; i < 2000 / SCALE; i++) {
        size_t at_from = group_random(&random) % 130;
        size_t at_to = group_random(&random) % 130;
        size_t bytes = group_random(&random) % (room - 300);

        group_fill(from + at_from, bytes, (uint64_t)i);
        memset(to, 0xee, room);
        muster_host_copy(to + at_to, from + at_from, bytes, i % 2 == 0);
        assert_true(group_same(to + at_to, bytes, (uint64_t)i));
        assert_true(at_to == 0 || to[at_to - 1] == 0xee);
        assert_int_equal(to[at_to + bytes], 0xee);
    }
    free(from);
    free(to);
}

/* ---- board ---- */

#define BOARD_ROUNDS (10000 / SCALE)

typedef struct board_rank {
    muster_host_segment *segment;
    int32_t rank;
} board_rank;

static void *run_board(void *argument)
{
    const board_rank *self = argument;
    muster_host_board board;

    muster_host_board_init(&board, self->segment, self->rank);
    for (uint64_t round = 1; round <= BOARD_ROUNDS; round++) {
        uint64_t payload[MUSTER_ROUND_BYTES / 8];
        const uint64_t *all;

        for (size_t i = 0; i < MUSTER_ROUND_BYTES / 8; i++)
            payload[i] = round * 1000 + (uint64_t)self->rank * 100 + i;
        muster_host_board_post(&board, round, payload);
        while ((all = muster_host_board_poll(&board, round)) == NULL)
            sched_yield();
        for (uint64_t rank = 0; rank < RANKS; rank++)
            for (size_t i = 0; i < MUSTER_ROUND_BYTES / 8; i++)
                CHECK(all[rank * (MUSTER_ROUND_BYTES / 8) + i] == round * 1000 + rank * 100 + i);
    }
    return NULL;
}

static void board_shows_everyones_round(void **state)
{
    muster_host_segment segment;
    board_rank ranks[RANKS];
    pthread_t threads[RANKS];

    (void)state;
    make_segment(&segment, RANKS);
    for (int32_t rank = 0; rank < RANKS; rank++) {
        ranks[rank] = (board_rank){.segment = &segment, .rank = rank};
        CHECK(pthread_create(&threads[rank], NULL, run_board, &ranks[rank]) == 0);
    }
    for (int32_t rank = 0; rank < RANKS; rank++)
        pthread_join(threads[rank], NULL);
    muster_host_segment_close(&segment);
}

/* ---- doorbell ---- */

#define HANDOVERS (20000 / SCALE)

typedef struct ping_pong {
    muster_host_doorbell doorbells[2];
    _Atomic uint64_t turns;
    _Atomic uint32_t slept_long;
} ping_pong;

typedef struct player {
    ping_pong *game;
    uint64_t side;
} player;

/* Sleeps at every turn, never spins: one lost wake and the sleep lasts its full, long time. */
static void *play(void *argument)
{
    const player *self = argument;
    ping_pong *game = self->game;
    muster_host_doorbell *own = &game->doorbells[self->side];

    for (uint64_t turn = self->side; turn < HANDOVERS; turn += 2) {
        while (atomic_load(&game->turns) != turn) {
            uint32_t ticket = muster_host_doorbell_arm(own);

            if (atomic_load(&game->turns) != turn) {
                int64_t before_ns = group_now_ns();

                muster_host_doorbell_sleep(own, ticket, 30 * SECOND_NS);
                if (group_now_ns() - before_ns > 29 * SECOND_NS)
                    game->slept_long++;
            }
            muster_host_doorbell_disarm(own);
        }
        atomic_store(&game->turns, turn + 1);
        muster_host_doorbell_ring(&game->doorbells[1 - self->side]);
    }
    return NULL;
}

static void no_wake_is_lost(void **state)
{
    ping_pong game;
    player left = {.game = &game, .side = 0};
    player right = {.game = &game, .side = 1};
    pthread_t thread;

    (void)state;
    memset(&game, 0, sizeof game);
    CHECK(pthread_create(&thread, NULL, play, &left) == 0);
    play(&right);
    pthread_join(thread, NULL);
    assert_int_equal(game.turns, HANDOVERS);
    assert_int_equal(game.slept_long, 0);
}

static void ring_without_a_sleeper_changes_nothing(void **state)
{
    muster_host_doorbell doorbell = {0};
    uint32_t ticket;

    (void)state;
    muster_host_doorbell_ring(&doorbell);
    assert_int_equal(doorbell.word, 0);
    ticket = muster_host_doorbell_arm(&doorbell);
    muster_host_doorbell_ring(&doorbell);
    muster_host_doorbell_ring(&doorbell);
    /* The first took the flag, so the second made no system call. */
    assert_int_equal(doorbell.word, ticket + 1);
    /* Rung since the ticket: does not sleep. The timeout would show as a hang. */
    muster_host_doorbell_sleep(&doorbell, ticket, 3600 * SECOND_NS);
    muster_host_doorbell_disarm(&doorbell);
    assert_int_equal(doorbell.sleeping, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_has_room_for_everything),
        cmocka_unit_test(pairs_are_all_different),
        cmocka_unit_test(ring_keeps_every_byte),
        cmocka_unit_test(ring_says_full_and_empty),
        cmocka_unit_test(copies_are_exact_at_every_alignment),
        cmocka_unit_test(board_shows_everyones_round),
        cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(ring_without_a_sleeper_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
