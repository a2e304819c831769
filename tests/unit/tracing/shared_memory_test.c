/* SPDX-License-Identifier: Apache-2.0 */
/* What the rings of a job need of /dev/shm, and the sentence where it is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tracing/session/shared_memory.h"

#define MEBIBYTE (UINT64_C(1024) * 1024)

static const muster_shared_memory_need four_ranks = {
    .subbuffer_bytes = 256 * 1024, .subbuffer_count = 4, .cpu_count = 2, .session_count = 5};

static void a_ring_has_one_subbuffer_more_than_asked_for(void **state)
{
    (void)state;
    uint64_t rings = UINT64_C(5) * 2 * 5 * 256 * 1024;
    uint64_t bytes = muster_shared_memory_bytes(&four_ranks);
    assert_true(bytes >= rings);
    assert_true(bytes < rings + MEBIBYTE);
}

static void need_grows_with_each_factor(void **state)
{
    (void)state;
    muster_shared_memory_need need = four_ranks;
    uint64_t bytes = muster_shared_memory_bytes(&need);
    need.session_count = 10;
    assert_int_equal(muster_shared_memory_bytes(&need), 2 * bytes);
    need = four_ranks;
    need.cpu_count = 64;
    assert_true(muster_shared_memory_bytes(&need) > 31 * bytes);
    need.subbuffer_bytes = UINT64_MAX / 2;
    assert_true(muster_shared_memory_bytes(&need) == UINT64_MAX);
}

static void enough_is_enough(void **state)
{
    (void)state;
    uint64_t bytes = muster_shared_memory_bytes(&four_ranks);
    assert_int_equal(muster_shared_memory_check(&four_ranks, bytes, NULL), MUSTER_OK);
    assert_int_equal(muster_shared_memory_check(&four_ranks, bytes - 1, NULL),
                     MUSTER_ERR_NO_MEMORY);
}

/* 64 MiB is what a container gets where nobody asked for more. */
static void a_small_container_is_told_how_much_and_what_to_do(void **state)
{
    (void)state;
    muster_shared_memory_need need = four_ranks;
    need.cpu_count = 64;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_shared_memory_check(&need, 64 * MEBIBYTE, &error),
                     MUSTER_ERR_NO_MEMORY);
    assert_true(error.expected == (int64_t)muster_shared_memory_bytes(&need));
    assert_true(error.came == (int64_t)(64 * MEBIBYTE));
    assert_non_null(strstr(error.message, "/dev/shm"));
    assert_non_null(strstr(error.message, "need 405 MiB"));
    assert_non_null(strstr(error.message, "64 MiB are free"));
    assert_non_null(strstr(error.message, "remount"));
}

static void this_machine_can_be_asked(void **state)
{
    (void)state;
    assert_true(muster_shared_memory_cpu_count() >= 1);
    assert_true(muster_shared_memory_free_bytes() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_has_one_subbuffer_more_than_asked_for),
        cmocka_unit_test(need_grows_with_each_factor),
        cmocka_unit_test(enough_is_enough),
        cmocka_unit_test(a_small_container_is_told_how_much_and_what_to_do),
        cmocka_unit_test(this_machine_can_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
