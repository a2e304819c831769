/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <muster/job.h>

#include "operator/http_address.h"

static void usable_addresses_pass_and_say_who_can_reach_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
        bool loopback;
    } cases[] = {
        {"7401", "http://127.0.0.1:7401/", true},
        {"0", "http://127.0.0.1:0/", true},
        {"127.0.0.1:7401", "http://127.0.0.1:7401/", true},
        {"127.3.2.1:1", "http://127.3.2.1:1/", true},
        {"localhost:65535", "http://127.0.0.1:65535/", true},
        {"[::1]:7401", "http://[::1]:7401/", true},
        {"0.0.0.0:7401", "http://0.0.0.0:7401/", false},
        {"[::]:7401", "http://[::]:7401/", false},
        {"192.0.2.1:80", "http://192.0.2.1:80/", false},
        {"unix:/run/muster/status", "unix:/run/muster/status", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char shown[160];
        muster_http_address address;
        assert_int_equal(muster_http_address_parse(cases[i].text, &address, NULL), MUSTER_OK);
        assert_int_equal(address.is_loopback, cases[i].loopback);
        muster_http_address_text(&address, shown, sizeof shown);
        assert_string_equal(shown, cases[i].shown);
    }
}

static void unusable_addresses_are_explained(void **state)
{
    (void)state;
    char path[200] = "unix:/";
    char host[400];
    memset(path + 6, 'x', sizeof path - 7);
    path[sizeof path - 1] = '\0';
    memset(host, '1', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    const struct {
        const char *text, *said;
    } cases[] = {
        {"", "port"},        {"x", "port"},         {"65536", "port"},
        {"-1", "port"},      {"127.0.0.1", "port"}, {"127.0.0.1:", "port"},
        {"host:80", "host"}, {":80", "host"},       {"[::1:80", "host"},
        {"::1:80", "host"},  {"[]:80", "host"},     {"127.0.0.256:80", "host"},
        {"*:80", "host"},    {"unix:", "path"},     {path, "too long"},
        {host, "too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        muster_http_address address;
        muster_error error;
        muster_error_init(&error);
        assert_int_equal(muster_http_address_parse(cases[i].text, &address, &error),
                         MUSTER_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "--http"));
        assert_non_null(strstr(error.message, cases[i].said));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usable_addresses_pass_and_say_who_can_reach_them),
        cmocka_unit_test(unusable_addresses_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
