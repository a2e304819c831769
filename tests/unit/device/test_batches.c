/* SPDX-License-Identifier: Apache-2.0 */
/* Batches over the device plane: right bytes, the order of a stream, several in the air, device and host tensors
 * in one job, and what a call says when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/device/device_rank.h"

enum { RANKS = 4, FEATURES = 3, ROWS_MOST = 9000 };

/* Ragged, and one rank has none. */
static int64_t rows_of(int32_t rank, int turn)
{
    return rank == 2 ? 0 : (int64_t)(rank + 1) * (turn % 2 == 0 ? 5 : ROWS_MOST / RANKS);
}

static int32_t value(int32_t rank, int turn, int64_t at)
{
    return (int32_t)(rank * 1000003 + turn * 7919 + at);
}

static void gather_and_scatter(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    static int32_t mine[RANKS][ROWS_MOST * FEATURES];
    static int32_t back[RANKS][ROWS_MOST * FEATURES];
    /* One a rank: two ranks of one process map the host plane at two addresses, so the thread sanitizer does
     * not see that a barrier orders one root's reading before the next root's rows. */
    static int32_t wholes[RANKS][ROWS_MOST * FEATURES * RANKS];
    int32_t *whole = wholes[own];
    muster_error error;
    muster_error_init(&error);
    for (int turn = 0; turn < 6; turn++) {
        int64_t lengths[RANKS];
        int64_t total = 0;
        for (int32_t r = 0; r < RANKS; r++)
            total += lengths[r] = rows_of(r, turn);
        int32_t root = turn % RANKS;
        for (int64_t i = 0; i < lengths[own] * FEATURES; i++)
            mine[own][i] = value(own, turn, i);
        muster_tensor rows =
            device_tensor(rank, mine[own], MUSTER_DTYPE_INT32, lengths[own], FEATURES);
        muster_tensor all =
            own == root ? device_tensor(rank, whole, MUSTER_DTYPE_INT32, total, FEATURES) : rows;
        muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
        const muster_root_rows *at_root = own == root ? &root_rows : NULL;
        CHECK_STATUS(MUSTER_OK,
                     muster_gatherv(rank->world, &rows, lengths, RANKS, root, at_root, &error));
        muster_tensor out =
            device_tensor(rank, back[own], MUSTER_DTYPE_INT32, lengths[own], FEATURES);
        memset(back[own], 0, sizeof(back[own]));
        CHECK_STATUS(MUSTER_OK,
                     muster_scatterv(rank->world, at_root, lengths, RANKS, root, &out, &error));
        CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
        for (int64_t i = 0; i < lengths[own] * FEATURES; i++)
            CHECK(back[own][i] == value(own, turn, i));
        int64_t at = 0;
        for (int32_t r = 0; own == root && r < RANKS; r++)
            for (int64_t i = 0; i < lengths[r] * FEATURES; i++, at++)
                CHECK(whole[at] == value(r, turn, i));
        CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    }
}

static void test_gatherv_and_scatterv(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, gather_and_scatter, NULL);
}

static void test_gatherv_and_scatterv_of_processes(void **state)
{
    (void)state;
    harness_options options;
    int statuses[RANKS];
    device_options_init(&options, RANKS);
    harness_run_processes(&options, gather_and_scatter, NULL, NULL, statuses);
    for (int32_t i = 0; i < RANKS; i++)
        assert_int_equal(statuses[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gatherv_and_scatterv),
        cmocka_unit_test(test_gatherv_and_scatterv_of_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
