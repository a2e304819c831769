/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: what goes in comes out, and everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/tcp/address.h"
#include "transport/tcp/frame.h"

static const muster_tcp_header data_header = {.kind = MUSTER_TCP_DATA,
                                              .epoch = 0x1122334455667788,
                                              .communicator = 0x99aabbccddeeff00,
                                              .sequence = 7,
                                              .bytes = 123456};

static void header_comes_back(void **state)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES];
    muster_tcp_header back;

    (void)state;
    muster_tcp_header_encode(&data_header, bytes);
    assert_int_equal(muster_tcp_header_decode(bytes, &back), MUSTER_TCP_HEADER_OK);
    assert_int_equal(back.kind, data_header.kind);
    assert_true(back.epoch == data_header.epoch && back.communicator == data_header.communicator);
    assert_true(back.sequence == data_header.sequence && back.bytes == data_header.bytes);
    /* The lowest byte first, whatever the machine. */
    assert_int_equal(bytes[8], 0x88);
    assert_int_equal(bytes[15], 0x11);
}

static muster_tcp_header_fault with_byte(size_t index, uint8_t byte)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES];
    muster_tcp_header back;

    muster_tcp_header_encode(&data_header, bytes);
    bytes[index] = byte;
    return muster_tcp_header_decode(bytes, &back);
}

static void wrong_headers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(with_byte(i, 'G'), MUSTER_TCP_HEADER_FOREIGN);
    assert_int_equal(with_byte(4, 2), MUSTER_TCP_HEADER_VERSION);
    assert_int_equal(with_byte(5, 1), MUSTER_TCP_HEADER_VERSION);
    assert_int_equal(with_byte(6, 0), MUSTER_TCP_HEADER_KIND);
    assert_int_equal(with_byte(6, 7), MUSTER_TCP_HEADER_KIND);
    assert_int_equal(with_byte(7, 1), MUSTER_TCP_HEADER_KIND);
    /* 2^56 bytes are more than anything has. */
    assert_int_equal(with_byte(39, 1), MUSTER_TCP_HEADER_LENGTH);
}

static void each_kind_has_its_length(void **state)
{
    static const struct {
        muster_tcp_kind kind;
        uint64_t bytes;
    } lengths[] = {{MUSTER_TCP_HELLO, MUSTER_TCP_HELLO_BYTES},
                   {MUSTER_TCP_WELCOME, MUSTER_TCP_WELCOME_BYTES},
                   {MUSTER_TCP_REFUSED, MUSTER_TCP_REFUSED_BYTES},
                   {MUSTER_TCP_ROUND, MUSTER_ROUND_BYTES},
                   {MUSTER_TCP_BYE, 0}};
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES];
    muster_tcp_header back;

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (uint64_t more = 0; more < 2; more++) {
            muster_tcp_header header = {.kind = lengths[i].kind, .bytes = lengths[i].bytes + more};

            muster_tcp_header_encode(&header, bytes);
            assert_int_equal(muster_tcp_header_decode(bytes, &back),
                             more == 0 ? MUSTER_TCP_HEADER_OK : MUSTER_TCP_HEADER_LENGTH);
        }
    muster_tcp_header_encode(&(muster_tcp_header){.kind = MUSTER_TCP_DATA, .bytes = 0}, bytes);
    assert_int_equal(muster_tcp_header_decode(bytes, &back), MUSTER_TCP_HEADER_LENGTH);
}

static void hello_comes_back_or_is_refused(void **state)
{
    const muster_tcp_hello hello = {.job = 5,
                                    .from = {.rank = 3, .slot = 30, .incarnation = 2},
                                    .to = {.rank = 1, .slot = 10, .incarnation = UINT32_MAX},
                                    .member_count = 4,
                                    .cookie = "fifteen letters"};
    uint8_t bytes[MUSTER_TCP_HELLO_BYTES];
    muster_tcp_hello back;

    (void)state;
    muster_tcp_hello_encode(&hello, bytes);
    assert_true(muster_tcp_hello_decode(bytes, &back));
    assert_true(back.job == 5 && back.from.rank == 3 && back.from.slot == 30 &&
                back.from.incarnation == 2 && back.to.incarnation == UINT32_MAX &&
                back.member_count == 4);
    assert_memory_equal(back.cookie, hello.cookie, sizeof back.cookie);
    /* A rank beyond the members, a negative one, both the same, too few members, bytes that must be 0. */
    bytes[8] = 4;
    assert_false(muster_tcp_hello_decode(bytes, &back));
    bytes[8] = 1;
    assert_false(muster_tcp_hello_decode(bytes, &back));
    bytes[8] = 3;
    bytes[11] = 0x80;
    assert_false(muster_tcp_hello_decode(bytes, &back));
    bytes[11] = 0;
    bytes[32] = 1;
    assert_false(muster_tcp_hello_decode(bytes, &back));
    bytes[32] = 4;
    assert_true(muster_tcp_hello_decode(bytes, &back));
    bytes[36] = 1;
    assert_false(muster_tcp_hello_decode(bytes, &back));
}

static void answers_come_back(void **state)
{
    const muster_tcp_welcome welcome = {.slot = 9, .incarnation = 4, .cookie = "another cookie."};
    uint8_t bytes[MUSTER_TCP_WELCOME_BYTES];
    muster_tcp_welcome back;
    muster_tcp_refusal refusal;

    (void)state;
    muster_tcp_welcome_encode(&welcome, bytes);
    assert_true(muster_tcp_welcome_decode(bytes, &back));
    assert_true(back.slot == 9 && back.incarnation == 4);
    assert_true(muster_tcp_cookie_equal(back.cookie, welcome.cookie));
    back.cookie[15] ^= 1;
    assert_false(muster_tcp_cookie_equal(back.cookie, welcome.cookie));
    muster_tcp_refused_encode(MUSTER_TCP_REFUSAL_LATE, bytes);
    assert_true(muster_tcp_refused_decode(bytes, &refusal));
    assert_int_equal(refusal, MUSTER_TCP_REFUSAL_LATE);
    bytes[0] = 5;
    assert_false(muster_tcp_refused_decode(bytes, &refusal));
}

static void addresses_come_back(void **state)
{
    const muster_tcp_address address = {
        .family = 4, .port = 4711, .number = {10, 0, 0, 7}, .cookie = "a cookie of it."};
    uint8_t bytes[MUSTER_TCP_ADDRESS_BYTES];
    char text[MUSTER_TCP_ADDRESS_TEXT_BYTES];
    struct sockaddr_storage place;
    muster_tcp_address back = {.cookie = {0}};

    (void)state;
    muster_tcp_address_encode(&address, bytes);
    assert_true(muster_tcp_address_decode(bytes, &back));
    assert_memory_equal(&back, &address, sizeof back);
    muster_tcp_address_text(&back, text, sizeof text);
    assert_string_equal(text, "10.0.0.7:4711");
    assert_false(muster_tcp_address_is_loopback(&back));
    assert_int_not_equal(muster_tcp_address_to_socket(&back, &place), 0);
    memset(&back, 0, sizeof back);
    assert_true(muster_tcp_address_from_socket(&place, &back));
    assert_true(back.port == 4711 && back.family == 4);
    assert_memory_equal(back.number, address.number, sizeof back.number);
    bytes[8] = 5; /* no such family */
    assert_false(muster_tcp_address_decode(bytes, &back));
    bytes[8] = 4;
    bytes[0] ^= 1;
    assert_false(muster_tcp_address_decode(bytes, &back));
    back = (muster_tcp_address){.family = 6, .port = 1, .number = {[15] = 1}};
    assert_true(muster_tcp_address_is_loopback(&back));
    muster_tcp_address_text(&back, text, sizeof text);
    assert_string_equal(text, "[::1]:1");
    back = (muster_tcp_address){.family = 4, .number = {127, 3}};
    assert_true(muster_tcp_address_is_loopback(&back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_comes_back),
        cmocka_unit_test(wrong_headers_are_refused),
        cmocka_unit_test(each_kind_has_its_length),
        cmocka_unit_test(hello_comes_back_or_is_refused),
        cmocka_unit_test(answers_come_back),
        cmocka_unit_test(addresses_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
