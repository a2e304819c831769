/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in: members with the cookie, and nobody else; strangers cost nothing for long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "raw.h"

#define STRANGERS 1500

static void a_member_is_let_in(void **state)
{
    raw_pair pair;

    (void)state;
    raw_open(&pair);
    close(raw_meet(&pair));
    raw_close(&pair);
}

/* The refusal that a hello with one thing wrong gets; the member comes in all the same. */
static void expect_refused(void (*spoil)(muster_tcp_hello *hello), uint64_t epoch,
                           muster_tcp_refusal expected)
{
    raw_pair pair;
    muster_tcp_hello hello;
    muster_tcp_refusal refusal = MUSTER_TCP_REFUSAL_VERSION;
    int stranger;
    int member;

    raw_open(&pair);
    hello = raw_hello(&pair);
    if (spoil != NULL)
        spoil(&hello);
    raw_connect(&pair);
    /* Until the real one connects, nobody answers. */
    stranger = raw_socket(&pair);
    raw_say_hello(stranger, &hello, epoch, RAW_COMMUNICATOR);
    assert_int_equal(raw_answer(stranger, &refusal), MUSTER_TCP_REFUSED);
    assert_int_equal(refusal, expected);
    assert_int_equal(raw_answer(stranger, &refusal), 0);
    close(stranger);
    member = raw_socket(&pair);
    hello = raw_hello(&pair);
    raw_say_hello(member, &hello, RAW_EPOCH, RAW_COMMUNICATOR);
    assert_int_equal(raw_answer(member, &refusal), MUSTER_TCP_WELCOME);
    assert_int_equal(raw_connected(&pair), MUSTER_OK);
    close(member);
    raw_close(&pair);
}

static void spoil_cookie(muster_tcp_hello *hello)
{
    hello->cookie[7] ^= 0x10;
}

static void spoil_job(muster_tcp_hello *hello)
{
    hello->job++;
}

static void spoil_incarnation(muster_tcp_hello *hello)
{
    hello->from.incarnation--; /* a fenced one that woke up */
}

static void spoil_slot(muster_tcp_hello *hello)
{
    hello->from.slot = 12;
}

static void spoil_target(muster_tcp_hello *hello)
{
    hello->to.incarnation++;
}

static void spoil_members(muster_tcp_hello *hello)
{
    hello->member_count = 3;
}

static void strangers_are_refused(void **state)
{
    (void)state;
    expect_refused(spoil_cookie, RAW_EPOCH, MUSTER_TCP_REFUSAL_COOKIE);
    expect_refused(spoil_job, RAW_EPOCH, MUSTER_TCP_REFUSAL_COOKIE);
    expect_refused(spoil_incarnation, RAW_EPOCH, MUSTER_TCP_REFUSAL_MEMBER);
    expect_refused(spoil_slot, RAW_EPOCH, MUSTER_TCP_REFUSAL_MEMBER);
    expect_refused(spoil_target, RAW_EPOCH, MUSTER_TCP_REFUSAL_MEMBER);
    expect_refused(spoil_members, RAW_EPOCH, MUSTER_TCP_REFUSAL_MEMBER);
}

static void an_epoch_that_is_over_is_refused(void **state)
{
    (void)state;
    expect_refused(NULL, RAW_EPOCH - 1, MUSTER_TCP_REFUSAL_LATE);
}

static void nonsense_is_dropped(void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: somewhere\r\nAccept: */*\r\n\r\n";
    raw_pair pair;
    muster_tcp_hello hello;
    muster_tcp_refusal refusal;
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES];
    int strangers[3];
    int member;

    (void)state;
    raw_open(&pair);
    hello = raw_hello(&pair);
    raw_connect(&pair);
    strangers[0] = raw_socket(&pair);
    raw_send(strangers[0], http, sizeof http - 1);
    strangers[1] = raw_socket(&pair);
    raw_send_header(strangers[1], MUSTER_TCP_ROUND, RAW_EPOCH, 1, MUSTER_ROUND_BYTES);
    for (int i = 0; i < 2; i++)
        assert_int_equal(raw_answer(strangers[i], &refusal), 0);
    /* Another version is told so. */
    strangers[2] = raw_socket(&pair);
    muster_tcp_header_encode(&(muster_tcp_header){.kind = MUSTER_TCP_HELLO,
                                                  .epoch = RAW_EPOCH,
                                                  .bytes = MUSTER_TCP_HELLO_BYTES},
                             bytes);
    bytes[4]++;
    raw_send(strangers[2], bytes, sizeof bytes);
    assert_int_equal(raw_answer(strangers[2], &refusal), MUSTER_TCP_REFUSED);
    assert_int_equal(refusal, MUSTER_TCP_REFUSAL_VERSION);
    member = raw_socket(&pair);
    raw_say_hello(member, &hello, RAW_EPOCH, RAW_COMMUNICATOR);
    assert_int_equal(raw_answer(member, &refusal), MUSTER_TCP_WELCOME);
    assert_int_equal(raw_connected(&pair), MUSTER_OK);
    for (int i = 0; i < 3; i++)
        close(strangers[i]);
    close(member);
    raw_close(&pair);
}

static void who_says_nothing_does_not_keep_others_out(void **state)
{
    static int strangers[STRANGERS];
    raw_pair pair;
    int member;

    (void)state;
    raw_open(&pair);
    for (int i = 0; i < STRANGERS / 2; i++)
        strangers[i] = raw_socket(&pair);
    member = raw_meet(&pair);
    /* More than there is room for: the oldest go. */
    for (int i = STRANGERS / 2; i < STRANGERS; i++)
        strangers[i] = raw_socket(&pair);
    for (int i = 0; i < STRANGERS; i++)
        close(strangers[i]);
    close(member);
    raw_close(&pair);
}

static void who_comes_early_waits(void **state)
{
    raw_pair pair;
    muster_tcp_hello hello;
    muster_tcp_refusal refusal;
    int member;

    (void)state;
    raw_open(&pair);
    hello = raw_hello(&pair);
    member = raw_socket(&pair);
    raw_say_hello(member, &hello, RAW_EPOCH, RAW_COMMUNICATOR);
    raw_nap_ms(30);
    raw_connect(&pair);
    assert_int_equal(raw_answer(member, &refusal), MUSTER_TCP_WELCOME);
    assert_int_equal(raw_connected(&pair), MUSTER_OK);
    close(member);
    raw_close(&pair);
}

static void a_second_try_replaces_the_first(void **state)
{
    raw_pair pair;
    muster_tcp_hello hello;
    muster_tcp_refusal refusal;
    uint8_t payload[MUSTER_ROUND_BYTES] = {9};
    int first;
    int second;

    (void)state;
    raw_open(&pair);
    hello = raw_hello(&pair);
    first = raw_meet(&pair);
    /* Its welcome got lost, it believes; nothing was said on the first one yet. */
    second = raw_socket(&pair);
    raw_say_hello(second, &hello, RAW_EPOCH, RAW_COMMUNICATOR);
    assert_int_equal(raw_answer(second, &refusal), MUSTER_TCP_WELCOME);
    assert_int_equal(raw_answer(first, &refusal), 0);
    pair.table->round_post(pair.transport, 1, payload);
    raw_send_header(second, MUSTER_TCP_ROUND, RAW_EPOCH, 1, MUSTER_ROUND_BYTES);
    raw_send(second, payload, sizeof payload);
    while (pair.table->round_poll(pair.transport, 1) == NULL)
        raw_nap_ms(1);
    /* Now there was: a third one is late. */
    close(first);
    first = raw_socket(&pair);
    raw_say_hello(first, &hello, RAW_EPOCH, RAW_COMMUNICATOR);
    assert_int_equal(raw_answer(first, &refusal), MUSTER_TCP_REFUSED);
    assert_int_equal(refusal, MUSTER_TCP_REFUSAL_LATE);
    close(first);
    close(second);
    raw_close(&pair);
}

static void nobody_comes(void **state)
{
    raw_pair pair;

    (void)state;
    raw_open(&pair);
    pair.patience_ns = RAW_SECOND_NS / 20;
    raw_connect(&pair);
    assert_int_equal(raw_connected(&pair), MUSTER_ERR_TIMEOUT);
    raw_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_let_in),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(an_epoch_that_is_over_is_refused),
        cmocka_unit_test(nonsense_is_dropped),
        cmocka_unit_test(who_says_nothing_does_not_keep_others_out),
        cmocka_unit_test(who_comes_early_waits),
        cmocka_unit_test(a_second_try_replaces_the_first),
        cmocka_unit_test(nobody_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
