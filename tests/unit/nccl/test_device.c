/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: each thing that can be missing has its own code and sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static void facts(void **state)
{
    fixture *f = *state;
    f->options.device = 1;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    f->table->facts(f->device, &facts);
    assert_int_equal(facts.device, 1);
    assert_int_equal(facts.nccl_version, 22907);
    assert_int_equal(facts.runtime_version, 13000);
    assert_int_equal(facts.driver_version, 13010);
}

static void the_current_device_is_taken_and_kept(void **state)
{
    fixture *f = *state;
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    assert_int_equal(fixture_open(f), MUSTER_OK);
    f->table->facts(f->device, &facts);
    assert_int_equal(facts.device, 0);
    fixture_close(f);
    /* Device 1 is tried on a thread of the plane's: setting device 0 again would make a context of it. */
    f->options.device = 1;
    f->cuda->log_count = 0;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    fixture_close(f);
    assert_int_equal(fixture_count(f->cuda->log, f->cuda->log_count, "cudaSetDevice"), 1);
    assert_int_equal(fixture_find(f->cuda->log, f->cuda->log_count, "cudaSetDevice", 0)->peer, 1);
}

static void expect_refusal(fixture *f, muster_status status, int native_code, const char *words)
{
    muster_error_init(&f->error);
    assert_int_equal(fixture_open(f), status);
    assert_null(f->device);
    assert_int_equal(f->error.status, status);
    assert_int_equal(f->error.native_code, native_code);
    if (strstr(f->error.message, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, f->error.message);
}

static void no_driver(void **state)
{
    fixture *f = *state;
    f->cuda->driver_version = 0;
    expect_refusal(f, MUSTER_ERR_DRIVER, 0, "there is no NVIDIA driver on this machine");
}

static void a_driver_that_is_too_old(void **state)
{
    fixture *f = *state;
    f->cuda->driver_version = 12040;
    expect_refusal(
        f, MUSTER_ERR_DRIVER, 0,
        "the NVIDIA driver is too old: it serves CUDA 12.4, and the CUDA runtime is 13.0");
}

static void a_driver_that_refuses(void **state)
{
    static const int codes[] = {cudaErrorInsufficientDriver, cudaErrorStubLibrary,
                                cudaErrorSystemDriverMismatch, cudaErrorCompatNotSupportedOnDevice,
                                cudaErrorSystemNotReady};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        f->cuda->failure =
            (stub_failure){.name = "cudaGetDeviceCount", .countdown = 1, .code = codes[i]};
        expect_refusal(f, MUSTER_ERR_DRIVER, codes[i], "does not serve this CUDA runtime");
    }
    f->cuda->failure =
        (stub_failure){.name = "cudaDriverGetVersion", .countdown = 1, .code = cudaErrorUnknown};
    expect_refusal(f, MUSTER_ERR_DRIVER, cudaErrorUnknown, "the NVIDIA driver does not answer");
}

static void no_device(void **state)
{
    fixture *f = *state;
    f->cuda->device_count = 0;
    expect_refusal(f, MUSTER_ERR_NO_DEVICE, cudaErrorNoDevice, "there is no GPU");
    f->cuda->device_count = 2;
    f->cuda->failure =
        (stub_failure){.name = "cudaGetDeviceCount", .countdown = 1, .code = cudaErrorNoDevice};
    expect_refusal(f, MUSTER_ERR_NO_DEVICE, cudaErrorNoDevice, "CUDA_VISIBLE_DEVICES");
}

static void a_device_that_is_not_there(void **state)
{
    fixture *f = *state;
    f->options.device = 2;
    expect_refusal(f, MUSTER_ERR_WRONG_DEVICE, 0, "there is no device 2");
    assert_int_equal(f->error.expected, 1);
    assert_int_equal(f->error.came, 2);
    f->options.device = -2;
    expect_refusal(f, MUSTER_ERR_WRONG_DEVICE, 0, "there is no device -2");
}

static void a_device_that_cannot_be_used(void **state)
{
    fixture *f = *state;
    f->cuda->failure = (stub_failure){
        .name = "cudaSetDevice", .countdown = 1, .code = cudaErrorDevicesUnavailable};
    expect_refusal(f, MUSTER_ERR_DEVICE_CALL, cudaErrorDevicesUnavailable, "cudaSetDevice");
}

static void an_error_is_not_needed(void **state)
{
    fixture *f = *state;
    f->options.device = 7;
    assert_int_equal(f->table->open(&f->options, &f->device, NULL), MUSTER_ERR_WRONG_DEVICE);
    f->options.device = 0;
    assert_int_equal(f->table->open(&f->options, &f->device, NULL), MUSTER_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(facts),
        TEST(the_current_device_is_taken_and_kept),
        TEST(no_driver),
        TEST(a_driver_that_is_too_old),
        TEST(a_driver_that_refuses),
        TEST(no_device),
        TEST(a_device_that_is_not_there),
        TEST(a_device_that_cannot_be_used),
        TEST(an_error_is_not_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
