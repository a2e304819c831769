/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/activity.h"

#define ROUNDS 20000
#define WRITERS 2

static void marks_are_read_back(void **state)
{
    (void)state;
    muster_activity_marks marks;
    muster_activity activity;
    muster_activity_init(&marks);
    muster_activity_read(&marks, &activity);
    assert_false(activity.waiting);
    assert_false(activity.has_committed_step);
    assert_int_equal(activity.progress_mark, 0);
    muster_activity_waiting(&marks, 1, 2, 3, 4);
    muster_activity_committed(&marks, 5);
    muster_activity_read(&marks, &activity);
    assert_true(activity.waiting);
    assert_int_equal(activity.communicator, 1);
    assert_int_equal(activity.sequence, 2);
    assert_int_equal(activity.call, 3);
    assert_int_equal(activity.waiting_since_ns, 4);
    assert_true(activity.has_committed_step);
    assert_int_equal(activity.committed_step, 5);
    uint64_t mark = activity.progress_mark;
    muster_activity_not_waiting(&marks);
    muster_activity_progress(&marks);
    muster_activity_read(&marks, &activity);
    assert_false(activity.waiting);
    assert_true(activity.progress_mark > mark);
}

static void *write_matching_fields(void *context)
{
    muster_activity_marks *marks = context;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        muster_activity_waiting(marks, round, round, (uint32_t)round, round);
        if (round % 3 == 0) {
            muster_activity_not_waiting(marks);
        }
    }
    return NULL;
}

/* Fields of two waits never mix, whoever writes meanwhile. */
static void fields_of_a_wait_belong_together(void **state)
{
    (void)state;
    muster_activity_marks marks;
    muster_activity_init(&marks);
    pthread_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, write_matching_fields, &marks), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        muster_activity activity;
        muster_activity_read(&marks, &activity);
        assert_int_equal(activity.communicator, activity.sequence);
        assert_int_equal(activity.communicator, activity.call);
        assert_int_equal(activity.communicator, activity.waiting_since_ns);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    muster_activity activity;
    muster_activity_read(&marks, &activity);
    assert_int_equal(activity.progress_mark, WRITERS * (ROUNDS + ROUNDS / 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_are_read_back),
        cmocka_unit_test(fields_of_a_wait_belong_together),
    };
    return cmocka_run_group_tests_name("agent_activity", tests, NULL, NULL);
}
