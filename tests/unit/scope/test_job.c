/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes and steps over whole jobs: a coordinator, agents, shared memory; ranks as threads, and as
 * processes that are killed. What a job commits must be there, to the byte, whoever dies when. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "unit/harness/harness.h"

enum { RANKS = 4, STATE_BYTES_MAX = 400000 };

static void *memory_of(size_t bytes)
{
    void *memory = calloc(1, bytes == 0 ? 1 : bytes);
    CHECK(memory != NULL);
    return memory;
}

static void nap_ns(long ns)
{
    const struct timespec nap = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    nanosleep(&nap, NULL);
}

/* ---- threads: every part over the real transport ---- */

enum { ELEMENTS = 300001 }; /* more than a ring holds, and not a multiple of the ranks */

static void edit_in_scopes(harness_rank *rank)
{
    const int32_t size = muster_comm_size(rank->world);
    const int32_t own = muster_comm_rank(rank->world);
    const int64_t count = muster_param_shard_elements(ELEMENTS, size);
    double *shard = memory_of((size_t)count * sizeof(*shard));
    muster_param *param = NULL;
    muster_error error;
    muster_error_init(&error);
    for (int64_t i = 0; i < count; i++)
        shard[i] = (double)(own * count + i);
    CHECK_STATUS(MUSTER_OK, muster_param_create(rank->world, MUSTER_DTYPE_FLOAT64, ELEMENTS, shard,
                                                &param, &error));
    for (int32_t modifier = MUSTER_RANK_NONE; modifier < size; modifier++) {
        muster_params_scope *scope = NULL;
        muster_params_scope *inner = NULL;
        CHECK_STATUS(MUSTER_OK,
                     muster_params_gather(rank->world, &param, 1, modifier, &scope, &error));
        CHECK_STATUS(MUSTER_ERR_SCOPE_OVERLAP,
                     muster_params_gather(rank->world, &param, 1, modifier, &inner, &error));
        double *full = muster_params_full(scope, 0);
        for (int64_t i = 0; i < ELEMENTS; i++) {
            CHECK(full[i] == (double)i + (modifier < 0 ? 0 : modifier));
            full[i] += own == modifier ? 1 : 1000;
        }
        CHECK_STATUS(MUSTER_OK, muster_params_release(scope, &error));
    }
    CHECK(shard[0] == (double)(own * count) + size);
    CHECK_STATUS(MUSTER_OK, muster_param_free(param));
    free(shard);
}

static void enter_in_part(harness_rank *rank)
{
    muster_params_scope *scope = NULL;
    muster_error error;
    muster_error_init(&error);
    if (rank->slot == 1)
        CHECK_STATUS(MUSTER_ERR_SCOPE, muster_barrier(rank->world, &error));
    else
        CHECK_STATUS(MUSTER_ERR_SCOPE,
                     muster_params_gather(rank->world, NULL, 0, -1, &scope, &error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void differ_in_phase(harness_rank *rank)
{
    muster_phase_context *context = NULL;
    muster_error error;
    muster_error_init(&error);
    CHECK_STATUS(MUSTER_OK, muster_phase_context_create(rank->job, &context));
    muster_comm_use_phase(rank->world, context);
    CHECK_STATUS(MUSTER_OK,
                 muster_phase_enter(context, rank->slot == 2 ? MUSTER_PHASE_RECOMPUTE
                                                             : MUSTER_PHASE_FIRST_FORWARD));
    CHECK_STATUS(MUSTER_ERR_PHASE, muster_barrier(rank->world, &error));
    CHECK(error.rank == 2);
    CHECK(error.expected == MUSTER_PHASE_FIRST_FORWARD);
    CHECK(error.came == MUSTER_PHASE_RECOMPUTE);
    muster_phase_reset(context);
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    muster_comm_use_phase(rank->world, NULL);
    muster_phase_context_free(context);
}

static void run_threads(harness_body body)
{
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, body, NULL);
}

static void parameters_over_shared_memory(void **state)
{
    (void)state;
    run_threads(edit_in_scopes);
}

static void a_scope_that_some_enter(void **state)
{
    (void)state;
    run_threads(enter_in_part);
}

static void ranks_in_different_phases(void **state)
{
    (void)state;
    run_threads(differ_in_phase);
}

/* ---- steps: the state of a slot is a function of slot and step, so that anybody can check it ---- */

static size_t state_bytes(int32_t slot, uint64_t step)
{
    return (size_t)slot * 90000 + (size_t)(step % 7) * 1003;
}

static unsigned char state_byte(int32_t slot, uint64_t step, size_t index)
{
    return (unsigned char)((size_t)slot * 37 + (size_t)step * 11 + index + (index >> 8));
}

static muster_status commit(harness_rank *rank, uint64_t step, unsigned char *state,
                            muster_error *error)
{
    size_t bytes = state_bytes(rank->slot, step);
    for (size_t i = 0; i < bytes; i++)
        state[i] = state_byte(rank->slot, step, i);
    const muster_state_part parts[] = {{.data = state, .bytes = bytes / 3},
                                       {.data = state + bytes / 3, .bytes = bytes - bytes / 3}};
    return muster_step_commit(rank->world, step, parts, 2, error);
}

/* Everyone looks at every slot's state of the restore point. */
static muster_status check_restored(harness_rank *rank, unsigned char *state,
                                    const muster_restore_point *point, const int32_t *slots,
                                    muster_error *error)
{
    for (int32_t i = 0; i < point->slot_count; i++) {
        size_t bytes = 0;
        muster_status status = muster_step_fetch(rank->world, slots[i], NULL, 0, &bytes, error);
        if (status != MUSTER_OK)
            return status;
        CHECK(bytes == state_bytes(slots[i], point->step));
        memset(state, 0xEE, bytes);
        status = muster_step_fetch(rank->world, slots[i], state, STATE_BYTES_MAX, &bytes, error);
        if (status != MUSTER_OK)
            return status;
        for (size_t b = 0; b < bytes; b++)
            CHECK(state[b] == state_byte(slots[i], point->step, b));
    }
    return MUSTER_OK;
}

static void commit_ten(harness_rank *rank)
{
    unsigned char *state = memory_of(STATE_BYTES_MAX);
    muster_error error;
    muster_error_init(&error);
    for (uint64_t step = 1; step <= 10; step++)
        CHECK_STATUS(MUSTER_OK, commit(rank, step, state, &error));
    CHECK_STATUS(MUSTER_ERR_STEP, commit(rank, 10, state, &error));
    free(state);
}

static void commits_over_shared_memory(void **state)
{
    (void)state;
    run_threads(commit_ten);
}

/* ---- processes that are killed ---- */

enum { STEPS = 40 };

/* What the ranks and the test share. */
typedef struct loss_plan {
    int32_t victims[2];       /* slots; -1: none */
    uint64_t kill_at_step[2]; /* the victim kills itself before that commit; 0: the test does */
    int64_t delay_ns;         /* of the test, after the victim has begun its tenth step */
    bool expect_state_lost;
    _Atomic uint64_t begun; /* by the first victim */
} loss_plan;

static bool is_victim_now(const loss_plan *plan, int32_t slot, uint64_t step)
{
    for (int i = 0; i < 2; i++)
        if (plan->victims[i] == slot && plan->kill_at_step[i] == step)
            return true;
    return false;
}

static void rebuild(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    muster_status status = muster_comm_rebuild(rank->world, NULL, &error);
    if (status != MUSTER_OK)
        fprintf(stderr, "slot %d: rebuild: %s\n", rank->slot, error.message);
    CHECK(status == MUSTER_OK);
}

/* Takes up where the job stands: the step to do next. RANK_LOST: another one died meanwhile. */
static muster_status take_up(harness_rank *rank, const loss_plan *plan, unsigned char *state,
                             uint64_t *next, muster_error *error)
{
    int32_t slots[RANKS];
    muster_restore_point point = {.struct_bytes = sizeof(point)};
    CHECK_STATUS(MUSTER_OK, muster_step_restore_point(rank->world, &point, slots, RANKS));
    CHECK(point.state_lost == plan->expect_state_lost);
    *next = 1;
    if (!point.has_step)
        return MUSTER_OK;
    /* Never more than the one commit that was in doubt is lost, and none is invented. */
    CHECK(point.step <= STEPS && point.slot_count <= RANKS);
    *next = point.step + 1;
    muster_status status = check_restored(rank, state, &point, slots, error);
    return status == MUSTER_OK ? commit(rank, point.step, state, error) : status;
}

static void work(harness_rank *rank)
{
    loss_plan *plan = rank->argument;
    unsigned char *state = memory_of(STATE_BYTES_MAX);
    muster_error error;
    muster_error_init(&error);
    uint64_t last = 0; /* committed, as this rank saw it */
    for (uint64_t step = 1; step <= STEPS;) {
        if (is_victim_now(plan, rank->slot, step))
            raise(SIGKILL);
        if (rank->slot == plan->victims[0])
            atomic_store(&plan->begun, step);
        muster_status status = commit(rank, step, state, &error);
        if (status == MUSTER_OK)
            last = step++;
        while (status == MUSTER_ERR_RANK_LOST) {
            rebuild(rank);
            status = take_up(rank, plan, state, &step, &error);
            /* What this rank saw committed is not taken back, and at most one commit was in doubt. */
            CHECK(plan->expect_state_lost || step >= last + 1);
            CHECK(plan->expect_state_lost || step <= last + 2);
            if (status == MUSTER_OK)
                last = step - 1;
        }
        if (status != MUSTER_OK)
            fprintf(stderr, "slot %d, step %llu: %s: %s\n", rank->slot, (unsigned long long)step,
                    muster_status_name(status), error.message);
        CHECK(status == MUSTER_OK);
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    free(state);
}

static void kill_after_delay(const pid_t *pids, void *argument)
{
    const loss_plan *plan = argument;
    if (plan->kill_at_step[0] != 0)
        return;
    while (atomic_load(&plan->begun) < 10)
        nap_ns(100000);
    nap_ns((long)plan->delay_ns);
    for (int i = 0; i < 2; i++)
        if (plan->victims[i] >= 0)
            kill(pids[plan->victims[i]], SIGKILL);
}

static void run_and_lose(const loss_plan *wanted)
{
    loss_plan *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    *shared = *wanted;
    harness_options options;
    harness_options_init(&options, RANKS);
    options.policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    options.policy.min_ranks = 1;
    options.policy.deadlines.heartbeat_ns = 50000000;
    options.policy.deadlines.reconnect_ns = 200000000;
    options.policy.deadlines.gone_ns = 200000000;
    int statuses[RANKS] = {0};
    harness_run_processes(&options, work, shared, kill_after_delay, statuses);
    for (int32_t slot = 0; slot < RANKS; slot++) {
        if (slot == wanted->victims[0] || slot == wanted->victims[1])
            /* A late kill may find that the rank was through already. */
            assert_true((WIFSIGNALED(statuses[slot]) && WTERMSIG(statuses[slot]) == SIGKILL) ||
                        (wanted->kill_at_step[0] == 0 && WIFEXITED(statuses[slot]) &&
                         WEXITSTATUS(statuses[slot]) == 0));
        else
            assert_true(WIFEXITED(statuses[slot]) && WEXITSTATUS(statuses[slot]) == 0);
    }
    munmap(shared, sizeof(*shared));
}

static void a_lost_slots_state_comes_from_its_mirror(void **state)
{
    (void)state;
    for (int32_t victim = 0; victim < RANKS; victim += RANKS - 1)
        run_and_lose(&(loss_plan){.victims = {victim, -1}, .kill_at_step = {9, 0}});
}

static void twice_in_a_row_and_the_mirror_second(void **state)
{
    (void)state;
    run_and_lose(&(loss_plan){.victims = {1, 2}, .kill_at_step = {9, 15}});
    run_and_lose(&(loss_plan){.victims = {3, 0}, .kill_at_step = {9, 10}});
}

static void two_at_once_that_do_not_mirror_each_other(void **state)
{
    (void)state;
    run_and_lose(&(loss_plan){.victims = {0, 2}});
}

static void a_slot_that_dies_with_its_mirror(void **state)
{
    (void)state;
    run_and_lose(&(loss_plan){.victims = {1, 2}, .expect_state_lost = true});
}

static void a_kill_at_a_random_moment(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)harness_now_ns();
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 4; i++) {
        loss_plan wanted = {.victims = {(int32_t)(harness_random(&seed) % RANKS), -1}};
        wanted.delay_ns = (int64_t)(harness_random(&seed) % 3000000);
        run_and_lose(&wanted);
    }
}

/* ---- a loss inside a scope ---- */

static void edit_until_lost(harness_rank *rank)
{
    const loss_plan *plan = rank->argument;
    double shard[64];
    muster_error error;
    muster_error_init(&error);
    bool again = false;
    for (uint64_t turn = 1; turn <= STEPS; turn++) {
        muster_param *param = NULL;
        muster_params_scope *scope = NULL;
        const int64_t count = muster_param_shard_elements(100, muster_comm_size(rank->world));
        for (int64_t i = 0; i < count; i++)
            shard[i] = (double)(muster_comm_rank(rank->world) * count + i);
        CHECK_STATUS(MUSTER_OK, muster_param_create(rank->world, MUSTER_DTYPE_FLOAT64, 100, shard,
                                                    &param, &error));
        muster_status status = muster_params_gather(rank->world, &param, 1, 0, &scope, &error);
        if (is_victim_now(plan, rank->slot, turn))
            raise(SIGKILL);
        if (status == MUSTER_OK) {
            const double *full = muster_params_full(scope, 0);
            for (int32_t i = 0; i < 100; i++)
                CHECK(full[i] == i);
            status = muster_barrier(rank->world, &error);
        }
        if (status == MUSTER_OK)
            status = muster_params_release(scope, &error);
        else
            muster_params_abandon(scope);
        if (status != MUSTER_OK) {
            CHECK(status == MUSTER_ERR_RANK_LOST);
            CHECK(!again);
            rebuild(rank);
            again = true;
            /* Sharded over the ranks of the last epoch. */
            scope = NULL;
            CHECK_STATUS(MUSTER_ERR_EPOCH,
                         muster_params_gather(rank->world, &param, 1, 0, &scope, &error));
            turn = 20;
        }
        CHECK_STATUS(MUSTER_OK, muster_param_free(param));
    }
    CHECK(again);
}

static void a_loss_inside_a_scope(void **state)
{
    (void)state;
    loss_plan plan = {.victims = {2, -1}, .kill_at_step = {10, 0}};
    harness_options options;
    harness_options_init(&options, RANKS);
    options.policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    options.policy.min_ranks = 1;
    options.policy.deadlines.heartbeat_ns = 50000000;
    options.policy.deadlines.reconnect_ns = 200000000;
    options.policy.deadlines.gone_ns = 200000000;
    int statuses[RANKS] = {0};
    harness_run_processes(&options, edit_until_lost, &plan, NULL, statuses);
    for (int32_t slot = 0; slot < RANKS; slot++)
        if (slot != 2)
            assert_true(WIFEXITED(statuses[slot]) && WEXITSTATUS(statuses[slot]) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* Processes first: a fork wants a program without threads. */
        cmocka_unit_test(a_lost_slots_state_comes_from_its_mirror),
        cmocka_unit_test(twice_in_a_row_and_the_mirror_second),
        cmocka_unit_test(two_at_once_that_do_not_mirror_each_other),
        cmocka_unit_test(a_slot_that_dies_with_its_mirror),
        cmocka_unit_test(a_kill_at_a_random_moment),
        cmocka_unit_test(a_loss_inside_a_scope),
        cmocka_unit_test(parameters_over_shared_memory),
        cmocka_unit_test(a_scope_that_some_enter),
        cmocka_unit_test(ranks_in_different_phases),
        cmocka_unit_test(commits_over_shared_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
