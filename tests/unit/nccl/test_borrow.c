/* SPDX-License-Identifier: Apache-2.0 */
/* The communicator lent to the job: a bracket that an abort waits for. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static void lent_and_returned(void **state)
{
    fixture *f = *state;
    struct ncclComm *native = NULL, *second = NULL;
    muster_device_batch *batch = NULL;
    fixture_connect(f);
    assert_int_equal(f->table->give_back(f->comm), MUSTER_ERR_BORROWED);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_OK);
    assert_non_null(native);
    assert_int_equal(f->table->borrow(f->comm, &second, &f->error), MUSTER_ERR_BORROWED);
    assert_null(second);
    const muster_transport_operation send = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = fixture_memory(0, 8), .bytes = 8};
    assert_int_equal(f->table->submit(f->comm, NULL, &send, 1, &batch, &f->error),
                     MUSTER_ERR_BORROWED);
    assert_int_equal(f->table->give_back(f->comm), MUSTER_OK);
    assert_int_equal(f->table->give_back(f->comm), MUSTER_ERR_BORROWED);
    assert_int_equal(f->table->submit(f->comm, NULL, &send, 1, &batch, &f->error), MUSTER_OK);
    assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
    f->table->release(batch);
}

/* The job's own call may be in progress when it is returned: the stub notices who does not wait. */
static void what_the_job_began_is_waited_for(void **state)
{
    fixture *f = *state;
    struct ncclComm *native = NULL;
    muster_device_batch *batch = NULL;
    typedef ncclResult_t (*group_function)(void);
    typedef ncclResult_t (*send_function)(const void *, size_t, ncclDataType_t, int, ncclComm_t,
                                          cudaStream_t);
    void *library = dlopen(STUB_NCCL, RTLD_NOW | RTLD_LOCAL);
    group_function start, end;
    send_function send;
    assert_non_null(library);
    void *symbol = dlsym(library, "ncclGroupStart");
    memcpy(&start, &symbol, sizeof(symbol));
    symbol = dlsym(library, "ncclGroupEnd");
    memcpy(&end, &symbol, sizeof(symbol));
    symbol = dlsym(library, "ncclSend");
    memcpy(&send, &symbol, sizeof(symbol));

    fixture_connect(f);
    f->nccl->polls = 4;
    void *data = fixture_memory(0, 8);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_OK);
    assert_int_equal(start(), ncclSuccess);
    assert_int_equal(send(data, 8, ncclInt8, 0, native, NULL), ncclSuccess);
    assert_int_equal(end(), ncclInProgress);
    assert_int_equal(f->table->give_back(f->comm), MUSTER_OK);
    const muster_transport_operation operation = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = data, .bytes = 8};
    assert_int_equal(f->table->submit(f->comm, NULL, &operation, 1, &batch, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->groups, 1);
    assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
    assert_int_equal(f->nccl->groups, 2);
    f->table->release(batch);
    dlclose(library);
}

static void not_while_a_batch_is_being_enqueued(void **state)
{
    fixture *f = *state;
    struct ncclComm *native = NULL;
    muster_device_batch *batch = NULL;
    fixture_connect(f);
    f->nccl->polls = 2;
    f->cuda->queries = -1;
    const muster_transport_operation operation = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = fixture_memory(0, 8), .bytes = 8};
    assert_int_equal(f->table->submit(f->comm, NULL, &operation, 1, &batch, &f->error), MUSTER_OK);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_ERR_IN_FLIGHT);
    assert_null(native);
    muster_status status = MUSTER_ERR_IN_FLIGHT;
    for (int i = 0; i < 5 && status == MUSTER_ERR_IN_FLIGHT; i++)
        status = f->table->borrow(f->comm, &native, &f->error);
    assert_int_equal(status, MUSTER_OK);
    /* Enqueued is enough; its progress then asks CUDA only. */
    bool enqueued = false, done = true;
    f->nccl->log_count = 0;
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_true(enqueued);
    assert_false(done);
    assert_int_equal(f->nccl->log_count, 0);
    f->cuda->queries = 0;
    assert_int_equal(f->table->give_back(f->comm), MUSTER_OK);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    f->table->release(batch);
}

static void a_revoke_waits_for_it(void **state)
{
    fixture *f = *state;
    struct ncclComm *native = NULL;
    fixture_connect(f);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_OK);
    f->table->revoke(f->device, false);
    fixture_nap(20 * MILLISECOND_NS);
    assert_int_equal(f->nccl->live_comms, 1);
    assert_int_equal(f->table->give_back(f->comm), MUSTER_ERR_RANK_LOST);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 0);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_ERR_RANK_LOST);
}

static void closed_while_it_is_lent(void **state)
{
    fixture *f = *state;
    struct ncclComm *native = NULL;
    fixture_connect(f);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_OK);
    assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
    f->comm = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(lent_and_returned),
        TEST(what_the_job_began_is_waited_for),
        TEST(not_while_a_batch_is_being_enqueued),
        TEST(a_revoke_waits_for_it),
        TEST(closed_while_it_is_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
