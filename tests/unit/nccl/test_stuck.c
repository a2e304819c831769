/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL does not let go: said in time, by its code; or the process ends, where that is wanted. */
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

/* Where something is to be late and nothing in time: a busy machine may make all of it late. */
static int set_up_short(void **state)
{
    fixture_set_up(state);
    fixture *f = *state;
    f->options.abort_timeout_ns = 30 * MILLISECOND_NS;
    f->options.bracket_timeout_ns = 10 * MILLISECOND_NS;
    return 0;
}

/* Where something is to be late, and what follows in time. */
static int set_up_wide(void **state)
{
    fixture_set_up(state);
    fixture *f = *state;
    f->options.abort_timeout_ns = 2000 * MILLISECOND_NS;
    f->options.bracket_timeout_ns = 10 * MILLISECOND_NS;
    return 0;
}

static void wait_for_no_comms(const fixture *f)
{
    while (f->table->await_revoked(f->device, NULL) != MUSTER_OK)
        fixture_nap(MILLISECOND_NS);
    assert_int_equal(f->nccl->live_comms, 0);
}

static void an_abort_that_hangs(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    atomic_store(&f->nccl->hold_abort, true);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_ERR_DEVICE_STUCK);
    assert_non_null(strstr(f->error.message, "not ended in time (2010 ms)"));
    assert_non_null(strstr(f->error.message, "ncclCommAbort has not come back"));
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_ERR_DEVICE_STUCK);
    /* It was late, and came: from then on all is well. */
    atomic_store(&f->nccl->hold_abort, false);
    wait_for_no_comms(f);
    assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
    f->comm = NULL;
    f->table->revive(f->device);
    fixture_connect(f);
}

static void a_borrower_that_does_not_return(void **state)
{
    fixture *f = *state;
    struct ncclComm *native = NULL;
    fixture_connect(f);
    muster_device_comm *other = f->comm;
    fixture_connect(f);
    assert_int_equal(f->table->borrow(f->comm, &native, &f->error), MUSTER_OK);
    f->table->revoke(f->device, true);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_ERR_DEVICE_STUCK);
    assert_non_null(strstr(f->error.message, "has not returned a borrowed communicator"));
    /* Not aborted under the borrower; the other one is not held up by it. */
    assert_int_equal(f->nccl->live_comms, 2);
    f->table->revoke(f->device, false);
    while (f->nccl->live_comms == 2)
        fixture_nap(MILLISECOND_NS);
    assert_int_equal(f->nccl->live_comms, 1);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), 1);
    assert_int_equal(f->table->give_back(f->comm), MUSTER_ERR_RANK_LOST);
    wait_for_no_comms(f);
    assert_int_equal(f->table->comm_close(other, &f->error), MUSTER_OK);
}

static void a_close_that_hangs(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    atomic_store(&f->nccl->hold_destroy, true);
    assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_ERR_DEVICE_STUCK);
    f->comm = NULL;
    /* The handle is gone; the device's thread frees what was behind it once it can, also after the device. */
    f->table->close(f->device);
    f->device = NULL;
    atomic_store(&f->nccl->hold_destroy, false);
    while (f->nccl->live_comms > 0)
        fixture_nap(MILLISECOND_NS);
}

static void a_goodbye_that_does_not_come(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    f->nccl->polls = -1;
    f->nccl->log_count = 0;
    assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_OK);
    f->comm = NULL;
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommFinalize"), 1);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommDestroy"), 0);
    assert_int_equal(fixture_count(f->nccl->log, f->nccl->log_count, "ncclCommAbort"), 1);
}

static void an_abort_that_fails(void **state)
{
    static const char *const calls[] = {"ncclCommAbort", "ncclGroupEnd"};
    fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        fixture_connect(f);
        f->nccl->failure =
            (stub_failure){.name = calls[i], .countdown = 1, .code = ncclUnhandledCudaError};
        f->table->revoke(f->device, false);
        assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_ERR_DEVICE_STUCK);
        assert_int_equal(f->error.native_code, ncclUnhandledCudaError);
        assert_non_null(strstr(f->error.message, "ncclCommAbort"));
        assert_int_equal(f->table->comm_close(f->comm, &f->error), MUSTER_ERR_DEVICE_STUCK);
        f->comm = NULL;
        f->table->revive(f->device);
    }
}

static void a_group_that_cannot_be_started(void **state)
{
    fixture *f = *state;
    fixture_connect(f);
    f->nccl->failure =
        (stub_failure){.name = "ncclGroupStart", .countdown = 1, .code = ncclSystemError};
    f->table->revoke(f->device, false);
    /* One by one, then. The stub calls that a violation of ours; NCCL does not mind. */
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    assert_int_equal(f->nccl->live_comms, 0);
    atomic_store(&f->nccl->violations, 0);
}

/* In a child process: opens, revokes, and waits for an abort that hangs. Returns only if that returned. */
static void hang_in_child(fixture *f, int stderr_pipe)
{
    dup2(stderr_pipe, STDERR_FILENO);
    f->options.exit_when_stuck = true;
    fixture_connect(f);
    atomic_store(&f->nccl->hold_abort, true);
    f->table->revoke(f->device, false);
    (void)f->table->await_revoked(f->device, NULL);
    _exit(1);
}

static void the_process_ends_where_that_is_wanted(void **state)
{
    fixture *f = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0)
        hang_in_child(f, ends[1]);
    close(ends[1]);
    char text[512];
    size_t bytes = 0;
    ssize_t got;
    while ((got = read(ends[0], text + bytes, sizeof(text) - 1 - bytes)) > 0)
        bytes += (size_t)got;
    text[bytes] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), MUSTER_DEVICE_STUCK_EXIT_CODE);
    assert_non_null(strstr(text, "muster: device 0: "));
    assert_non_null(strstr(text, "exit code 75"));
    assert_ptr_equal(strchr(text, '\n'), text + bytes - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
#define SHORT(name) cmocka_unit_test_setup_teardown(name, set_up_short, fixture_tear_down)
#define WIDE(name) cmocka_unit_test_setup_teardown(name, set_up_wide, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        /* First: it forks, and no thread is there yet. */
        SHORT(the_process_ends_where_that_is_wanted), WIDE(an_abort_that_hangs),
        WIDE(a_borrower_that_does_not_return),        SHORT(a_close_that_hangs),
        WIDE(a_goodbye_that_does_not_come),           TEST(an_abort_that_fails),
        TEST(a_group_that_cannot_be_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
