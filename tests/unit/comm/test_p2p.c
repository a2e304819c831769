/* SPDX-License-Identifier: Apache-2.0 */
/* Bare P2P lists: random ones with every byte checked, empty ones, sends to oneself, mismatches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/harness/harness.h"

enum { RANKS = 4, MOST = 24, BYTES_MOST = 300000 };

typedef struct planned {
    int32_t from;
    int32_t to;
    size_t bytes;
} planned;

static uint8_t byte_of(int turn, int index, size_t at)
{
    return (uint8_t)(turn * 31 + index * 7 + (int)(at * 13 + at / 251));
}

/* Every rank draws the same plan and takes its part of it. */
static int draw(planned *plan, int turn)
{
    uint64_t seed = 4242 + (uint64_t)turn;
    int count = (int)(harness_random(&seed) % MOST);
    for (int i = 0; i < count; i++) {
        plan[i].from = (int32_t)(harness_random(&seed) % RANKS);
        plan[i].to = (int32_t)(harness_random(&seed) % RANKS);
        uint64_t size = harness_random(&seed);
        plan[i].bytes = size % 5 == 0 ? 0 : (size_t)(size / 8 % BYTES_MOST);
    }
    return count;
}

static void random_lists(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    muster_error error;
    muster_error_init(&error);
    for (int turn = 0; turn < 40; turn++) {
        planned plan[MOST];
        uint8_t *sends[MOST] = {NULL};
        uint8_t *receives[MOST] = {NULL};
        int count = draw(plan, turn);
        muster_batch *batch;
        CHECK_STATUS(MUSTER_OK, muster_p2p_begin(rank->world, &batch, &error));
        for (int i = 0; i < count; i++) {
            if (plan[i].from == own) {
                CHECK((sends[i] = malloc(plan[i].bytes + 1)) != NULL);
                for (size_t at = 0; at < plan[i].bytes; at++)
                    sends[i][at] = byte_of(turn, i, at);
                muster_tensor tensor =
                    muster_tensor_host(sends[i], MUSTER_DTYPE_UINT8, (int64_t)plan[i].bytes, 1);
                CHECK_STATUS(MUSTER_OK, muster_p2p_isend(batch, &tensor, plan[i].to, &error));
            }
            if (plan[i].to == own) {
                CHECK((receives[i] = calloc(plan[i].bytes + 1, 1)) != NULL);
                muster_tensor tensor =
                    muster_tensor_host(receives[i], MUSTER_DTYPE_UINT8, (int64_t)plan[i].bytes, 1);
                CHECK_STATUS(MUSTER_OK, muster_p2p_irecv(batch, &tensor, plan[i].from, &error));
            }
        }
        CHECK_STATUS(MUSTER_OK, muster_batch_run(batch, &error));
        for (int i = 0; i < count; i++) {
            for (size_t at = 0; receives[i] != NULL && at < plan[i].bytes; at++)
                CHECK(receives[i][at] == byte_of(turn, i, at));
            free(sends[i]);
            free(receives[i]);
        }
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_random_lists(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, random_lists, NULL);
}

static void mismatches(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    int64_t data[4] = {0};
    muster_error error;
    muster_error_init(&error);
    for (int turn = 0; turn < 4; turn++) {
        muster_batch *batch;
        CHECK_STATUS(MUSTER_OK, muster_p2p_begin(rank->world, &batch, &error));
        /* 0 sends to 2; what 2 expects is wrong in another way each turn. */
        muster_tensor two = muster_tensor_host(data, MUSTER_DTYPE_INT64, 2, 1);
        muster_tensor one = muster_tensor_host(data, MUSTER_DTYPE_INT64, 1, 1);
        muster_tensor other = muster_tensor_host(data, MUSTER_DTYPE_FLOAT64, 2, 1);
        if (own == 0)
            CHECK_STATUS(MUSTER_OK, muster_p2p_isend(batch, &two, turn == 3 ? RANKS : 2, &error));
        if (own == 2 && turn == 0)
            CHECK_STATUS(MUSTER_OK, muster_p2p_irecv(batch, &one, 0, &error));
        if (own == 2 && turn == 1)
            CHECK_STATUS(MUSTER_OK, muster_p2p_irecv(batch, &other, 0, &error));
        /* turn 2: no receive at all; turn 3: a peer that is no rank */
        muster_status status = muster_batch_run(batch, &error);
        if (status != (turn == 3 ? MUSTER_ERR_INVALID_ARGUMENT : MUSTER_ERR_P2P_MISMATCH)) {
            fprintf(stderr, "turn %d rank %d: %s %s\n", turn, own, muster_status_name(status),
                    error.message);
            _exit(99);
        }
        CHECK(error.rank >= 0 && error.message[0] != '\0');
    }
    /* And nobody was left behind. */
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_mismatches_are_refused_by_all(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, mismatches, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_lists),
        cmocka_unit_test(test_mismatches_are_refused_by_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
