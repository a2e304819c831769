/* SPDX-License-Identifier: Apache-2.0 */
/* Deaths: real processes, killed. What the others are told, and what is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "group.h"

#define READY 0 /* index in shared->words: ranks that may be killed now */

static void nap_ms(long milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000,
                             .tv_nsec = milliseconds % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static void await_dying(group_rank *self, uint32_t count)
{
    int64_t hang_ns = group_now_ns() + 20 * SECOND_NS;

    while (self->dying_count < count) {
        CHECK(group_now_ns() < hang_ns);
        nap_ms(1);
    }
}

static void wait_to_be_killed(group_rank *self)
{
    self->shared->words[READY]++;
    for (;;)
        nap_ms(1000);
}

static void await_ready(const group_shared *shared, uint64_t count)
{
    int64_t hang_ns = group_now_ns() + 20 * SECOND_NS;

    while (shared->words[READY] < count) {
        CHECK(group_now_ns() < hang_ns);
        nap_ms(1);
    }
}

static void kill_hard(pid_t child)
{
    int status;

    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
}

static void a_killed_peer_is_reported(void **state)
{
    group_shared *shared = group_share();
    int fds = group_count_fds(), maps = group_count_maps();
    group_rank *self = calloc(1, sizeof *self);
    pid_t child;

    (void)state;
    assert_non_null(self);
    child = group_fork(shared, 1, 2, wait_to_be_killed, NULL);
    group_open(self, shared, 0, 2);
    group_connect(self, 1, 1, true);
    await_ready(shared, 1);
    nap_ms(20);
    assert_int_equal(self->dying_count, 0);
    kill_hard(child);
    await_dying(self, 1);
    assert_int_equal(self->dying_slot, 101);
    assert_int_equal(self->dying_incarnation, 8);
    nap_ms(150);
    assert_int_equal(self->dying_count, 1);
    group_close(self);
    assert_int_equal(group_count_fds(), fds);
    assert_int_equal(group_count_maps(), maps);
    free(self);
    group_unshare(shared);
}

static void several_that_die_at_once_are_all_reported(void **state)
{
    group_shared *shared = group_share();
    group_rank *self = calloc(1, sizeof *self);
    pid_t children[4];

    (void)state;
    assert_non_null(self);
    for (int32_t rank = 1; rank < 4; rank++)
        children[rank] = group_fork(shared, rank, 4, wait_to_be_killed, NULL);
    group_open(self, shared, 0, 4);
    group_connect(self, 1, 1, true);
    await_ready(shared, 3);
    for (int32_t rank = 1; rank < 4; rank++)
        CHECK(kill(children[rank], SIGKILL) == 0);
    for (int32_t rank = 1; rank < 4; rank++)
        CHECK(waitpid(children[rank], NULL, 0) == children[rank]);
    /* Their listeners are gone: the pages were fetched before. */
    await_dying(self, 3);
    /* In the order in which the kernel was through with them. */
    assert_int_equal(self->dying_ranks, 1 << 1 | 1 << 2 | 1 << 3);
    group_close(self);
    free(self);
    group_unshare(shared);
}

static void leave(group_rank *self)
{
    (void)self;
}

static void leaving_in_order_is_no_death(void **state)
{
    group_shared *shared = group_share();
    group_rank *self = calloc(1, sizeof *self);
    pid_t leaver, dier;

    (void)state;
    assert_non_null(self);
    leaver = group_fork(shared, 1, 3, leave, NULL);
    dier = group_fork(shared, 2, 3, wait_to_be_killed, NULL);
    group_open(self, shared, 0, 3);
    group_connect(self, 1, 1, true);
    group_expect_exit(leaver, 0);
    await_ready(shared, 1);
    nap_ms(150);
    assert_int_equal(self->dying_count, 0);
    /* The one after the leaver is watched now. */
    kill_hard(dier);
    await_dying(self, 1);
    assert_int_equal(self->dying_slot, 102);
    group_close(self);
    free(self);
    group_unshare(shared);
}

static void exit_without_leaving(group_rank *self)
{
    (void)self;
    _exit(0);
}

static void an_exit_without_leaving_is_a_death(void **state)
{
    group_shared *shared = group_share();
    group_rank *self = calloc(1, sizeof *self);
    pid_t child;

    (void)state;
    assert_non_null(self);
    child = group_fork(shared, 1, 2, exit_without_leaving, NULL);
    group_open(self, shared, 0, 2);
    group_connect(self, 1, 1, true);
    await_dying(self, 1);
    group_expect_exit(child, 0);
    group_close(self);
    free(self);
    group_unshare(shared);
}

static void become_another_program(group_rank *self)
{
    (void)self;
    execl("/bin/sleep", "sleep", "1000", (char *)NULL);
}

/* The program that was a rank is gone, although its process number is not. */
static void an_exec_is_a_death(void **state)
{
    group_shared *shared = group_share();
    group_rank *self = calloc(1, sizeof *self);
    pid_t child;

    (void)state;
    assert_non_null(self);
    child = group_fork(shared, 1, 2, become_another_program, NULL);
    group_open(self, shared, 0, 2);
    group_connect(self, 1, 1, true);
    await_dying(self, 1);
    kill_hard(child);
    group_close(self);
    free(self);
    group_unshare(shared);
}

static void a_stopped_peer_is_not_dead(void **state)
{
    group_shared *shared = group_share();
    group_rank *self = calloc(1, sizeof *self);
    pid_t child;

    (void)state;
    assert_non_null(self);
    child = group_fork(shared, 1, 2, wait_to_be_killed, NULL);
    group_open(self, shared, 0, 2);
    group_connect(self, 1, 1, true);
    await_ready(shared, 1);
    CHECK(kill(child, SIGSTOP) == 0);
    nap_ms(150);
    assert_int_equal(self->dying_count, 0);
    kill_hard(child);
    await_dying(self, 1);
    group_close(self);
    free(self);
    group_unshare(shared);
}

/* ---- killed inside a transfer ---- */

#define TRANSFER_BYTES ((size_t)96 << 20)

static void send_for_long(group_rank *self)
{
    uint8_t *data = malloc(TRANSFER_BYTES);
    muster_transport_operation operations[2] = {
        {.kind = MUSTER_TRANSPORT_SEND, .peer = 0, .data = data, .bytes = TRANSFER_BYTES},
        {.kind = MUSTER_TRANSPORT_RECEIVE, .peer = 0, .data = data, .bytes = 1}};

    CHECK(data != NULL);
    memset(data, 3, TRANSFER_BYTES);
    self->shared->words[READY]++;
    group_batch(self, operations, 2);
}

static void a_peer_killed_in_a_transfer_leaves_nothing(void **state)
{
    (void)state;
    for (int turn = 0; turn < 5; turn++) {
        group_shared *shared = group_share();
        int fds = group_count_fds(), maps = group_count_maps();
        group_rank *self = calloc(1, sizeof *self);
        uint8_t *data = malloc(TRANSFER_BYTES);
        muster_transport_operation operation = {
            .kind = MUSTER_TRANSPORT_RECEIVE, .peer = 1, .data = data, .bytes = TRANSFER_BYTES};
        muster_transport_batch *batch;
        muster_rank_set missing;
        bool done = false, moved;
        int64_t moved_ns;
        pid_t child;

        assert_non_null(self);
        assert_non_null(data);
        assert_true(muster_rank_set_init(&missing, 2));
        child = group_fork(shared, 1, 2, send_for_long, NULL);
        group_open(self, shared, 0, 2);
        group_connect(self, 1, 1, true);
        await_ready(shared, 1);
        assert_int_equal(self->table->submit(self->transport, &operation, 1, &batch, NULL),
                         MUSTER_OK);
        for (int i = 0; i < turn * 40; i++)
            self->table->progress(batch, &done, &moved, NULL);
        kill_hard(child);
        await_dying(self, 1);
        /* What it had published still comes; then nothing more, and it is named. */
        moved_ns = group_now_ns();
        while (group_now_ns() - moved_ns < SECOND_NS / 50) {
            self->table->progress(batch, &done, &moved, NULL);
            if (moved)
                moved_ns = group_now_ns();
        }
        assert_false(done);
        self->table->batch_missing(batch, &missing);
        assert_int_equal(muster_rank_set_count(&missing), 1);
        assert_true(muster_rank_set_has(&missing, 1));
        self->table->release(batch);
        assert_int_equal(self->table->submit(self->transport, &operation, 1, &batch, NULL),
                         MUSTER_ERR_COMM_FAILED);
        group_close(self);
        assert_int_equal(group_count_fds(), fds);
        assert_int_equal(group_count_maps(), maps);
        muster_rank_set_clean_up(&missing);
        free(data);
        free(self);
        group_unshare(shared);
    }
}

/* ---- threads of the endpoint ---- */

static void threads_of_the_endpoint_take_no_signals(void **state)
{
    group_shared *shared = group_share();
    group_rank *self = calloc(1, sizeof *self);
    DIR *tasks;
    struct dirent *entry;
    int found = 0;

    (void)state;
    assert_non_null(self);
    group_open(self, shared, 0, 1);
    tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], line[256], name[64] = "";
        unsigned long long blocked = 0;
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        file = fopen(path, "re");
        if (file == NULL)
            continue;
        while (fgets(line, sizeof line, file) != NULL) {
            (void)sscanf(line, "Name: %63s", name);
            (void)sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(file);
        if (strncmp(name, "muster-", 7) != 0)
            continue;
        found++;
        for (int number = 1; number <= 31; number++)
            if (number != SIGKILL && number != SIGSTOP)
                assert_true((blocked >> (number - 1) & 1) != 0);
    }
    closedir(tasks);
    assert_int_equal(found, 2);
    group_close(self);
    free(self);
    group_unshare(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_peer_is_reported),
        cmocka_unit_test(several_that_die_at_once_are_all_reported),
        cmocka_unit_test(leaving_in_order_is_no_death),
        cmocka_unit_test(an_exit_without_leaving_is_a_death),
        cmocka_unit_test(an_exec_is_a_death),
        cmocka_unit_test(a_stopped_peer_is_not_dead),
        cmocka_unit_test(a_peer_killed_in_a_transfer_leaves_nothing),
        cmocka_unit_test(threads_of_the_endpoint_take_no_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
