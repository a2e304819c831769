/* SPDX-License-Identifier: Apache-2.0 */
/* In which batch a rank stood, from short made-up rings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tracing/postmortem/stand.h"

#define BEGIN MUSTER_RECORD_KIND_batch_begin
#define SUBMITTED MUSTER_RECORD_KIND_batch_submitted
#define COMPLETE MUSTER_RECORD_KIND_batch_complete
#define FAILED MUSTER_RECORD_KIND_batch_failed

static muster_event_record event(muster_record_kind kind, int64_t epoch, int64_t sequence,
                                 int64_t status)
{
    static int64_t time_ns;
    return (muster_event_record){.time_ns = ++time_ns,
                                 .kind = (int64_t)kind,
                                 .epoch = epoch,
                                 .communicator = 7,
                                 .sequence = sequence,
                                 .status = status};
}

static muster_stand_finding stand(const muster_event_record *events, size_t count, uint64_t epoch)
{
    return muster_stand_find((muster_event_slice){events, count}, 1, 2, epoch);
}

static void killed_in_a_batch(void **state)
{
    (void)state;
    const muster_event_record ring[] = {event(BEGIN, 3, 1, 0), event(COMPLETE, 3, 1, 0),
                                        event(BEGIN, 3, 2, 0), event(SUBMITTED, 3, 2, 0)};
    muster_stand_finding found = stand(ring, 4, 3);
    assert_int_equal(found.state, MUSTER_STAND_IN_BATCH);
    assert_int_equal(found.batch.sequence, 2);
    assert_int_equal(found.open_count, 1);
    assert_int_equal(found.slot, 1);
    assert_int_equal(found.incarnation, 2);
}

static void killed_between_batches(void **state)
{
    (void)state;
    const muster_event_record ring[] = {event(BEGIN, 3, 1, 0), event(COMPLETE, 3, 1, 0),
                                        event(BEGIN, 3, 2, 0), event(COMPLETE, 3, 2, 0)};
    muster_stand_finding found = stand(ring, 4, 3);
    assert_int_equal(found.state, MUSTER_STAND_BETWEEN);
    assert_int_equal(found.batch.sequence, 2);
}

static void a_survivor_was_released_and_went_on_in_the_next_epoch(void **state)
{
    (void)state;
    const muster_event_record ring[] = {
        event(BEGIN, 3, 8, 0), event(COMPLETE, 3, 8, 0),
        event(BEGIN, 3, 9, 0), event(FAILED, 3, 9, MUSTER_ERR_RANK_LOST),
        event(BEGIN, 4, 0, 0), event(COMPLETE, 4, 0, 0)};
    muster_stand_finding found = stand(ring, 6, 3);
    assert_int_equal(found.state, MUSTER_STAND_IN_BATCH);
    assert_int_equal(found.batch.sequence, 9);
    assert_int_equal(found.open_count, 1);
    /* and of the next epoch's verdict it stood elsewhere */
    assert_int_equal(stand(ring, 6, 4).state, MUSTER_STAND_BETWEEN);
    assert_int_equal(stand(ring, 6, 4).batch.sequence, 0);
}

/* A refused call is not a batch that the revoke reached. */
static void a_usage_error_before_is_not_where_it_stood(void **state)
{
    (void)state;
    const muster_event_record ring[] = {event(BEGIN, 3, 8, 0),
                                        event(FAILED, 3, 8, MUSTER_ERR_DTYPE),
                                        event(BEGIN, 3, 9, 0), event(COMPLETE, 3, 9, 0)};
    muster_stand_finding found = stand(ring, 4, 3);
    assert_int_equal(found.state, MUSTER_STAND_BETWEEN);
    assert_int_equal(found.batch.sequence, 9);
}

static void several_requests_in_flight_are_counted(void **state)
{
    (void)state;
    const muster_event_record ring[] = {event(BEGIN, 3, 1, 0), event(COMPLETE, 3, 1, 0),
                                        event(BEGIN, 3, 2, 0), event(BEGIN, 3, 3, 0)};
    muster_stand_finding found = stand(ring, 4, 3);
    assert_int_equal(found.state, MUSTER_STAND_IN_BATCH);
    assert_int_equal(found.open_count, 2);
}

/* A ring of each CPU: the end of an old batch may be overwritten while its begin is kept. */
static void an_old_batch_whose_end_was_overwritten_is_not_open(void **state)
{
    (void)state;
    const muster_event_record ring[] = {event(BEGIN, 3, 1, 0), event(BEGIN, 3, 500, 0),
                                        event(COMPLETE, 3, 500, 0)};
    assert_int_equal(stand(ring, 3, 3).state, MUSTER_STAND_BETWEEN);
}

static void an_empty_ring_says_nothing(void **state)
{
    (void)state;
    const muster_event_record other_epoch = event(BEGIN, 9, 1, 0);
    assert_int_equal(stand(NULL, 0, 3).state, MUSTER_STAND_UNKNOWN);
    assert_int_equal(stand(&other_epoch, 1, 3).state, MUSTER_STAND_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_in_a_batch),
        cmocka_unit_test(killed_between_batches),
        cmocka_unit_test(a_survivor_was_released_and_went_on_in_the_next_epoch),
        cmocka_unit_test(a_usage_error_before_is_not_where_it_stood),
        cmocka_unit_test(several_requests_in_flight_are_counted),
        cmocka_unit_test(an_old_batch_whose_end_was_overwritten_is_not_open),
        cmocka_unit_test(an_empty_ring_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
