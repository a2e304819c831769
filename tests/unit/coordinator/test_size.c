/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator keeps for many peers, and what it says where it cannot have so many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "coordinator/descriptors.h"
#include "coordinator/inbox.h"
#include "coordinator/jobs.h"

static void a_job_knows_its_launchers(void **state)
{
    muster_hosted_job job = {0};
    (void)state;
    assert_true(muster_hosted_job_add_launcher(&job, 5));
    assert_true(muster_hosted_job_add_launcher(&job, 6));
    assert_true(muster_hosted_job_add_launcher(&job, 7));
    assert_true(muster_hosted_job_add_launcher(&job, 6));
    assert_int_equal(job.launcher_count, 3);
    muster_hosted_job_remove_launcher(&job, 5);
    muster_hosted_job_remove_launcher(&job, 4);
    assert_int_equal(job.launcher_count, 2);
    assert_true(job.launchers[0] + job.launchers[1] == 6 + 7);
    free(job.launchers);
}

static void the_newest_notes_are_kept_in_their_order(void **state)
{
    const size_t said = MUSTER_HOSTED_NOTES_MAX * 2 + 10;
    muster_hosted_job job = {0};
    (void)state;
    for (size_t i = 0; i < said; i++) {
        const muster_note note = {.epoch = i};
        muster_hosted_job_keep_note(&job, &note);
    }
    assert_int_equal(job.note_count, MUSTER_HOSTED_NOTES_MAX);
    for (size_t i = 0; i < job.note_count; i++)
        assert_int_equal(muster_hosted_job_note(&job, i)->epoch,
                         said - MUSTER_HOSTED_NOTES_MAX + i);
    muster_hosted_job_drop_notes(&job);
    assert_int_equal(job.note_count, 0);
}

static void count_freed(void *bytes, void *hint)
{
    free(bytes);
    ++*(int *)hint;
}

/* A message that is a part of a larger buffer of ZeroMQ's, as all short ones are. */
static void put(muster_inbox *inbox, muster_peer *peer, size_t bytes, int *freed)
{
    zmq_msg_t message;
    void *buffer = malloc(bytes);
    assert_non_null(buffer);
    memset(buffer, 0x5a, bytes);
    assert_int_equal(zmq_msg_init_data(&message, buffer, bytes, count_freed, freed), 0);
    assert_true(muster_inbox_put(inbox, peer, &message));
    zmq_msg_close(&message);
}

static void a_short_message_keeps_no_buffer(void **state)
{
    const size_t lengths[] = {93, 8192, 8193};
    muster_inbox inbox = {0};
    muster_peer peer = {.connection = 3, .job = 9};
    int freed = 0;
    (void)state;
    for (size_t i = 0; i < 3; i++)
        put(&inbox, &peer, lengths[i], &freed);
    assert_int_equal(freed, 2); /* the long one has its memory for itself */
    for (size_t i = 0; i < 3; i++) {
        muster_inbox_item *item = muster_inbox_take(&inbox);
        assert_non_null(item);
        const uint8_t *bytes = zmq_msg_data(&item->payload);
        assert_int_equal(zmq_msg_size(&item->payload), lengths[i]);
        assert_true(bytes[0] == 0x5a && bytes[lengths[i] - 1] == 0x5a);
        muster_inbox_item_free(item);
    }
    assert_int_equal(freed, 3);
    assert_true(muster_inbox_empty(&inbox));
    muster_inbox_clean_up(&inbox);
}

static bool put_one(muster_inbox *inbox, muster_peer *peer)
{
    zmq_msg_t message;
    assert_int_equal(zmq_msg_init_size(&message, 48), 0);
    memset(zmq_msg_data(&message), 0, 48);
    bool taken = muster_inbox_put(inbox, peer, &message);
    zmq_msg_close(&message);
    return taken;
}

static void what_is_over_its_share_finds_no_room(void **state)
{
    muster_inbox inbox = {0};
    muster_peer rank = {.connection = 3, .job = 9};
    muster_peer launcher = {.connection = 4, .job = 9, .launcher = true};
    muster_peer other = {.connection = 5, .job = 10};
    (void)state;
    for (uint32_t i = 0; i < MUSTER_INBOX_PEER_MESSAGES; i++)
        assert_true(put_one(&inbox, &rank));
    assert_false(put_one(&inbox, &rank));
    for (uint32_t i = 0; i < MUSTER_INBOX_LAUNCHER_MESSAGES; i++)
        assert_true(put_one(&inbox, &launcher));
    assert_false(put_one(&inbox, &launcher));
    /* The whole job's, which any number of connections share. */
    muster_peer another = {.connection = 6, .job = 9};
    uint32_t taken = MUSTER_INBOX_PEER_MESSAGES + MUSTER_INBOX_LAUNCHER_MESSAGES;
    while (put_one(&inbox, &another)) {
        taken++;
        another.waiting = 0;
        another.connection++;
    }
    assert_int_equal(taken, MUSTER_INBOX_JOB_MESSAGES);
    assert_true(put_one(&inbox, &other)); /* and it takes nobody else's */
    muster_inbox_clean_up(&inbox);
}

/* However much one job has to say, and however dear each word of it is, the other's cheap ones go on: of the
 * time for which both wait, half is theirs. */
static void a_job_that_floods_waits_for_itself(void **state)
{
    muster_inbox inbox = {0};
    muster_peer flood = {.connection = 3, .job = 9};
    muster_peer quiet = {.connection = 4, .job = 10};
    int dear = 0;
    int cheap = 0;
    (void)state;
    for (int i = 0; i < 200; i++)
        assert_true(put_one(&inbox, &flood) && put_one(&inbox, &quiet));
    while (cheap < 200) {
        muster_inbox_item *item = muster_inbox_take(&inbox);
        assert_non_null(item);
        bool of_flood = item->connection == flood.connection;
        muster_inbox_item_free(item);
        muster_inbox_spend(&inbox, of_flood ? 20 * MUSTER_INBOX_SLICE_NS : MUSTER_INBOX_SLICE_NS);
        dear += of_flood;
        cheap += !of_flood;
    }
    assert_in_range(dear, 200 / 20 - 2, 200 / 20 + 2);
    muster_inbox_clean_up(&inbox);
}

static void the_limit_of_descriptors_is_named(void **state)
{
    struct rlimit before;
    char text[256];
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = MUSTER_DESCRIPTORS_OWN + 100, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(muster_descriptors_room(), 100);
    muster_descriptors_text(100, text, sizeof text);
    assert_string_equal(text, "");
    muster_descriptors_text(10000, text, sizeof text);
    assert_non_null(strstr(text, "228 descriptors (ulimit -n): room for 100 of 10000"));
    muster_descriptors_raise(MUSTER_DESCRIPTORS_OWN + 200);
    assert_int_equal(muster_descriptors_room(), 200);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_knows_its_launchers),
        cmocka_unit_test(the_newest_notes_are_kept_in_their_order),
        cmocka_unit_test(a_short_message_keeps_no_buffer),
        cmocka_unit_test(what_is_over_its_share_finds_no_room),
        cmocka_unit_test(a_job_that_floods_waits_for_itself),
        cmocka_unit_test(the_limit_of_descriptors_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
