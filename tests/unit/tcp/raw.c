/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

int64_t raw_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * RAW_SECOND_NS + now.tv_nsec;
}

void raw_nap_ms(long milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000,
                             .tv_nsec = milliseconds % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static int count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void note_unreachable(void *context, int32_t slot, uint32_t incarnation)
{
    raw_pair *pair = context;

    if (slot == 11 && incarnation == 3)
        pair->unreachable_count++;
}

void raw_open(raw_pair *pair)
{
    muster_transport_endpoint_options options = {.job = RAW_JOB,
                                                 .slot = 10,
                                                 .incarnation = 2,
                                                 .host_id = "real",
                                                 .host_address = "127.0.0.1",
                                                 .on_peer_unreachable = note_unreachable,
                                                 .context = pair};
    muster_plane_place place;
    uint8_t *network;

    memset(pair, 0, sizeof *pair);
    pair->fd_count = count_fds();
    pair->table = muster_plane_table();
    pair->patience_ns = 20 * RAW_SECOND_NS;
    assert_int_equal(pair->table->endpoint_open(&options, &pair->endpoint, NULL), MUSTER_OK);
    pair->members[0] = (muster_transport_member){.slot = 10, .incarnation = 2};
    pair->members[1] = (muster_transport_member){.slot = 11, .incarnation = 3};
    pair->table->endpoint_blob(pair->endpoint, &pair->members[0].blob);
    assert_true(muster_plane_endpoint_parse(&pair->members[0].blob, &place));
    pair->address = place.network;
    /* The played one is like the real one, but for its cookie and its host. */
    pair->members[1].blob = pair->members[0].blob;
    memset(pair->played_cookie, 0x42, sizeof pair->played_cookie);
    memcpy(place.network.cookie, pair->played_cookie, sizeof pair->played_cookie);
    network = pair->members[1].blob.data + sizeof(muster_host_address);
    muster_tcp_address_encode(&place.network, network);
    network[MUSTER_TCP_ADDRESS_BYTES] ^= 1;
}

void raw_close(raw_pair *pair)
{
    if (pair->transport != NULL)
        pair->table->close(pair->transport);
    pair->table->endpoint_close(pair->endpoint);
    assert_int_equal(count_fds(), pair->fd_count);
}

static void *connect_thread(void *argument)
{
    raw_pair *pair = argument;
    const muster_transport_connect_options options = {.epoch = RAW_EPOCH,
                                                      .communicator = RAW_COMMUNICATOR,
                                                      .members = pair->members,
                                                      .member_count = 2,
                                                      .own_rank = 0,
                                                      .deadline_ns =
                                                          raw_now_ns() + pair->patience_ns};

    muster_error_init(&pair->error);
    pair->connected =
        pair->table->connect(pair->endpoint, &options, &pair->transport, &pair->error);
    return NULL;
}

void raw_connect(raw_pair *pair)
{
    assert_int_equal(pthread_create(&pair->thread, NULL, connect_thread, pair), 0);
}

muster_status raw_connected(raw_pair *pair)
{
    pthread_join(pair->thread, NULL);
    return pair->connected;
}

int raw_socket(const raw_pair *pair)
{
    struct sockaddr_storage place;
    socklen_t bytes = muster_tcp_address_to_socket(&pair->address, &place);
    int fd = socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&place, bytes), 0);
    return fd;
}

muster_tcp_hello raw_hello(const raw_pair *pair)
{
    muster_tcp_hello hello = {.job = RAW_JOB,
                              .from = {.rank = 1, .slot = 11, .incarnation = 3},
                              .to = {.rank = 0, .slot = 10, .incarnation = 2},
                              .member_count = 2};

    memcpy(hello.cookie, pair->address.cookie, sizeof hello.cookie);
    return hello;
}

void raw_send(int fd, const void *bytes, size_t count)
{
    assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
}

void raw_receive(int fd, void *bytes, size_t count)
{
    assert_int_equal(recv(fd, bytes, count, MSG_WAITALL), count);
}

void raw_say_hello(int fd, const muster_tcp_hello *hello, uint64_t epoch, uint64_t communicator)
{
    const muster_tcp_header header = {.kind = MUSTER_TCP_HELLO,
                                      .epoch = epoch,
                                      .communicator = communicator,
                                      .bytes = MUSTER_TCP_HELLO_BYTES};
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES + MUSTER_TCP_HELLO_BYTES];

    muster_tcp_header_encode(&header, bytes);
    muster_tcp_hello_encode(hello, bytes + MUSTER_TCP_HEADER_BYTES);
    raw_send(fd, bytes, sizeof bytes);
}

int raw_answer(int fd, muster_tcp_refusal *refusal)
{
    uint8_t bytes[MUSTER_TCP_HEADER_BYTES];
    uint8_t body[MUSTER_TCP_WELCOME_BYTES];
    muster_tcp_header header;
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_WAITALL);

    if (got <= 0)
        return 0;
    assert_int_equal(got, sizeof bytes);
    assert_int_equal(muster_tcp_header_decode(bytes, &header), MUSTER_TCP_HEADER_OK);
    assert_true(header.bytes <= sizeof body);
    raw_receive(fd, body, header.bytes);
    if (header.kind == MUSTER_TCP_REFUSED)
        assert_true(muster_tcp_refused_decode(body, refusal));
    return header.kind;
}

int raw_meet(raw_pair *pair)
{
    muster_tcp_hello hello = raw_hello(pair);
    muster_tcp_refusal refusal;
    int fd;

    raw_connect(pair);
    fd = raw_socket(pair);
    raw_say_hello(fd, &hello, RAW_EPOCH, RAW_COMMUNICATOR);
    assert_int_equal(raw_answer(fd, &refusal), MUSTER_TCP_WELCOME);
    assert_int_equal(raw_connected(pair), MUSTER_OK);
    return fd;
}

void raw_send_header(int fd, muster_tcp_kind kind, uint64_t epoch, uint64_t sequence, size_t bytes)
{
    const muster_tcp_header header = {.kind = kind,
                                      .epoch = epoch,
                                      .communicator = RAW_COMMUNICATOR,
                                      .sequence = sequence,
                                      .bytes = bytes};
    uint8_t encoded[MUSTER_TCP_HEADER_BYTES];

    muster_tcp_header_encode(&header, encoded);
    raw_send(fd, encoded, sizeof encoded);
}
