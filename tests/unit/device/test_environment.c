/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a rank with a device plane, and the device that a spare takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/muster.h>

#include "comm/device_plane.h"
#include "unit/device/device_rank.h"

static const char *const names[] = {
    "MUSTER_DEVICE_PLANE",           "MUSTER_DEVICE",          "MUSTER_DEVICE_SLOTS",
    "MUSTER_EXIT_WHEN_DEVICE_STUCK", "MUSTER_DEVICE_ABORT_MS", "MUSTER_DEVICE_BRACKET_MS",
    "MUSTER_NCCL_LIBRARY",           "MUSTER_CUDA_LIBRARY",
};

static int clear(void **state)
{
    (void)state;
    setenv("MUSTER_COORDINATOR", "tcp://host:7400", 1);
    setenv("MUSTER_SLOT", "2", 1);
    setenv("MUSTER_SLOT_COUNT", "4", 1);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    return 0;
}

static muster_status options_of_now(muster_job_options *options, muster_error *error)
{
    muster_error_init(error);
    return muster_job_options_from_environment(options, error);
}

static void nothing_said(void **state)
{
    (void)state;
    muster_job_options options;
    muster_error error;
    assert_int_equal(options_of_now(&options, &error), MUSTER_OK);
    assert_string_equal(options.device_plane, "");
    assert_int_equal(options.device, -1);
    assert_int_equal(options.device_slot_count, 0);
    assert_false(options.exit_when_device_stuck);
    setenv("MUSTER_DEVICE_PLANE", "", 1);
    setenv("MUSTER_DEVICE_SLOTS", "", 1);
    setenv("MUSTER_NCCL_LIBRARY", "", 1);
    assert_int_equal(options_of_now(&options, &error), MUSTER_OK);
    assert_string_equal(options.device_plane, "");
}

static void all_said(void **state)
{
    (void)state;
    muster_job_options options;
    muster_error error;
    setenv("MUSTER_DEVICE_PLANE", "nccl", 1);
    setenv("MUSTER_DEVICE", "3", 1);
    setenv("MUSTER_DEVICE_SLOTS", "8-15/4", 1);
    setenv("MUSTER_EXIT_WHEN_DEVICE_STUCK", "1", 1);
    setenv("MUSTER_DEVICE_ABORT_MS", "1500", 1);
    setenv("MUSTER_DEVICE_BRACKET_MS", "20", 1);
    setenv("MUSTER_NCCL_LIBRARY", "/opt/libnccl.so.2", 1);
    setenv("MUSTER_CUDA_LIBRARY", "libcudart.so.12", 1);
    assert_int_equal(options_of_now(&options, &error), MUSTER_OK);
    assert_string_equal(options.device_plane, "nccl");
    assert_int_equal(options.device, 3);
    assert_int_equal(options.device_first_slot, 8);
    assert_int_equal(options.device_slot_count, 8);
    assert_int_equal(options.device_count, 4);
    assert_true(options.exit_when_device_stuck);
    assert_int_equal(options.device_abort_timeout_ns, 1500000000);
    assert_int_equal(options.device_bracket_timeout_ns, 20000000);
    assert_string_equal(options.nccl_library, "/opt/libnccl.so.2");
    assert_string_equal(options.cuda_library, "libcudart.so.12");
    assert_int_equal(muster_device_plane_abort_ns(&options), 1520000000);
}

static void every_mistake_names_its_variable(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"MUSTER_DEVICE_PLANE", "rccl"}, {"MUSTER_DEVICE_PLANE", "a name that is far too long"},
        {"MUSTER_DEVICE", "first"},      {"MUSTER_DEVICE", "-1"},
        {"MUSTER_DEVICE_SLOTS", "3"},    {"MUSTER_DEVICE_SLOTS", "3-2"},
        {"MUSTER_DEVICE_SLOTS", "0-3/"}, {"MUSTER_DEVICE_SLOTS", "0-3/0"},
        {"MUSTER_DEVICE_SLOTS", "0-3 "}, {"MUSTER_EXIT_WHEN_DEVICE_STUCK", "yes"},
        {"MUSTER_DEVICE_ABORT_MS", "0"}, {"MUSTER_DEVICE_BRACKET_MS", "-4"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        muster_job_options options;
        muster_error error;
        clear(NULL);
        setenv(wrong[i][0], wrong[i][1], 1);
        assert_int_equal(options_of_now(&options, &error), MUSTER_ERR_ENVIRONMENT);
        if (strstr(error.message, wrong[i][0]) == NULL)
            fail_msg("'%s' does not name %s", error.message, wrong[i][0]);
    }
}

/* The device that is opened for a rank in `slot`. */
static int32_t opened(const muster_job_options *options, int32_t slot)
{
    muster_device_plane plane;
    muster_error error;
    muster_error_init(&error);
    muster_device_plane_init(&plane);
    assert_int_equal(muster_device_plane_load(&plane, options, &error), MUSTER_OK);
    assert_int_equal(muster_device_plane_open(&plane, options, slot, &error), MUSTER_OK);
    int32_t device = plane.facts.device;
    muster_device_plane_clean_up(&plane);
    return device;
}

static void a_spare_takes_the_device_of_its_slot(void **state)
{
    (void)state;
    muster_job_options options;
    muster_error error;
    setenv("MUSTER_DEVICE_PLANE", "nccl", 1);
    setenv("MUSTER_DEVICE", "4", 1);
    assert_int_equal(options_of_now(&options, &error), MUSTER_OK);
    assert_false(muster_device_plane_waits_for_slot(&options));
    assert_int_equal(opened(&options, 2), 4);

    setenv("MUSTER_SLOT", "spare", 1);
    assert_int_equal(options_of_now(&options, &error), MUSTER_OK);
    assert_false(muster_device_plane_waits_for_slot(&options)); /* nothing said of its host */
    setenv("MUSTER_DEVICE_SLOTS", "8-11", 1);
    assert_int_equal(options_of_now(&options, &error), MUSTER_OK);
    assert_true(muster_device_plane_waits_for_slot(&options));
    assert_int_equal(opened(&options, 8), 0);
    assert_int_equal(opened(&options, 11), 3);
    assert_int_equal(opened(&options, 12), 4); /* another host's: the one that nobody has */
    assert_int_equal(opened(&options, 7), 4);
    setenv("MUSTER_DEVICE_SLOTS", "8-11/2", 1);
    assert_int_equal(options_of_now(&options, &error), MUSTER_OK);
    assert_int_equal(opened(&options, 11), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_said, clear),
        cmocka_unit_test_setup(all_said, clear),
        cmocka_unit_test(every_mistake_names_its_variable),
        cmocka_unit_test_setup(a_spare_takes_the_device_of_its_slot, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
