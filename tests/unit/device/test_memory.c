/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of memory: what is refused by all ranks alike, and what may be mixed. Ranks are threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/device/device_rank.h"

enum { RANKS = 3, WRONG = 1, ROOT = 0, ROWS = 4 };

/* One rank's gatherv, all of it device memory. */
typedef struct call {
    int32_t mine[ROWS];
    int32_t second[ROWS];
    int32_t whole[ROWS * RANKS];
    int64_t lengths[RANKS];
    muster_tensor rows;
    muster_tensor all;
    muster_root_rows root_rows;
} call;

static void prepare(call *c, const harness_rank *rank)
{
    memset(c, 0, sizeof(*c));
    for (int32_t i = 0; i < RANKS; i++)
        c->lengths[i] = ROWS;
    for (int32_t i = 0; i < ROWS; i++)
        c->mine[i] = rank->slot * 100 + i;
    c->rows = device_tensor(rank, c->mine, MUSTER_DTYPE_INT32, ROWS, 1);
    c->all = device_tensor(rank, c->whole, MUSTER_DTYPE_INT32, ROWS * RANKS, 1);
    c->root_rows = (muster_root_rows){.struct_bytes = sizeof(c->root_rows), .contiguous = &c->all};
}

static void host_rows(call *c)
{
    c->rows = muster_tensor_host(c->mine, MUSTER_DTYPE_INT32, ROWS, 1);
}
static void host_root(call *c)
{
    c->all = muster_tensor_host(c->whole, MUSTER_DTYPE_INT32, ROWS * RANKS, 1);
}
static void host_memory_called_device(call *c)
{
    device_api()->register_memory(c->mine, 0, 0);
}
static void host_root_memory_called_device(call *c)
{
    device_api()->register_memory(c->whole, 0, 0);
}
static void half_of_it_is_device_memory(call *c)
{
    device_api()->register_memory(c->mine, sizeof(c->mine) / 2, WRONG);
}
static void another_device(call *c)
{
    c->rows.device = 7;
}
static void memory_of_another_device(call *c)
{
    device_api()->register_memory(c->mine, sizeof(c->mine), 7);
}
static void no_device(call *c)
{
    c->rows.device = -1;
}

static const struct {
    const char *name;
    int32_t rank;
    void (*make)(call *c);
    muster_status status;
    int32_t named;
} mistakes[] = {
    {"host rows", WRONG, host_rows, MUSTER_ERR_MEMORY_KIND, WRONG},
    {"host rows of rank 0", ROOT, host_rows, MUSTER_ERR_MEMORY_KIND, ROOT},
    {"the root's buffer on the host", ROOT, host_root, MUSTER_ERR_MEMORY_KIND, ROOT},
    {"host memory said to be device memory", WRONG, host_memory_called_device,
     MUSTER_ERR_MEMORY_KIND, WRONG},
    {"the root's, said to be device memory", ROOT, host_root_memory_called_device,
     MUSTER_ERR_MEMORY_KIND, ROOT},
    {"half of it", WRONG, half_of_it_is_device_memory, MUSTER_ERR_MEMORY_KIND, WRONG},
    {"another device's index", WRONG, another_device, MUSTER_ERR_WRONG_DEVICE, WRONG},
    {"another device's memory", WRONG, memory_of_another_device, MUSTER_ERR_WRONG_DEVICE, WRONG},
    {"no index", WRONG, no_device, MUSTER_ERR_MEMORY_KIND, WRONG},
};

static void all_mistakes(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    int32_t own = muster_comm_rank(rank->world);
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        call c;
        prepare(&c, rank);
        if (own == mistakes[i].rank)
            mistakes[i].make(&c);
        const muster_root_rows *root_rows = own == ROOT ? &c.root_rows : NULL;
        muster_status status =
            muster_gatherv(rank->world, &c.rows, c.lengths, RANKS, ROOT, root_rows, &error);
        if (status != mistakes[i].status || error.rank != mistakes[i].named ||
            error.message[0] == '\0') {
            fprintf(stderr, "%s: rank %d got %s naming %d: %s\n", mistakes[i].name, own,
                    muster_status_name(status), error.rank, error.message);
            _exit(99);
        }
        CHECK(muster_status_advice(status) == MUSTER_ADVICE_FIX_CALL);
        prepare(&c, rank);
        CHECK_STATUS(MUSTER_OK, muster_gatherv(rank->world, &c.rows, c.lengths, RANKS, ROOT,
                                               root_rows, &error));
        CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
        for (int32_t k = 0; own == ROOT && k < ROWS * RANKS; k++)
            CHECK(c.whole[k] == k / ROWS * 100 + k % ROWS);
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_every_mistake_is_refused_alike(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, all_mistakes, NULL);
}

/* Kinds of one batch, of chunks, of ranks without rows, of a P2P list. */
static void mixtures(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    int32_t own = muster_comm_rank(rank->world);
    call c;
    prepare(&c, rank);
    const muster_root_rows *root_rows = own == ROOT ? &c.root_rows : NULL;

    muster_batch *batch;
    CHECK_STATUS(MUSTER_OK,
                 muster_batch_scatterv_begin(rank->world, c.lengths, RANKS, ROOT, &batch, &error));
    muster_tensor second = own == WRONG
                               ? muster_tensor_host(c.second, MUSTER_DTYPE_INT32, ROWS, 1)
                               : device_tensor(rank, c.second, MUSTER_DTYPE_INT32, ROWS, 1);
    CHECK_STATUS(MUSTER_OK, muster_batch_add(batch, &c.rows, root_rows, &error));
    CHECK_STATUS(MUSTER_OK, muster_batch_add(batch, &second, root_rows, &error));
    CHECK_STATUS(MUSTER_ERR_MEMORY_KIND, muster_batch_run(batch, &error));
    CHECK(error.rank == WRONG && error.tensor_index == 1);

    muster_tensor chunks[RANKS];
    muster_root_rows in_chunks = {
        .struct_bytes = sizeof(in_chunks), .chunks = chunks, .chunk_count = RANKS};
    for (int32_t i = 0; i < RANKS; i++)
        chunks[i] = device_tensor(rank, c.whole + i * ROWS, MUSTER_DTYPE_INT32, ROWS, 1);
    CHECK_STATUS(MUSTER_OK, muster_gatherv(rank->world, &c.rows, c.lengths, RANKS, ROOT,
                                           own == ROOT ? &in_chunks : NULL, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
    for (int32_t k = 0; own == ROOT && k < ROWS * RANKS; k++)
        CHECK(c.whole[k] == k / ROWS * 100 + k % ROWS);
    chunks[2] = muster_tensor_host(c.whole + 2 * ROWS, MUSTER_DTYPE_INT32, ROWS, 1);
    CHECK_STATUS(MUSTER_ERR_MEMORY_KIND,
                 muster_gatherv(rank->world, &c.rows, c.lengths, RANKS, ROOT,
                                own == ROOT ? &in_chunks : NULL, &error));
    CHECK(error.rank == ROOT);

    /* A rank without rows is of a kind, too. */
    prepare(&c, rank);
    int64_t lengths[RANKS] = {ROWS, ROWS, 0};
    muster_tensor rows = own == 2 ? muster_tensor_host(NULL, MUSTER_DTYPE_INT32, 0, 1) : c.rows;
    CHECK_STATUS(MUSTER_ERR_MEMORY_KIND,
                 muster_gatherv(rank->world, &rows, lengths, RANKS, ROOT, root_rows, &error));
    CHECK(error.rank == 2 && error.field == MUSTER_FIELD_MEMORY_KIND);
    CHECK(error.expected == MUSTER_MEMORY_DEVICE && error.came == MUSTER_MEMORY_HOST);
    rows = own == 2 ? muster_tensor_device(NULL, MUSTER_DTYPE_INT32, 0, 1, rank->slot) : c.rows;
    CHECK_STATUS(MUSTER_OK,
                 muster_gatherv(rank->world, &rows, lengths, RANKS, ROOT, root_rows, &error));

    /* An empty P2P list is of none. */
    for (int turn = 0; turn < 2; turn++) {
        CHECK_STATUS(MUSTER_OK, muster_p2p_begin(rank->world, &batch, &error));
        muster_tensor one =
            turn == 1 && own == 2
                ? muster_tensor_host(c.second, MUSTER_DTYPE_INT32, ROWS, 1)
                : device_tensor(rank, own == 2 ? c.second : c.mine, MUSTER_DTYPE_INT32, ROWS, 1);
        if (own == 1)
            CHECK_STATUS(MUSTER_OK, muster_p2p_isend(batch, &one, 2, &error));
        if (own == 2)
            CHECK_STATUS(MUSTER_OK, muster_p2p_irecv(batch, &one, 1, &error));
        CHECK_STATUS(turn == 0 ? MUSTER_OK : MUSTER_ERR_MEMORY_KIND,
                     muster_batch_run(batch, &error));
        CHECK(turn == 0 || error.rank == 2);
        CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
        for (int32_t i = 0; turn == 0 && own == 2 && i < ROWS; i++)
            CHECK(c.second[i] == 100 + i);
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_mixtures_are_refused(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, mixtures, NULL);
}

/* Both kinds in one job and one communicator, in turns; and what takes host memory only. */
static void host_and_device(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    int32_t own = muster_comm_rank(rank->world);
    for (int turn = 0; turn < 20; turn++) {
        call c;
        prepare(&c, rank);
        if (turn % 2 == 1) {
            host_rows(&c);
            host_root(&c);
        }
        CHECK_STATUS(MUSTER_OK, muster_gatherv(rank->world, &c.rows, c.lengths, RANKS, turn % RANKS,
                                               own == turn % RANKS ? &c.root_rows : NULL, &error));
        if (turn % 2 == 0)
            CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
        for (int32_t k = 0; own == turn % RANKS && k < ROWS * RANKS; k++)
            CHECK(c.whole[k] == k / ROWS * 100 + k % ROWS);
    }
    call c;
    prepare(&c, rank);
    muster_state_part part = {.data = own == WRONG ? c.mine : &own, .bytes = sizeof(own)};
    CHECK_STATUS(MUSTER_ERR_MEMORY_KIND, muster_step_commit(rank->world, 1, &part, 1, &error));
    CHECK(error.rank == WRONG);
    muster_param *param;
    CHECK_STATUS(MUSTER_ERR_MEMORY_KIND, muster_param_create(rank->world, MUSTER_DTYPE_INT32,
                                                             ROWS * RANKS, c.mine, &param, &error));
    CHECK_STATUS(MUSTER_ERR_MEMORY_KIND,
                 muster_step_fetch(rank->world, 0, own == WRONG ? c.mine : NULL,
                                   own == WRONG ? sizeof(c.mine) : 0, NULL, &error));
    CHECK(error.rank == WRONG);
    part.data = &own;
    CHECK_STATUS(MUSTER_OK, muster_step_commit(rank->world, 1, &part, 1, &error));
}

static void test_host_and_device_tensors_in_one_job(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, host_and_device, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mistake_is_refused_alike),
        cmocka_unit_test(test_mixtures_are_refused),
        cmocka_unit_test(test_host_and_device_tensors_in_one_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
