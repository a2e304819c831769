/* SPDX-License-Identifier: Apache-2.0 */
/* A rank that can have no more descriptors says so itself, long before its peers give everyone up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "raw.h"
#include "transport/tcp/greeting.h"
#include "transport/host/want.h"

#define MILLISECOND_NS (RAW_SECOND_NS / 1000)

/* No descriptor more for this process; returns what is to be put back. */
static struct rlimit no_more_descriptors(void)
{
    struct rlimit before;
    struct rlimit now;
    int lowest_free = dup(STDERR_FILENO);

    assert_true(lowest_free >= 0);
    close(lowest_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = (struct rlimit){.rlim_cur = (rlim_t)lowest_free, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void a_moment_is_no_want(void **state)
{
    muster_host_want want = {0};
    int64_t now_ns = 77;

    (void)state;
    assert_false(muster_host_want_lasts(&want, now_ns));
    for (int i = 0; i < 10; i++, now_ns += 100 * MILLISECOND_NS) {
        muster_host_want_failed(&want, EMFILE, now_ns);
        assert_false(muster_host_want_lasts(&want, now_ns));
    }
    muster_host_want_failed(&want, EMFILE, now_ns);
    assert_true(muster_host_want_lasts(&want, now_ns));
    assert_int_equal(want.native_code, EMFILE);
    /* Nobody has asked for a while: it is not known any more. */
    assert_false(muster_host_want_lasts(&want, now_ns + RAW_SECOND_NS));
    muster_host_want_failed(&want, EMFILE, now_ns + RAW_SECOND_NS);
    assert_false(muster_host_want_lasts(&want, now_ns + RAW_SECOND_NS));
    /* And one success ends it. */
    muster_host_want_ended(&want);
    muster_host_want_failed(&want, ENFILE, now_ns + RAW_SECOND_NS);
    assert_false(muster_host_want_lasts(&want, now_ns + RAW_SECOND_NS));
}

static void what_is_no_want(void **state)
{
    (void)state;
    assert_true(muster_host_want_is(EMFILE) && muster_host_want_is(ENFILE) &&
                muster_host_want_is(ENOMEM) && muster_host_want_is(ENOBUFS));
    assert_false(muster_host_want_is(ECONNREFUSED) || muster_host_want_is(EHOSTUNREACH));
}

/* A real rank connects, and pause_ms later its process can have no more descriptors; then its peer comes. Returns the
 * peer's socket. */
static int connect_in_want(raw_pair *pair, long pause_ms)
{
    struct sockaddr_storage place;
    muster_tcp_hello stranger;
    muster_tcp_refusal refusal;
    struct rlimit before;
    socklen_t bytes;
    int fd;
    int peer;

    raw_open(pair);
    pair->patience_ns = 8 * RAW_SECOND_NS;
    raw_connect(pair);
    bytes = muster_tcp_address_to_socket(&pair->address, &place);
    peer = socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer >= 0);
    /* Somebody was let in, and out again: the door is open. */
    stranger = raw_hello(pair);
    stranger.job++;
    fd = raw_socket(pair);
    raw_say_hello(fd, &stranger, RAW_EPOCH, RAW_COMMUNICATOR);
    (void)raw_answer(fd, &refusal);
    close(fd);
    raw_nap_ms(pause_ms);
    before = no_more_descriptors();
    assert_int_equal(connect(peer, (const struct sockaddr *)&place, bytes), 0);
    (void)raw_connected(pair);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    return peer;
}

static void who_cannot_let_a_peer_in_says_so(void **state)
{
    raw_pair pair;
    long pause_ms = 50;
    int peer;

    (void)state;
    peer = connect_in_want(&pair, pause_ms);
    while ((pair.connected == MUSTER_ERR_TIMEOUT || pair.error.rank < 0) && pause_ms < 10000) {
        /* Too early: it had not even the descriptors to wait with, or the stranger's was still to be closed. */
        close(peer);
        raw_close(&pair);
        pause_ms *= 4;
        peer = connect_in_want(&pair, pause_ms);
    }
    assert_int_equal(pair.connected, MUSTER_ERR_SYSTEM);
    assert_int_equal(pair.error.native_code, EMFILE);
    assert_int_equal(pair.error.rank, 0); /* it is about itself */
    assert_non_null(strstr(pair.error.message, "ulimit -n"));
    close(peer);
    raw_close(&pair);
}

static void who_cannot_go_to_a_peer_knows_it(void **state)
{
    muster_tcp_greeting greeting = {0};
    struct rlimit before;
    raw_pair pair;

    (void)state;
    raw_open(&pair);
    greeting.address = pair.address;
    muster_tcp_greeting_init(&greeting);
    before = no_more_descriptors();
    while (!muster_host_want_lasts(&greeting.want, raw_now_ns())) {
        assert_int_equal(muster_tcp_greeting_step(&greeting, raw_now_ns()), MUSTER_OK);
        raw_nap_ms(1);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(greeting.want.native_code, EMFILE);
    /* Not the peer's fault. */
    assert_int_equal(greeting.unreached_since_ns, 0);
    while (greeting.state == MUSTER_TCP_GREETING_PAUSE) {
        assert_int_equal(muster_tcp_greeting_step(&greeting, raw_now_ns()), MUSTER_OK);
        raw_nap_ms(1);
    }
    assert_false(muster_host_want_lasts(&greeting.want, raw_now_ns()));
    muster_tcp_greeting_clean_up(&greeting);
    raw_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_is_no_want),
        cmocka_unit_test(what_is_no_want),
        cmocka_unit_test(who_cannot_let_a_peer_in_says_so),
        cmocka_unit_test(who_cannot_go_to_a_peer_knows_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
