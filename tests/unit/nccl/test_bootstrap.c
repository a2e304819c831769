/* SPDX-License-Identifier: Apache-2.0 */
/* What NCCL has waiting behind an id: a thread at a socket, here the test's own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

typedef struct door {
    int listening;
    int reported; /* a rank that came, */
    int accepted; /* and its other end */
    struct sockaddr_in address;
} door;

static door open_door(void)
{
    door made = {.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                 .reported = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                 .address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(made.address);
    struct sockaddr *address = (struct sockaddr *)(void *)&made.address;
    assert_int_equal(bind(made.listening, address, length), 0);
    assert_int_equal(listen(made.listening, 4), 0);
    assert_int_equal(getsockname(made.listening, address, &length), 0);
    assert_int_equal(connect(made.reported, address, length), 0);
    made.accepted = accept4(made.listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(made.accepted >= 0);
    return made;
}

/* An accept that waits would have ended, and a receive too. */
static bool is_shut(const door *of)
{
    char byte;
    const int listening = accept4(of->listening, NULL, NULL, SOCK_CLOEXEC) < 0 ? errno : 0;
    const ssize_t came = recv(of->accepted, &byte, 1, 0);
    const int accepted = came < 0 ? errno : 0;
    assert_int_equal(listening, accepted == 0 ? EINVAL : EAGAIN);
    return accepted == 0;
}

static void close_door(const door *of)
{
    close(of->listening);
    close(of->reported);
    close(of->accepted);
}

static void ended_where_a_rank_never_comes(void **state)
{
    fixture *f = *state;
    const door own = open_door(), other = open_door();
    f->nccl->id_address = own.address;
    f->nccl->polls = -1;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    muster_device_connect_options options = fixture_connect_options(f, 4);
    options.deadline_ns = fixture_now_ns() + 20 * MILLISECOND_NS;
    assert_int_equal(f->table->make_id(f->device, &f->ids[0], &f->error), MUSTER_OK);
    assert_false(is_shut(&own));
    assert_int_equal(f->table->connect(f->device, &options, &f->comm, &f->error),
                     MUSTER_ERR_TIMEOUT);
    assert_true(is_shut(&own));
    assert_false(is_shut(&other));
    close_door(&own);
    close_door(&other);
}

static void left_alone_where_all_came(void **state)
{
    fixture *f = *state;
    const door own = open_door();
    f->nccl->id_address = own.address;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->make_id(f->device, &f->ids[0], &f->error), MUSTER_OK);
    const muster_device_connect_options options = fixture_connect_options(f, 4);
    assert_int_equal(f->table->connect(f->device, &options, &f->comm, &f->error), MUSTER_OK);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
    f->comm = NULL;
    f->table->revive(f->device);
    assert_false(is_shut(&own));
    close_door(&own);
}

static void ended_with_the_epoch_where_nobody_connects(void **state)
{
    fixture *f = *state;
    const door own = open_door();
    f->nccl->id_address = own.address;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->make_id(f->device, &f->ids[0], &f->error), MUSTER_OK);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_false(is_shut(&own));
    f->table->revive(f->device);
    assert_true(is_shut(&own));
    close_door(&own);
}

static void ended_with_the_device(void **state)
{
    fixture *f = *state;
    const door own = open_door();
    f->nccl->id_address = own.address;
    assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->make_id(f->device, &f->ids[0], &f->error), MUSTER_OK);
    fixture_close(f);
    assert_true(is_shut(&own));
    close_door(&own);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(ended_where_a_rank_never_comes),
        TEST(left_alone_where_all_came),
        TEST(ended_with_the_epoch_where_nobody_connects),
        TEST(ended_with_the_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
