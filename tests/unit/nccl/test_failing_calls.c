/* SPDX-License-Identifier: Apache-2.0 */
/* The n-th call into a library fails, for every n: the code, its text and the call come back, nothing is left
 * behind, and no rule of NCCL's is broken. */
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

typedef struct outcome {
    muster_status status; /* the first that is not MUSTER_OK */
    muster_error error;
} outcome;

static bool went_well(fixture *f, outcome *seen, muster_status status)
{
    if (status != MUSTER_OK && seen->status == MUSTER_OK) {
        seen->status = status;
        seen->error = f->error;
    }
    return status == MUSTER_OK;
}

static bool run_batch(fixture *f, outcome *seen, muster_device_comm *comm, char *memory)
{
    const muster_transport_operation operations[] = {
        {.kind = MUSTER_TRANSPORT_RECEIVE, .peer = 0, .data = memory, .bytes = 16},
        {.kind = MUSTER_TRANSPORT_COPY, .data = memory + 16, .source = memory + 32, .bytes = 16},
        {.kind = MUSTER_TRANSPORT_SEND, .peer = 2, .data = memory + 48, .bytes = 16}};
    muster_device_batch *batch = NULL;
    if (!went_well(f, seen, f->table->submit(comm, NULL, operations, 3, &batch, &f->error))) {
        assert_null(batch);
        return false;
    }
    const bool well = went_well(f, seen, fixture_finish(f, batch));
    f->table->release(batch);
    return well;
}

static bool shrink(fixture *f, outcome *seen)
{
    static const int32_t excluded[] = {3};
    muster_device_comm *child = NULL;
    const muster_device_connect_options options = fixture_connect_options(f, 3);
    const muster_status status =
        f->table->shrink(f->comm, excluded, 1, &options, &child, &f->error);
    /* A parent that NCCL says is not healthy is not shrunk: no failure of its own. */
    if (status != MUSTER_OK) {
        assert_null(child);
        return went_well(f, seen, status);
    }
    const muster_status closed = f->table->comm_close(f->comm, &f->error);
    f->comm = child;
    return went_well(f, seen, closed);
}

/* Everything once, on device 1, while device 0 is the application's. */
static void run_all(fixture *f, outcome *seen)
{
    f->options.device = 1;
    f->nccl->polls = 1;
    f->cuda->queries = 1;
    char *memory = fixture_memory(1, 64);
    struct ncclComm *native = NULL;
    const muster_device_connect_options options = fixture_connect_options(f, 4);
    if (went_well(f, seen, fixture_open(f)) &&
        went_well(f, seen, f->table->check_memory(f->device, memory, 64, &f->error)) &&
        went_well(f, seen, f->table->check_stream(f->device, NULL, &f->error)) &&
        went_well(f, seen, f->table->make_id(f->device, &f->ids[0], &f->error)) &&
        went_well(f, seen, f->table->connect(f->device, &options, &f->comm, &f->error)) &&
        run_batch(f, seen, f->comm, memory) && shrink(f, seen) &&
        run_batch(f, seen, f->comm, memory) &&
        went_well(f, seen, f->table->borrow(f->comm, &native, &f->error)))
        went_well(f, seen, f->table->give_back(f->comm));
    if (f->comm != NULL)
        went_well(f, seen, f->table->comm_close(f->comm, &f->error));
    f->comm = NULL;
    if (f->device != NULL)
        f->table->close(f->device);
    f->device = NULL;
}

/* What may fail without the caller hearing of it, and why. */
static bool is_of_no_consequence(const char *call, const outcome *seen)
{
    static const char *const calls[] = {
        "cudaEventDestroy",                    /* nothing can be done about it */
        "cudaGetDevice",                       /* before that: they are destroyed all the same */
        "cudaSetDevice",                       /* putting the application's back */
        "cudaThreadExchangeStreamCaptureMode", /* the same, and that of the device's own thread */
        "ncclCommFinalize",                    /* aborted then */
        "ncclCommGetAsyncError",               /* while it closes: aborted then */
        "ncclGroupStart",                      /* of an abort: one by one then */
    };
    if (seen->status != MUSTER_OK)
        return false;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(calls[i], call) == 0)
            return true;
    }
    return false;
}

static void check_outcome(const outcome *seen, const char *call, int code)
{
    if (is_of_no_consequence(call, seen))
        return;
    if (seen->status == MUSTER_OK)
        fail_msg("%s failed and nobody heard of it", call);
    assert_int_equal(seen->error.status, seen->status);
    /* A shrink asks first whether the parent is healthy, and says so where it is not. */
    if (seen->status == MUSTER_ERR_RANK_LOST)
        return;
    assert_int_equal(seen->error.native_code, code);
    const bool named = strstr(seen->error.message, call) != NULL;
    /* Polls are told by what is polled for. */
    if (!named && strcmp(call, "ncclCommGetAsyncError") != 0 && strcmp(call, "ncclGroupEnd") != 0)
        fail_msg("%s is not in '%s'", call, seen->error.message);
}

static void every_call_of_nccl(void **state)
{
    fixture *f = *state;
    int calls = 1;
    for (int nth = 1; nth <= calls; nth++) {
        outcome seen = {.status = MUSTER_OK};
        fixture_reset(f);
        muster_error_init(&f->error);
        f->nccl->failure = (stub_failure){.countdown = nth, .code = ncclInternalError};
        run_all(f, &seen);
        /* One by one, where a group cannot be started: NCCL does not mind. */
        if (f->nccl->failure.failed != NULL &&
            strcmp(f->nccl->failure.failed, "ncclGroupStart") == 0)
            atomic_store(&f->nccl->violations, 0);
        if (atomic_load(&f->nccl->violations) > 0)
            fail_msg("call %d, %s: %s", nth, f->nccl->failure.failed, f->nccl->violation);
        assert_int_equal(f->nccl->live_comms, 0);
        assert_int_equal(f->cuda->events_live, 0);
        if (f->nccl->failure.failed == NULL)
            break;
        check_outcome(&seen, f->nccl->failure.failed, ncclInternalError);
        calls = nth + 1;
    }
    assert_true(calls > 30);
    print_message("%d calls of NCCL failed, one at a time\n", calls - 1);
}

static void every_call_of_cuda(void **state)
{
    fixture *f = *state;
    int calls = 1;
    for (int nth = 1; nth <= calls; nth++) {
        outcome seen = {.status = MUSTER_OK};
        fixture_reset(f);
        muster_error_init(&f->error);
        f->cuda->failure = (stub_failure){.countdown = nth, .code = cudaErrorIllegalAddress};
        run_all(f, &seen);
        if (atomic_load(&f->nccl->violations) > 0)
            fail_msg("call %d, %s: %s", nth, f->cuda->failure.failed, f->nccl->violation);
        assert_int_equal(f->nccl->live_comms, 0);
        assert_int_equal(f->cuda->events_live, 0);
        if (f->cuda->failure.failed == NULL)
            break;
        check_outcome(&seen, f->cuda->failure.failed, cudaErrorIllegalAddress);
        calls = nth + 1;
    }
    assert_true(calls > 30);
    print_message("%d calls of CUDA failed, one at a time\n", calls - 1);
}

/* They have the cause, and what is cut is cut behind them: of a long sentence another rank hears the beginning. */
static void last_words_come_first_and_end_with_a_word(void **state)
{
    fixture *f = *state;
    const char *const said[] = {
        "Call to bind failed : Address already in use\n",
        "socketStartConnect: Connect to 10.0.0.7<41234> failed : Software caused connection abort, "
        "after 20 attempts in 21 seconds over interface eth0 of the host that has no route",
    };
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        fixture_reset(f);
        muster_error_init(&f->error);
        f->nccl->last_words = said[i];
        assert_int_equal(fixture_open(f), MUSTER_OK);
        f->nccl->failure = (stub_failure){.countdown = 1, .code = ncclSystemError};
        assert_int_equal(f->table->make_id(f->device, &f->ids[0], &f->error),
                         MUSTER_ERR_DEVICE_CALL);
        assert_non_null(strstr(f->error.message,
                               i == 0 ? "NCCL error 2: Call to bind failed : Address already in "
                                        "use (text of the stub)"
                                      : "NCCL error 2: socketStartConnect: Connect to "));
        if (i == 1)
            assert_non_null(
                strstr(f->error.message, "seconds over interface... (text of the stub)"));
        f->table->close(f->device);
        f->device = NULL;
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_call_of_nccl),
        TEST(every_call_of_cuda),
        TEST(last_words_come_first_and_end_with_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
