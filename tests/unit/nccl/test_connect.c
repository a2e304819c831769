/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators by ids: polled to their end, given up at the deadline or when called off. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static void polled_until_it_is_through(void **state)
{
    fixture *f = *state;
    f->nccl->polls = 5;
    fixture_connect(f);
    assert_int_equal(f->nccl->config.blocking, 0);
    assert_int_equal(f->nccl->config.splitShare, 0);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommGetAsyncError"), 6);
    assert_int_equal(f->nccl->live_comms, 1);
    f->nccl->log_count = 0;
    assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
    f->comm = NULL;
    /* Healthy: finalized, polled, destroyed. */
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommFinalize"), 1);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommDestroy"), 1);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), 0);
}

static void ids_of_large_groups(void **state)
{
    static const struct {
        int32_t ranks, ids;
    } cases[] = {{1, 1}, {2, 1}, {256, 1}, {257, 2}, {512, 2}, {513, 3}, {1024, 4}, {2000, 8}};
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int32_t ranks = cases[i].ranks, ids = cases[i].ids;
        assert_int_equal(f->table->id_count(f->device, ranks), ids);
        /* Roots ascend, each is a rank, and each id serves at most 256. */
        for (int32_t id = 0; id < ids; id++) {
            const int32_t root = f->table->id_root(id, ids, ranks);
            const int32_t next = id + 1 < ids ? f->table->id_root(id + 1, ids, ranks) : ranks;
            assert_in_range(next - root, 1, 256);
        }
        assert_int_equal(f->table->id_root(0, ids, ranks), 0);
    }
}

static void several_ids_take_the_scalable_way(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    muster_device_connect_options options = fixture_connect_options(f, 513);
    options.id_count = 3;
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(f->table->make_id(f->device, &f->ids[i], &f->error), MUSTER_OK);
    assert_int_equal(f->table->connect(f->device, &options, &f->comm, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->id_count, 3);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommInitRankConfig"), 0);
}

static void expect_no_comm(fixture *f, const muster_device_connect_options *options,
                           muster_status status)
{
    assert_int_equal(f->table->make_id(f->device, &f->ids[0], &f->error), MUSTER_OK);
    assert_int_equal(f->table->connect(f->device, options, &f->comm, &f->error), status);
    assert_null(f->comm);
    assert_int_equal(f->error.status, status);
    assert_int_equal(f->nccl->live_comms, 0);
}

static void the_deadline(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->nccl->polls = -1;
    muster_device_connect_options options = fixture_connect_options(f, 4);
    options.deadline_ns = fixture_now_ns() + 20 * MILLISECOND_NS;
    expect_no_comm(f, &options, MUSTER_ERR_TIMEOUT);
    assert_non_null(strstr(f->error.message, "4 ranks of epoch 3"));
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), 1);
}

static void *cancel_soon(void *argument)
{
    fixture *f = argument;
    fixture_nap(10 * MILLISECOND_NS);
    atomic_store(&f->cancel, true);
    return NULL;
}

static void called_off(void **state)
{
    fixture *f = *state;
    pthread_t thread;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->nccl->polls = -1;
    const muster_device_connect_options options = fixture_connect_options(f, 4);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, f), 0);
    expect_no_comm(f, &options, MUSTER_ERR_RANK_LOST);
    pthread_join(thread, NULL);
}

static void *revoke_soon(void *argument)
{
    fixture *f = argument;
    fixture_nap(10 * MILLISECOND_NS);
    f->table->revoke(f->device, false);
    return NULL;
}

static void revoked_meanwhile(void **state)
{
    fixture *f = *state;
    pthread_t thread;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->nccl->polls = -1;
    const muster_device_connect_options options = fixture_connect_options(f, 4);
    assert_int_equal(pthread_create(&thread, NULL, revoke_soon, f), 0);
    expect_no_comm(f, &options, MUSTER_ERR_RANK_LOST);
    pthread_join(thread, NULL);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    /* Not before the revival. */
    expect_no_comm(f, &options, MUSTER_ERR_RANK_LOST);
    f->table->revive(f->device);
    f->nccl->polls = 2;
    fixture_connect(f);
}

static void an_error_while_it_connects(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->nccl->polls = 3;
    f->nccl->async_error = ncclRemoteError;
    const muster_device_connect_options options = fixture_connect_options(f, 4);
    expect_no_comm(f, &options, MUSTER_ERR_DEVICE_CALL);
    assert_int_equal(f->error.native_code, ncclRemoteError);
    assert_non_null(strstr(f->error.message, "ncclCommInitRankConfig"));
    assert_non_null(strstr(f->error.message, "remote process exited"));
}

static void an_error_of_the_call(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->nccl->failure = (stub_failure){
        .name = "ncclCommInitRankConfig", .countdown = 1, .code = ncclUnhandledCudaError};
    const muster_device_connect_options options = fixture_connect_options(f, 4);
    expect_no_comm(f, &options, MUSTER_ERR_DEVICE_CALL);
    assert_int_equal(f->error.native_code, ncclUnhandledCudaError);
}

static void the_current_device_comes_back(void **state)
{
    fixture *f = *state;
    f->options.device = 1;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->cuda->log_count = 0;
    fixture_connect(f);
    const stub_entry *last = &f->cuda->log[f->cuda->log_count - 1];
    assert_string_equal(last->name, "cudaSetDevice");
    assert_int_equal(last->peer, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(polled_until_it_is_through),
        TEST(ids_of_large_groups),
        TEST(several_ids_take_the_scalable_way),
        TEST(the_deadline),
        TEST(called_off),
        TEST(revoked_meanwhile),
        TEST(an_error_while_it_connects),
        TEST(an_error_of_the_call),
        TEST(the_current_device_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
