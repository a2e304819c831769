/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting: order by key, colors apart, independent sequences, negative colors, splits of splits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/harness/harness.h"

enum { RANKS = 5 };

static void split_and_use(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    muster_error error;
    muster_error_init(&error);
    muster_comm *half;
    /* 0, 2, 4 in reverse order; 1, 3 in order. */
    CHECK_STATUS(MUSTER_OK,
                 muster_comm_split(rank->world, own % 2, own % 2 == 0 ? -own : own, &half, &error));
    CHECK(muster_comm_size(half) == (own % 2 == 0 ? 3 : 2));
    CHECK(muster_comm_rank(half) == (own % 2 == 0 ? (4 - own) / 2 : own / 2));
    CHECK(muster_comm_slot_of_rank(half, muster_comm_rank(half)) == rank->slot);
    /* The halves make different numbers of calls: their sequences are their own. */
    for (int i = 0; i < (own % 2 == 0 ? 7 : 3); i++) {
        int64_t lengths[3];
        CHECK_STATUS(MUSTER_OK, muster_allgather_lengths(half, own * 10 + i, lengths,
                                                         muster_comm_size(half), &error));
        for (int32_t r = 0; r < muster_comm_size(half); r++)
            CHECK(lengths[r] == muster_comm_slot_of_rank(half, r) * 10 + i);
    }
    muster_comm *lone = NULL;
    CHECK_STATUS(MUSTER_OK,
                 muster_comm_split(half, muster_comm_rank(half) == 0 ? 3 : -1, 0, &lone, &error));
    CHECK((lone != NULL) == (muster_comm_rank(half) == 0));
    if (lone != NULL) {
        CHECK(muster_comm_size(lone) == 1);
        CHECK_STATUS(MUSTER_OK, muster_barrier(lone, &error));
        CHECK_STATUS(MUSTER_OK, muster_comm_free(lone));
    }
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_comm_free(rank->world));
    /* One rank's mistake is everybody's answer. */
    muster_comm *none = NULL;
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT,
                 muster_comm_split(rank->world, 0, 0, own == 2 ? NULL : &none, &error));
    CHECK(none == NULL && error.rank == 2);
    muster_request *pending = NULL;
    CHECK_STATUS(MUSTER_OK, muster_barrier_start(half, &pending, &error));
    CHECK_STATUS(MUSTER_OK, muster_request_wait(pending, MUSTER_TIMEOUT_INHERIT_NS, &error));
    /* Complete, but it still refers to its communicator. */
    CHECK_STATUS(MUSTER_ERR_IN_FLIGHT, muster_comm_free(half));
    CHECK_STATUS(MUSTER_OK, muster_request_free(pending));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_free(half));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_split(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, split_and_use, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
