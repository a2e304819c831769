/* SPDX-License-Identifier: Apache-2.0 */
/* Joining and leaving, over real sockets. */
#include <fcntl.h>
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cmocka.h>

#include <muster/version.h>

#include "fake_coordinator.h"
#include "wire/wire.h"

#define TCP "tcp://127.0.0.1:*"

static void join_says_who_it_is(const char *endpoint)
{
    fake_coordinator *fake = fake_start(endpoint, 3);
    fake_welcome_all(fake, 4);
    muster_agent_options options = fake_options(fake_endpoint(fake), 2);
    options.blob = (muster_blob){.bytes = 3, .data = {1, 2, 3}};
    options.incarnation = 5;
    muster_agent *agent = NULL;
    assert_int_equal(muster_agent_start(&options, &agent, NULL), MUSTER_OK);

    muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    assert_int_equal(join.slot, 2);
    assert_int_equal(join.incarnation, 5);
    assert_int_equal(join.epoch, 0);
    assert_int_equal(join.u.join.slot_count, 4);
    assert_int_equal(join.u.join.process_id, getpid());
    assert_int_equal(join.u.join.library_version, MUSTER_VERSION);
    assert_int_equal(join.u.join.blob.bytes, 3);
    assert_int_equal(join.u.join.blob.data[2], 3);
    assert_false(join.u.join.rejoin);
    assert_int_not_equal(join.u.join.host, 0);
    muster_message_clean_up(&join);

    assert_int_equal(muster_agent_slot(agent), 2);
    assert_int_equal(muster_agent_incarnation(agent), 5);
    assert_int_equal(muster_agent_term(agent), 3);
    assert_int_equal(muster_agent_policy(agent).slot_count, 4);
    assert_int_equal(muster_agent_standing(agent), MUSTER_OK);
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void join_over_tcp(void **state)
{
    (void)state;
    join_says_who_it_is(TCP);
}

static void join_over_ipc(void **state)
{
    (void)state;
    char folder[] = "/tmp/muster-agent-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/c", folder);
    join_says_who_it_is(endpoint);
    unlink(endpoint + strlen("ipc://"));
    assert_int_equal(rmdir(folder), 0);
}

static void coordinator_assigns_an_incarnation(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start(TCP, 1);
    muster_agent *agent = fake_join(fake, 1);
    assert_int_equal(muster_agent_incarnation(agent), 0);
    muster_agent_stop(agent);
    fake_stop(fake);
}

typedef struct refusing_context {
    fake_coordinator *fake;
    uint32_t status;
    uint64_t job_offset;
} refusing_context;

static void *refuse_one(void *context)
{
    refusing_context *refusing = context;
    muster_message join = fake_take(refusing->fake, MUSTER_MESSAGE_JOIN);
    muster_message refused = fake_message(refusing->fake, MUSTER_MESSAGE_REFUSED, join.slot, 0);
    refused.job += refusing->job_offset;
    refused.u.refused.status = refusing->status;
    snprintf(refused.u.refused.text, sizeof refused.u.refused.text, "because the test says so");
    fake_send(refusing->fake, &refused);
    muster_message_clean_up(&join);
    return NULL;
}

static void expect_refusal(muster_status status, uint64_t job_offset)
{
    fake_coordinator *fake = fake_start(TCP, 1);
    refusing_context refusing = {fake, (uint32_t)status, job_offset};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, refuse_one, &refusing), 0);
    muster_agent_options options = fake_options(fake_endpoint(fake), 0);
    muster_agent *agent = NULL;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_start(&options, &agent, &error), status);
    assert_null(agent);
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.message, "because the test says so"));
    pthread_join(thread, NULL);
    fake_stop(fake);
}

static void refused_slot_taken(void **state)
{
    (void)state;
    expect_refusal(MUSTER_ERR_SLOT_TAKEN, 0);
}

static void refused_by_the_coordinator_of_another_job(void **state)
{
    (void)state;
    expect_refusal(MUSTER_ERR_FOREIGN, 1);
}

static void *answer_in_another_version(void *context)
{
    fake_coordinator *fake = context;
    muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    muster_message welcome = fake_message(fake, MUSTER_MESSAGE_WELCOME, join.slot, 0);
    welcome.u.welcome.policy = fake_policy(4);
    void *bytes = NULL;
    size_t byte_count = 0;
    assert_int_equal(muster_wire_encode(&welcome, &bytes, &byte_count), MUSTER_OK);
    ((uint8_t *)bytes)[4] = MUSTER_WIRE_VERSION + 1;
    fake_send_bytes(fake, join.slot, bytes, byte_count);
    free(bytes);
    muster_message_clean_up(&join);
    return NULL;
}

static void another_wire_version_is_refused(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start(TCP, 1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_in_another_version, fake), 0);
    muster_agent_options options = fake_options(fake_endpoint(fake), 0);
    muster_agent *agent = NULL;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_start(&options, &agent, &error), MUSTER_ERR_VERSION);
    assert_int_equal(error.expected, MUSTER_WIRE_VERSION);
    assert_int_equal(error.came, MUSTER_WIRE_VERSION + 1);
    pthread_join(thread, NULL);
    fake_stop(fake);
}

/* A port of this machine that nobody listens on: bound, never listened, closed at the end. */
static int reserve_port(char *endpoint, size_t endpoint_bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &address_bytes), 0);
    snprintf(endpoint, endpoint_bytes, "tcp://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void expect_no_coordinator(const char *endpoint)
{
    muster_agent_options options = fake_options(endpoint, 0);
    options.contact_timeout_ns = 200000000;
    muster_agent *agent = NULL;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_start(&options, &agent, &error), MUSTER_ERR_NO_COORDINATOR);
    assert_null(agent);
    assert_non_null(strstr(error.message, endpoint));
    assert_non_null(strstr(error.message, "MUSTER_COORDINATOR"));
}

static void nobody_listens(void **state)
{
    (void)state;
    char endpoint[64];
    int fd = reserve_port(endpoint, sizeof endpoint);
    expect_no_coordinator(endpoint);
    close(fd);
    expect_no_coordinator("ipc:///nonexistent/muster/coordinator");
}

static void somebody_listens_and_says_nothing(void **state)
{
    (void)state;
    char endpoint[64];
    int fd = reserve_port(endpoint, sizeof endpoint);
    assert_int_equal(listen(fd, 4), 0);
    expect_no_coordinator(endpoint);
    close(fd);
    fake_coordinator *fake = fake_start(TCP, 1); /* speaks ZeroMQ, but never answers */
    expect_no_coordinator(fake_endpoint(fake));
    fake_stop(fake);
}

static void malformed_endpoints(void **state)
{
    (void)state;
    const char *endpoints[] = {"",
                               "nonsense",
                               "tcp://",
                               "ipc://",
                               "tcp://127.0.0.1",
                               "tcp://127.0.0.1:",
                               "tcp://127.0.0.1:port",
                               "tcp://127.0.0.1:70000",
                               "tcp://127.0.0.1:0",
                               "tcp://127.0.0.1:5555x",
                               "tcp://*:*",
                               "inproc://coordinator",
                               "udp://127.0.0.1:5555",
                               "http://127.0.0.1:5555"};
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        muster_agent_options options = fake_options(endpoints[i], 0);
        options.contact_timeout_ns = 100000000;
        muster_agent *agent = NULL;
        muster_error error;
        muster_error_init(&error);
        muster_status status = muster_agent_start(&options, &agent, &error);
        if (status != MUSTER_ERR_INVALID_ARGUMENT) {
            fail_msg("endpoint \"%s\" gave %s", endpoints[i], muster_status_name(status));
        }
        assert_int_equal(error.field, MUSTER_FIELD_ARGUMENT);
        assert_non_null(strstr(error.message, endpoints[i]));
    }
    char long_path[300] = "ipc:///";
    memset(long_path + strlen(long_path), 'x', 200);
    muster_agent_options options = fake_options(long_path, 0);
    muster_agent *agent = NULL;
    assert_int_equal(muster_agent_start(&options, &agent, NULL), MUSTER_ERR_INVALID_ARGUMENT);
}

static void join_waits_for_a_late_coordinator(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start(TCP, 1);
    char endpoint[256];
    snprintf(endpoint, sizeof endpoint, "%s", fake_endpoint(fake));
    muster_agent *first = fake_join(fake, 0);
    fake_stop(fake);
    /* Now there is none; this one comes before the next coordinator and is said again every second. */
    fake_coordinator *late = fake_start(endpoint, 2);
    fake_welcome_all(late, 4);
    muster_agent_options options = fake_options(endpoint, 1);
    muster_agent *second = NULL;
    assert_int_equal(muster_agent_start(&options, &second, NULL), MUSTER_OK);
    muster_agent_stop(second);
    muster_agent_stop(first);
    fake_stop(late);
}

static void *answer_goodbye(void *context)
{
    fake_coordinator *fake = context;
    muster_message leave = fake_take(fake, MUSTER_MESSAGE_LEAVE);
    muster_message goodbye = fake_message(fake, MUSTER_MESSAGE_GOODBYE, leave.slot, 0);
    fake_send(fake, &goodbye);
    muster_message_clean_up(&leave);
    return NULL;
}

static void leave_is_heard(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start(TCP, 1);
    muster_agent *agent = fake_join(fake, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_goodbye, fake), 0);
    assert_int_equal(muster_agent_leave(agent, NULL), MUSTER_OK);
    pthread_join(thread, NULL);
    fake_stop(fake);
}

static void leave_without_a_coordinator_is_bounded(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start(TCP, 1);
    muster_agent *agent = fake_join(fake, 0);
    fake_stop(fake);
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_leave(agent, &error), MUSTER_ERR_NO_COORDINATOR);
    assert_non_null(strstr(error.message, "tcp://127.0.0.1"));
}

/* Several ranks in one process have nothing in common. */
static void two_agents_in_one_process(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start(TCP, 1);
    muster_agent *one = fake_join(fake, 0);
    muster_agent *other = fake_join(fake, 3);
    assert_int_equal(muster_agent_slot(one), 0);
    assert_int_equal(muster_agent_slot(other), 3);
    muster_agent_stop(one);
    uint32_t incarnations[4] = {0};
    fake_send_agreed(fake, 3, 1, 4, incarnations);
    muster_membership membership;
    assert_int_equal(muster_agent_await_agreed(other, 0, fake_deadline(), &membership, NULL),
                     MUSTER_OK);
    muster_membership_clean_up(&membership);
    muster_agent_stop(other);
    fake_stop(fake);
}

/* A signal for the application must not land on a thread of the agent: were one of them to take it,
 * its default action would end this process. */
static void signals_do_not_land_on_the_agent(void **state)
{
    (void)state;
    sigset_t only;
    sigset_t before;
    sigemptyset(&only);
    sigaddset(&only, SIGUSR1);
    /* The fake's own threads are born with it blocked: libzmq's block signals only once they run. */
    pthread_sigmask(SIG_BLOCK, &only, &before);
    fake_coordinator *fake = fake_start(TCP, 1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    muster_agent *agent = fake_join(fake, 0);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    /* Wait until the agent ran again. */
    fake_forget(fake);
    muster_message heartbeat = fake_take(fake, MUSTER_MESSAGE_HEARTBEAT);
    muster_message_clean_up(&heartbeat);
    sigset_t pending;
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGUSR1));
    int taken = 0;
    sigwait(&only, &taken);
    assert_int_equal(taken, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_false(sigismember(&before, SIGUSR1)); /* the caller's mask came back */
    muster_agent_stop(agent);
    fake_stop(fake);
}

static void descriptors_close_on_exec(void **state)
{
    (void)state;
    fake_coordinator *fake = fake_start(TCP, 1);
    muster_agent *agent = fake_join(fake, 0);
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    int checked = 0;
    for (struct dirent *entry = NULL; (entry = readdir(folder)) != NULL;) {
        int fd = atoi(entry->d_name);
        char path[64];
        char target[64] = {0};
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (entry->d_name[0] == '.' || readlink(path, target, sizeof target - 1) <= 0) {
            continue;
        }
        if (strncmp(target, "socket:", 7) == 0 || strncmp(target, "anon_inode:", 11) == 0) {
            if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC)) {
                fail_msg("descriptor %d (%s) would be inherited", fd, target);
            }
            checked++;
        }
    }
    closedir(folder);
    assert_true(checked >= 4);
    muster_agent_stop(agent);
    fake_stop(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_over_tcp),
        cmocka_unit_test(join_over_ipc),
        cmocka_unit_test(coordinator_assigns_an_incarnation),
        cmocka_unit_test(refused_slot_taken),
        cmocka_unit_test(refused_by_the_coordinator_of_another_job),
        cmocka_unit_test(another_wire_version_is_refused),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(somebody_listens_and_says_nothing),
        cmocka_unit_test(malformed_endpoints),
        cmocka_unit_test(join_waits_for_a_late_coordinator),
        cmocka_unit_test(leave_is_heard),
        cmocka_unit_test(leave_without_a_coordinator_is_bounded),
        cmocka_unit_test(two_agents_in_one_process),
        cmocka_unit_test(signals_do_not_land_on_the_agent),
        cmocka_unit_test(descriptors_close_on_exec),
    };
    return cmocka_run_group_tests_name("agent_join", tests, NULL, NULL);
}
