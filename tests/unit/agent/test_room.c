/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and descriptors that run out are found before libzmq would abort for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/room.h"

static void test_room_is_there(void **state)
{
    (void)state;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_room(&error), MUSTER_OK);
}

/* A whole agent, under a limit that libzmq would not survive. */
static void test_descriptors_run_out(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit few = {.rlim_cur = 12, .rlim_max = 12};
        muster_agent_options options = {.coordinator = "ipc:///tmp/muster-no-such-coordinator",
                                        .job_name = "test",
                                        .slot = 0,
                                        .slot_count = 1,
                                        .incarnation = UINT32_MAX,
                                        .contact_timeout_ns = 1000000000,
                                        .deadline_ns = INT64_MAX};
        muster_agent *agent = NULL;
        muster_error error;
        muster_error_init(&error);
        if (setrlimit(RLIMIT_NOFILE, &few) != 0)
            _exit(2);
        muster_status status = muster_agent_start(&options, &agent, &error);
        _exit(status == MUSTER_ERR_SYSTEM && agent == NULL &&
                      strstr(error.message, "ulimit -n") != NULL
                  ? 0
                  : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_is_there),
        cmocka_unit_test(test_descriptors_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
