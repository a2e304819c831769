/* SPDX-License-Identifier: Apache-2.0 */
/* Where a rank is found by other hosts, and what it says when it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "raw.h"
#include "transport/tcp/reach.h"

static muster_status listen_for(const char *host_address, const char *coordinator,
                                muster_tcp_address *address)
{
    int fd = -1;
    muster_error error;
    muster_status status;

    muster_error_init(&error);
    status = muster_tcp_reach_listen(host_address, coordinator, address, &fd, &error);
    assert_int_equal(status, error.status);
    if (status == MUSTER_OK)
        assert_int_equal(fd >= 0, address->family != 0);
    if (fd >= 0)
        close(fd);
    return status;
}

static void it_listens_on_the_way_to_the_coordinator(void **state)
{
    muster_tcp_address one;
    muster_tcp_address other;

    (void)state;
    assert_int_equal(listen_for(NULL, "tcp://127.0.0.1:7400", &one), MUSTER_OK);
    assert_true(one.family == 4 && one.port != 0 && muster_tcp_address_is_loopback(&one));
    assert_int_equal(listen_for("", "tcp://localhost:7400", &other), MUSTER_OK);
    assert_true(muster_tcp_address_is_loopback(&other));
    assert_false(muster_tcp_cookie_equal(one.cookie, other.cookie));
    if (access("/proc/net/if_inet6", F_OK) == 0) {
        assert_int_equal(listen_for(NULL, "tcp://[::1]:7400", &one), MUSTER_OK);
        assert_int_equal(one.family, 6);
    }
}

static void without_a_network_there_is_no_socket(void **state)
{
    static const char *const coordinators[] = {"ipc:///tmp/somewhere", "tcp://", "tcp://:7400",
                                               "tcp://no-such-host.invalid:7400",
                                               "tcp://127.0.0.1"};
    muster_tcp_address address;

    (void)state;
    for (size_t i = 0; i < sizeof coordinators / sizeof coordinators[0]; i++) {
        assert_int_equal(listen_for(NULL, coordinators[i], &address), MUSTER_OK);
        assert_int_equal(address.family, 0);
    }
    assert_int_equal(listen_for(NULL, NULL, &address), MUSTER_OK);
    assert_int_equal(address.family, 0);
}

static void an_address_that_is_not_ours_is_refused(void **state)
{
    muster_tcp_address address;

    (void)state;
    assert_int_equal(listen_for("192.0.2.1", NULL, &address), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(listen_for("no such name", NULL, &address), MUSTER_ERR_INVALID_ARGUMENT);
    assert_int_equal(listen_for("127.0.0.1", "ipc:///tmp/somewhere", &address), MUSTER_OK);
    assert_int_equal(address.family, 4);
}

/* A rank of another host, as its blob would say it. */
static void say_elsewhere(muster_transport_blob *blob, uint32_t family, const char *kernel)
{
    muster_plane_place place;
    muster_host_address *host = (muster_host_address *)(void *)blob->data;
    uint8_t *network = blob->data + sizeof(muster_host_address);

    assert_true(muster_plane_endpoint_parse(blob, &place));
    place.network.family = family;
    muster_tcp_address_encode(&place.network, network);
    network[MUSTER_TCP_ADDRESS_BYTES] ^= 1;
    if (kernel != NULL)
        memcpy(host->boot_id, kernel, strlen(kernel));
}

static void expect_unsupported(const muster_transport_endpoint_options *options, uint32_t family,
                               const char *kernel, const char *why)
{
    const muster_transport_table *table = muster_plane_table();
    muster_transport_endpoint *endpoint;
    muster_transport *transport;
    muster_transport_member members[2] = {{.slot = 0}, {.slot = 1}};
    const muster_transport_connect_options connect_options = {.epoch = 1,
                                                              .communicator = 1,
                                                              .members = members,
                                                              .member_count = 2,
                                                              .deadline_ns =
                                                                  raw_now_ns() + RAW_SECOND_NS};
    muster_error error;

    muster_error_init(&error);
    assert_int_equal(table->endpoint_open(options, &endpoint, NULL), MUSTER_OK);
    table->endpoint_blob(endpoint, &members[0].blob);
    members[1].blob = members[0].blob;
    say_elsewhere(&members[1].blob, family, kernel);
    assert_int_equal(table->connect(endpoint, &connect_options, &transport, &error),
                     MUSTER_ERR_UNSUPPORTED);
    assert_int_equal(error.rank, 1);
    assert_non_null(strstr(error.message, why));
    table->endpoint_close(endpoint);
}

static void hosts_that_cannot_meet_are_told_so(void **state)
{
    const muster_transport_endpoint_options here = {.coordinator = "ipc:///tmp/somewhere"};
    const muster_transport_endpoint_options loopback = {.coordinator = "tcp://127.0.0.1:7400"};

    (void)state;
    expect_unsupported(&here, 4, NULL, "this one listens to no network");
    expect_unsupported(&loopback, 0, NULL, "says no address");
    expect_unsupported(&loopback, 4, "another-kernel", "loopback address");
}

static void another_blob_is_refused(void **state)
{
    raw_pair pair;
    muster_transport *transport;
    muster_transport_connect_options options = {.epoch = 1, .communicator = 1, .member_count = 2};
    muster_error error;

    (void)state;
    muster_error_init(&error);
    raw_open(&pair);
    pair.members[1].blob.bytes--;
    options.members = pair.members;
    assert_int_equal(pair.table->connect(pair.endpoint, &options, &transport, &error),
                     MUSTER_ERR_VERSION);
    assert_int_equal(error.rank, 1);
    raw_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_listens_on_the_way_to_the_coordinator),
        cmocka_unit_test(without_a_network_there_is_no_socket),
        cmocka_unit_test(an_address_that_is_not_ours_is_refused),
        cmocka_unit_test(hosts_that_cannot_meet_are_told_so),
        cmocka_unit_test(another_blob_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
