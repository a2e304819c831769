/* SPDX-License-Identifier: Apache-2.0 */
/* Losing ranks, with real processes and no launcher: SIGKILL and SIGSTOP while the others wait in a
 * call, release with RANK_LOST, rebuild by shrink, right bytes afterwards; deadlines that name who was
 * missing; calls in a forked child. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "comm/comm.h"
#include "unit/harness/harness.h"

enum { RANKS = 4 };

typedef struct loss {
    int32_t slot;
    int signal;
    _Atomic int *in_a_call; /* shared memory: how many survivors have a call in flight; or NULL */
} loss;

static void nap_ms(long ms)
{
    struct timespec nap = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&nap, NULL);
}

static muster_status gather_once(harness_rank *rank, int32_t turn, muster_error *error)
{
    muster_comm *world = rank->world;
    const int32_t size = muster_comm_size(world);
    const int32_t own = muster_comm_rank(world);
    int64_t lengths[RANKS];
    int32_t mine[64];
    int32_t whole[64 * RANKS];
    for (int32_t i = 0; i < size; i++)
        lengths[i] = 64;
    for (int32_t i = 0; i < 64; i++)
        mine[i] = rank->slot * 1000 + turn + i;
    muster_tensor rows = muster_tensor_host(mine, MUSTER_DTYPE_INT32, 64, 1);
    muster_tensor all = muster_tensor_host(whole, MUSTER_DTYPE_INT32, 64 * (int64_t)size, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
    int32_t root = turn % size;
    muster_status status =
        muster_gatherv(world, &rows, lengths, size, root, own == root ? &root_rows : NULL, error);
    if (status == MUSTER_OK && own == root)
        for (int32_t r = 0; r < size; r++)
            for (int32_t i = 0; i < 64; i++)
                CHECK(whole[r * 64 + i] == muster_comm_slot_of_rank(world, r) * 1000 + turn + i);
    return status;
}

/* A survivor whose call has ended with `status`: what it may do, the rebuild, and right rows after it. */
static void rebuild_after(harness_rank *rank, muster_status status, muster_error *error)
{
    const loss *lost = rank->argument;
    if (status != MUSTER_ERR_RANK_LOST) {
        fprintf(stderr, "slot %d: %s: %s\n", rank->slot, muster_status_name(status),
                error->message);
        _exit(99);
    }
    CHECK(rank->slot != lost->slot);
    CHECK(muster_job_revoked(rank->job));
    int32_t dead[RANKS];
    int32_t dead_count = 0;
    CHECK_STATUS(MUSTER_OK, muster_comm_dead_slots(rank->world, dead, RANKS, &dead_count));
    CHECK(dead_count == 1 && dead[0] == lost->slot);
    /* Refused for good until the rebuild. */
    CHECK_STATUS(MUSTER_ERR_RANK_LOST, muster_barrier(rank->world, error));
    muster_rebuild_result result = {.struct_bytes = sizeof(result)};
    muster_status rebuilt = muster_comm_rebuild(rank->world, &result, error);
    if (rebuilt != MUSTER_OK) {
        fprintf(stderr, "slot %d: rebuild: %s: %s\n", rank->slot, muster_status_name(rebuilt),
                error->message);
        _exit(99);
    }
    CHECK(result.epoch.value == 2 && result.kind == MUSTER_REBUILD_SHRINK);
    CHECK(result.lost_slot_count == 1);
    CHECK(muster_comm_size(rank->world) == RANKS - 1);
    CHECK(muster_comm_rank_of_slot(rank->world, lost->slot) == MUSTER_RANK_NONE);
    CHECK(!muster_job_revoked(rank->job));
    for (int32_t turn = 0; turn < 50; turn++)
        CHECK_STATUS(MUSTER_OK, gather_once(rank, turn, error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, error));
}

static void work_until_lost(harness_rank *rank)
{
    const loss *lost = rank->argument;
    muster_error error;
    muster_error_init(&error);
    muster_status status = MUSTER_OK;
    for (int32_t turn = 0; status == MUSTER_OK; turn++) {
        if (rank->slot == lost->slot && turn == 50)
            raise(lost->signal);
        status = gather_once(rank, turn, &error);
    }
    if (rank->slot == lost->slot && lost->signal == SIGSTOP) {
        /* Woken after the verdict: harmless, and told so. */
        CHECK(status == MUSTER_ERR_FENCED || status == MUSTER_ERR_RANK_LOST);
        CHECK_STATUS(MUSTER_ERR_FENCED, muster_comm_rebuild(rank->world, NULL, &error));
        return;
    }
    rebuild_after(rank, status, &error);
}

/* A stopped process is woken when the others are long past it, and must find itself fenced. */
static void wake_stopped(const pid_t *pids, void *argument)
{
    const loss *lost = argument;
    siginfo_t info;
    for (int32_t slot = 0; slot < RANKS; slot++)
        if (slot != lost->slot)
            CHECK(waitid(P_PID, (id_t)pids[slot], &info, WEXITED | WNOWAIT) == 0);
    kill(pids[lost->slot], SIGCONT);
}

static void lose(int32_t slot, int signal)
{
    loss lost = {slot, signal, NULL};
    harness_options options;
    harness_options_init(&options, RANKS);
    options.policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    options.policy.min_ranks = 1;
    options.policy.deadlines.heartbeat_ns = 50000000;
    options.policy.deadlines.suspect_ns = 500000000;
    options.policy.deadlines.silence_ns = 3000000000;
    options.policy.deadlines.reconnect_ns = 2000000000;
    int statuses[RANKS] = {0};
    harness_run_processes(&options, work_until_lost, &lost, signal == SIGSTOP ? wake_stopped : NULL,
                          statuses);
    for (int32_t i = 0; i < RANKS; i++) {
        if (i == slot && signal == SIGKILL)
            assert_true(WIFSIGNALED(statuses[i]) && WTERMSIG(statuses[i]) == SIGKILL);
        else
            assert_true(WIFEXITED(statuses[i]) && WEXITSTATUS(statuses[i]) == 0);
    }
}

static void test_sigkill_of_a_rank(void **state)
{
    (void)state;
    lose(2, SIGKILL);
}

static void test_sigkill_of_the_root(void **state)
{
    (void)state;
    lose(0, SIGKILL);
}

static void test_sigstop_of_a_rank_that_wakes_later(void **state)
{
    (void)state;
    lose(3, SIGSTOP);
}

/* ---- what a survivor's trace says ---- */

static uint32_t traced_kinds[32];
static _Atomic int traced_count;

static void keep_recovery(const muster_trace_identity *who, uint32_t kind, uint64_t epoch,
                          int32_t slot, uint32_t incarnation, uint32_t evidence, int64_t value)
{
    (void)incarnation;
    (void)evidence;
    (void)value;
    CHECK(who->slot == slot && epoch >= 1 && epoch <= 2);
    int place = atomic_fetch_add(&traced_count, 1);
    CHECK(place < 32);
    traced_kinds[place] = kind;
}

static void ignore_batch(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    (void)who;
    (void)batch;
}

static void ignore_op(const muster_trace_identity *who, const muster_trace_batch *batch,
                      uint32_t kind, int32_t peer, uint64_t bytes)
{
    (void)who;
    (void)batch;
    (void)kind;
    (void)peer;
    (void)bytes;
}

static void ignore_failure(const muster_trace_identity *who, const muster_trace_batch *batch,
                           int32_t status, int32_t failing_rank, uint32_t field)
{
    (void)who;
    (void)batch;
    (void)status;
    (void)failing_rank;
    (void)field;
}

static bool was_traced(uint32_t kind)
{
    for (int i = 0; i < atomic_load(&traced_count); i++)
        if (traced_kinds[i] == kind)
            return true;
    return false;
}

/* A rank that is between two calls when the revoke comes has nothing to be released from; so the death
 * waits until each survivor is in one. */
static void lose_inside_a_call(harness_rank *rank)
{
    const loss *lost = rank->argument;
    muster_error error;
    muster_error_init(&error);
    CHECK_STATUS(MUSTER_OK, gather_once(rank, 0, &error));
    if (rank->slot == lost->slot) {
        while (atomic_load(lost->in_a_call) < RANKS - 1)
            nap_ms(1);
        raise(lost->signal);
    }
    muster_request *request;
    CHECK_STATUS(MUSTER_OK, muster_barrier_start(rank->world, &request, &error));
    atomic_fetch_add(lost->in_a_call, 1);
    muster_status status = muster_request_wait(request, MUSTER_TIMEOUT_INHERIT_NS, &error);
    CHECK_STATUS(MUSTER_OK, muster_request_free(request));
    rebuild_after(rank, status, &error);
}

static void lose_and_look_at_the_trace(harness_rank *rank)
{
    static const muster_trace_table table = {
        .table_version = MUSTER_TRACE_TABLE_VERSION,
        .batch_begin = ignore_batch,
        .batch_op = ignore_op,
        .batch_submitted = ignore_batch,
        .batch_complete = ignore_batch,
        .batch_failed = ignore_failure,
        .recovery = keep_recovery,
    };
    rank->job->tracer.table = &table;
    lose_inside_a_call(rank);
    static const uint32_t wanted[] = {MUSTER_NOTE_REVOKED,       MUSTER_NOTE_RELEASED,
                                      MUSTER_NOTE_REBUILD_BEGIN, MUSTER_NOTE_QUIET,
                                      MUSTER_NOTE_AGREED,        MUSTER_NOTE_CONNECTED,
                                      MUSTER_NOTE_RESUMED,       MUSTER_NOTE_ESTABLISHED};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        CHECK(was_traced(wanted[i]));
    rank->job->tracer.table = NULL;
}

static void test_a_survivor_traces_each_step_of_the_recovery(void **state)
{
    (void)state;
    _Atomic int *in_a_call =
        mmap(NULL, sizeof(*in_a_call), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(in_a_call != MAP_FAILED);
    loss lost = {1, SIGKILL, in_a_call};
    harness_options options;
    harness_options_init(&options, RANKS);
    options.policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    options.policy.min_ranks = 1;
    int statuses[RANKS] = {0};
    harness_run_processes(&options, lose_and_look_at_the_trace, &lost, NULL, statuses);
    for (int32_t i = 0; i < RANKS; i++)
        assert_true(i == lost.slot || (WIFEXITED(statuses[i]) && WEXITSTATUS(statuses[i]) == 0));
    munmap(in_a_call, sizeof(*in_a_call));
}

static void stay_out(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    if (rank->slot == 1) {
        /* Alive, and its heartbeats go on, but it never comes to the call: a hung working thread. */
        while (!muster_job_revoked(rank->job))
            nap_ms(10);
        muster_error fenced;
        muster_error_init(&fenced);
        CHECK_STATUS(MUSTER_ERR_FENCED, muster_comm_rebuild(rank->world, NULL, &fenced));
        _exit(0);
    }
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, 300000000));
    muster_status status = muster_barrier(rank->world, &error);
    CHECK(status == MUSTER_ERR_RANK_LOST);
    int32_t dead[RANKS];
    int32_t count = 0;
    CHECK_STATUS(MUSTER_OK, muster_comm_dead_slots(rank->world, dead, RANKS, &count));
    CHECK(count == 1 && dead[0] == 1);
    CHECK_STATUS(MUSTER_OK, muster_comm_rebuild(rank->world, NULL, &error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_a_rank_that_stays_out_past_the_deadline(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    options.policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    options.policy.min_ranks = 1;
    options.policy.deadlines.heartbeat_ns = 50000000;
    options.policy.deadlines.gone_ns = 500000000;
    int statuses[RANKS] = {0};
    harness_run_processes(&options, stay_out, NULL, NULL, statuses);
    for (int32_t i = 0; i < RANKS; i++)
        assert_true(WIFEXITED(statuses[i]) && WEXITSTATUS(statuses[i]) == 0);
}

static void fork_and_call(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    muster_batch *batch;
    CHECK_STATUS(MUSTER_OK, muster_p2p_begin(rank->world, &batch, &error));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        void *memory;
        int32_t count;
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_barrier(rank->world, &error));
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_batch_run(batch, &error));
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_comm_dead_slots(rank->world, NULL, 0, &count));
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_memory_alloc(rank->job, 4096, &memory, &error));
        CHECK_STATUS(MUSTER_ERR_FORKED, muster_job_leave(rank->job, &error));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    muster_batch_abandon(batch);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_calls_in_a_forked_child_are_refused(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, 2);
    int statuses[2] = {0};
    harness_run_processes(&options, fork_and_call, NULL, NULL, statuses);
    assert_true(WIFEXITED(statuses[0]) && WEXITSTATUS(statuses[0]) == 0);
    assert_true(WIFEXITED(statuses[1]) && WEXITSTATUS(statuses[1]) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigkill_of_a_rank),
        cmocka_unit_test(test_sigkill_of_the_root),
        cmocka_unit_test(test_sigstop_of_a_rank_that_wakes_later),
        cmocka_unit_test(test_a_survivor_traces_each_step_of_the_recovery),
        cmocka_unit_test(test_a_rank_that_stays_out_past_the_deadline),
        cmocka_unit_test(test_calls_in_a_forked_child_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
