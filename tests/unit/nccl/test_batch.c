/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: one group each, in order, done by event. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static int stream_object;
static void *const stream = &stream_object;

static muster_transport_operation send_to(int32_t peer, void *data, size_t bytes)
{
    return (muster_transport_operation){
        .kind = MUSTER_TRANSPORT_SEND, .peer = peer, .data = data, .bytes = bytes};
}

static muster_transport_operation receive_from(int32_t peer, void *data, size_t bytes)
{
    return (muster_transport_operation){
        .kind = MUSTER_TRANSPORT_RECEIVE, .peer = peer, .data = data, .bytes = bytes};
}

static muster_transport_operation copy_of(const void *from, void *to, size_t bytes)
{
    return (muster_transport_operation){
        .kind = MUSTER_TRANSPORT_COPY, .peer = 1, .data = to, .source = from, .bytes = bytes};
}

static muster_device_batch *submit(fixture *f, const muster_transport_operation *operations,
                                   size_t count)
{
    muster_device_batch *batch = NULL;
    assert_int_equal(f->table->submit(f->comm, stream, operations, count, &batch, &f->error),
                     MUSTER_OK);
    assert_non_null(batch);
    return batch;
}

static int count(const fixture *f, const char *name)
{
    return fixture_count(f->nccl->log, f->nccl->log_count, name);
}

static void one_group_and_the_copies_before_it(void **state)
{
    fixture *f = *state;
    char *own = fixture_memory(0, 16), *all = fixture_memory(0, 64);
    f->nccl->polls = 2;
    f->cuda->queries = 2;
    fixture_connect(f);
    memset(own, 'r', 16);
    const muster_transport_operation operations[] = {
        receive_from(0, all, 16), copy_of(own, all + 16, 16), receive_from(2, all + 32, 16),
        receive_from(3, all + 48, 8), send_to(3, own, 5)};
    f->nccl->log_count = 0;
    f->cuda->log_count = 0;
    muster_device_batch *batch = submit(f, operations, 5);
    assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
    f->table->release(batch);

    assert_memory_equal(all + 16, own, 16);
    assert_int_equal(f->nccl->groups, 1);
    assert_int_equal(count(f, "ncclRecv"), 3);
    assert_int_equal(count(f, "ncclSend"), 1);
    const stub_entry *second = fixture_find(f->nccl->log, f->nccl->log_count, "ncclRecv", 1);
    assert_ptr_equal(second->buffer, all + 32);
    assert_int_equal(second->bytes, 16);
    assert_int_equal(second->peer, 2);
    assert_ptr_equal(second->stream, stream);
    const stub_entry *copy = fixture_find(f->cuda->log, f->cuda->log_count, "cudaMemcpyAsync", 0);
    const stub_entry *start = fixture_find(f->nccl->log, f->nccl->log_count, "ncclGroupStart", 0);
    const stub_entry *end = fixture_find(f->nccl->log, f->nccl->log_count, "ncclGroupEnd", 0);
    const stub_entry *event = fixture_find(f->cuda->log, f->cuda->log_count, "cudaEventRecord", 0);
    assert_true(copy->order < start->order);
    assert_true(end->order < event->order);
    assert_ptr_equal(event->stream, stream);
    /* In progress twice, then not: the event comes after all three answers. */
    const stub_entry *third =
        fixture_find(f->nccl->log, f->nccl->log_count, "ncclCommGetAsyncError", 2);
    assert_true(third->order < event->order);
}

static void enqueued_comes_before_done(void **state)
{
    fixture *f = *state;
    bool enqueued = true, done = true;
    fixture_connect(f);
    f->nccl->polls = 1;
    f->cuda->queries = 1;
    const muster_transport_operation operation = send_to(0, fixture_memory(0, 8), 8);
    muster_device_batch *batch = submit(f, &operation, 1);
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_false(enqueued);
    assert_false(done);
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_true(enqueued);
    assert_false(done);
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_true(done);
    /* Said again, without asking anybody. */
    f->nccl->log_count = 0;
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_true(enqueued && done);
    assert_int_equal(f->nccl->log_count, 0);
    f->table->release(batch);
}

/* The query of an event would fail, and spoil the other thread's capture. */
static void a_capture_on_another_thread(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    f->cuda->captures_elsewhere = true;
    f->cuda->queries = 2;
    f->cuda->log_count = 0;
    const muster_transport_operation operation = send_to(0, fixture_memory(0, 8), 8);
    muster_device_batch *batch = submit(f, &operation, 1);
    assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
    f->table->release(batch);
    /* The thread's own mode is back. */
    const char *const name = "cudaThreadExchangeStreamCaptureMode";
    const int exchanges = fixture_count(f->cuda->log, f->cuda->log_count, name);
    assert_true(exchanges > 0 && exchanges % 2 == 0);
    for (int i = 0; i < exchanges; i++)
        assert_int_equal(fixture_find(f->cuda->log, f->cuda->log_count, name, i)->peer,
                         i % 2 == 0 ? cudaStreamCaptureModeRelaxed : cudaStreamCaptureModeGlobal);
    assert_true(f->table->can_shrink(f->comm));
}

static void copies_alone_need_no_group(void **state)
{
    fixture *f = *state;
    char *own = fixture_memory(0, 8), *all = fixture_memory(0, 8);
    bool enqueued = false, done = false;
    fixture_connect(f);
    const muster_transport_operation operation = copy_of(own, all, 8);
    muster_device_batch *batch = submit(f, &operation, 1);
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_true(enqueued && done);
    assert_int_equal(count(f, "ncclGroupStart"), 0);
    f->table->release(batch);
    /* Nor does a rank that has no rows in it. */
    batch = submit(f, NULL, 0);
    assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
    assert_true(enqueued && done);
    assert_int_equal(count(f, "ncclGroupStart"), 0);
    f->table->release(batch);
}

/* The stub notices an operation on a communicator that is busy. */
static void the_next_one_waits_for_its_turn(void **state)
{
    enum { BATCHES = 4 };
    fixture *f = *state;
    char *data = fixture_memory(0, 64);
    muster_device_batch *batches[BATCHES];
    bool enqueued = true, done = true;
    fixture_connect(f);
    f->nccl->polls = 3;
    f->nccl->log_count = 0;
    for (int i = 0; i < BATCHES; i++) {
        muster_transport_operation operation = send_to(0, data + i, (size_t)i + 1);
        batches[i] = submit(f, &operation, 1);
        operation = send_to(3, NULL, 0); /* read during the call only */
    }
    assert_int_equal(f->nccl->groups, 1);
    assert_int_equal(f->table->progress(batches[BATCHES - 1], &enqueued, &done, &f->error),
                     MUSTER_OK);
    assert_false(enqueued || done);
    /* The last one's progress pushes those before it. */
    assert_int_equal(fixture_finish(f, batches[BATCHES - 1]), MUSTER_OK);
    assert_int_equal(f->nccl->groups, BATCHES);
    for (int i = 0; i < BATCHES; i++) {
        const stub_entry *sent = fixture_find(f->nccl->log, f->nccl->log_count, "ncclSend", i);
        assert_ptr_equal(sent->buffer, data + i);
        assert_int_equal(sent->bytes, i + 1);
        assert_int_equal(f->table->progress(batches[i], &enqueued, &done, &f->error), MUSTER_OK);
        assert_true(enqueued && done);
        f->table->release(batches[i]);
    }
}

static void a_batch_that_nobody_waits_for_goes_on(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    f->nccl->polls = 2;
    const muster_transport_operation operation = send_to(0, fixture_memory(0, 8), 8);
    f->table->release(submit(f, &operation, 1));
    f->table->release(submit(f, &operation, 1));
    muster_device_batch *last = submit(f, &operation, 1);
    assert_int_equal(fixture_finish(f, last), MUSTER_OK);
    assert_int_equal(f->nccl->groups, 3);
    f->table->release(last);
    assert_true(f->table->can_shrink(f->comm));
    /* Nor is one in flight lost when the comm closes. */
    f->table->release(submit(f, &operation, 1));
}

static void events_are_used_again(void **state)
{
    fixture *f = *state;
    char *data = fixture_memory(0, 8);
    fixture_connect(f);
    for (int i = 0; i < 50; i++) {
        const muster_transport_operation operation = send_to(0, data, 8);
        muster_device_batch *batch = submit(f, &operation, 1);
        assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
        f->table->release(batch);
    }
    assert_int_equal(f->cuda->events_made, 1);
    muster_device_batch *batches[20];
    for (int i = 0; i < 20; i++) {
        const muster_transport_operation operation = send_to(0, data, 8);
        batches[i] = submit(f, &operation, 1);
    }
    assert_int_equal(f->cuda->events_made, 20);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(fixture_finish(f, batches[i]), MUSTER_OK);
        f->table->release(batches[i]);
    }
    assert_int_equal(f->cuda->events_made, 20);
}

static void huge_counts(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    const size_t bytes = (size_t)1 << 40;
    const muster_transport_operation operation = send_to(0, fixture_memory(0, 8), bytes);
    muster_device_batch *batch = submit(f, &operation, 1);
    const stub_entry *sent = fixture_find(f->nccl->log, f->nccl->log_count, "ncclSend", 0);
    assert_true(sent->bytes == bytes);
    assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
    f->table->release(batch);
}

/* An error that comes in any phase: while NCCL enqueues, and while the device works. */
static void asynchronous_errors(void **state)
{
    fixture *f = *state;
    char *data = fixture_memory(0, 8);
    for (int phase = 0; phase < 3; phase++) {
        bool enqueued = false, done = false;
        fixture_connect(f);
        f->nccl->polls = 1;
        f->cuda->queries = phase == 1 ? -1 : 0;
        const muster_transport_operation operation = send_to(0, data, 8);
        muster_device_batch *batch = submit(f, &operation, 1);
        if (phase > 0) {
            while (!enqueued && !done)
                assert_int_equal(f->table->progress(batch, &enqueued, &done, &f->error), MUSTER_OK);
        }
        muster_status expected = MUSTER_ERR_DEVICE_CALL;
        if (phase == 2 && done) /* over before the error came */
            expected = MUSTER_OK;
        f->nccl->async_error = ncclRemoteError;
        muster_status status = MUSTER_OK;
        for (int i = 0; i < 5 && status == MUSTER_OK; i++)
            status = f->table->progress(batch, &enqueued, &done, &f->error);
        assert_int_equal(status, expected);
        if (status != MUSTER_OK) {
            assert_false(done);
            assert_int_equal(f->error.native_code, ncclRemoteError);
            /* The same words from then on, and nothing goes in. */
            f->nccl->log_count = 0;
            muster_device_batch *next = NULL;
            muster_error_init(&f->error);
            assert_int_equal(f->table->submit(f->comm, stream, &operation, 1, &next, &f->error),
                             MUSTER_ERR_DEVICE_CALL);
            assert_null(next);
            assert_int_equal(f->error.native_code, ncclRemoteError);
            assert_non_null(strstr(f->error.message, "remote process exited"));
            assert_int_equal(f->nccl->log_count, 0);
        }
        f->table->release(batch);
        f->nccl->log_count = 0;
        assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
        f->comm = NULL;
        if (expected != MUSTER_OK)
            assert_int_equal(count(f, "ncclCommAbort"), 1);
        f->nccl->async_error = 0;
        f->cuda->queries = 0;
        f->nccl->polls = 0;
    }
}

static void the_current_device_comes_back(void **state)
{
    fixture *f = *state;
    f->options.device = 1;
    fixture_connect(f);
    f->cuda->log_count = 0;
    const muster_transport_operation operations[] = {
        send_to(0, fixture_memory(1, 8), 8),
        copy_of(fixture_memory(1, 8), fixture_memory(1, 8), 8)};
    muster_device_batch *batch = submit(f, operations, 2);
    assert_int_equal(fixture_finish(f, batch), MUSTER_OK);
    f->table->release(batch);
    const stub_entry *copy = fixture_find(f->cuda->log, f->cuda->log_count, "cudaMemcpyAsync", 0);
    const stub_entry *event = fixture_find(f->cuda->log, f->cuda->log_count, "cudaEventRecord", 0);
    assert_int_equal(copy->device, 1);
    assert_int_equal(event->device, 1);
    f->cuda->log_count = 0;
    assert_int_equal(f->table->check_stream(f->device, NULL, &f->error), MUSTER_OK);
    assert_int_equal(f->cuda->log[0].device, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_group_and_the_copies_before_it),
        TEST(enqueued_comes_before_done),
        TEST(a_capture_on_another_thread),
        TEST(copies_alone_need_no_group),
        TEST(the_next_one_waits_for_its_turn),
        TEST(a_batch_that_nobody_waits_for_goes_on),
        TEST(events_are_used_again),
        TEST(huge_counts),
        TEST(asynchronous_errors),
        TEST(the_current_device_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
