/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP side with a stand-in for the coordinator's thread: one that answers, and one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <muster/job.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/http.h"
#include "operator/http_address.h"
#include "launcher/http_get.h"

#define WAIT_NS (INT64_C(60) * 1000000000)
#define READERS 4
#define LOOKS 50

typedef struct fixture {
    char folder[32];
    char at[96]; /* of its Unix socket, as an option */
    muster_http *http;
    pthread_t maker;
    atomic_bool making;
    uint64_t term; /* of the maker alone: counts overviews */
} fixture;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* As the coordinator's thread does it. */
static void *make(void *argument)
{
    fixture *it = argument;
    struct pollfd wanted = {.fd = muster_http_wanted_fd(it->http), .events = POLLIN};
    while (atomic_load(&it->making)) {
        poll(&wanted, 1, 10);
        if (!muster_http_wants(it->http, now_ns()))
            continue;
        muster_overview *overview = muster_overview_new(0, 0);
        if (overview != NULL)
            overview->term = ++it->term;
        muster_http_give(it->http, overview);
    }
    return NULL;
}

static void start_making(fixture *it)
{
    atomic_store(&it->making, true);
    assert_int_equal(pthread_create(&it->maker, NULL, make, it), 0);
}

static void stop_making(fixture *it)
{
    if (atomic_exchange(&it->making, false))
        pthread_join(it->maker, NULL);
}

static int set_up(void **state)
{
    fixture *it = calloc(1, sizeof *it);
    muster_error error;
    muster_error_init(&error);
    assert_non_null(it);
    snprintf(it->folder, sizeof it->folder, "/tmp/muster-http-XXXXXX");
    assert_non_null(mkdtemp(it->folder));
    snprintf(it->at, sizeof it->at, "unix:%s/status", it->folder);
    const char *addresses[] = {it->at, "0"};
    assert_int_equal(muster_http_open(addresses, 2, &it->http, &error), MUSTER_OK);
    *state = it;
    return 0;
}

static int tear_down(void **state)
{
    fixture *it = *state;
    stop_making(it);
    muster_http_close(it->http);
    assert_int_equal(rmdir(it->folder), 0); /* its socket is gone */
    free(it);
    return 0;
}

/* The answer's text, or the sentence of a refusal, which then begins with "! ". To be freed. */
static char *ask(const char *at, const char *url)
{
    muster_http_address address;
    char *body = NULL;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_http_address_parse(at, &address, &error), MUSTER_OK);
    if (muster_http_get(&address, url, WAIT_NS, &body, &error) == MUSTER_OK)
        return body;
    assert_null(body);
    body = malloc(sizeof error.message + 2);
    assert_non_null(body);
    snprintf(body, sizeof error.message + 2, "! %s", error.message);
    return body;
}

static void assert_answer(const char *at, const char *url, const char *part)
{
    char *answer = ask(at, url);
    if (strstr(answer, part) == NULL)
        fail_msg("%s: '%s' is not in '%s'", url, part, answer);
    free(answer);
}

/* The maker may not get its turn for a second: then the answer is 503, and another one comes. */
static void await_answer(const char *at, const char *url, const char *part)
{
    for (bool there = false; !there;) {
        char *answer = ask(at, url);
        there = strstr(answer, part) != NULL;
        if (!there && strstr(answer, "code 503") == NULL)
            fail_msg("%s: '%s' is not in '%s'", url, part, answer);
        free(answer);
    }
}

static void nothing_is_ready_before_the_coordinator_answers(void **state)
{
    fixture *it = *state;
    assert_answer(it->at, "/readyz", "code 503: the coordinator's thread has never answered");
    assert_answer(it->at, "/healthz", "code 503: the coordinator's thread has never answered");
    assert_answer(it->at, "/status", "code 503");
    assert_answer(it->at, "/", "<!doctype html>"); /* which says so itself */
    start_making(it);
    await_answer(it->at, "/readyz", "ok\n");
    await_answer(it->at, "/healthz", "ok\n");
    await_answer(it->at, "/status", "\"jobs\":[]");
    assert_answer(it->at, "/nothing", "code 404");
}

static void one_that_stops_answering_is_not_ready_any_more(void **state)
{
    fixture *it = *state;
    start_making(it);
    await_answer(it->at, "/status", "\"term\":");
    stop_making(it);
    for (;;) {
        char *answer = ask(it->at, "/readyz");
        bool ready = strcmp(answer, "ok\n") == 0;
        if (!ready)
            assert_non_null(strstr(answer, "has not answered for "));
        free(answer);
        if (!ready)
            break;
    }
    assert_answer(it->at, "/metrics", "code 503");
}

static void overviews_never_grow_older(void **state)
{
    static const char *const urls[][2] = {{"/metrics", "\nmuster_coordinator_term "},
                                          {"/status", "\"term\":"}};
    fixture *it = *state;
    uint64_t last = 0;
    start_making(it);
    for (int i = 0; i < LOOKS; i++) {
        char *answer = ask(it->at, urls[i % 2][0]);
        const char *term = strstr(answer, urls[i % 2][1]);
        if (term != NULL) {
            uint64_t shown = strtoull(term + strlen(urls[i % 2][1]), NULL, 10);
            assert_true(shown >= last);
            last = shown;
        } else {
            assert_non_null(strstr(answer, "code 503")); /* as in await_answer */
        }
        free(answer);
    }
    assert_true(last > 0);
}

typedef struct reader {
    pthread_t thread;
    const char *at;
    int answered;
} reader;

static void *read_all(void *argument)
{
    static const char *const urls[] = {"/status", "/metrics", "/status.txt", "/", "/healthz"};
    reader *it = argument;
    for (int i = 0; i < LOOKS; i++) {
        char *answer = ask(it->at, urls[i % 5]);
        it->answered += answer[0] != '!';
        free(answer);
    }
    return NULL;
}

static void many_may_look_at_once(void **state)
{
    fixture *it = *state;
    reader readers[READERS];
    muster_http_address address;
    const char *shown = muster_http_address_at(it->http, 1);
    char tcp[MUSTER_HTTP_ADDRESS_TEXT_BYTES];
    assert_non_null(shown);
    snprintf(tcp, sizeof tcp, "%.*s", (int)strcspn(shown + strlen("http://"), "/"),
             shown + strlen("http://"));
    assert_int_equal(muster_http_address_parse(tcp, &address, NULL), MUSTER_OK);
    assert_true(address.is_loopback);
    start_making(it);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){.at = i % 2 == 0 ? it->at : tcp};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].answered > 0);
    }
}

static void *read_one(void *argument)
{
    reader *it = argument;
    free(ask(it->at, "/status"));
    return NULL;
}

static void it_ends_while_somebody_waits(void **state)
{
    fixture *it = *state;
    reader waiting = {.at = it->at};
    struct pollfd wanted = {.fd = muster_http_wanted_fd(it->http), .events = POLLIN};
    assert_int_equal(pthread_create(&waiting.thread, NULL, read_one, &waiting), 0);
    assert_int_equal(poll(&wanted, 1, 60000), 1);
    muster_http_close(it->http);
    it->http = NULL;
    pthread_join(waiting.thread, NULL);
}

static void a_taken_socket_is_refused_and_one_that_was_left_is_replaced(void **state)
{
    fixture *it = *state;
    char left[96];
    struct stat facts;
    muster_http *other = NULL;
    muster_error error;
    muster_error_init(&error);
    const char *taken[] = {it->at};
    assert_int_equal(muster_http_open(taken, 1, &other, &error), MUSTER_ERR_INVALID_ARGUMENT);
    assert_null(other);
    assert_non_null(strstr(error.message, "--http"));
    assert_non_null(strstr(error.message, "in use"));
    muster_http_address address;
    int fd = -1;
    snprintf(left, sizeof left, "unix:%s/left", it->folder);
    assert_int_equal(muster_http_address_parse(left, &address, &error), MUSTER_OK);
    assert_int_equal(muster_http_address_listen(&address, &fd, &error), MUSTER_OK);
    close(fd); /* as if killed */
    const char *again[] = {left};
    assert_int_equal(muster_http_open(again, 1, &other, &error), MUSTER_OK);
    assert_int_equal(stat(left + strlen("unix:"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    muster_http_close(other);
    assert_int_equal(stat(left + strlen("unix:"), &facts), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_ready_before_the_coordinator_answers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_that_stops_answering_is_not_ready_any_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(overviews_never_grow_older, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_may_look_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_ends_while_somebody_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_taken_socket_is_refused_and_one_that_was_left_is_replaced,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
