/* SPDX-License-Identifier: Apache-2.0 */
/* A smaller communicator out of a healthy one; and which ones are not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static const int32_t excluded[] = {2};

static muster_status shrink(fixture *f, muster_device_comm **child)
{
    const muster_device_connect_options options = fixture_connect_options(f, 3);
    return f->table->shrink(f->comm, excluded, 1, &options, child, &f->error);
}

static void close_comm(fixture *f)
{
    assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
    f->comm = NULL;
}

static void a_healthy_one_is_kept_and_shrunk(void **state)
{
    fixture *f = *state;
    muster_device_comm *child = NULL;
    f->nccl->polls = 2;
    fixture_connect(f);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 1);
    assert_true(f->table->can_shrink(f->comm));
    f->table->revive(f->device);
    assert_int_equal(shrink(f, &child), MUSTER_OK);
    assert_int_equal(f->nccl->config.blocking, 0);
    assert_int_equal(f->nccl->config.shrinkShare, 0);
    assert_int_equal(f->nccl->live_comms, 2);
    /* Once is all that a parent is good for, and it goes by abort. */
    assert_false(f->table->can_shrink(f->comm));
    f->nccl->log_count = 0;
    close_comm(f);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), 1);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommFinalize"), 0);
    f->comm = child;
    assert_true(f->table->can_shrink(f->comm));
}

static void before_the_revival_too(void **state)
{
    fixture *f = *state;
    muster_device_comm *child = NULL;
    fixture_connect(f);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(shrink(f, &child), MUSTER_OK);
    close_comm(f);
    f->comm = child;
}

static void a_kept_one_refuses_all_else(void **state)
{
    fixture *f = *state;
    muster_device_batch *batch = NULL;
    struct ncclComm *native = NULL;
    char *data = NULL;
    fixture_connect(f);
    data = fixture_memory(0, 8);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    const muster_transport_operation send = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = data, .bytes = 8};
    assert_int_equal(f->table->submit(f->comm, NULL, &send, 1, &batch, &f->error),
                     MUSTER_ERR_RANK_LOST);
    assert_null(batch);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_ERR_RANK_LOST);
    assert_null(native);
}

static void the_second_revoke_takes_what_the_first_kept(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 1);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 1);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 0);
    assert_false(f->table->can_shrink(f->comm));
}

/* What makes a comm unfit; each is then not kept by a revoke either. */
static void expect_not_kept(fixture *f)
{
    assert_false(f->table->can_shrink(f->comm));
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 0);
    assert_false(f->table->can_shrink(f->comm));
}

static void not_with_an_error(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    assert_true(f->table->can_shrink(f->comm));
    f->nccl->async_error = ncclRemoteError;
    expect_not_kept(f);
}

static void not_once_it_was_lent(void **state)
{
    fixture *f = *state;
    struct ncclComm *native = NULL;
    fixture_connect(f);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_OK);
    assert_int_equal(f->table->give_back(f->comm), MUSTER_OK);
    expect_not_kept(f);
}

static void not_with_a_batch_in_flight(void **state)
{
    fixture *f = *state;
    muster_device_batch *batch = NULL;
    bool enqueued = false, done = false;
    fixture_connect(f);
    f->cuda->queries = -1;
    const muster_transport_operation send = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = fixture_memory(0, 8), .bytes = 8};
    assert_int_equal(f->table->submit(f->comm, NULL, &send, 1, &batch, &f->error), MUSTER_OK);
    assert_false(f->table->can_shrink(f->comm));
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_true(enqueued);
    assert_false(done);
    expect_not_kept(f);
    f->table->release(batch);
}

static void with_a_batch_that_is_done(void **state)
{
    fixture *f = *state;
    muster_device_batch *batch = NULL;
    fixture_connect(f);
    const muster_transport_operation send = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = fixture_memory(0, 8), .bytes = 8};
    assert_int_equal(f->table->submit(f->comm, NULL, &send, 1, &batch, &f->error), MUSTER_OK);
    assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
    f->table->release(batch);
    assert_true(f->table->can_shrink(f->comm));
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_true(f->table->can_shrink(f->comm));
}

static void expect_failure(fixture *f, muster_status status)
{
    muster_device_comm *child = NULL;
    assert_int_equal(shrink(f, &child), status);
    assert_null(child);
    assert_int_equal(f->error.status, status);
    /* The parent was aborted with what had begun; its handle is still to be closed. */
    assert_int_equal(f->nccl->live_comms, 0);
    assert_false(f->table->can_shrink(f->comm));
    assert_int_equal(shrink(f, &child), MUSTER_ERR_RANK_LOST);
    close_comm(f);
    fixture_connect(f);
}

static void failures_of_a_shrink(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    f->nccl->failure =
        (stub_failure){.name = "ncclCommShrink", .countdown = 1, .code = ncclSystemError};
    expect_failure(f, MUSTER_ERR_DEVICE_CALL);
    assert_int_equal(f->error.status, MUSTER_OK);

    f->nccl->no_child = true;
    expect_failure(f, MUSTER_ERR_DEVICE_CALL);
    f->nccl->no_child = false;

    atomic_store(&f->cancel, true);
    f->nccl->polls = 1000000;
    muster_device_comm *child = NULL;
    assert_int_equal(shrink(f, &child), MUSTER_ERR_RANK_LOST);
    assert_int_equal(f->nccl->live_comms, 0);
}

static void the_deadline_of_a_shrink(void **state)
{
    fixture *f = *state;
    muster_device_comm *child = NULL;
    fixture_connect(f);
    f->nccl->polls = -1;
    muster_device_connect_options options = fixture_connect_options(f, 3);
    options.deadline_ns = fixture_now_ns() + 10 * MILLISECOND_NS;
    assert_int_equal(f->table->shrink(f->comm, excluded, 1, &options, &child, &f->error),
                     MUSTER_ERR_TIMEOUT);
    assert_null(child);
    assert_int_equal(f->nccl->live_comms, 0);
}

static void *revoke_when_the_child_is_there(void *argument)
{
    fixture *f = argument;
    fixture_nap(5 * MILLISECOND_NS);
    f->table->revoke(f->device, false);
    return NULL;
}

static void a_revoke_meanwhile(void **state)
{
    fixture *f = *state;
    for (int polls = 0; polls < 12; polls += 2) {
        muster_device_comm *child = NULL;
        pthread_t thread;
        fixture_connect(f);
        f->nccl->polls = polls;
        assert_int_equal(pthread_create(&thread, NULL, revoke_when_the_child_is_there, f), 0);
        const muster_status status = shrink(f, &child);
        pthread_join(thread, NULL);
        assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
        assert_int_equal(f->nccl->live_comms, 0);
        if (status == MUSTER_OK)
            assert_int_equal(f->table->comm_close(child, &f->error), MUSTER_OK);
        else
            assert_int_equal(status, MUSTER_ERR_RANK_LOST);
        close_comm(f);
        f->table->revive(f->device);
        f->nccl->polls = 0;
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_healthy_one_is_kept_and_shrunk),
        TEST(before_the_revival_too),
        TEST(a_kept_one_refuses_all_else),
        TEST(the_second_revoke_takes_what_the_first_kept),
        TEST(not_with_an_error),
        TEST(not_once_it_was_lent),
        TEST(not_with_a_batch_in_flight),
        TEST(with_a_batch_that_is_done),
        TEST(failures_of_a_shrink),
        TEST(the_deadline_of_a_shrink),
        TEST(a_revoke_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
