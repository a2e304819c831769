/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of <muster/device.h>, and what a blocking and a started call, a wait and a commit say about batches
 * that are in the air. Ranks are threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "comm/comm.h"
#include "unit/device/device_rank.h"

enum { RANKS = 2, ROWS = 4 };

static void nap_ms(long ms)
{
    struct timespec nap = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&nap, NULL);
}

/* A broadcast from rank 0 of one value; returns at once or not, as a started or blocking call does. */
typedef struct parcel {
    int32_t value;
    muster_tensor tensor;
} parcel;

static void wrap(parcel *p, const harness_rank *rank, int32_t value)
{
    p->value = muster_comm_rank(rank->world) == 0 ? value : -1;
    p->tensor = device_tensor(rank, &p->value, MUSTER_DTYPE_INT32, 1, 1);
}

/* ---- a job without a device plane ---- */

static void without_a_plane(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    struct ncclComm *lent = (struct ncclComm *)(void *)&error;
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    CHECK_STATUS(MUSTER_ERR_NO_DEVICE_PLANE, muster_comm_set_stream(rank->world, NULL));
    CHECK_STATUS(MUSTER_ERR_NO_DEVICE_PLANE, muster_comm_synchronize(rank->world, &error));
    CHECK(strstr(error.message, "MUSTER_DEVICE_PLANE") != NULL);
    CHECK_STATUS(MUSTER_ERR_NO_DEVICE_PLANE, muster_comm_borrow_nccl(rank->world, &lent, &error));
    CHECK(lent == NULL);
    CHECK_STATUS(MUSTER_ERR_NO_DEVICE_PLANE, muster_comm_return_nccl(rank->world));
    CHECK_STATUS(MUSTER_ERR_NO_DEVICE_PLANE, muster_job_device_facts(rank->job, &facts));
    int32_t value = 0;
    muster_tensor tensor = muster_tensor_device(&value, MUSTER_DTYPE_INT32, 1, 1, 0);
    CHECK_STATUS(MUSTER_ERR_MEMORY_KIND, muster_broadcast(rank->world, &tensor, 0, &error));
}

static void test_a_job_without_a_device_plane(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, without_a_plane, NULL);
}

/* ---- arguments ---- */

static void arguments(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    struct ncclComm *lent;
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    CHECK_STATUS(MUSTER_OK, muster_job_device_facts(rank->job, &facts));
    CHECK(facts.device == rank->slot && facts.nccl_version == 22907);
    CHECK(facts.runtime_version == 13000 && facts.driver_version == 13000);
    facts.struct_bytes = 1;
    CHECK_STATUS(MUSTER_ERR_STRUCT_SIZE, muster_job_device_facts(rank->job, &facts));
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_job_device_facts(rank->job, NULL));
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_job_device_facts(NULL, &facts));
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_comm_set_stream(NULL, NULL));
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_comm_synchronize(NULL, &error));
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_comm_borrow_nccl(NULL, &lent, &error));
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_comm_borrow_nccl(rank->world, NULL, &error));
    CHECK_STATUS(MUSTER_ERR_INVALID_ARGUMENT, muster_comm_return_nccl(NULL));
    CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, NULL));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_comm_set_stream(rank->world, NULL));
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_comm_synchronize(rank->world, NULL));
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_comm_borrow_nccl(rank->world, &lent, NULL));
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_comm_return_nccl(rank->world));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_arguments(void **state)
{
    (void)state;
    harness_options options;
    int statuses[RANKS];
    device_options_init(&options, RANKS);
    harness_run_processes(&options, arguments, NULL, NULL, statuses);
    for (int32_t i = 0; i < RANKS; i++)
        assert_int_equal(statuses[i], 0);
}

/* ---- streams ---- */

static void streams(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    const fake_device_api *api = device_api();
    int32_t own = muster_comm_rank(rank->world);
    parcel p;
    void *stream = api->stream_create(rank->slot);
    void *foreign = api->stream_create(rank->slot + 2);
    CHECK_STATUS(MUSTER_OK, muster_comm_set_stream(rank->world, stream));
    wrap(&p, rank, 17);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &p.tensor, 0, &error));
    /* What the application waits for on its own stream is the batch. */
    api->stream_synchronize(stream);
    CHECK(p.value == 17);
    /* One rank's stream is being captured: nobody enqueues anything. */
    api->stream_set_capturing(stream, own == 1);
    CHECK_STATUS(MUSTER_ERR_STREAM, muster_broadcast(rank->world, &p.tensor, 0, &error));
    CHECK(error.rank == 1);
    api->stream_set_capturing(stream, false);
    if (own == 1)
        CHECK_STATUS(MUSTER_OK, muster_comm_set_stream(rank->world, foreign));
    CHECK_STATUS(MUSTER_ERR_STREAM, muster_broadcast(rank->world, &p.tensor, 0, &error));
    CHECK(error.rank == 1);
    CHECK_STATUS(MUSTER_OK, muster_comm_set_stream(rank->world, NULL));
    wrap(&p, rank, 18);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &p.tensor, 0, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
    CHECK(p.value == 18);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    api->stream_destroy(stream);
    api->stream_destroy(foreign);
}

static void test_streams(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, streams, NULL);
}

/* ---- in the air ---- */

static void *let_go_soon(void *context)
{
    nap_ms(60);
    atomic_store((atomic_bool *)context, false);
    return NULL;
}

static void in_the_air(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    int32_t own = muster_comm_rank(rank->world);
    fake_controls *controls = device_api()->controls;
    atomic_bool *hold = &controls->hold_batches[rank->slot];
    parcel p[3];
    wrap(&p[0], rank, 40); /* the peers meet */
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &p[0].tensor, 0, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));

    atomic_store(hold, true);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    wrap(&p[0], rank, 41);
    wrap(&p[1], rank, 42);
    muster_request *first;
    muster_request *second;
    bool done = true;
    /* Enqueued is enough for a blocking call, and for the call behind it; not for a started one. */
    CHECK_STATUS(MUSTER_OK, muster_broadcast_start(rank->world, &p[0].tensor, 0, &first, &error));
    CHECK_STATUS(MUSTER_OK, muster_broadcast_start(rank->world, &p[1].tensor, 0, &second, &error));
    wrap(&p[2], rank, 43);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &p[2].tensor, 0, &error));
    CHECK(own == 0 || p[2].value == -1);
    CHECK_STATUS(MUSTER_OK, muster_request_test(first, &done, &error));
    CHECK(!done);
    CHECK_STATUS(MUSTER_ERR_TIMEOUT, muster_request_wait(second, 1000000, &error));
    CHECK_STATUS(MUSTER_ERR_IN_FLIGHT, muster_request_free(first));
    /* A host call is through before them. */
    muster_tensor host = muster_tensor_host(&own, MUSTER_DTYPE_INT32, 1, 1);
    int32_t on_host = own;
    host.data = &on_host;
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &host, 0, &error));
    CHECK(on_host == 0);
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, 20000000));
    CHECK_STATUS(MUSTER_ERR_TIMEOUT, muster_comm_synchronize(rank->world, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, INT64_C(10000000000)));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, let_go_soon, hold) == 0);
    CHECK_STATUS(MUSTER_OK, muster_request_wait(second, MUSTER_TIMEOUT_INHERIT_NS, &error));
    /* In their order. */
    CHECK_STATUS(MUSTER_OK, muster_request_test(first, &done, &error));
    CHECK(done && p[0].value == 41 && p[1].value == 42);
    CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
    CHECK(p[2].value == 43);
    CHECK_STATUS(MUSTER_OK, muster_request_free(first));
    CHECK_STATUS(MUSTER_OK, muster_request_free(second));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    CHECK(atomic_load(&controls->batches_alive) == 0);
}

static void test_batches_in_the_air(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, in_the_air, NULL);
    options.progress_thread = true;
    harness_run_threads(&options, in_the_air, NULL);
}

/* A commit covers what was enqueued before it, on every communicator. */
static void commit(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    fake_controls *controls = device_api()->controls;
    atomic_bool *hold = &controls->hold_batches[rank->slot];
    parcel p;
    muster_comm *half;
    pthread_t thread;
    CHECK_STATUS(MUSTER_OK, muster_comm_split(rank->world, 0, 0, &half, &error));
    muster_state_part part = {.data = &rank->slot, .bytes = sizeof(rank->slot)};
    atomic_store(hold, true);
    wrap(&p, rank, 51);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(half, &p.tensor, 0, &error));
    CHECK_STATUS(MUSTER_ERR_IN_FLIGHT, muster_comm_free(half));
    CHECK(pthread_create(&thread, NULL, let_go_soon, hold) == 0);
    CHECK_STATUS(MUSTER_OK, muster_step_commit(rank->world, 1, &part, 1, &error));
    CHECK(p.value == 51);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));

    /* Its device does not get through on one rank: nobody commits, all with the same code. */
    atomic_store(hold, rank->slot == 1);
    wrap(&p, rank, 52);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(half, &p.tensor, 0, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, 400000000));
    CHECK_STATUS(MUSTER_ERR_TIMEOUT, muster_step_commit(rank->world, 2, &part, 1, &error));
    CHECK(error.rank == 1);
    atomic_store(hold, false);
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, INT64_C(10000000000)));
    CHECK_STATUS(MUSTER_OK, muster_step_commit(rank->world, 2, &part, 1, &error));
    CHECK(p.value == 52);
    CHECK_STATUS(MUSTER_OK, muster_comm_free(half));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_a_commit_covers_what_was_enqueued(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, commit, NULL);
}

/* ---- borrowing ---- */

static void borrow(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    int32_t own = muster_comm_rank(rank->world);
    atomic_bool *hold = &device_api()->controls->hold_batches[rank->slot];
    struct ncclComm *lent = NULL;
    struct ncclComm *again = NULL;
    parcel p;
    wrap(&p, rank, 60);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &p.tensor, 0, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_synchronize(rank->world, &error));
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_comm_return_nccl(rank->world));
    CHECK_STATUS(MUSTER_OK, muster_comm_borrow_nccl(rank->world, &lent, &error));
    CHECK(lent != NULL);
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_comm_borrow_nccl(rank->world, &again, &error));
    CHECK(again == NULL);
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_comm_synchronize(rank->world, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_return_nccl(rank->world));
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_comm_return_nccl(rank->world));

    /* A call inside one rank's bracket: all are refused, and name it. */
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    if (own == 1)
        CHECK_STATUS(MUSTER_OK, muster_comm_borrow_nccl(rank->world, &lent, &error));
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_barrier(rank->world, &error));
    CHECK(error.rank == 1);
    if (own == 1)
        CHECK_STATUS(MUSTER_OK, muster_comm_return_nccl(rank->world));

    /* What is in the air stays there; a call that is not enqueued yet is no time to borrow. */
    atomic_store(hold, true);
    muster_request *request;
    bool done = false;
    wrap(&p, rank, 61);
    CHECK_STATUS(MUSTER_OK, muster_broadcast_start(rank->world, &p.tensor, 0, &request, &error));
    muster_status status = muster_comm_borrow_nccl(rank->world, &lent, &error);
    while (status == MUSTER_ERR_IN_FLIGHT)
        status = muster_comm_borrow_nccl(rank->world, &lent, &error);
    CHECK(status == MUSTER_OK);
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_request_test(request, &done, &error));
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_request_wait(request, 1000, &error));
    atomic_store(hold, false);
    nap_ms(20); /* a progress thread would be at it by now */
    CHECK_STATUS(MUSTER_OK, muster_comm_return_nccl(rank->world));
    CHECK_STATUS(MUSTER_OK, muster_request_wait(request, MUSTER_TIMEOUT_INHERIT_NS, &error));
    CHECK_STATUS(MUSTER_OK, muster_request_free(request));
    CHECK(p.value == 61);

    muster_comm *half;
    CHECK_STATUS(MUSTER_OK, muster_comm_split(rank->world, 0, 0, &half, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_borrow_nccl(half, &again, &error));
    CHECK(again != NULL && again != lent);
    CHECK_STATUS(MUSTER_ERR_BORROWED, muster_comm_free(half));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error)); /* another communicator */
    CHECK_STATUS(MUSTER_OK, muster_comm_return_nccl(half));
    CHECK_STATUS(MUSTER_OK, muster_comm_free(half));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    /* Left with one in hand: the leave takes it back. */
    CHECK_STATUS(MUSTER_OK, muster_comm_borrow_nccl(rank->world, &lent, &error));
}

static void test_borrowing(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, borrow, NULL);
    options.progress_thread = true;
    harness_run_threads(&options, borrow, NULL);
}

/* ---- traces ---- */

static _Atomic int began, submitted, completed, failed;

static void count_begin(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    (void)who;
    (void)batch;
    atomic_fetch_add(&began, 1);
}

static void count_op(const muster_trace_identity *who, const muster_trace_batch *batch,
                     uint32_t kind, int32_t peer, uint64_t bytes)
{
    (void)who;
    (void)batch;
    (void)kind;
    (void)peer;
    (void)bytes;
}

static void count_submitted(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    (void)who;
    CHECK(batch->call == MUSTER_CALL_BROADCAST && batch->bytes_in + batch->bytes_out == 4);
    atomic_fetch_add(&submitted, 1);
}

static void count_complete(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    (void)who;
    (void)batch;
    atomic_fetch_add(&completed, 1);
}

static void count_failed(const muster_trace_identity *who, const muster_trace_batch *batch,
                         int32_t status, int32_t failing_rank, uint32_t field)
{
    (void)who;
    (void)batch;
    (void)status;
    (void)failing_rank;
    (void)field;
    atomic_fetch_add(&failed, 1);
}

static void traced(harness_rank *rank)
{
    static const muster_trace_table table = {
        .table_version = MUSTER_TRACE_TABLE_VERSION,
        .batch_begin = count_begin,
        .batch_op = count_op,
        .batch_submitted = count_submitted,
        .batch_complete = count_complete,
        .batch_failed = count_failed,
    };
    muster_error error;
    muster_error_init(&error);
    parcel p;
    wrap(&p, rank, 71);
    atomic_bool *hold = &device_api()->controls->hold_batches[rank->slot];
    if (rank->slot == 0)
        rank->job->tracer.table = &table;
    atomic_store(hold, true);
    muster_request *request;
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &p.tensor, 0, &error));
    CHECK_STATUS(MUSTER_OK, muster_broadcast_start(rank->world, &p.tensor, 0, &request, &error));
    while (rank->slot == 0 && atomic_load(&submitted) < 2) {
        bool done = false;
        CHECK_STATUS(MUSTER_OK, muster_request_test(request, &done, &error));
        CHECK(!done);
    }
    if (rank->slot == 0)
        CHECK(atomic_load(&began) == 2 && atomic_load(&completed) == 0);
    atomic_store(hold, false);
    CHECK_STATUS(MUSTER_OK, muster_request_wait(request, MUSTER_TIMEOUT_INHERIT_NS, &error));
    CHECK_STATUS(MUSTER_OK, muster_request_free(request));
    if (rank->slot == 0)
        CHECK(atomic_load(&completed) == 2 && atomic_load(&failed) == 0);
    rank->job->tracer.table = NULL;
}

static void test_what_is_traced(void **state)
{
    (void)state;
    harness_options options;
    device_options_init(&options, RANKS);
    harness_run_threads(&options, traced, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_without_a_device_plane),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_batches_in_the_air),
        cmocka_unit_test(test_a_commit_covers_what_was_enqueued),
        cmocka_unit_test(test_borrowing),
        cmocka_unit_test(test_what_is_traced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
