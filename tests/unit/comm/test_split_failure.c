/* SPDX-License-Identifier: Apache-2.0 */
/* A split that fails on one rank fails on all, with that rank's code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/harness/harness.h"

enum { RANKS = 3 };

/* Half of it is how long the others wait for one that cannot connect, and the other half how late they may be. */
#define SPLIT_TIMEOUT_NS INT64_C(10000000000)
#define HANG_NS INT64_C(300000000000)

/* No descriptor can be made any more; those that are there work on. */
static rlim_t take_descriptors(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlim_t before = limit.rlim_cur;
    int lowest = dup(STDERR_FILENO);
    CHECK(lowest >= 0 && close(lowest) == 0);
    limit.rlim_cur = (rlim_t)lowest;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return before;
}

static void give_descriptors(rlim_t before)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* The last rank cannot connect, and all others wait for it in vain: what they return is its failure and not that of the
 * lowest who waited. And it does not take itself for another host's, for want of a file that says which host it is on. */
static void split_without_descriptors(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    const bool poor = own == RANKS - 1;
    muster_comm *split = NULL;
    muster_error error;
    muster_error_init(&error);
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, SPLIT_TIMEOUT_NS));
    rlim_t before = poor ? take_descriptors() : 0;
    CHECK_STATUS(MUSTER_ERR_SYSTEM, muster_comm_split(rank->world, 0, own, &split, &error));
    CHECK(split == NULL && error.rank == RANKS - 1);
    if (poor)
        give_descriptors(before);
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, HANG_NS));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_split(rank->world, 0, own, &split, &error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(split, &error));
    CHECK_STATUS(MUSTER_OK, muster_comm_free(split));
}

static void test_the_failure_comes_before_those_who_waited(void **state)
{
    (void)state;
    harness_options options;
    int statuses[RANKS];
    harness_options_init(&options, RANKS);
    harness_run_processes(&options, split_without_descriptors, NULL, NULL, statuses);
    for (int32_t i = 0; i < RANKS; i++)
        assert_true(WIFEXITED(statuses[i]) && WEXITSTATUS(statuses[i]) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_failure_comes_before_those_who_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
