/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator that goes and comes back: terms, rejoining, and what is said again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_coordinator.h"

static const uint32_t first[4] = {0, 0, 0, 0};

static void agree(fake_coordinator *fake, muster_agent *agent, uint64_t epoch)
{
    fake_send_agreed(fake, muster_agent_slot(agent), epoch, 4, first);
    muster_membership membership;
    assert_int_equal(
        muster_agent_await_agreed(agent, epoch - 1, fake_deadline(), &membership, NULL), MUSTER_OK);
    muster_membership_clean_up(&membership);
}

static void establish(fake_coordinator *fake, muster_agent *agent, uint64_t epoch)
{
    fake_send_established(fake, muster_agent_slot(agent), epoch);
    assert_int_equal(muster_agent_await_established(agent, epoch, fake_deadline(), NULL),
                     MUSTER_OK);
}

static void await_term(muster_agent *agent, uint64_t term)
{
    int64_t deadline_ns = fake_deadline();
    while (muster_agent_term(agent) < term && fake_now() < deadline_ns) {
        usleep(1000);
    }
    assert_int_equal(muster_agent_term(agent), term);
}

/* A new coordinator at the old place that asks the agent to join again. */
static fake_coordinator *come_back(const char *endpoint, uint64_t term, int32_t slot)
{
    fake_coordinator *fake = fake_start(endpoint, term);
    muster_message heartbeat = fake_take(fake, MUSTER_MESSAGE_HEARTBEAT);
    muster_message_clean_up(&heartbeat);
    fake_welcome_all(fake, 4);
    muster_message rejoin = fake_message(fake, MUSTER_MESSAGE_REJOIN, slot, 0);
    fake_send(fake, &rejoin);
    return fake;
}

static void rejoins_with_what_it_knows(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 3);
    char endpoint[256];
    snprintf(endpoint, sizeof endpoint, "%s", fake_endpoint(fake));
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 4);
    establish(fake, agent, 4);
    fake_send_revoke(fake, 1, 4, 2, 0);
    while (!muster_agent_revoked(agent, 4)) {
        usleep(1000);
    }
    muster_blob blob = {.bytes = 1, .data = {9}};
    muster_holding holding = {.slot = 1, .epoch = 4, .step = 8};
    muster_agent_quiet(agent, 4, 77, &blob, &holding, 1);
    muster_message quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
    muster_message_clean_up(&quiet);
    fake_stop(fake);

    fake = come_back(endpoint, 4, 1);
    muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    assert_true(join.u.join.rejoin);
    assert_true(join.u.join.revoked);
    assert_int_equal(join.epoch, 4);
    assert_int_equal(join.slot, 1);
    assert_int_equal(join.incarnation, 0);
    assert_int_equal(join.u.join.member_count, 4);
    assert_int_equal(join.u.join.members[3].process_id, 103);
    assert_int_equal(join.u.join.blob.data[0], 9); /* the newest one */
    muster_message_clean_up(&join);
    /* What the dead coordinator may have taken with it is said again. */
    quiet = fake_take(fake, MUSTER_MESSAGE_QUIET);
    assert_int_equal(quiet.epoch, 4);
    assert_int_equal(quiet.term, 4);
    assert_int_equal(quiet.u.quiet.released_ns, 77);
    assert_int_equal(quiet.u.quiet.holding_count, 1);
    muster_message_clean_up(&quiet);
    await_term(agent, 4);
    /* Its epoch is of the term in which that was agreed, whoever asks. */
    muster_message rejoin = fake_message(fake, MUSTER_MESSAGE_REJOIN, 1, 0);
    fake_send(fake, &rejoin);
    uint64_t term = 0;
    while (term != 4) {
        join = fake_take(fake, MUSTER_MESSAGE_JOIN);
        term = join.term;
        assert_int_equal(join.u.join.epoch_term, 3);
        muster_message_clean_up(&join);
    }
    agree(fake, agent, 5);
    establish(fake, agent, 5);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void connected_is_said_again(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    char endpoint[256];
    snprintf(endpoint, sizeof endpoint, "%s", fake_endpoint(fake));
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1);
    assert_int_equal(muster_agent_await_established(agent, 1, fake_now() + 10000000, NULL),
                     MUSTER_ERR_TIMEOUT); /* says CONNECTED, is not answered */
    fake_stop(fake);
    fake = come_back(endpoint, 2, 1);
    muster_message connected = fake_take(fake, MUSTER_MESSAGE_CONNECTED);
    assert_int_equal(connected.epoch, 1);
    establish(fake, agent, 1);
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* Same coordinator, same term: it has merely lost the connection. */
static void rejoins_in_the_same_term(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1);
    establish(fake, agent, 1);
    muster_message rejoin = fake_message(fake, MUSTER_MESSAGE_REJOIN, 1, 0);
    fake_send(fake, &rejoin);
    muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    assert_true(join.u.join.rejoin);
    assert_false(join.u.join.revoked);
    muster_message_clean_up(&join);
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* The new coordinator says nothing at first: a rank that was cut off says by itself who it is. */
static void joins_again_after_every_reconnect(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    char endpoint[256];
    snprintf(endpoint, sizeof endpoint, "%s", fake_endpoint(fake));
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1);
    establish(fake, agent, 1);
    assert_int_equal(fake_count(fake, MUSTER_MESSAGE_JOIN), 0);
    muster_agent_report_dying(agent, 3, 0);
    muster_message evidence = fake_take(fake, MUSTER_MESSAGE_EVIDENCE);
    assert_int_equal(evidence.u.evidence.accused_slot, 3);
    for (uint64_t term = 1; term <= 3; term++) {
        fake_stop(fake);
        fake = fake_start(endpoint, term);
        fake_welcome_all(fake, 4);
        muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
        assert_true(join.u.join.rejoin);
        muster_message_clean_up(&join);
        evidence = fake_take(fake, MUSTER_MESSAGE_EVIDENCE);
        assert_int_equal(evidence.u.evidence.accused_slot, 3);
    }
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void a_higher_term_is_joined(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1);
    muster_message ping = fake_message(fake, MUSTER_MESSAGE_PING, 1, 0);
    ping.term = 8;
    fake_send(fake, &ping);
    muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    assert_true(join.u.join.rejoin);
    assert_int_equal(join.term, 8);
    muster_message_clean_up(&join);
    assert_int_equal(muster_agent_term(agent), 8);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void expect_ignored(uint64_t term_offset, uint64_t job_offset)
{
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 5);
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1);
    establish(fake, agent, 1);
    muster_message revoke = fake_message(fake, MUSTER_MESSAGE_REVOKE, 1, 1);
    revoke.term -= term_offset;
    revoke.job += job_offset;
    fake_send(fake, &revoke);
    /* In order: once the PING behind it is answered, the REVOKE was taken in too. */
    muster_message ping = fake_message(fake, MUSTER_MESSAGE_PING, 1, 0);
    fake_send(fake, &ping);
    muster_message pong = fake_take(fake, MUSTER_MESSAGE_PONG);
    muster_message_clean_up(&pong);
    assert_false(muster_agent_revoked(agent, 1));
    assert_int_equal(muster_agent_term(agent), 5);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void a_lower_term_is_ignored(void **state)
{
    (void)state;
    expect_ignored(1, 0);
}

static void another_job_is_ignored(void **state)
{
    (void)state;
    expect_ignored(0, 1);
}

static void nonsense_is_ignored(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    muster_agent *agent = fake_join(fake, 1);
    fake_send_bytes(fake, 1, "nonsense", 8);
    uint8_t zeros[200] = {0};
    fake_send_bytes(fake, 1, zeros, sizeof zeros);
    fake_send_bytes(fake, 1, zeros, 0);
    agree(fake, agent, 1);
    assert_int_equal(muster_agent_standing(agent), MUSTER_OK);
    muster_agent_stop(agent);
    fake_stop(fake);
}

/* Refused for a reason that may pass: it keeps asking. */
static void a_refusal_to_retry_is_retried(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start("tcp://127.0.0.1:*", 1);
    char endpoint[256];
    snprintf(endpoint, sizeof endpoint, "%s", fake_endpoint(fake));
    muster_agent *agent = fake_join(fake, 1);
    agree(fake, agent, 1);
    fake_stop(fake);
    fake = fake_start(endpoint, 2);
    muster_message heartbeat = fake_take(fake, MUSTER_MESSAGE_HEARTBEAT);
    muster_message_clean_up(&heartbeat);
    muster_message rejoin = fake_message(fake, MUSTER_MESSAGE_REJOIN, 1, 0);
    fake_send(fake, &rejoin);
    muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    muster_message_clean_up(&join);
    muster_message refused = fake_message(fake, MUSTER_MESSAGE_REFUSED, 1, 0);
    refused.u.refused.status = MUSTER_ERR_TIMEOUT;
    fake_send(fake, &refused);
    join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    assert_true(join.u.join.rejoin);
    muster_message_clean_up(&join);
    assert_int_equal(muster_agent_standing(agent), MUSTER_OK);
    muster_agent_stop(agent);
    fake_stop(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rejoins_with_what_it_knows),
        cmocka_unit_test(connected_is_said_again),
        cmocka_unit_test(rejoins_in_the_same_term),
        cmocka_unit_test(joins_again_after_every_reconnect),
        cmocka_unit_test(a_higher_term_is_joined),
        cmocka_unit_test(a_lower_term_is_ignored),
        cmocka_unit_test(another_job_is_ignored),
        cmocka_unit_test(nonsense_is_ignored),
        cmocka_unit_test(a_refusal_to_retry_is_retried),
    };
    return cmocka_run_group_tests_name("agent_rejoin", tests, NULL, NULL);
}
