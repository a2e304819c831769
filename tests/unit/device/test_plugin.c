/* SPDX-License-Identifier: Apache-2.0 */
/* A plug-in that is not there, and one that belongs to another libmuster. The program lies where the one or the
 * other is what is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <muster/muster.h>

static void test_the_join_is_refused_with_a_sentence(void **state)
{
    (void)state;
    muster_job_options options;
    muster_error error;
    muster_job *job = NULL;
    muster_job_options_init(&options);
    muster_error_init(&error);
    /* Nobody listens there: a rank without its library never says a word. */
    strcpy(options.coordinator, "ipc:///nowhere/at/all");
    strcpy(options.job_name, "test");
    strcpy(options.device_plane, "nccl");
    options.slot = 0;
    options.slot_count = 1;
    assert_int_equal(muster_job_join(&options, &job, &error), MUSTER_ERR_LIBRARY);
    assert_null(job);
    assert_int_equal(error.status, MUSTER_ERR_LIBRARY);
    if (strstr(error.message, EXPECTED) == NULL)
        fail_msg("'%s' lacks '%s'", error.message, EXPECTED);
    assert_non_null(strstr(error.message, "install the"));
    assert_int_equal(muster_status_advice(error.status), MUSTER_ADVICE_GIVE_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_join_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
