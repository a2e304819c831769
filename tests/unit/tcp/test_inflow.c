/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from a peer: in pieces of any size, to where it belongs, and of this epoch only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transport/tcp/inflow.h"

#define EPOCH UINT64_C(6)
#define COMMUNICATOR UINT64_C(9)

typedef struct played_flow {
    muster_tcp_inflow inflow;
    uint8_t places[MUSTER_TCP_BOARD_PLACES][MUSTER_ROUND_BYTES];
} played_flow;

static void begin(played_flow *flow)
{
    memset(flow, 0, sizeof *flow);
    muster_tcp_inflow_init(&flow->inflow, EPOCH, COMMUNICATOR);
    for (int i = 0; i < MUSTER_TCP_BOARD_PLACES; i++)
        flow->inflow.places[i] = flow->places[i];
}

/* Gives bytes in pieces of at most piece; returns how many were taken. */
static size_t give(played_flow *flow, const uint8_t *bytes, size_t count, size_t piece)
{
    size_t given = 0;

    while (given < count) {
        size_t wanted;
        uint8_t *where = muster_tcp_inflow_where(&flow->inflow, &wanted);

        if (where == NULL)
            break;
        if (wanted > piece)
            wanted = piece;
        if (wanted > count - given)
            wanted = count - given;
        memcpy(where, bytes + given, wanted);
        muster_tcp_inflow_took(&flow->inflow, wanted);
        given += wanted;
    }
    return given;
}

static size_t make(uint8_t *bytes, muster_tcp_kind kind, uint64_t sequence, size_t body_bytes,
                   uint8_t body)
{
    const muster_tcp_header header = {.kind = kind,
                                      .epoch = EPOCH,
                                      .communicator = COMMUNICATOR,
                                      .sequence = sequence,
                                      .bytes = body_bytes};

    muster_tcp_header_encode(&header, bytes);
    memset(bytes + MUSTER_TCP_HEADER_BYTES, body, body_bytes);
    return MUSTER_TCP_HEADER_BYTES + body_bytes;
}

static void rounds_go_to_their_places(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];

    (void)state;
    for (size_t piece = 1; piece < 500; piece += 31) {
        begin(&flow);
        for (uint64_t round = 1; round <= 7; round++) {
            size_t count = make(bytes, MUSTER_TCP_ROUND, round, MUSTER_ROUND_BYTES, (uint8_t)round);

            muster_tcp_inflow_posted(&flow.inflow, round - 1);
            assert_int_equal(give(&flow, bytes, count, piece), count);
            assert_int_equal(flow.inflow.round, round);
            assert_int_equal(flow.places[round % 3][0], round);
            assert_int_equal(flow.places[round % 3][MUSTER_ROUND_BYTES - 1], round);
        }
    }
}

static void expect_broken(played_flow *flow, const uint8_t *bytes, size_t count)
{
    static const uint8_t untouched[MUSTER_ROUND_BYTES];
    size_t wanted;

    (void)give(flow, bytes, count, 64);
    assert_int_equal(flow->inflow.state, MUSTER_TCP_INFLOW_BROKEN);
    assert_non_null(flow->inflow.fault);
    assert_null(muster_tcp_inflow_where(&flow->inflow, &wanted));
    for (int i = 0; i < MUSTER_TCP_BOARD_PLACES; i++)
        assert_memory_equal(flow->places[i], untouched, sizeof untouched);
}

static void another_epoch_is_never_read(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];
    uint8_t data[64] = {0};
    size_t count;

    (void)state;
    for (int what = 0; what < 4; what++) {
        bool round = what % 2 == 0;

        begin(&flow);
        count = round ? make(bytes, MUSTER_TCP_ROUND, 1, MUSTER_ROUND_BYTES, 0xaa)
                      : make(bytes, MUSTER_TCP_DATA, 1, sizeof data, 0xaa);
        bytes[what < 2 ? 8 : 16] ^= 1; /* the epoch, the communicator */
        muster_tcp_inflow_expect(&flow.inflow, data, sizeof data);
        expect_broken(&flow, bytes, count);
        assert_int_equal(data[0], 0);
    }
}

static void out_of_turn_is_refused(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];
    size_t count;

    (void)state;
    begin(&flow);
    count = make(bytes, MUSTER_TCP_ROUND, 2, MUSTER_ROUND_BYTES, 1);
    muster_tcp_inflow_posted(&flow.inflow, 2);
    expect_broken(&flow, bytes, count);
    begin(&flow);
    count = make(bytes, MUSTER_TCP_DATA, 2, 8, 1);
    expect_broken(&flow, bytes, count);
    for (int kind = MUSTER_TCP_HELLO; kind <= MUSTER_TCP_REFUSED; kind++) {
        size_t body = kind == MUSTER_TCP_HELLO     ? MUSTER_TCP_HELLO_BYTES
                      : kind == MUSTER_TCP_WELCOME ? MUSTER_TCP_WELCOME_BYTES
                                                   : MUSTER_TCP_REFUSED_BYTES;

        begin(&flow);
        count = make(bytes, (muster_tcp_kind)kind, 0, body, 1);
        expect_broken(&flow, bytes, count);
    }
}

static void nobody_is_two_rounds_ahead(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];

    (void)state;
    /* One round ahead of our post: the peer has completed the one before. */
    begin(&flow);
    (void)give(&flow, bytes, make(bytes, MUSTER_TCP_ROUND, 1, MUSTER_ROUND_BYTES, 1), 512);
    assert_int_equal(flow.inflow.round, 1);
    (void)give(&flow, bytes, make(bytes, MUSTER_TCP_ROUND, 2, MUSTER_ROUND_BYTES, 2), 512);
    assert_int_equal(flow.inflow.state, MUSTER_TCP_INFLOW_BROKEN);
    assert_int_equal(flow.places[2][0], 0);
}

static void data_waits_for_its_receive(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];
    uint8_t data[100] = {0};
    size_t count = make(bytes, MUSTER_TCP_DATA, 1, sizeof data, 0x5a);

    (void)state;
    begin(&flow);
    assert_int_equal(give(&flow, bytes, count, 16), MUSTER_TCP_HEADER_BYTES);
    muster_tcp_inflow_expect(&flow.inflow, data, sizeof data);
    assert_false(flow.inflow.received);
    assert_int_equal(give(&flow, bytes + MUSTER_TCP_HEADER_BYTES, sizeof data, 16), sizeof data);
    assert_true(flow.inflow.received);
    assert_int_equal(data[0], 0x5a);
    assert_int_equal(data[99], 0x5a);
    /* The next one, with the memory known before. */
    muster_tcp_inflow_expect(&flow.inflow, data, 3);
    count = make(bytes, MUSTER_TCP_DATA, 2, 3, 0x77);
    assert_int_equal(give(&flow, bytes, count, 512), count);
    assert_true(flow.inflow.received);
    assert_int_equal(data[2], 0x77);
    assert_int_equal(data[3], 0x5a);
}

static void another_length_is_refused(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];
    uint8_t data[64] = {0};

    (void)state;
    for (int first = 0; first < 2; first++) {
        begin(&flow);
        if (first)
            muster_tcp_inflow_expect(&flow.inflow, data, sizeof data);
        (void)give(&flow, bytes, make(bytes, MUSTER_TCP_DATA, 1, sizeof data + 1, 0xee), 512);
        if (!first)
            muster_tcp_inflow_expect(&flow.inflow, data, sizeof data);
        assert_int_equal(flow.inflow.state, MUSTER_TCP_INFLOW_BROKEN);
        assert_int_equal(data[0], 0);
    }
}

static void what_is_forgotten_is_not_written(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];
    uint8_t data[64] = {0};

    (void)state;
    begin(&flow);
    muster_tcp_inflow_expect(&flow.inflow, data, sizeof data);
    (void)make(bytes, MUSTER_TCP_DATA, 1, sizeof data, 0x33);
    (void)give(&flow, bytes, MUSTER_TCP_HEADER_BYTES + 10, 512);
    assert_int_equal(data[9], 0x33);
    muster_tcp_inflow_forget(&flow.inflow);
    assert_int_equal(give(&flow, bytes, 54, 512), 0);
    assert_int_equal(data[10], 0);
}

static void after_the_farewell_nothing_comes(void **state)
{
    static played_flow flow;
    uint8_t bytes[512];
    size_t wanted;

    (void)state;
    begin(&flow);
    (void)give(&flow, bytes, make(bytes, MUSTER_TCP_BYE, 0, 0, 0), 512);
    assert_int_equal(flow.inflow.state, MUSTER_TCP_INFLOW_ENDED);
    assert_null(muster_tcp_inflow_where(&flow.inflow, &wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_go_to_their_places),
        cmocka_unit_test(another_epoch_is_never_read),
        cmocka_unit_test(out_of_turn_is_refused),
        cmocka_unit_test(nobody_is_two_rounds_ahead),
        cmocka_unit_test(data_waits_for_its_receive),
        cmocka_unit_test(another_length_is_refused),
        cmocka_unit_test(what_is_forgotten_is_not_written),
        cmocka_unit_test(after_the_farewell_nothing_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
