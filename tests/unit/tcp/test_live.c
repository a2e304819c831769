/* SPDX-License-Identifier: Apache-2.0 */
/* A live connection whose other end is played: what is late, wrong, slow or cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "raw.h"

#define PATIENCE_MS 20000

static void post_round(raw_pair *pair, uint64_t round)
{
    const uint8_t payload[MUSTER_ROUND_BYTES] = {(uint8_t)round};

    pair->table->round_post(pair->transport, round, payload);
}

static void expect_unreachable(raw_pair *pair, uint64_t round)
{
    for (int i = 0; i < PATIENCE_MS && pair->unreachable_count == 0; i++) {
        assert_null(pair->table->round_poll(pair->transport, round));
        raw_nap_ms(1);
    }
    assert_int_equal(pair->unreachable_count, 1);
    /* It is said once, and the call goes on waiting for a verdict. */
    for (int i = 0; i < 20; i++)
        assert_null(pair->table->round_poll(pair->transport, round));
    assert_int_equal(pair->unreachable_count, 1);
}

static void a_round_in_single_bytes(void **state)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + MUSTER_ROUND_BYTES];
    const muster_tcp_header header = {.kind = MUSTER_TCP_ROUND,
                                      .epoch = RAW_EPOCH,
                                      .communicator = RAW_COMMUNICATOR,
                                      .sequence = 1,
                                      .bytes = MUSTER_ROUND_BYTES};
    raw_pair pair;
    const uint8_t *all = NULL;
    muster_rank_set missing;
    int fd;

    (void)state;
    raw_open(&pair);
    fd = raw_meet(&pair);
    assert_true(muster_rank_set_init(&missing, 2));
    post_round(&pair, 1);
    muster_tcp_header_encode(&header, bytes);
    memset(bytes + MUSTER_TCP_HEADER_BYTES, 0xcd, MUSTER_ROUND_BYTES);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_null(pair.table->round_poll(pair.transport, 1));
        raw_send(fd, bytes + i, 1);
    }
    while ((all = pair.table->round_poll(pair.transport, 1)) == NULL) {
        uint32_t ticket = pair.table->arm(pair.transport);

        if (pair.table->round_poll(pair.transport, 1) == NULL)
            pair.table->sleep(pair.transport, ticket, RAW_SECOND_NS);
        pair.table->disarm(pair.transport);
    }
    assert_int_equal(all[0], 1);
    assert_int_equal(all[MUSTER_ROUND_BYTES], 0xcd);
    assert_int_equal(all[2 * MUSTER_ROUND_BYTES - 1], 0xcd);
    pair.table->round_missing(pair.transport, 1, &missing);
    assert_int_equal(muster_rank_set_count(&missing), 0);
    pair.table->round_missing(pair.transport, 2, &missing);
    assert_true(muster_rank_set_has(&missing, 1));
    /* And ours has come there. */
    raw_receive(fd, bytes, sizeof bytes);
    assert_int_equal(bytes[MUSTER_TCP_HEADER_BYTES], 1);
    muster_rank_set_clean_up(&missing);
    close(fd);
    raw_close(&pair);
}

static void a_frame_of_another_epoch_is_a_lost_connection(void **state)
{
    const uint8_t payload[MUSTER_ROUND_BYTES] = {0};
    raw_pair pair;
    int fd;

    (void)state;
    raw_open(&pair);
    fd = raw_meet(&pair);
    post_round(&pair, 1);
    raw_send_header(fd, MUSTER_TCP_ROUND, RAW_EPOCH - 1, 1, MUSTER_ROUND_BYTES);
    raw_send(fd, payload, sizeof payload);
    expect_unreachable(&pair, 1);
    close(fd);
    raw_close(&pair);
}

static void an_end_without_farewell_is_reported(void **state)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    raw_pair pair;
    int fd;

    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        raw_open(&pair);
        fd = raw_meet(&pair);
        post_round(&pair, 1);
        if (reset)
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        close(fd);
        expect_unreachable(&pair, 1);
        raw_close(&pair);
    }
}

static void a_farewell_is_not(void **state)
{
    raw_pair pair;
    int fd;

    (void)state;
    raw_open(&pair);
    fd = raw_meet(&pair);
    post_round(&pair, 1);
    raw_send_header(fd, MUSTER_TCP_BYE, RAW_EPOCH, 0, 0);
    close(fd);
    for (int i = 0; i < 50; i++) {
        assert_null(pair.table->round_poll(pair.transport, 1));
        raw_nap_ms(1);
    }
    assert_int_equal(pair.unreachable_count, 0);
    raw_close(&pair);
}

static void closing_says_farewell(void **state)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + 1];
    muster_tcp_header header;
    raw_pair pair;
    int fd;

    (void)state;
    raw_open(&pair);
    fd = raw_meet(&pair);
    pair.table->close(pair.transport);
    pair.transport = NULL;
    assert_int_equal(recv(fd, bytes, sizeof bytes, MSG_WAITALL), MUSTER_TCP_HEADER_BYTES);
    assert_int_equal(muster_tcp_header_decode(bytes, &header), MUSTER_TCP_HEADER_OK);
    assert_int_equal(header.kind, MUSTER_TCP_BYE);
    close(fd);
    raw_close(&pair);
}

static void bytes_that_come_after_the_release_are_not_written(void **state)
{
    enum { BYTES = 4096, FIRST = 1000 };
    static uint8_t data[BYTES];
    static uint8_t sent[BYTES];
    const muster_transport_operation operation = {
        .kind = MUSTER_TRANSPORT_RECEIVE, .peer = 1, .data = data, .bytes = BYTES};
    muster_transport_batch *batch;
    muster_rank_set missing;
    bool done = false;
    bool moved;
    raw_pair pair;
    int fd;

    (void)state;
    memset(data, 0, sizeof data);
    memset(sent, 0x99, sizeof sent);
    raw_open(&pair);
    fd = raw_meet(&pair);
    assert_true(muster_rank_set_init(&missing, 2));
    assert_int_equal(pair.table->submit(pair.transport, &operation, 1, &batch, NULL), MUSTER_OK);
    raw_send_header(fd, MUSTER_TCP_DATA, RAW_EPOCH, 1, BYTES);
    raw_send(fd, sent, FIRST);
    for (int i = 0; i < PATIENCE_MS && data[FIRST - 1] == 0; i++) {
        assert_int_equal(pair.table->progress(batch, &done, &moved, NULL), MUSTER_OK);
        raw_nap_ms(1);
    }
    assert_int_equal(data[FIRST - 1], 0x99);
    pair.table->batch_missing(batch, &missing);
    assert_true(muster_rank_set_has(&missing, 1));
    pair.table->release(batch);
    raw_send(fd, sent, BYTES - FIRST);
    raw_nap_ms(20);
    assert_int_equal(data[FIRST], 0);
    /* A transport on which a batch was given up takes no further one, and its rounds complete no more. */
    assert_int_equal(pair.table->submit(pair.transport, &operation, 1, &batch, NULL),
                     MUSTER_ERR_COMM_FAILED);
    post_round(&pair, 1);
    assert_null(pair.table->round_poll(pair.transport, 1));
    pair.table->close(pair.transport);
    pair.transport = NULL;
    raw_nap_ms(5);
    assert_int_equal(data[FIRST], 0);
    muster_rank_set_clean_up(&missing);
    close(fd);
    raw_close(&pair);
}

static void a_peer_that_does_not_read_blocks_nobody(void **state)
{
    const size_t bytes = (size_t)64 << 20;
    uint8_t *data = calloc(1, bytes);
    uint8_t *back = malloc(bytes);
    const muster_transport_operation operation = {
        .kind = MUSTER_TRANSPORT_SEND, .peer = 1, .data = data, .bytes = bytes};
    muster_transport_batch *batch;
    muster_tcp_header header;
    uint8_t encoded[MUSTER_TCP_HEADER_BYTES];
    size_t got = 0;
    bool done = false;
    bool moved = true;
    raw_pair pair;
    int fd;

    (void)state;
    assert_non_null(data);
    assert_non_null(back);
    for (size_t i = 0; i < bytes; i += 4096)
        data[i] = (uint8_t)(i >> 12);
    raw_open(&pair);
    fd = raw_meet(&pair);
    assert_int_equal(pair.table->submit(pair.transport, &operation, 1, &batch, NULL), MUSTER_OK);
    while (moved)
        assert_int_equal(pair.table->progress(batch, &done, &moved, NULL), MUSTER_OK);
    assert_false(done);
    raw_receive(fd, encoded, sizeof encoded);
    assert_int_equal(muster_tcp_header_decode(encoded, &header), MUSTER_TCP_HEADER_OK);
    assert_true(header.kind == MUSTER_TCP_DATA && header.bytes == bytes && header.sequence == 1);
    while (got < bytes) {
        ssize_t count = recv(fd, back + got, bytes - got, MSG_DONTWAIT);

        got += count > 0 ? (size_t)count : 0;
        if (!done)
            assert_int_equal(pair.table->progress(batch, &done, &moved, NULL), MUSTER_OK);
    }
    assert_true(done);
    assert_memory_equal(back, data, bytes);
    pair.table->release(batch);
    free(data);
    free(back);
    close(fd);
    raw_close(&pair);
}

static void data_of_another_length_is_a_lost_connection(void **state)
{
    uint8_t data[8] = {0};
    const uint8_t sent[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const muster_transport_operation operation = {
        .kind = MUSTER_TRANSPORT_RECEIVE, .peer = 1, .data = data, .bytes = sizeof data};
    muster_transport_batch *batch;
    bool done = false;
    bool moved;
    raw_pair pair;
    int fd;

    (void)state;
    raw_open(&pair);
    fd = raw_meet(&pair);
    assert_int_equal(pair.table->submit(pair.transport, &operation, 1, &batch, NULL), MUSTER_OK);
    raw_send_header(fd, MUSTER_TCP_DATA, RAW_EPOCH, 1, sizeof sent);
    raw_send(fd, sent, sizeof sent);
    for (int i = 0; i < PATIENCE_MS && pair.unreachable_count == 0; i++) {
        assert_int_equal(pair.table->progress(batch, &done, &moved, NULL), MUSTER_OK);
        raw_nap_ms(1);
    }
    assert_int_equal(pair.unreachable_count, 1);
    assert_false(done);
    assert_int_equal(data[0], 0);
    pair.table->release(batch);
    close(fd);
    raw_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_in_single_bytes),
        cmocka_unit_test(a_frame_of_another_epoch_is_a_lost_connection),
        cmocka_unit_test(an_end_without_farewell_is_reported),
        cmocka_unit_test(a_farewell_is_not),
        cmocka_unit_test(closing_says_farewell),
        cmocka_unit_test(bytes_that_come_after_the_release_are_not_written),
        cmocka_unit_test(a_peer_that_does_not_read_blocks_nobody),
        cmocka_unit_test(data_of_another_length_is_a_lost_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
