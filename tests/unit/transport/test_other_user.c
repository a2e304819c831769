/* SPDX-License-Identifier: Apache-2.0 */
/* Another user of the machine: gets no segment, is believed nothing, and cannot open what it finds. Needs
 * root, to become somebody else; skips without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "group.h"
#include "transport/host/handover.h"
#include "transport/host/mapping.h"

#define NOBODY 65534
#define PAGE 4096

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("skipped: only root can become another user\n");
        skip();
    }
}

static void expect_success(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* In the child: exits with the number of the first step that went wrong. */
static void become_nobody(void)
{
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        _exit(99);
}

static bool cancelled_never(void *context)
{
    (void)context;
    return false;
}

/* As a peer would ask, and as one that leaves out the check of its own side. */
static void ask_as_nobody(const muster_host_address *address)
{
    const muster_host_patience patience = {.deadline_ns = group_now_ns() + 20 * SECOND_NS,
                                           .cancelled = cancelled_never};
    muster_host_request request = {.kind = MUSTER_HOST_REQUEST_LIFE, .job = GROUP_JOB};
    muster_host_reply reply;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char bytes[sizeof reply];
    int fds[MUSTER_HOST_HANDOVER_FDS];
    int native_code = 0;
    int at = 0;

    become_nobody();
    if (muster_host_handover_ask(address, &request, &reply, fds, &patience, &native_code) !=
        MUSTER_ERR_FOREIGN)
        _exit(1);
    at = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "muster-") + 1;
    for (size_t i = 0; i < MUSTER_HOST_NAME_BYTES; i++, at += 2)
        snprintf(name.sun_path + at, 3, "%02x", address->name[i]);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&name,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)at)) != 0)
        _exit(2);
    (void)!send(fd, &request, sizeof request, MSG_NOSIGNAL);
    if (recv(fd, bytes, sizeof bytes, 0) > 0)
        _exit(3);
    close(fd);
    _exit(0);
}

static void gets_no_answer(void **state)
{
    const muster_transport_endpoint_options options = {.job = GROUP_JOB};
    const muster_transport_table *table = muster_host_table();
    muster_transport_endpoint *endpoint = NULL;
    muster_transport_blob blob;
    muster_host_address address;

    (void)state;
    need_root();
    assert_int_equal(table->endpoint_open(&options, &endpoint, NULL), MUSTER_OK);
    table->endpoint_blob(endpoint, &blob);
    assert_true(muster_host_handover_parse(&blob, &address));
    pid_t child = fork();
    if (child == 0)
        ask_as_nobody(&address);
    expect_success(child);
    table->endpoint_close(endpoint);
}

static void cannot_open_our_memory(void **state)
{
    muster_host_mapping mapping;
    struct stat facts;
    char path[64];

    (void)state;
    assert_int_equal(muster_host_mapping_create(PAGE, NULL, "a test's memory", &mapping, NULL),
                     MUSTER_OK);
    assert_int_equal(fstat(mapping.fd, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(facts.st_uid, geteuid());
    need_root();
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), mapping.fd);
    pid_t child = fork();
    if (child == 0) {
        char own[64];

        /* The very descriptor, inherited, gives no second way in either. */
        snprintf(own, sizeof own, "/proc/self/fd/%d", mapping.fd);
        become_nobody();
        _exit(open(path, O_RDWR | O_CLOEXEC) < 0 && open(own, O_RDWR | O_CLOEXEC) < 0 ? 0 : 1);
    }
    expect_success(child);
    muster_host_mapping_close(&mapping);
}

static void its_memory_is_not_taken(void **state)
{
    muster_host_mapping mapping;
    muster_error error;

    (void)state;
    need_root();
    int fd = memfd_create("theirs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    muster_error_init(&error);
    assert_int_equal(fchown(fd, NOBODY, NOBODY), 0);
    assert_int_equal(muster_host_mapping_open(fd, PAGE, "a peer's memory", &mapping, &error),
                     MUSTER_ERR_FOREIGN);
    assert_non_null(strstr(error.message, "65534"));
    assert_int_equal(fchown(fd, 0, 0), 0);
    assert_int_equal(muster_host_mapping_open(fd, PAGE, "a peer's memory", &mapping, &error),
                     MUSTER_OK);
    muster_host_mapping_close(&mapping);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_no_answer),
        cmocka_unit_test(cannot_open_our_memory),
        cmocka_unit_test(its_memory_is_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
