/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated runtime: the order of streams, of the default stream and of events, and capture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "public_api.h"

/* A host function that holds its stream until the gate is opened. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
};

static void gate_init(struct gate *gate)
{
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
    gate->open = false;
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void hold(void *user)
{
    struct gate *gate = user;
    pthread_mutex_lock(&gate->lock);
    while (!gate->open) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

struct journal {
    _Atomic int length;
    char text[16];
};

struct entry {
    struct journal *journal;
    char letter;
};

static void note(void *user)
{
    struct entry *entry = user;
    entry->journal->text[entry->journal->length++] = entry->letter;
}

static cuda_stream new_stream(unsigned flags)
{
    cuda_stream stream;
    assert_int_equal(cudaStreamCreateWithFlags(&stream, flags), CUDA_SUCCESS);
    return stream;
}

static cuda_event new_event(void)
{
    cuda_event event;
    assert_int_equal(cudaEventCreateWithFlags(&event, 2), CUDA_SUCCESS);
    return event;
}

static void test_stream_runs_in_order(void **state)
{
    (void)state;
    struct gate gate;
    struct journal journal = {0};
    struct entry entries[3] = {{&journal, 'a'}, {&journal, 'b'}, {&journal, 'c'}};
    gate_init(&gate);
    cuda_stream stream = new_stream(CUDA_STREAM_NON_BLOCKING);
    assert_int_equal(cudaStreamQuery(stream), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(stream, hold, &gate), CUDA_SUCCESS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cudaLaunchHostFunc(stream, note, &entries[i]), CUDA_SUCCESS);
    }
    assert_int_equal(cudaStreamQuery(stream), CUDA_NOT_READY);
    assert_int_equal(journal.length, 0);
    gate_open(&gate);
    assert_int_equal(cudaStreamSynchronize(stream), CUDA_SUCCESS);
    assert_string_equal(journal.text, "abc");
    assert_int_equal(cudaStreamQuery(stream), CUDA_SUCCESS);
    assert_int_equal(cudaGetLastError(), CUDA_SUCCESS); /* "not ready" is no error */
    assert_int_equal(cudaStreamDestroy(stream), CUDA_SUCCESS);
    assert_int_equal(cudaStreamSynchronize(stream), CUDA_INVALID_RESOURCE_HANDLE);
    assert_int_equal(cudaStreamDestroy(stream), CUDA_INVALID_RESOURCE_HANDLE);
}

static void test_event_orders_two_streams(void **state)
{
    (void)state;
    struct gate gate;
    struct journal journal = {0};
    struct entry first = {&journal, '1'};
    struct entry second = {&journal, '2'};
    gate_init(&gate);
    cuda_stream a = new_stream(CUDA_STREAM_NON_BLOCKING);
    cuda_stream b = new_stream(CUDA_STREAM_NON_BLOCKING);
    cuda_event event = new_event();
    assert_int_equal(cudaEventQuery(event), CUDA_SUCCESS); /* never recorded */
    assert_int_equal(cudaLaunchHostFunc(a, hold, &gate), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(a, note, &first), CUDA_SUCCESS);
    assert_int_equal(cudaEventRecord(event, a), CUDA_SUCCESS);
    assert_int_equal(cudaStreamWaitEvent(b, event, 0), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(b, note, &second), CUDA_SUCCESS);
    assert_int_equal(cudaEventQuery(event), CUDA_NOT_READY);
    assert_int_equal(cudaStreamQuery(b), CUDA_NOT_READY);
    /* Recorded anew and destroyed while it is waited for: b waits for what the event was. */
    assert_int_equal(cudaEventDestroy(event), CUDA_SUCCESS);
    assert_int_equal(cudaEventQuery(event), CUDA_INVALID_RESOURCE_HANDLE);
    gate_open(&gate);
    assert_int_equal(cudaStreamSynchronize(b), CUDA_SUCCESS);
    assert_string_equal(journal.text, "12");
    event = new_event();
    assert_int_equal(cudaEventRecord(event, b), CUDA_SUCCESS);
    assert_int_equal(cudaEventSynchronize(event), CUDA_SUCCESS);
    assert_int_equal(cudaEventQuery(event), CUDA_SUCCESS);
    assert_int_equal(cudaEventDestroy(event), CUDA_SUCCESS);
    assert_int_equal(cudaStreamDestroy(a), CUDA_SUCCESS);
    assert_int_equal(cudaStreamDestroy(b), CUDA_SUCCESS);
}

/* A record on a stream that is destroyed stays a place that passes. */
static void test_event_outlives_its_stream(void **state)
{
    (void)state;
    struct gate gate;
    gate_init(&gate);
    cuda_stream stream = new_stream(CUDA_STREAM_NON_BLOCKING);
    cuda_event event = new_event();
    assert_int_equal(cudaLaunchHostFunc(stream, hold, &gate), CUDA_SUCCESS);
    assert_int_equal(cudaEventRecord(event, stream), CUDA_SUCCESS);
    assert_int_equal(cudaStreamDestroy(stream), CUDA_SUCCESS);
    assert_int_equal(cudaEventQuery(event), CUDA_NOT_READY);
    gate_open(&gate);
    assert_int_equal(cudaEventSynchronize(event), CUDA_SUCCESS);
    assert_int_equal(cudaEventDestroy(event), CUDA_SUCCESS);
    assert_int_equal(cudaDeviceSynchronize(), CUDA_SUCCESS);
}

static void test_event_of_another_device(void **state)
{
    (void)state;
    cuda_event event = new_event();
    assert_int_equal(cudaSetDevice(1), CUDA_SUCCESS);
    cuda_stream stream = new_stream(0);
    int device = -1;
    assert_int_equal(cudaStreamGetDevice(stream, &device), CUDA_SUCCESS);
    assert_int_equal(device, 1);
    assert_int_equal(cudaEventRecord(event, stream), CUDA_INVALID_RESOURCE_HANDLE);
    assert_int_equal(cudaStreamDestroy(stream), CUDA_SUCCESS);
    assert_int_equal(cudaEventDestroy(event), CUDA_SUCCESS);
    assert_int_equal(cudaSetDevice(0), CUDA_SUCCESS);
    assert_int_equal(cudaGetLastError(), CUDA_INVALID_RESOURCE_HANDLE);
}

/* The default stream waits for blocking streams and they for it; a non-blocking one stays out of it. */
static void test_default_stream(void **state)
{
    (void)state;
    struct gate gate;
    struct journal journal = {0};
    struct entry blocking_entry = {&journal, 'b'};
    struct entry default_entry = {&journal, 'd'};
    struct entry free_entry = {&journal, 'f'};
    struct entry after_entry = {&journal, 'a'};
    gate_init(&gate);
    cuda_stream blocking = new_stream(0);
    cuda_stream free_stream = new_stream(CUDA_STREAM_NON_BLOCKING);
    assert_int_equal(cudaLaunchHostFunc(blocking, hold, &gate), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(blocking, note, &blocking_entry), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(NULL, note, &default_entry), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(blocking, note, &after_entry), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(free_stream, note, &free_entry), CUDA_SUCCESS);
    assert_int_equal(cudaStreamSynchronize(free_stream), CUDA_SUCCESS);
    assert_string_equal(journal.text, "f");
    assert_int_equal(cudaStreamQuery(NULL), CUDA_NOT_READY);
    gate_open(&gate);
    assert_int_equal(cudaDeviceSynchronize(), CUDA_SUCCESS);
    assert_string_equal(journal.text, "fbda");
    assert_int_equal(cudaStreamDestroy(blocking), CUDA_SUCCESS);
    assert_int_equal(cudaStreamDestroy(free_stream), CUDA_SUCCESS);
}

static void test_capture_is_shown(void **state)
{
    (void)state;
    struct journal journal = {0};
    struct entry entry = {&journal, 'x'};
    int status = -1;
    cuda_graph graph;
    cuda_event event = new_event();
    cuda_stream stream = new_stream(0);
    assert_int_equal(cudaStreamIsCapturing(stream, &status), CUDA_SUCCESS);
    assert_int_equal(status, CUDA_CAPTURE_NONE);
    assert_int_equal(cudaStreamBeginCapture(NULL, 0), CUDA_STREAM_CAPTURE_UNSUPPORTED);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), CUDA_STREAM_CAPTURE_UNMATCHED);
    assert_int_equal(cudaStreamBeginCapture(stream, 0), CUDA_SUCCESS);
    assert_int_equal(cudaStreamIsCapturing(stream, &status), CUDA_SUCCESS);
    assert_int_equal(status, CUDA_CAPTURE_ACTIVE);
    assert_int_equal(cudaLaunchHostFunc(stream, note, &entry), CUDA_STREAM_CAPTURE_UNSUPPORTED);
    assert_int_equal(cudaEventRecord(event, stream), CUDA_STREAM_CAPTURE_UNSUPPORTED);
    assert_int_equal(cudaStreamQuery(stream), CUDA_STREAM_CAPTURE_UNSUPPORTED);
    assert_int_equal(cudaStreamSynchronize(stream), CUDA_STREAM_CAPTURE_UNSUPPORTED);
    /* Captured in the global mode, in which every thread begins. */
    int mode = CUDA_CAPTURE_MODE_RELAXED;
    assert_int_equal(cudaEventQuery(event), CUDA_STREAM_CAPTURE_UNSUPPORTED);
    assert_int_equal(cudaThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
    assert_int_equal(mode, CUDA_CAPTURE_MODE_GLOBAL);
    assert_int_equal(cudaEventQuery(event), CUDA_SUCCESS);
    assert_int_equal(cudaThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
    assert_int_equal(mode, CUDA_CAPTURE_MODE_RELAXED);
    assert_int_equal(cudaLaunchHostFunc(NULL, note, &entry), CUDA_STREAM_CAPTURE_IMPLICIT);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    assert_int_equal(cudaGraphDestroy(graph), CUDA_SUCCESS);
    assert_int_equal(cudaEventQuery(event), CUDA_SUCCESS);
    assert_int_equal(cudaLaunchHostFunc(stream, note, &entry), CUDA_SUCCESS);
    assert_int_equal(cudaStreamSynchronize(stream), CUDA_SUCCESS);
    assert_string_equal(journal.text, "x");
    assert_int_equal(cudaStreamDestroy(stream), CUDA_SUCCESS);
    assert_int_equal(cudaEventDestroy(event), CUDA_SUCCESS);
    cudaGetLastError();
}

/* Streams come and go from several threads, each on a device of its own. */
static void *come_and_go(void *user)
{
    int device = *(const int *)user;
    int found = -1;
    cudaSetDevice(device);
    for (int round = 0; round < 50; round++) {
        struct journal journal = {0};
        struct entry entry = {&journal, 'y'};
        cuda_stream stream;
        cuda_event event;
        void *memory;
        if (cudaStreamCreate(&stream) != CUDA_SUCCESS || cudaEventCreate(&event) != CUDA_SUCCESS ||
            cudaMalloc(&memory, 4096) != CUDA_SUCCESS ||
            cudaMemsetAsync(memory, round, 4096, stream) != CUDA_SUCCESS ||
            cudaLaunchHostFunc(stream, note, &entry) != CUDA_SUCCESS ||
            cudaEventRecord(event, stream) != CUDA_SUCCESS ||
            cudaStreamDestroy(stream) != CUDA_SUCCESS ||
            cudaEventSynchronize(event) != CUDA_SUCCESS ||
            cudaEventDestroy(event) != CUDA_SUCCESS || ((unsigned char *)memory)[4095] != round ||
            journal.length != 1 || cudaFree(memory) != CUDA_SUCCESS ||
            cudaGetDevice(&found) != CUDA_SUCCESS || found != device) {
            return NULL;
        }
    }
    return user;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int devices[THREADS];
    for (int i = 0; i < THREADS; i++) {
        devices[i] = i % 3;
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &devices[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *well;
        pthread_join(threads[i], &well);
        assert_ptr_equal(well, &devices[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_runs_in_order),
        cmocka_unit_test(test_event_orders_two_streams),
        cmocka_unit_test(test_event_outlives_its_stream),
        cmocka_unit_test(test_event_of_another_device),
        cmocka_unit_test(test_default_stream),
        cmocka_unit_test(test_capture_is_shown),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
