/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tracing/postmortem/records.h"

static void add(muster_records *records, int64_t slot, int64_t incarnation, int64_t time_ns,
                int64_t sequence)
{
    muster_event_record *event = muster_records_add_event(records);
    assert_non_null(event);
    event->slot = slot;
    event->incarnation = incarnation;
    event->time_ns = time_ns;
    event->sequence = sequence;
}

static void events_come_by_slot_incarnation_and_time(void **state)
{
    (void)state;
    muster_records records;
    muster_records_init(&records);
    add(&records, 1, 0, 5, 10);
    add(&records, 0, 1, 1, 11);
    add(&records, 0, 0, 9, 12);
    add(&records, 0, 0, 2, 13);
    muster_records_sort(&records);
    const int64_t expected[] = {13, 12, 11, 10};
    assert_int_equal(records.event_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(records.events[i].sequence, expected[i]);
    muster_records_clean_up(&records);
}

/* The snapshot of the verdict and the one of the end hold the same events of one ring. */
static void an_event_of_two_snapshots_counts_once(void **state)
{
    (void)state;
    muster_records records;
    muster_records_init(&records);
    for (int snapshot = 0; snapshot < 2; snapshot++)
        for (int64_t sequence = 0; sequence < 1000; sequence++)
            add(&records, 3, 0, sequence / 2, sequence); /* pairs share a time */
    muster_records_sort(&records);
    assert_int_equal(records.event_count, 1000);
    muster_records_clean_up(&records);
    assert_int_equal(records.event_count, 0);
    muster_records_sort(&records);
    assert_int_equal(records.event_count, 0);
}

static void every_kind_has_the_name_of_its_event(void **state)
{
    (void)state;
    assert_string_equal(muster_record_kind_text(MUSTER_RECORD_KIND_batch_begin), "batch_begin");
    assert_string_equal(muster_record_kind_text(MUSTER_RECORD_KIND_clock_ping), "clock_ping");
    assert_string_equal(muster_record_kind_text(MUSTER_RECORD_KIND_COUNT), "unknown event");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_by_slot_incarnation_and_time),
        cmocka_unit_test(an_event_of_two_snapshots_counts_once),
        cmocka_unit_test(every_kind_has_the_name_of_its_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
