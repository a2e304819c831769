/* SPDX-License-Identifier: Apache-2.0 */
/* A rank without memory for what others do with it: it returns the same code as they. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/harness/harness.h"

enum { RANKS = 3, WRONG = 1, POOR = 2, ROOT = 0 };

/* While it is set, this thread has no memory for lists of all ranks' descriptors. */
static _Thread_local bool no_memory_for_lists;

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
    if (no_memory_for_lists && count == RANKS && bytes == sizeof(void *))
        return NULL;
    return __real_calloc(count, bytes);
}

/* The second tensor of a batch differs: only the slow round can say in what. */
static void batches_differ(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    const int64_t lengths[RANKS] = {1, 1, 1};
    int64_t mine[4] = {0};
    int64_t whole[4 * RANKS] = {0};
    muster_batch *batch;
    muster_error error;
    muster_error_init(&error);
    CHECK_STATUS(MUSTER_OK,
                 muster_batch_gatherv_begin(rank->world, lengths, RANKS, ROOT, &batch, &error));
    for (int i = 0; i < 2; i++) {
        const bool wrong = own == WRONG && i == 1;
        const muster_dtype dtype = wrong ? MUSTER_DTYPE_FLOAT64 : MUSTER_DTYPE_INT64;
        muster_tensor rows = muster_tensor_host(mine + 2 * i, dtype, 1, 2);
        muster_tensor all = muster_tensor_host(whole + 2 * RANKS * i, dtype, RANKS, 2);
        muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
        CHECK_STATUS(MUSTER_OK,
                     muster_batch_add(batch, &rows, own == ROOT ? &root_rows : NULL, &error));
    }
    no_memory_for_lists = own == POOR;
    CHECK_STATUS(MUSTER_ERR_DTYPE, muster_batch_run(batch, &error));
    no_memory_for_lists = false;
    CHECK(error.rank == WRONG && error.tensor_index == 1);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_the_slow_round_needs_no_memory(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, batches_differ, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_slow_round_needs_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
