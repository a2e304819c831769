/* SPDX-License-Identifier: Apache-2.0 */
/* A loss: all communicators in one group, nobody inside meanwhile, and every call says RANK_LOST. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

enum { COMMS = 3 };

static void connect_all(fixture *f, muster_device_comm **comms)
{
    for (int i = 0; i < COMMS; i++) {
        fixture_connect(f);
        comms[i] = f->comm;
    }
    f->comm = NULL;
}

static void close_all(fixture *f, muster_device_comm **comms)
{
    for (int i = 0; i < COMMS; i++)
        assert_int_equal(f->table->comm_close(comms[i], &f->error), MUSTER_OK);
}

static void all_in_one_group(void **state)
{
    fixture *f = *state;
    muster_device_comm *comms[COMMS];
    struct ncclComm *native = NULL;
    muster_device_batch *batch = NULL;
    connect_all(f, comms);
    const muster_transport_operation send = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = fixture_memory(0, 8), .bytes = 8};
    assert_int_equal(f->table->submit(comms[1], NULL, &send, 1, &batch, &f->error), MUSTER_OK);
    f->nccl->groups = 0;
    f->nccl->log_count = 0;
    f->table->revoke(f->device, false);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    f->table->revoke(f->device, false);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), COMMS);
    assert_int_equal(f->nccl->groups, 1);
    assert_int_equal(f->nccl->live_comms, 0);

    bool enqueued = false, done = false;
    f->nccl->log_count = 0;
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_ERR_RANK_LOST);
    assert_false(done);
    f->table->release(batch);
    batch = NULL;
    assert_int_equal(f->table->submit(comms[0], NULL, &send, 1, &batch, &f->error),
                     MUSTER_ERR_RANK_LOST);
    assert_null(batch);
    assert_int_equal(f->table->borrow(comms[0], &native, &f->error), MUSTER_ERR_RANK_LOST);
    assert_false(f->table->can_shrink(comms[0]));
    close_all(f, comms);
    assert_int_equal(f->nccl->log_count, 0);
    f->table->revive(f->device);
    fixture_connect(f);
}

static void nothing_to_wait_for(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->table->revive(f->device);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    f->table->revive(f->device);
    fixture_connect(f);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 1);
}

static void the_healthy_are_kept(void **state)
{
    fixture *f = *state;
    muster_device_comm *comms[COMMS];
    struct ncclComm *native = NULL;
    connect_all(f, comms);
    assert_int_equal(f->table->borrow(comms[1], &native, &f->error), MUSTER_OK);
    assert_int_equal(f->table->give_back(comms[1]), MUSTER_OK);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, COMMS - 1);
    assert_true(f->table->can_shrink(comms[0]));
    assert_false(f->table->can_shrink(comms[1]));
    assert_true(f->table->can_shrink(comms[2]));
    /* Closed unshrunk: by abort, since the lost one does not say goodbye. */
    f->nccl->log_count = 0;
    close_all(f, comms);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommFinalize"), 0);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), COMMS - 1);
}

/* A rank at work: polls a batch that never ends, until it is told. The stub notices a poll during an abort. */
static void *work(void *argument)
{
    fixture *f = argument;
    muster_device_batch *batch = NULL;
    const muster_transport_operation send = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = f->ids, .bytes = 8};
    muster_status status = f->table->submit(f->comm, NULL, &send, 1, &batch, NULL);
    while (status == MUSTER_OK) {
        bool enqueued, done;
        status = f->table->progress(batch, &enqueued, &done, NULL);
    }
    f->table->release(batch);
    return (void *)(intptr_t)status;
}

static void while_a_thread_polls(void **state)
{
    fixture *f = *state;
    for (int round = 0; round < 50; round++) {
        pthread_t thread;
        void *status = NULL;
        f->nccl->polls = 1;
        f->cuda->queries = -1;
        fixture_connect(f);
        assert_int_equal(pthread_create(&thread, NULL, work, f), 0);
        fixture_nap(round * (int64_t)20000);
        f->table->revoke(f->device, (round & 1) != 0);
        assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
        pthread_join(thread, &status);
        assert_int_equal((intptr_t)status, MUSTER_ERR_RANK_LOST);
        assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
        f->comm = NULL;
        assert_int_equal(f->nccl->live_comms, 0);
        f->table->revive(f->device);
        f->nccl->log_count = 0;
        f->cuda->log_count = 0;
    }
    assert_int_equal(f->cuda->events_live, 0);
}

static void somebody_inside_is_waited_for(void **state)
{
    fixture *f = *state;
    pthread_t thread;
    fixture_connect(f);
    f->cuda->queries = -1;
    atomic_store(&f->nccl->hold_poll, true);
    assert_int_equal(pthread_create(&thread, NULL, work, f), 0);
    while (atomic_load(&f->nccl->inside) == 0)
        fixture_nap(20000);
    f->table->revoke(f->device, false);
    fixture_nap(20 * MILLISECOND_NS);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), 0);
    atomic_store(&f->nccl->hold_poll, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 0);
    pthread_join(thread, NULL);
}

static void *await(void *argument)
{
    fixture *f = argument;
    return (void *)(intptr_t)f->table->await_revoked(f->device, NULL);
}

static void several_wait(void **state)
{
    fixture *f = *state;
    pthread_t threads[4];
    fixture_connect(f);
    atomic_store(&f->nccl->hold_abort, true);
    f->table->revoke(f->device, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, await, f), 0);
    fixture_nap(5 * MILLISECOND_NS);
    atomic_store(&f->nccl->hold_abort, false);
    for (int i = 0; i < 4; i++) {
        void *status = NULL;
        pthread_join(threads[i], &status);
        assert_int_equal((intptr_t)status, MUSTER_OK);
    }
}

/* An event that passes because of the abort is not a batch that is done. */
static void an_event_of_an_aborted_kernel_is_not_believed(void **state)
{
    fixture *f = *state;
    muster_device_batch *batch = NULL;
    bool enqueued = false, done = false;
    fixture_connect(f);
    f->cuda->queries = -1;
    const muster_transport_operation send = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = fixture_memory(0, 8), .bytes = 8};
    assert_int_equal(f->table->submit(f->comm, NULL, &send, 1, &batch, &f->error), MUSTER_OK);
    while (!enqueued)
        assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    f->cuda->queries = 0;
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_ERR_RANK_LOST);
    assert_false(done);
    f->table->release(batch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_in_one_group),
        TEST(nothing_to_wait_for),
        TEST(the_healthy_are_kept),
        TEST(while_a_thread_polls),
        TEST(somebody_inside_is_waited_for),
        TEST(several_wait),
        TEST(an_event_of_an_aborted_kernel_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
