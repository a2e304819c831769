/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting: late, never, cancelled, by somebody who must not; epochs and communicators apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "group.h"
#include "transport/host/handover.h"

static const muster_transport_table *table;

static void nap_ms(long milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000,
                             .tv_nsec = milliseconds % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

/* Two endpoints of this process and the members made of them. */
typedef struct pair {
    muster_transport_endpoint *endpoints[2];
    muster_transport_member members[2];
    int fds;
    int maps;
} pair;

static void open_pair(pair *two)
{
    two->fds = group_count_fds();
    two->maps = group_count_maps();
    for (int32_t i = 0; i < 2; i++) {
        muster_transport_endpoint_options options = {
            .job = GROUP_JOB, .slot = i, .incarnation = (uint32_t)i};

        assert_int_equal(table->endpoint_open(&options, &two->endpoints[i], NULL), MUSTER_OK);
        two->members[i] = (muster_transport_member){.slot = i, .incarnation = (uint32_t)i};
        table->endpoint_blob(two->endpoints[i], &two->members[i].blob);
    }
}

static void close_pair(pair *two)
{
    for (int i = 0; i < 2; i++)
        table->endpoint_close(two->endpoints[i]);
    assert_int_equal(group_count_fds(), two->fds);
    assert_int_equal(group_count_maps(), two->maps);
}

static muster_transport_connect_options options_for(const pair *two, int32_t own_rank,
                                                    int64_t patience_ns)
{
    return (muster_transport_connect_options){.epoch = 3,
                                              .communicator = 4,
                                              .members = two->members,
                                              .member_count = 2,
                                              .own_rank = own_rank,
                                              .deadline_ns = group_now_ns() + patience_ns};
}

static void expect_connect(const pair *two, int32_t own_rank,
                           const muster_transport_connect_options *options, muster_status expected,
                           int32_t missing_rank)
{
    muster_transport *transport = NULL;
    muster_error error;

    muster_error_init(&error);
    assert_int_equal(table->connect(two->endpoints[own_rank], options, &transport, &error),
                     expected);
    assert_null(transport);
    assert_int_equal(error.status, expected);
    assert_int_equal(error.rank, missing_rank);
    assert_true(strlen(error.message) > 20);
}

static void times_out_naming_who_is_missing(void **state)
{
    pair two;
    muster_transport_connect_options options;

    (void)state;
    open_pair(&two);
    for (int32_t rank = 0; rank < 2; rank++) {
        options = options_for(&two, rank, SECOND_NS / 20);
        expect_connect(&two, rank, &options, MUSTER_ERR_TIMEOUT, 1 - rank);
    }
    close_pair(&two);
}

static bool cancel_after(void *context)
{
    _Atomic int *polls = context;

    return --*polls < 0;
}

static void cancelled_connect_gives_up(void **state)
{
    pair two;

    (void)state;
    open_pair(&two);
    for (int32_t rank = 0; rank < 2; rank++) {
        _Atomic int polls = 3;
        muster_transport_connect_options options = options_for(&two, rank, 3600 * SECOND_NS);

        options.cancelled = cancel_after;
        options.context = &polls;
        expect_connect(&two, rank, &options, MUSTER_ERR_RANK_LOST, 1 - rank);
    }
    close_pair(&two);
}

typedef struct late_connect {
    const pair *two;
    int32_t rank;
    long delay_ms;
    uint64_t epoch;
    uint64_t communicator;
    muster_transport *transport;
} late_connect;

static void *connect_late(void *argument)
{
    late_connect *self = argument;
    muster_transport_connect_options options = options_for(self->two, self->rank, 30 * SECOND_NS);

    options.epoch = self->epoch;
    options.communicator = self->communicator;
    nap_ms(self->delay_ms);
    CHECK(table->connect(self->two->endpoints[self->rank], &options, &self->transport, NULL) ==
          MUSTER_OK);
    return NULL;
}

static void connect_both(const pair *two, uint64_t epoch, uint64_t communicator, long delay_0_ms,
                         long delay_1_ms, muster_transport **transports)
{
    late_connect connects[2];
    pthread_t thread;

    for (int32_t rank = 0; rank < 2; rank++)
        connects[rank] = (late_connect){.two = two,
                                        .rank = rank,
                                        .delay_ms = rank == 0 ? delay_0_ms : delay_1_ms,
                                        .epoch = epoch,
                                        .communicator = communicator};
    CHECK(pthread_create(&thread, NULL, connect_late, &connects[1]) == 0);
    connect_late(&connects[0]);
    pthread_join(thread, NULL);
    transports[0] = connects[0].transport;
    transports[1] = connects[1].transport;
}

static void whoever_comes_first_waits(void **state)
{
    pair two;
    muster_transport *transports[2];

    (void)state;
    open_pair(&two);
    connect_both(&two, 1, 1, 40, 0, transports);
    table->close(transports[0]);
    table->close(transports[1]);
    connect_both(&two, 2, 1, 0, 40, transports);
    table->close(transports[1]);
    table->close(transports[0]);
    close_pair(&two);
}

static void expect_round(muster_transport *const *transports, uint64_t round, uint8_t fill)
{
    uint8_t payload[MUSTER_ROUND_BYTES];

    for (int rank = 0; rank < 2; rank++) {
        assert_null(table->round_poll(transports[rank], round));
        memset(payload, fill + rank, sizeof payload);
        table->round_post(transports[rank], round, payload);
    }
    for (int rank = 0; rank < 2; rank++) {
        const uint8_t *all = table->round_poll(transports[rank], round);

        assert_non_null(all);
        assert_int_equal(all[0], fill);
        assert_int_equal(all[MUSTER_ROUND_BYTES], fill + 1);
    }
}

static void epochs_and_communicators_do_not_mix(void **state)
{
    pair two;
    muster_transport *world[2], *part[2], *next[2];

    (void)state;
    open_pair(&two);
    connect_both(&two, 1, 1, 0, 0, world);
    connect_both(&two, 1, 2, 0, 0, part);
    expect_round(world, 1, 10);
    expect_round(part, 1, 20);
    expect_round(world, 2, 30);
    /* The next epoch starts from nothing while the old one is still open. */
    connect_both(&two, 2, 1, 0, 0, next);
    expect_round(next, 1, 40);
    expect_round(part, 2, 50);
    for (int rank = 0; rank < 2; rank++) {
        table->close(world[rank]);
        table->close(part[rank]);
        table->close(next[rank]);
    }
    close_pair(&two);
}

/* Rank 0 waits for rank 1; meanwhile somebody asks for its segment. */
static void *wait_in_vain(void *argument)
{
    const pair *two = argument;
    muster_transport_connect_options options = options_for(two, 0, SECOND_NS / 2);
    muster_transport *transport = NULL;

    CHECK(table->connect(two->endpoints[0], &options, &transport, NULL) == MUSTER_ERR_TIMEOUT);
    return NULL;
}

static void strangers_are_refused(void **state)
{
    pair two;
    pthread_t thread;
    muster_transport_endpoint_options stranger_options = {.job = GROUP_JOB + 1, .slot = 1};
    muster_transport_endpoint *stranger;
    muster_transport_connect_options options;
    muster_transport *transport = NULL;
    muster_error error;

    (void)state;
    open_pair(&two);
    muster_error_init(&error);
    assert_int_equal(table->endpoint_open(&stranger_options, &stranger, NULL), MUSTER_OK);
    assert_int_equal(pthread_create(&thread, NULL, wait_in_vain, &two), 0);
    nap_ms(50);
    /* Of another job. */
    options = options_for(&two, 1, 20 * SECOND_NS);
    assert_int_equal(table->connect(stranger, &options, &transport, &error), MUSTER_ERR_FOREIGN);
    assert_int_equal(error.rank, 0);
    /* An earlier incarnation of a member. */
    two.members[1].incarnation = 0;
    {
        muster_transport_member members[2] = {two.members[0], two.members[1]};

        two.members[1].incarnation = 1;
        options = options_for(&two, 1, 20 * SECOND_NS);
        options.members = members;
        members[1].incarnation = 77;
        assert_int_equal(table->connect(two.endpoints[1], &options, &transport, &error),
                         MUSTER_ERR_FOREIGN);
    }
    /* Of another epoch: not made (yet). */
    options = options_for(&two, 1, SECOND_NS / 20);
    options.epoch = 99;
    expect_connect(&two, 1, &options, MUSTER_ERR_TIMEOUT, 0);
    pthread_join(thread, NULL);
    table->endpoint_close(stranger);
    close_pair(&two);
}

static void blobs_that_cannot_work_are_refused(void **state)
{
    pair two;
    muster_transport_connect_options options;
    muster_host_address address;

    (void)state;
    open_pair(&two);
    options = options_for(&two, 0, SECOND_NS);
    memcpy(&address, two.members[1].blob.data, sizeof address);
    address.boot_id[0] ^= 1;
    memcpy(two.members[1].blob.data, &address, sizeof address);
    expect_connect(&two, 0, &options, MUSTER_ERR_UNSUPPORTED, 1);
    two.members[1].blob.data[0] ^= 1;
    expect_connect(&two, 0, &options, MUSTER_ERR_VERSION, 1);
    two.members[1].blob.bytes = 3;
    expect_connect(&two, 0, &options, MUSTER_ERR_VERSION, 1);
    options.own_rank = 2;
    expect_connect(&two, 0, &options, MUSTER_ERR_INVALID_ARGUMENT, -1);
    close_pair(&two);
}

static int raw_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

/* A raw connection to an endpoint's socket. */
static void connect_socket(int fd, const muster_transport_blob *blob)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    muster_host_address address;
    size_t at = 1;

    assert_true(muster_host_handover_parse(blob, &address));
    memcpy(name.sun_path + at, "muster-", 7);
    at += 7;
    for (size_t i = 0; i < MUSTER_HOST_NAME_BYTES; i++, at += 2) {
        static const char digits[] = "0123456789abcdef";

        name.sun_path[at] = digits[address.name[i] >> 4];
        name.sun_path[at + 1] = digits[address.name[i] & 15];
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&name,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + at)),
                     0);
}

static int connect_raw(const muster_transport_blob *blob)
{
    int fd = raw_socket();

    connect_socket(fd, blob);
    return fd;
}

static void silent_and_babbling_clients_do_no_harm(void **state)
{
    pair two;
    muster_transport *transports[2];
    int silent[80];
    uint8_t garbage[3000];
    uint64_t random = 3;

    (void)state;
    open_pair(&two);
    /* More than the listener serves at once. */
    for (int i = 0; i < 80; i++)
        silent[i] = connect_raw(&two.members[0].blob);
    for (int i = 0; i < 50; i++) {
        size_t bytes = 1 + group_random(&random) % sizeof garbage;
        int fd = connect_raw(&two.members[1].blob);

        group_fill(garbage, bytes, group_random(&random));
        if (i % 3 == 0)
            bytes = sizeof(muster_host_request);
        (void)!send(fd, garbage, bytes, MSG_NOSIGNAL);
        close(fd);
    }
    /* The silent ones lose their places after a while; the rank gets through. */
    connect_both(&two, 1, 1, 0, 0, transports);
    expect_round(transports, 1, 1);
    for (int i = 0; i < 80; i++)
        close(silent[i]);
    table->close(transports[0]);
    table->close(transports[1]);
    close_pair(&two);
}

static void requests_of_another_version_are_answered(void **state)
{
    pair two;
    muster_host_request request = {.magic = 0x4d485251u, .version = 999};
    muster_host_reply reply;
    int fd;

    (void)state;
    open_pair(&two);
    fd = connect_raw(&two.members[0].blob);
    assert_int_equal(send(fd, &request, sizeof request, 0), sizeof request);
    assert_int_equal(recv(fd, &reply, sizeof reply, 0), sizeof reply);
    assert_int_equal(reply.answer, MUSTER_HOST_ANSWER_VERSION);
    assert_int_equal(reply.fd_count, 0);
    close(fd);
    close_pair(&two);
}

static void every_descriptor_closes_on_exec(void **state)
{
    pair two;
    muster_transport *transports[2];
    void *memory;
    int checked = 0;

    (void)state;
    open_pair(&two);
    connect_both(&two, 1, 1, 0, 0, transports);
    assert_int_equal(table->memory_alloc(two.endpoints[0], 1, &memory, NULL), MUSTER_OK);
    for (int fd = 3; fd < 256; fd++) {
        char path[64], target[256];
        ssize_t length;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        length = readlink(path, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        if (strstr(target, "memfd:muster") == NULL && strstr(target, "socket:") == NULL &&
            strstr(target, "eventfd") == NULL)
            continue;
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        checked++;
    }
    assert_true(checked >= 7);
    table->close(transports[0]);
    table->close(transports[1]);
    close_pair(&two);
}

typedef struct root_connect {
    const pair *two;
    muster_status status;
    muster_error error;
} root_connect;

static void *connect_root(void *argument)
{
    root_connect *self = argument;
    muster_transport_connect_options options = options_for(self->two, 0, 8 * SECOND_NS);
    muster_transport *transport = NULL;

    muster_error_init(&self->error);
    self->status = table->connect(self->two->endpoints[0], &options, &transport, &self->error);
    return NULL;
}

/* Until rank 0 hands its segment to whoever asks as rank 1: all that it needs itself, it has. */
static void await_segment(const pair *two)
{
    const muster_transport_connect_options options = options_for(two, 1, SECOND_NS);
    const muster_host_patience patience = {.deadline_ns = group_now_ns() + 300 * SECOND_NS};
    muster_host_address address;

    assert_true(muster_host_handover_parse(&two->members[0].blob, &address));
    for (bool ready = false; !ready;) {
        muster_host_request request = {.kind = MUSTER_HOST_REQUEST_SEGMENT,
                                       .rank = 1,
                                       .slot = two->members[1].slot,
                                       .incarnation = two->members[1].incarnation,
                                       .job = GROUP_JOB,
                                       .epoch = options.epoch,
                                       .communicator = options.communicator};
        muster_host_reply reply;
        int fds[MUSTER_HOST_HANDOVER_FDS];
        int native_code;

        assert_int_equal(
            muster_host_handover_ask(&address, &request, &reply, fds, &patience, &native_code),
            MUSTER_OK);
        for (uint32_t i = 0; i < reply.fd_count; i++)
            close(fds[i]);
        ready = reply.answer == MUSTER_HOST_ANSWER_OK;
    }
}

/* Rank 0 connects, its process can have no more descriptors pause_ms after its segment could be had, and a peer comes. */
static root_connect connect_in_want(pair *two, long pause_ms)
{
    root_connect root = {.two = two};
    pthread_t thread;
    struct rlimit before;
    struct rlimit none;
    int peer;
    int lowest_free;

    open_pair(two);
    peer = raw_socket();
    assert_int_equal(pthread_create(&thread, NULL, connect_root, &root), 0);
    await_segment(two);
    nap_ms(pause_ms);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    lowest_free = dup(STDERR_FILENO);
    assert_true(lowest_free >= 0);
    close(lowest_free);
    none = (struct rlimit){.rlim_cur = (rlim_t)lowest_free, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    connect_socket(peer, &two->members[0].blob);
    pthread_join(thread, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(peer);
    close_pair(two);
    return root;
}

static void who_cannot_let_its_peers_in_says_so(void **state)
{
    pair two;
    long pause_ms = 50;
    root_connect root = connect_in_want(&two, pause_ms);

    (void)state;
    while (root.status == MUSTER_ERR_TIMEOUT && pause_ms < 10000) {
        /* Too early: whoever asked for the segment was still to be closed, and left room for the peer. */
        pause_ms *= 4;
        root = connect_in_want(&two, pause_ms);
    }
    assert_int_equal(root.status, MUSTER_ERR_SYSTEM);
    assert_int_equal(root.error.native_code, EMFILE);
    assert_int_equal(root.error.rank, 0); /* it is about itself */
    assert_non_null(strstr(root.error.message, "ulimit -n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_out_naming_who_is_missing),
        cmocka_unit_test(cancelled_connect_gives_up),
        cmocka_unit_test(whoever_comes_first_waits),
        cmocka_unit_test(epochs_and_communicators_do_not_mix),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(blobs_that_cannot_work_are_refused),
        cmocka_unit_test(silent_and_babbling_clients_do_no_harm),
        cmocka_unit_test(who_cannot_let_its_peers_in_says_so),
        cmocka_unit_test(requests_of_another_version_are_answered),
        cmocka_unit_test(every_descriptor_closes_on_exec),
    };

    table = muster_host_table();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
