/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and streams, before a group starts. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static int stream_object;
static void *const stream = &stream_object;

static void memory_of_this_device(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    char *data = fixture_memory(0, 64);
    assert_int_equal(f->table->check_memory(f->device, data, 64, &f->error), MUSTER_OK);
    assert_int_equal(f->table->check_memory(f->device, data + 63, 1, &f->error), MUSTER_OK);
    assert_int_equal(f->table->check_memory(f->device, fixture_memory(-2, 8), 8, &f->error),
                     MUSTER_OK);
}

static void memory_of_another_device(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->check_memory(f->device, fixture_memory(1, 8), 8, &f->error),
                     MUSTER_ERR_WRONG_DEVICE);
    assert_int_equal(f->error.expected, 0);
    assert_int_equal(f->error.came, 1);
}

static void memory_of_the_host(void **state)
{
    fixture *f = *state;
    char on_the_stack[8];
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->check_memory(f->device, on_the_stack, 8, &f->error),
                     MUSTER_ERR_MEMORY_KIND);
    assert_int_equal(f->table->check_memory(f->device, fixture_memory(-1, 8), 8, &f->error),
                     MUSTER_ERR_MEMORY_KIND);
    f->cuda->failure = (stub_failure){
        .name = "cudaPointerGetAttributes", .countdown = 1, .code = cudaErrorInvalidValue};
    assert_int_equal(f->table->check_memory(f->device, on_the_stack, 8, &f->error),
                     MUSTER_ERR_MEMORY_KIND);
}

static void memory_that_runs_out_of_its_allocation(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    char *data = fixture_memory(0, 64);
    assert_int_equal(f->table->check_memory(f->device, data, 1 << 20, &f->error),
                     MUSTER_ERR_MEMORY_KIND);
}

static void memory_that_cannot_be_asked(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->cuda->failure = (stub_failure){
        .name = "cudaPointerGetAttributes", .countdown = 1, .code = cudaErrorIllegalAddress};
    assert_int_equal(f->table->check_memory(f->device, fixture_memory(0, 8), 8, &f->error),
                     MUSTER_ERR_DEVICE_CALL);
    assert_int_equal(f->error.native_code, cudaErrorIllegalAddress);
    assert_non_null(strstr(f->error.message, "cudaPointerGetAttributes"));
}

static void good_streams(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->cuda->stream_device = 1; /* of the default streams nobody asks */
    assert_int_equal(f->table->check_stream(f->device, NULL, &f->error), MUSTER_OK);
    assert_int_equal(f->table->check_stream(f->device, cudaStreamLegacy, &f->error), MUSTER_OK);
    f->cuda->stream_device = 0;
    assert_int_equal(f->table->check_stream(f->device, stream, &f->error), MUSTER_OK);
}

/* NCCL's thread would take it for its own. */
static void the_stream_of_a_thread(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->check_stream(f->device, cudaStreamPerThread, &f->error),
                     MUSTER_ERR_STREAM);
    assert_non_null(strstr(f->error.message, "cudaStreamPerThread"));
}

static void a_stream_that_captures(void **state)
{
    fixture *f = *state;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->cuda->capture = cudaStreamCaptureStatusActive;
    assert_int_equal(f->table->check_stream(f->device, stream, &f->error), MUSTER_ERR_STREAM);
    assert_non_null(strstr(f->error.message, "captured"));
    f->cuda->capture = cudaStreamCaptureStatusNone;
    f->cuda->failure = (stub_failure){
        .name = "cudaStreamIsCapturing", .countdown = 1, .code = cudaErrorStreamCaptureImplicit};
    assert_int_equal(f->table->check_stream(f->device, NULL, &f->error), MUSTER_ERR_STREAM);
    assert_int_equal(f->error.native_code, cudaErrorStreamCaptureImplicit);
}

static void a_stream_of_another_device(void **state)
{
    fixture *f = *state;
    f->options.device = 1;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->check_stream(f->device, stream, &f->error), MUSTER_ERR_STREAM);
    assert_int_equal(f->error.expected, 1);
    assert_int_equal(f->error.came, 0);
    f->cuda->failure = (stub_failure){
        .name = "cudaStreamGetDevice", .countdown = 1, .code = cudaErrorInvalidResourceHandle};
    assert_int_equal(f->table->check_stream(f->device, stream, &f->error), MUSTER_ERR_STREAM);
    f->cuda->failure =
        (stub_failure){.name = "cudaStreamGetDevice", .countdown = 1, .code = cudaErrorUnknown};
    assert_int_equal(f->table->check_stream(f->device, stream, &f->error), MUSTER_ERR_DEVICE_CALL);
    /* The device was current while it was asked, and no longer is. */
    const stub_entry *asked =
        fixture_find(f->cuda->log, f->cuda->log_count, "cudaStreamIsCapturing", 0);
    assert_int_equal(asked->device, 1);
    f->cuda->log_count = 0;
    f->cuda->stream_device = 1;
    assert_int_equal(f->table->check_stream(f->device, stream, &f->error), MUSTER_OK);
    assert_int_equal(fixture_find(f->cuda->log, f->cuda->log_count, "cudaGetDevice", 0)->device, 0);
}

static void a_runtime_that_cannot_tell_a_streams_device(void **state)
{
    fixture *f = *state;
    void *handle = dlopen(STUB_CUDA_BEFORE_12_8, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    stub_reset_function reset;
    void *symbol = dlsym(handle, "stub_cuda_reset");
    memcpy(&reset, &symbol, sizeof(symbol));
    reset();
    f->options.cuda_library = STUB_CUDA_BEFORE_12_8;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->check_stream(f->device, stream, &f->error), MUSTER_OK);
    fixture_close(f);
    dlclose(handle);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(memory_of_this_device),       TEST(memory_of_another_device),
        TEST(memory_of_the_host),          TEST(memory_that_runs_out_of_its_allocation),
        TEST(memory_that_cannot_be_asked), TEST(good_streams),
        TEST(the_stream_of_a_thread),      TEST(a_stream_that_captures),
        TEST(a_stream_of_another_device),  TEST(a_runtime_that_cannot_tell_a_streams_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
