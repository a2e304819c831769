/* SPDX-License-Identifier: Apache-2.0 */
/* Every collective with every byte checked: ragged lengths, zero rows, every root, both forms of the
 * root's rows, in place, ring and direct way, several tensors, requests. Ranks are threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/harness/harness.h"

enum { RANKS = 4, FEATURES = 5, ROWS_MOST = 700 };

/* The value that element e of row i of rank r has in round t. */
static int32_t value(int32_t rank, int64_t row, int64_t feature, int32_t turn)
{
    return (int32_t)(rank * 1000003 + row * 101 + feature * 7 + turn * 13);
}

static void fill(int32_t *data, int32_t rank, int64_t rows, int32_t turn)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t feature = 0; feature < FEATURES; feature++)
            data[row * FEATURES + feature] = value(rank, row, feature, turn);
}

static void check(const int32_t *data, int32_t rank, int64_t rows, int32_t turn)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t feature = 0; feature < FEATURES; feature++)
            CHECK(data[row * FEATURES + feature] == value(rank, row, feature, turn));
}

/* The same lengths on every rank, some zero. */
static void make_lengths(int64_t *lengths, int32_t turn)
{
    uint64_t seed = (uint64_t)turn + 17;
    for (int32_t rank = 0; rank < RANKS; rank++) {
        uint64_t draw = harness_random(&seed);
        lengths[rank] = draw % 4 == 0 ? 0 : (int64_t)(draw / 4 % ROWS_MOST);
    }
}

static int32_t *take(harness_rank *rank, bool direct, size_t bytes)
{
    void *memory = NULL;
    muster_error error;
    muster_error_init(&error);
    if (direct)
        CHECK_STATUS(MUSTER_OK, muster_memory_alloc(rank->job, bytes, &memory, &error));
    else
        CHECK((memory = malloc(bytes)) != NULL);
    return memory;
}

static void gather_and_scatter(harness_rank *rank)
{
    const bool direct = *(const bool *)rank->argument;
    const int32_t own = muster_comm_rank(rank->world);
    const size_t whole_bytes = sizeof(int32_t) * FEATURES * ROWS_MOST * RANKS;
    int32_t *mine = take(rank, direct, whole_bytes / RANKS);
    int32_t *whole = take(rank, direct, whole_bytes);
    muster_error error;
    muster_error_init(&error);
    for (int32_t turn = 0; turn < 60; turn++) {
        int64_t lengths[RANKS];
        int64_t offsets[RANKS + 1];
        int64_t drawn[RANKS];
        make_lengths(drawn, turn);
        CHECK_STATUS(MUSTER_OK,
                     muster_allgather_lengths(rank->world, drawn[own], lengths, RANKS, &error));
        CHECK(memcmp(lengths, drawn, sizeof(lengths)) == 0);
        CHECK_STATUS(MUSTER_OK, muster_lengths_to_offsets(lengths, RANKS, offsets, &error));
        const int32_t root = turn % RANKS;
        const bool in_place = turn % 3 == 1;
        const bool chunked = turn % 5 == 2;
        int32_t *rows_data = mine;
        memset(whole, 0xee, whole_bytes);
        if (own == root && in_place && !chunked)
            rows_data = whole + offsets[own] * FEATURES;
        fill(rows_data, own, lengths[own], turn);
        muster_tensor rows =
            muster_tensor_host(rows_data, MUSTER_DTYPE_INT32, lengths[own], FEATURES);
        muster_tensor all =
            muster_tensor_host(whole, MUSTER_DTYPE_INT32, (int64_t)ROWS_MOST * RANKS, FEATURES);
        muster_tensor chunks[RANKS];
        for (int32_t i = 0; i < RANKS; i++)
            chunks[i] = muster_tensor_host(whole + offsets[i] * FEATURES, MUSTER_DTYPE_INT32,
                                           lengths[i], FEATURES);
        muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows)};
        if (chunked) {
            root_rows.chunks = chunks;
            root_rows.chunk_count = RANKS;
        } else {
            root_rows.contiguous = &all;
        }
        CHECK_STATUS(MUSTER_OK, muster_gatherv(rank->world, &rows, lengths, RANKS, root,
                                               own == root ? &root_rows : NULL, &error));
        if (own == root) {
            for (int32_t i = 0; i < RANKS; i++)
                check(whole + offsets[i] * FEATURES, i, lengths[i], turn);
            for (int32_t i = 0; i < RANKS; i++)
                fill(whole + offsets[i] * FEATURES, i, lengths[i], turn + 1);
        }
        CHECK_STATUS(MUSTER_OK, muster_scatterv(rank->world, own == root ? &root_rows : NULL,
                                                lengths, RANKS, root, &rows, &error));
        check(rows_data, own, lengths[own], turn + 1);
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    if (!direct) {
        free(mine);
        free(whole);
    }
}

static void test_gatherv_scatterv_through_the_ring(void **state)
{
    (void)state;
    bool direct = false;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, gather_and_scatter, &direct);
}

static void test_gatherv_scatterv_into_runtime_memory(void **state)
{
    (void)state;
    bool direct = true;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, gather_and_scatter, &direct);
}

static void broadcast_and_allgatherv(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    muster_error error;
    muster_error_init(&error);
    int32_t *mine = malloc(sizeof(int32_t) * FEATURES * ROWS_MOST);
    int32_t *whole = malloc(sizeof(int32_t) * FEATURES * ROWS_MOST * RANKS);
    CHECK(mine != NULL && whole != NULL);
    for (int32_t turn = 0; turn < 40; turn++) {
        int64_t lengths[RANKS];
        int64_t offsets[RANKS + 1];
        make_lengths(lengths, turn);
        CHECK_STATUS(MUSTER_OK, muster_lengths_to_offsets(lengths, RANKS, offsets, &error));
        const int32_t root = turn % RANKS;
        fill(mine, own, lengths[root], turn);
        muster_tensor rows = muster_tensor_host(mine, MUSTER_DTYPE_INT32, lengths[root], FEATURES);
        CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &rows, root, &error));
        check(mine, root, lengths[root], turn);

        int32_t *from = turn % 2 == 0 ? mine : whole + offsets[own] * FEATURES;
        fill(from, own, lengths[own], turn);
        muster_tensor own_rows =
            muster_tensor_host(from, MUSTER_DTYPE_INT32, lengths[own], FEATURES);
        muster_tensor all = muster_tensor_host(whole, MUSTER_DTYPE_INT32, offsets[RANKS], FEATURES);
        CHECK_STATUS(MUSTER_OK,
                     muster_allgatherv(rank->world, &own_rows, lengths, RANKS, &all, &error));
        for (int32_t i = 0; i < RANKS; i++)
            check(whole + offsets[i] * FEATURES, i, lengths[i], turn);
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    free(mine);
    free(whole);
}

static void test_broadcast_and_allgatherv(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, broadcast_and_allgatherv, NULL);
}

/* One MoE layer's forward: hidden bf16, ids int64 and weights bf16 in one batch. */
static void several_tensors(harness_rank *rank)
{
    enum { HIDDEN = 16, EXPERTS = 2 };
    const int32_t own = muster_comm_rank(rank->world);
    const int64_t lengths[RANKS] = {3, 0, 11, 6};
    const int64_t total = 20;
    uint16_t hidden[11 * HIDDEN];
    int64_t ids[11 * EXPERTS];
    uint16_t weights[11 * EXPERTS];
    uint16_t all_hidden[20 * HIDDEN];
    int64_t all_ids[20 * EXPERTS];
    uint16_t all_weights[20 * EXPERTS];
    muster_error error;
    muster_error_init(&error);
    for (int32_t turn = 0; turn < 30; turn++) {
        const int32_t root = turn % RANKS;
        for (int64_t i = 0; i < lengths[own] * HIDDEN; i++)
            hidden[i] = (uint16_t)(own * 5000 + i + turn);
        for (int64_t i = 0; i < lengths[own] * EXPERTS; i++) {
            ids[i] = own * 100 + i + turn;
            weights[i] = (uint16_t)(own * 300 + i + turn);
        }
        muster_tensor parts[3] = {
            muster_tensor_host(hidden, MUSTER_DTYPE_BFLOAT16, lengths[own], HIDDEN),
            muster_tensor_host(ids, MUSTER_DTYPE_INT64, lengths[own], EXPERTS),
            muster_tensor_host(weights, MUSTER_DTYPE_BFLOAT16, lengths[own], EXPERTS)};
        muster_tensor wholes[3] = {
            muster_tensor_host(all_hidden, MUSTER_DTYPE_BFLOAT16, total, HIDDEN),
            muster_tensor_host(all_ids, MUSTER_DTYPE_INT64, total, EXPERTS),
            muster_tensor_host(all_weights, MUSTER_DTYPE_BFLOAT16, total, EXPERTS)};
        muster_batch *batch;
        CHECK_STATUS(MUSTER_OK,
                     muster_batch_gatherv_begin(rank->world, lengths, RANKS, root, &batch, &error));
        for (int i = 0; i < 3; i++) {
            muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows),
                                          .contiguous = &wholes[i]};
            CHECK_STATUS(MUSTER_OK, muster_batch_add(batch, &parts[i],
                                                     own == root ? &root_rows : NULL, &error));
        }
        muster_request *request;
        CHECK_STATUS(MUSTER_OK, muster_batch_start(batch, &request, &error));
        bool done = false;
        while (!done)
            CHECK_STATUS(MUSTER_OK, muster_request_test(request, &done, &error));
        CHECK_STATUS(MUSTER_OK, muster_request_free(request));
        if (own != root)
            continue;
        int64_t row = 0;
        for (int32_t i = 0; i < RANKS; i++)
            for (int64_t k = 0; k < lengths[i]; k++, row++) {
                CHECK(all_hidden[row * HIDDEN + 3] == (uint16_t)(i * 5000 + k * HIDDEN + 3 + turn));
                CHECK(all_ids[row * EXPERTS + 1] == i * 100 + k * EXPERTS + 1 + turn);
                CHECK(all_weights[row * EXPERTS] == (uint16_t)(i * 300 + k * EXPERTS + turn));
            }
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_several_tensors_in_one_batch(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, several_tensors, NULL);
}

/* Several calls in flight; the last is waited for first; a wait that times out harms nothing. */
static void requests(harness_rank *rank)
{
    enum { FLIGHT = 6 };
    const int32_t own = muster_comm_rank(rank->world);
    muster_error error;
    muster_error_init(&error);
    int32_t mine[FLIGHT][8];
    int32_t whole[FLIGHT][8 * RANKS];
    const int64_t lengths[RANKS] = {8, 8, 8, 8};
    for (int32_t turn = 0; turn < 20; turn++) {
        muster_request *flight[FLIGHT];
        for (int32_t i = 0; i < FLIGHT; i++) {
            for (int32_t k = 0; k < 8; k++)
                mine[i][k] = value(own, k, i, turn);
            muster_tensor rows = muster_tensor_host(mine[i], MUSTER_DTYPE_INT32, 8, 1);
            muster_tensor all = muster_tensor_host(whole[i], MUSTER_DTYPE_INT32, 8 * RANKS, 1);
            muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
            CHECK_STATUS(MUSTER_OK, muster_gatherv_start(
                                        rank->world, &rows, lengths, RANKS, i % RANKS,
                                        own == i % RANKS ? &root_rows : NULL, &flight[i], &error));
        }
        if (own == 0 && turn == 3) {
            /* The others are at most here; a wait of no time either completes or times out. */
            muster_status status = muster_request_wait(flight[FLIGHT - 1], 0, &error);
            CHECK(status == MUSTER_OK || status == MUSTER_ERR_TIMEOUT);
        }
        for (int32_t i = FLIGHT - 1; i >= 0; i--) {
            CHECK_STATUS(MUSTER_OK,
                         muster_request_wait(flight[i], MUSTER_TIMEOUT_INHERIT_NS, &error));
            CHECK_STATUS(MUSTER_OK, muster_request_free(flight[i]));
        }
        for (int32_t i = 0; i < FLIGHT; i++)
            if (own == i % RANKS)
                for (int32_t r = 0; r < RANKS; r++)
                    for (int32_t k = 0; k < 8; k++)
                        CHECK(whole[i][r * 8 + k] == value(r, k, i, turn));
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_requests_in_flight(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, requests, NULL);
    options.progress_thread = true;
    harness_run_threads(&options, requests, NULL);
}

static void one_rank(harness_rank *rank)
{
    const int64_t lengths[1] = {3};
    int32_t mine[3] = {1, 2, 3};
    int32_t whole[3] = {0};
    muster_tensor rows = muster_tensor_host(mine, MUSTER_DTYPE_INT32, 3, 1);
    muster_tensor all = muster_tensor_host(whole, MUSTER_DTYPE_INT32, 3, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
    CHECK_STATUS(MUSTER_OK, muster_gatherv(rank->world, &rows, lengths, 1, 0, &root_rows, NULL));
    CHECK(memcmp(mine, whole, sizeof(mine)) == 0);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &rows, 0, NULL));
    CHECK_STATUS(MUSTER_OK, muster_allgatherv(rank->world, &rows, lengths, 1, &all, NULL));
}

static void test_a_job_of_one_rank(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, 1);
    harness_run_threads(&options, one_rank, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_of_one_rank),
        cmocka_unit_test(test_gatherv_scatterv_through_the_ring),
        cmocka_unit_test(test_gatherv_scatterv_into_runtime_memory),
        cmocka_unit_test(test_broadcast_and_allgatherv),
        cmocka_unit_test(test_several_tensors_in_one_batch),
        cmocka_unit_test(test_requests_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
