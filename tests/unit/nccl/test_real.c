/* SPDX-License-Identifier: Apache-2.0 */
/* The plug-in and the real libraries, as PyPI has them, where there is no driver: refused in a sentence, without a
 * crash and without leaving anything behind. With a driver it opens. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "transport/device.h"

const muster_device_table *muster_device_plugin(void);

static bool has_driver(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver != NULL)
        dlclose(driver);
    return driver != NULL;
}

static void the_real_libraries(void **state)
{
    (void)state;
    const muster_device_options options = {.device = -1,
                                           .abort_timeout_ns = (int64_t)1000000000,
                                           .bracket_timeout_ns = (int64_t)1000000000,
                                           .nccl_library = REAL_NCCL,
                                           .cuda_library = REAL_CUDA};
    muster_device *device = NULL;
    muster_error error;
    muster_error_init(&error);
    const muster_status status = muster_device_plugin()->open(&options, &device, &error);
    print_message("%s: %s\n", muster_status_name(status), error.message);
    if (has_driver()) {
        if (status != MUSTER_OK) {
            assert_true(status == MUSTER_ERR_NO_DEVICE || status == MUSTER_ERR_DRIVER);
            return;
        }
        muster_device_facts facts = {.struct_bytes = sizeof(facts)};
        muster_device_plugin()->facts(device, &facts);
        assert_true(facts.nccl_version >= 22809);
        muster_device_plugin()->close(device);
        return;
    }
    assert_int_equal(status, MUSTER_ERR_DRIVER);
    assert_null(device);
    assert_non_null(strstr(error.message, "there is no NVIDIA driver on this machine"));
}

int main(void)
{
    if (access(REAL_NCCL, R_OK) != 0 || access(REAL_CUDA, R_OK) != 0) {
        printf(
            "skipped: the NVIDIA wheels are not in the cache; deploy/setup --nccl fetches them\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_real_libraries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
