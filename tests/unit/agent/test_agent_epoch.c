/* SPDX-License-Identifier: Apache-2.0 */
/* One rank's way through epochs: agreed, connected, established, revoked, quiet, and the ways out. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/difference.h"
#include "fake_coordinator.h"

#define SHORT_NS ((int64_t)50000000)

static const uint32_t first[4] = {0, 0, 0, 0};
static const uint32_t replaced[4] = {0, 0, 1, 0};

typedef struct wakes {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int count;
} wakes;

static void note_wake(void *context)
{
    wakes *seen = context;
    pthread_mutex_lock(&seen->mutex);
    seen->count++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->mutex);
}

static void await_wake(wakes *seen, int at_least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FAKE_PATIENCE_NS / 1000000000;
    pthread_mutex_lock(&seen->mutex);
    while (seen->count < at_least) {
        assert_int_equal(pthread_cond_timedwait(&seen->changed, &seen->mutex, &until), 0);
    }
    pthread_mutex_unlock(&seen->mutex);
}

static bool readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

static void await_readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, (int)(FAKE_PATIENCE_NS / 1000000)), 1);
}

static void await_standing(muster_agent *agent, muster_status standing)
{
    int64_t deadline_ns = fake_deadline();
    while (muster_agent_standing(agent) == MUSTER_OK && fake_now() < deadline_ns) {
        usleep(1000);
    }
    assert_int_equal(muster_agent_standing(agent), standing);
}

static void agree(fake_coordinator *fake, muster_agent *agent, uint64_t epoch,
                  const uint32_t *incarnations)
{
    int32_t slot = muster_agent_slot(agent);
    fake_send_agreed(fake, slot, epoch, 4, incarnations);
    muster_membership membership;
    assert_int_equal(
        muster_agent_await_agreed(agent, epoch - 1, fake_deadline(), &membership, NULL), MUSTER_OK);
    assert_int_equal(membership.epoch, epoch);
    muster_membership_clean_up(&membership);
}

static void establish(fake_coordinator *fake, muster_agent *agent, uint64_t epoch)
{
    fake_send_established(fake, muster_agent_slot(agent), epoch);
    assert_int_equal(muster_agent_await_established(agent, epoch, fake_deadline(), NULL),
                     MUSTER_OK);
}

/* Joined, first epoch established. */
static muster_agent *in_first_epoch(fake_coordinator *fake, int32_t slot)
{
    muster_agent *agent = fake_join(fake, slot);
    agree(fake, agent, 1, first);
    establish(fake, agent, 1);
    return agent;
}

static void agreed_hands_over_the_members(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 6);
    muster_agent *agent = fake_join(fake, 1);
    fake_send_agreed(fake, 1, 9, 4, replaced);
    muster_membership membership;
    assert_int_equal(muster_agent_await_agreed(agent, 0, fake_deadline(), &membership, NULL),
                     MUSTER_OK);
    assert_int_equal(membership.epoch, 9);
    assert_int_equal(membership.term, 6);
    assert_int_equal(membership.agreed.u.agreed.member_count, 4);
    assert_int_equal(membership.agreed.u.agreed.members[2].incarnation, 1);
    assert_int_equal(membership.agreed.u.agreed.members[3].process_id, 103);
    muster_membership_clean_up(&membership);
    assert_int_equal(membership.epoch, 0);
    assert_false(readable(muster_agent_revoke_fd(agent)));
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* What has changed since base_epoch, in which all were incarnation 0, is slot 2. */
static void send_difference(fake_coordinator *fake, int32_t slot, uint64_t epoch,
                            uint64_t base_epoch)
{
    muster_member wanted[4];
    muster_message agreed = fake_message(fake, MUSTER_MESSAGE_AGREED, slot, epoch);
    agreed.u.agreed.base_epoch = base_epoch;
    agreed.u.agreed.members = calloc(1, sizeof *agreed.u.agreed.members);
    assert_non_null(agreed.u.agreed.members);
    for (int32_t i = 0; i < 4; i++) {
        wanted[i] = (muster_member){
            .slot = i, .incarnation = replaced[i], .process_id = 100 + i, .host = 7};
    }
    agreed.u.agreed.members[0] = wanted[2];
    agreed.u.agreed.member_count = 1;
    agreed.u.agreed.members_hash = muster_difference_hash(wanted, 4);
    fake_send(fake, &agreed);
}

static void a_difference_is_made_whole(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    muster_blob blob = {.bytes = 0};
    muster_membership membership;
    muster_agent_quiet(agent, 1, 0, &blob, NULL, 0);
    muster_message quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
    assert_int_equal(quiet.u.quiet.members_epoch, 1);
    muster_message_clean_up(&quiet);
    send_difference(fake, 1, 2, 1);
    assert_int_equal(muster_agent_await_agreed(agent, 1, fake_deadline(), &membership, NULL),
                     MUSTER_OK);
    assert_int_equal(membership.epoch, 2);
    assert_int_equal(membership.agreed.u.agreed.base_epoch, 0);
    assert_int_equal(membership.agreed.u.agreed.member_count, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(membership.agreed.u.agreed.members[i].slot, i);
        assert_int_equal(membership.agreed.u.agreed.members[i].incarnation, replaced[i]);
        assert_int_equal(membership.agreed.u.agreed.members[i].process_id, 100 + i);
    }
    muster_membership_clean_up(&membership);
    establish(fake, agent, 2);
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* It cannot be, where everybody does as they should; then the whole list is asked for. */
static void a_difference_to_another_epoch_is_asked_for_in_full(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    fake_forget(fake);
    send_difference(fake, 1, 4, 3);
    muster_message again = fake_take(fake, MUSTER_MESSAGE_JOIN);
    assert_true(again.u.join.rejoin);
    assert_int_equal(again.epoch, 1);
    muster_message_clean_up(&again);
    agree(fake, agent, 4, replaced);
    establish(fake, agent, 4);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void *establish_when_connected(void *context)
{
    fake_coordinator *fake = context;
    muster_message connected = fake_take(fake, MUSTER_MESSAGE_CONNECTED);
    assert_int_equal(connected.epoch, 1);
    fake_send_established(fake, connected.slot, connected.epoch);
    muster_message_clean_up(&connected);
    return NULL;
}

static void established_comes_after_connected(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1, first);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, establish_when_connected, fake), 0);
    assert_int_equal(muster_agent_await_established(agent, 1, fake_deadline(), NULL), MUSTER_OK);
    pthread_join(thread, NULL);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void revoke_wakes_and_the_next_epoch_calms(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    wakes seen = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    muster_agent_set_wake(agent, note_wake, &seen);
    assert_false(muster_agent_revoked(agent, 1));
    assert_false(readable(muster_agent_revoke_fd(agent)));

    fake_send_revoke(fake, 1, 1, 2, 0);
    await_wake(&seen, 1);
    await_readable(muster_agent_revoke_fd(agent));
    assert_true(muster_agent_revoked(agent, 1));
    assert_false(muster_agent_revoked(agent, 2));
    assert_int_equal(muster_agent_standing(agent), MUSTER_OK);
    muster_death deaths[4];
    assert_int_equal(muster_agent_deaths(agent, 1, deaths, 4), 1);
    assert_int_equal(deaths[0].slot, 2);
    assert_int_equal(deaths[0].evidence, MUSTER_EVIDENCE_EXITED);
    assert_int_equal(deaths[0].wait_status, 9);
    assert_int_equal(muster_agent_deaths(agent, 2, deaths, 4), 0);

    /* A second death of the same epoch. */
    fake_send_revoke(fake, 1, 1, 0, 0);
    await_wake(&seen, 2);
    assert_int_equal(muster_agent_deaths(agent, 1, deaths, 1), 2);
    assert_int_equal(deaths[0].slot, 0);

    muster_blob blob = {.bytes = 2, .data = {7, 8}};
    muster_holding holdings[2] = {{.slot = 1, .epoch = 1, .step = 4, .committed = true},
                                  {.slot = 0, .epoch = 1, .step = 4, .mirror = true}};
    muster_agent_quiet(agent, 1, 12345, &blob, holdings, 2);
    muster_message quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
    assert_int_equal(quiet.epoch, 1);
    assert_int_equal(quiet.u.quiet.released_ns, 12345);
    assert_int_equal(quiet.u.quiet.blob.data[1], 8);
    assert_int_equal(quiet.u.quiet.holding_count, 2);
    assert_true(quiet.u.quiet.holdings[1].mirror);
    muster_message_clean_up(&quiet);

    uint32_t both[4] = {1, 0, 1, 0};
    agree(fake, agent, 2, both);
    assert_true(readable(muster_agent_revoke_fd(agent))); /* until it is established */
    establish(fake, agent, 2);
    assert_false(readable(muster_agent_revoke_fd(agent)));
    assert_true(muster_agent_revoked(agent, 1));
    assert_false(muster_agent_revoked(agent, 2));

    muster_agent_set_wake(agent, NULL, NULL);
    int before = seen.count;
    fake_send_revoke(fake, 1, 2, 3, 0);
    await_readable(muster_agent_revoke_fd(agent));
    muster_agent_stop(agent);
    assert_int_equal(seen.count, before);
    fake_stop(fake);
}

static void revoked_while_connecting(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1, first);
    fake_send_revoke(fake, 1, 1, 2, 0);
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_await_established(agent, 1, fake_deadline(), &error),
                     MUSTER_ERR_RANK_LOST);
    assert_int_equal(error.came, 2);
    assert_non_null(strstr(error.message, "slot 2"));
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* A REVOKE that got lost does not matter: the next epoch ends the last. */
static void agreed_ends_the_epoch_before(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    agree(fake, agent, 4, replaced);
    assert_true(muster_agent_revoked(agent, 1));
    assert_true(muster_agent_revoked(agent, 3));
    assert_false(muster_agent_revoked(agent, 4));
    assert_true(readable(muster_agent_revoke_fd(agent)));
    fake_send_agreed(fake, 1, 2, 4, first); /* comes late: it changes nothing */
    establish(fake, agent, 4);
    assert_false(readable(muster_agent_revoke_fd(agent)));
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* Its AGREED was lost with a connection or a coordinator, and a second death has revoked it since. The
 * coordinator waits for a QUIET of that epoch, and this rank, never in it, is quiet there. */
static void an_epoch_is_revoked_before_it_was_heard_of(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    muster_holding holding = {.slot = 1, .epoch = 1, .step = 4, .committed = true};
    muster_blob blob = {.bytes = 1, .data = {5}};
    fake_send_revoke(fake, 1, 1, 2, 0);
    await_readable(muster_agent_revoke_fd(agent));
    muster_agent_quiet(agent, 1, 0, &blob, &holding, 1);
    muster_message quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
    assert_int_equal(quiet.epoch, 1);
    muster_message_clean_up(&quiet);
    /* Twice: the answer may be lost, too. */
    for (int i = 0; i < 2; i++) {
        fake_send_revoke(fake, 1, 2, 3, 0);
        quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
        assert_int_equal(quiet.epoch, 2);
        assert_int_equal(quiet.u.quiet.holding_count, 1);
        muster_message_clean_up(&quiet);
    }
    agree(fake, agent, 3, replaced);
    establish(fake, agent, 3);
    assert_false(readable(muster_agent_revoke_fd(agent)));
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* The working thread says that it is quiet only after the second revoke. */
static void quiet_comes_after_two_revokes(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    muster_blob blob = {0};
    fake_send_revoke(fake, 1, 1, 2, 0);
    fake_send_revoke(fake, 1, 2, 3, 0);
    muster_death death;
    int64_t deadline_ns = fake_deadline();
    while (muster_agent_deaths(agent, 2, &death, 1) == 0 && fake_now() < deadline_ns) {
        usleep(1000);
    }
    muster_agent_quiet(agent, 1, 0, &blob, NULL, 0);
    muster_message quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
    assert_int_equal(quiet.epoch, 2);
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* A newcomer says QUIET of no epoch by itself; one that was to be its first is revoked all the same. */
static void the_first_epoch_is_revoked_before_it_was_heard_of(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    fake_send_revoke(fake, 1, 7, 2, 0);
    muster_message quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
    assert_int_equal(quiet.epoch, 7);
    assert_int_equal(quiet.u.quiet.holding_count, 0);
    muster_message_clean_up(&quiet);
    agree(fake, agent, 8, first);
    establish(fake, agent, 8);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void expect_out(fake_coordinator *fake, muster_agent *agent, muster_status standing,
                       const char *because)
{
    await_standing(agent, standing);
    await_readable(muster_agent_revoke_fd(agent));
    muster_membership membership;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_await_agreed(agent, 1, fake_deadline(), &membership, &error),
                     standing);
    assert_non_null(strstr(error.message, because));
    assert_int_equal(muster_agent_await_established(agent, 1, fake_deadline(), NULL), standing);
    assert_int_equal(muster_agent_leave(agent, NULL), MUSTER_OK);
    assert_int_equal(fake_count(fake, MUSTER_MESSAGE_LEAVE), 0);
}

static void declared_dead_is_fenced(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    fake_send_revoke(fake, 1, 1, 1, 0);
    expect_out(fake, agent, MUSTER_ERR_FENCED, "incarnation 0 of slot 1 was declared dead");
    fake_stop(fake);
}

static void an_epoch_without_this_incarnation_fences(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 2);
    fake_send_agreed(fake, 2, 2, 4, replaced);
    expect_out(fake, agent, MUSTER_ERR_FENCED, "without incarnation 0 of slot 2");
    fake_stop(fake);
}

static void send_ending(fake_coordinator *fake, uint32_t type, muster_status status)
{
    muster_message message = fake_message(fake, type, 1, 1);
    message.u.refused.status = (uint32_t)status;
    strcpy(message.u.refused.text, "fewer than min_ranks are left");
    fake_send(fake, &message);
}

static void refused_later_is_fenced(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    send_ending(fake, MUSTER_MESSAGE_REFUSED, MUSTER_ERR_SLOT_TAKEN);
    expect_out(fake, agent, MUSTER_ERR_FENCED, "fewer than min_ranks");
    fake_stop(fake);
}

static void gave_up_says_which_rule(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    wakes seen = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    muster_agent_set_wake(agent, note_wake, &seen);
    send_ending(fake, MUSTER_MESSAGE_GAVE_UP, MUSTER_ERR_GAVE_UP);
    await_wake(&seen, 1);
    expect_out(fake, agent, MUSTER_ERR_GAVE_UP, "fewer than min_ranks are left");
    fake_stop(fake);
}

/* Nobody else came: the join says that, not that a job was given up. */
static void a_job_that_never_forms(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    send_ending(fake, MUSTER_MESSAGE_GAVE_UP, MUSTER_ERR_TIMEOUT);
    muster_membership membership;
    assert_int_equal(muster_agent_await_agreed(agent, 0, fake_deadline(), &membership, NULL),
                     MUSTER_ERR_TIMEOUT);
    assert_int_equal(muster_agent_standing(agent), MUSTER_ERR_GAVE_UP);
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* What was lost on the way without the connection breaking. */
static void lost_messages_are_said_again(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1, first);
    assert_int_equal(muster_agent_await_established(agent, 1, fake_now() + SHORT_NS, NULL),
                     MUSTER_ERR_TIMEOUT);
    for (int i = 0; i < 2; i++) {
        muster_message connected = fake_take(fake, MUSTER_MESSAGE_CONNECTED);
        assert_int_equal(connected.epoch, 1);
    }
    muster_blob blob = {0};
    fake_send_revoke(fake, 1, 1, 2, 0);
    await_readable(muster_agent_revoke_fd(agent));
    muster_agent_quiet(agent, 1, 0, &blob, NULL, 0);
    for (int i = 0; i < 2; i++) {
        muster_message quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
        assert_int_equal(quiet.epoch, 1);
        fake_send_revoke(fake, 1, 1, 2, 0);
    }
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void calls_differ_ends_no_epoch(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    muster_message message = fake_message(fake, MUSTER_MESSAGE_CALLS_DIFFER, 1, 1);
    fake_send(fake, &message);
    await_standing(agent, MUSTER_ERR_CALLS_DIFFER);
    assert_false(muster_agent_revoked(agent, 1));
    assert_false(readable(muster_agent_revoke_fd(agent)));
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void await_agreed_times_out(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    muster_membership membership;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(
        muster_agent_await_agreed(agent, 1, fake_now() + SHORT_NS, &membership, &error),
        MUSTER_ERR_TIMEOUT);
    assert_non_null(strstr(error.message, fake_endpoint(fake)));
    assert_int_equal(muster_agent_await_agreed(agent, 1, 0, &membership, NULL), MUSTER_ERR_TIMEOUT);
    /* A coordinator that says for whom it waits is quoted. */
    muster_message hint = fake_message(fake, MUSTER_MESSAGE_NOTE, 1, 1);
    snprintf(hint.u.note.text, sizeof hint.u.note.text, "slot 2, 3 to join");
    fake_send(fake, &hint);
    int64_t patience_ns = fake_now() + FAKE_PATIENCE_NS;
    do {
        assert_int_equal(
            muster_agent_await_agreed(agent, 1, fake_now() + SHORT_NS, &membership, &error),
            MUSTER_ERR_TIMEOUT);
    } while (strstr(error.message, "slot 2, 3 to join") == NULL && fake_now() < patience_ns);
    assert_non_null(strstr(error.message, "slot 2, 3 to join"));
    agree(fake, agent, 2, first);
    assert_int_equal(muster_agent_await_established(agent, 2, fake_now() + SHORT_NS, NULL),
                     MUSTER_ERR_TIMEOUT);
    fake_stop(fake);
    /* Heartbeats find no connection: now it is the coordinator that is missing. */
    assert_int_equal(
        muster_agent_await_agreed(agent, 2, fake_now() + 10 * SHORT_NS, &membership, &error),
        MUSTER_ERR_NO_COORDINATOR);
    muster_agent_stop(agent);
}

static void heartbeats_carry_the_marks(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    muster_agent_waiting(agent, 11, 22, 33, 44);
    fake_forget(fake);
    muster_activity activity;
    muster_message heartbeat;
    do { /* older ones may still be on their way */
        heartbeat = fake_take(fake, MUSTER_MESSAGE_HEARTBEAT);
        activity = heartbeat.u.heartbeat.activity;
    } while (!activity.waiting);
    assert_int_equal(heartbeat.epoch, 1);
    assert_int_equal(heartbeat.slot, 1);
    assert_int_equal(activity.communicator, 11);
    assert_int_equal(activity.sequence, 22);
    assert_int_equal(activity.call, 33);
    assert_int_equal(activity.waiting_since_ns, 44);
    assert_false(activity.has_committed_step);
    uint64_t mark = activity.progress_mark;

    muster_agent_not_waiting(agent);
    muster_agent_progress(agent);
    muster_agent_report_committed(agent, 7);
    do {
        heartbeat = fake_take(fake, MUSTER_MESSAGE_HEARTBEAT);
        activity = heartbeat.u.heartbeat.activity;
    } while (activity.waiting || !activity.has_committed_step);
    assert_true(activity.progress_mark > mark);
    assert_int_equal(activity.committed_step, 7);
    muster_message committed = fake_take(fake, MUSTER_MESSAGE_COMMITTED);
    assert_int_equal(committed.u.committed.step, 7);

    /* The step is lost: what is committed from here on may have a lower number. */
    muster_message agreed = fake_message(fake, MUSTER_MESSAGE_AGREED, 1, 2);
    agreed.u.agreed.member_count = 1;
    agreed.u.agreed.members = calloc(1, sizeof *agreed.u.agreed.members);
    assert_non_null(agreed.u.agreed.members);
    agreed.u.agreed.members[0].slot = 1;
    agreed.u.agreed.restore.state_lost = true;
    fake_send(fake, &agreed);
    do {
        heartbeat = fake_take(fake, MUSTER_MESSAGE_HEARTBEAT);
    } while (heartbeat.epoch != 2);
    assert_false(heartbeat.u.heartbeat.activity.has_committed_step);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void reports_are_heard(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = in_first_epoch(fake, 1);
    muster_agent_report_dying(agent, 2, 0);
    muster_agent_report_dying(agent, 2, 0); /* many calls may notice one death */
    muster_agent_report_batch_deadline(agent, 3, 0, 5, 6, 7);
    muster_agent_report_resumed(agent, 1000, 0);
    muster_message dying = fake_take(fake, MUSTER_MESSAGE_EVIDENCE);
    assert_int_equal(dying.u.evidence.evidence, MUSTER_EVIDENCE_ROBUST_FUTEX);
    assert_int_equal(dying.u.evidence.accused_slot, 2);
    muster_message deadline = fake_take(fake, MUSTER_MESSAGE_EVIDENCE);
    assert_int_equal(deadline.u.evidence.evidence, MUSTER_EVIDENCE_BATCH_DEADLINE);
    assert_int_equal(deadline.u.evidence.accused_slot, 3);
    assert_int_equal(deadline.u.evidence.communicator, 5);
    assert_int_equal(deadline.u.evidence.sequence, 6);
    assert_int_equal(deadline.u.evidence.call, 7);
    muster_message resumed = fake_take(fake, MUSTER_MESSAGE_RESUMED);
    assert_int_equal(resumed.u.resumed.returned_ns, 1000);
    muster_agent_report_resumed(agent, 0, 2000);
    resumed = fake_take(fake, MUSTER_MESSAGE_RESUMED);
    assert_int_equal(resumed.u.resumed.first_batch_ns, 2000);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void ping_is_answered(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    uint64_t before_ns = (uint64_t)fake_now();
    muster_message ping = fake_message(fake, MUSTER_MESSAGE_PING, 1, 0);
    ping.u.ping.ping_id = 42;
    ping.u.ping.sent_ns = before_ns;
    fake_send(fake, &ping);
    muster_message pong = fake_take(fake, MUSTER_MESSAGE_PONG);
    assert_int_equal(pong.u.ping.ping_id, 42);
    assert_int_equal(pong.u.ping.sent_ns, before_ns);
    assert_true(pong.u.ping.received_ns >= before_ns);
    assert_true(pong.u.ping.answered_ns >= pong.u.ping.received_ns);
    assert_true(pong.u.ping.answered_ns <= (uint64_t)fake_now());
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void a_spare_gets_a_slot(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, MUSTER_SLOT_SPARE_WIRE);
    assert_int_equal(muster_agent_slot(agent), MUSTER_SLOT_SPARE_WIRE);
    /* AGREED names the slot that it is for: the fake speaks to it under its old one. */
    muster_message heartbeat = fake_take(fake, MUSTER_MESSAGE_HEARTBEAT);
    assert_int_equal(heartbeat.slot, MUSTER_SLOT_SPARE_WIRE);
    fake_send_agreed_to_spare(fake, 2, 5, 4, replaced);
    muster_membership membership;
    assert_int_equal(muster_agent_await_agreed(agent, 0, INT64_MAX, &membership, NULL), MUSTER_OK);
    assert_int_equal(membership.epoch, 5);
    muster_membership_clean_up(&membership);
    assert_int_equal(muster_agent_slot(agent), 2);
    assert_int_equal(muster_agent_incarnation(agent), 1);
    muster_agent_stop(agent);
    fake_stop(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agreed_hands_over_the_members),
        cmocka_unit_test(a_difference_is_made_whole),
        cmocka_unit_test(a_difference_to_another_epoch_is_asked_for_in_full),
        cmocka_unit_test(established_comes_after_connected),
        cmocka_unit_test(revoke_wakes_and_the_next_epoch_calms),
        cmocka_unit_test(revoked_while_connecting),
        cmocka_unit_test(agreed_ends_the_epoch_before),
        cmocka_unit_test(an_epoch_is_revoked_before_it_was_heard_of),
        cmocka_unit_test(quiet_comes_after_two_revokes),
        cmocka_unit_test(the_first_epoch_is_revoked_before_it_was_heard_of),
        cmocka_unit_test(declared_dead_is_fenced),
        cmocka_unit_test(an_epoch_without_this_incarnation_fences),
        cmocka_unit_test(refused_later_is_fenced),
        cmocka_unit_test(gave_up_says_which_rule),
        cmocka_unit_test(a_job_that_never_forms),
        cmocka_unit_test(lost_messages_are_said_again),
        cmocka_unit_test(calls_differ_ends_no_epoch),
        cmocka_unit_test(await_agreed_times_out),
        cmocka_unit_test(heartbeats_carry_the_marks),
        cmocka_unit_test(reports_are_heard),
        cmocka_unit_test(ping_is_answered),
        cmocka_unit_test(a_spare_gets_a_slot),
    };
    return cmocka_run_group_tests_name("agent_epoch", tests, NULL, NULL);
}
