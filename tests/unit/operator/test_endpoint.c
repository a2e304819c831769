/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <muster/job.h>

#include "operator/endpoint.h"

static void usable_endpoints_pass(void **state)
{
    (void)state;
    static const char *const both[] = {"tcp://127.0.0.1:7400", "tcp://node-3:1",
                                       "tcp://[::1]:65535", "ipc:///run/x"};
    static const char *const bind_only[] = {"tcp://*:7400", "tcp://127.0.0.1:*", "tcp://*:*"};
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        assert_int_equal(muster_endpoint_check(both[i], true, NULL), MUSTER_OK);
        assert_int_equal(muster_endpoint_check(both[i], false, NULL), MUSTER_OK);
    }
    for (size_t i = 0; i < sizeof bind_only / sizeof bind_only[0]; i++) {
        assert_int_equal(muster_endpoint_check(bind_only[i], true, NULL), MUSTER_OK);
        assert_int_equal(muster_endpoint_check(bind_only[i], false, NULL),
                         MUSTER_ERR_INVALID_ARGUMENT);
    }
}

static void unusable_endpoints_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *said;
    } cases[] = {
        {"", "empty"},
        {"localhost:7400", "transport"},
        {"udp://x:1", "transport"},
        {"tcp://host", "port"},
        {"tcp://:7400", "host"},
        {"tcp://host:", "port"},
        {"tcp://host:0", "port"},
        {"tcp://host:65536", "port"},
        {"tcp://host:7x", "port"},
        {"ipc://", "path"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        muster_error error;
        muster_error_init(&error);
        assert_int_equal(muster_endpoint_check(cases[i].endpoint, true, &error),
                         MUSTER_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].said));
    }
}

static void a_path_too_long_says_how_long_it_may_be(void **state)
{
    (void)state;
    char endpoint[200] = "ipc:///tmp/";
    muster_error error;
    muster_error_init(&error);
    memset(endpoint + strlen(endpoint), 'x', 150);
    assert_int_equal(muster_endpoint_check(endpoint, true, &error), MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "107"));
}

static void a_listening_path_is_taken(void **state)
{
    (void)state;
    char folder[] = "/tmp/muster-endpoint-XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    assert_false(muster_endpoint_ipc_taken(address.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_true(muster_endpoint_ipc_taken(address.sun_path));
    close(fd);
    /* The file is left behind by a dead one, and nobody listens. */
    assert_false(muster_endpoint_ipc_taken(address.sun_path));
    unlink(address.sun_path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usable_endpoints_pass),
        cmocka_unit_test(unusable_endpoints_are_explained),
        cmocka_unit_test(a_path_too_long_says_how_long_it_may_be),
        cmocka_unit_test(a_listening_path_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
