/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/child.h"

extern char **environ;

#define WAIT_MS 20000

/* Everything twice: with a PID namespace, where the machine allows it, and without. */
static bool namespaces[2];
static int namespace_count;

static muster_child spawn(bool process_namespace, const char *script)
{
    char *arguments[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
    const muster_child_options options = {.file = "sh",
                                          .arguments = arguments,
                                          .environment = environ,
                                          .redirect = true,
                                          .process_namespace = process_namespace,
                                          .process_id_hint = getpid() + 100};
    muster_child child;
    muster_error error;
    muster_error_init(&error);
    if (muster_child_spawn(&options, &child, &error) != MUSTER_OK)
        fail_msg("%s", error.message);
    return child;
}

static void await_gone(muster_child *child)
{
    struct pollfd ended = {.fd = child->keeper_pidfd, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, WAIT_MS), 1);
    assert_true(muster_child_reap(child));
    assert_true(child->gone);
    assert_true(child->exited);
}

static void read_word(int fd, char *word, size_t capacity)
{
    size_t used = 0;
    while (used < capacity - 1) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
        ssize_t got = read(fd, word + used, capacity - 1 - used);
        if (got <= 0 || memchr(word + used, '\n', (size_t)got) != NULL) {
            used += got > 0 ? (size_t)got : 0;
            break;
        }
        used += (size_t)got;
    }
    word[used] = '\0';
}

static void exit_codes_and_signals_are_told(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        muster_child child = spawn(namespaces[i], "exit 7");
        muster_child_open_gate(&child);
        await_gone(&child);
        assert_true(WIFEXITED(child.wait_status));
        assert_int_equal(WEXITSTATUS(child.wait_status), 7);
        muster_child_close(&child);
        child = spawn(namespaces[i], "kill -SEGV $$");
        muster_child_open_gate(&child);
        await_gone(&child);
        assert_true(WIFSIGNALED(child.wait_status));
        assert_int_equal(WTERMSIG(child.wait_status), SIGSEGV);
        muster_child_close(&child);
    }
}

/* What a rank calls itself is what its launcher calls it: agents, traces and the coordinator name
 * processes by that number. */
static void the_number_is_the_same_inside_and_outside(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        char word[64];
        muster_child child = spawn(namespaces[i], "echo $$");
        muster_child_open_gate(&child);
        read_word(child.stdout_fd, word, sizeof word);
        assert_int_equal(atoi(word), child.process_id);
        await_gone(&child);
        muster_child_close(&child);
    }
}

static void nothing_runs_before_the_gate_opens(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        muster_child child = spawn(namespaces[i], "echo ran");
        struct pollfd ready = {.fd = child.stdout_fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, 50), 0);
        /* A gate that closes without opening ends it. */
        close(child.gate_fd);
        child.gate_fd = -1;
        await_gone(&child);
        char word[16];
        read_word(child.stdout_fd, word, sizeof word);
        assert_string_equal(word, "");
        muster_child_close(&child);
    }
}

static void a_stopped_one_can_be_killed(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        char word[16];
        muster_child child = spawn(namespaces[i], "echo up; exec sleep 1000");
        muster_child_open_gate(&child);
        read_word(child.stdout_fd, word, sizeof word);
        assert_true(muster_child_signal_rank(&child, SIGSTOP));
        muster_child_kill(&child);
        await_gone(&child);
        assert_int_equal(WTERMSIG(child.wait_status), SIGKILL);
        assert_false(muster_child_signal_rank(&child, SIGCONT));
        muster_child_close(&child);
    }
}

static void signals_reach_the_group(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        char word[16];
        /* The shell waits for its child; both get the signal, so the child ends, too. */
        muster_child child =
            spawn(namespaces[i], "trap 'exit 5' TERM; sleep 1000 & echo up; wait; exit 6");
        muster_child_open_gate(&child);
        read_word(child.stdout_fd, word, sizeof word);
        muster_child_signal(&child, SIGTERM);
        await_gone(&child);
        assert_true(WIFEXITED(child.wait_status));
        assert_int_equal(WEXITSTATUS(child.wait_status), 5);
        muster_child_close(&child);
    }
}

/* A pipe whose write end a grandchild holds: it ends when the grandchild does, and not before. */
static void grandchildren_end_with_the_rank(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "sleep 1000 & echo up; exit 0",        /* an orphan of the group */
        "setsid sleep 1000 & echo up; exit 0", /* one that left the group */
        "(setsid sh -c 'sleep 1000 & sleep 1000 & wait' &) ; echo up; sleep 1000", /* a tree */
    };
    for (size_t i = 0; i < (size_t)namespace_count * 3; i++) {
        char word[16];
        char more[16];
        muster_child child = spawn(namespaces[i / 3], scripts[i % 3]);
        muster_child_open_gate(&child);
        read_word(child.stdout_fd, word, sizeof word);
        assert_string_equal(word, "up\n");
        if (i % 3 == 2)
            muster_child_kill(&child);
        await_gone(&child);
        fcntl(child.stdout_fd, F_SETFL, 0);
        /* End of file: no process holds the other end any more. */
        struct pollfd ended = {.fd = child.stdout_fd, .events = POLLIN};
        assert_int_equal(poll(&ended, 1, WAIT_MS), 1);
        assert_int_equal(read(child.stdout_fd, more, sizeof more), 0);
        muster_child_close(&child);
    }
}

static void a_killed_keeper_takes_everything_along(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        char word[16];
        muster_child child = spawn(namespaces[i], "echo up; exec sleep 1000");
        muster_child_open_gate(&child);
        read_word(child.stdout_fd, word, sizeof word);
        muster_child_kill_keeper(&child);
        await_gone(&child);
        struct pollfd ended = {.fd = child.stdout_fd, .events = POLLIN};
        assert_int_equal(poll(&ended, 1, WAIT_MS), 1);
        assert_int_equal(read(child.stdout_fd, word, sizeof word), 0);
        muster_child_close(&child);
    }
}

static void a_command_that_is_not_there_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        char *arguments[] = {"/no/such/command", NULL};
        const muster_child_options options = {.file = arguments[0],
                                              .arguments = arguments,
                                              .environment = environ,
                                              .redirect = true,
                                              .process_namespace = namespaces[i],
                                              .process_id_hint = getpid() + 100};
        muster_child child;
        assert_int_equal(muster_child_spawn(&options, &child, NULL), MUSTER_OK);
        muster_child_open_gate(&child);
        await_gone(&child);
        assert_int_equal(child.exec_errno, ENOENT);
        assert_int_equal(WEXITSTATUS(child.wait_status), 127);
        muster_child_close(&child);
    }
}

static void no_descriptor_is_inherited(void **state)
{
    (void)state;
    for (int i = 0; i < namespace_count; i++) {
        char word[256];
        int left_open = open("/dev/null", O_RDONLY); /* as a careless library does */
        /* The listing's own descriptor is the one above 2. */
        muster_child child = spawn(namespaces[i], "cd /proc/self/fd && echo *");
        muster_child_open_gate(&child);
        read_word(child.stdout_fd, word, sizeof word);
        assert_string_equal(word, "0 1 2 3\n");
        await_gone(&child);
        muster_child_close(&child);
        close(left_open);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes_and_signals_are_told),
        cmocka_unit_test(the_number_is_the_same_inside_and_outside),
        cmocka_unit_test(nothing_runs_before_the_gate_opens),
        cmocka_unit_test(a_stopped_one_can_be_killed),
        cmocka_unit_test(signals_reach_the_group),
        cmocka_unit_test(grandchildren_end_with_the_rank),
        cmocka_unit_test(a_killed_keeper_takes_everything_along),
        cmocka_unit_test(a_command_that_is_not_there_says_so),
        cmocka_unit_test(no_descriptor_is_inherited),
    };
    namespaces[namespace_count++] = false;
    if (muster_child_namespace_works())
        namespaces[namespace_count++] = true;
    else
        print_message("without PID namespaces: %s\n", strerror(errno));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
