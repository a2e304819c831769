/* SPDX-License-Identifier: Apache-2.0 */
/* Losing ranks of a job with a device plane, with real processes: SIGKILL in every phase, one rank or two, with
 * the device communicator shrunk or connected anew. Survivors return RANK_LOST, rebuild, and move right bytes. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "unit/device/device_rank.h"

enum { RANKS = 4, ROWS = 64, SLOT_NONE = -1 };

typedef enum phase {
    BEFORE_A_BATCH,
    INSIDE_A_BATCH, /* agreed and submitted, but its bytes have not moved */
    NOT_ENQUEUED,   /* agreed, and dead before its first call to a peer */
    AFTER_A_BATCH,
    IN_A_SPLIT,
    WHILE_LENT,
} phase;

typedef enum later {
    NO_LATER_DEATH,
    IN_THE_ABORT,   /* the second victim, while its own device lets go */
    IN_THE_CONNECT, /* the second victim, inside the device connect of the rebuild */
} later;

typedef struct plan {
    phase when;
    later second;
    int32_t victim;
    int32_t also;         /* dies at the same time; or later, as second says; SLOT_NONE */
    int32_t no_shrink;    /* this slot cannot shrink */
    int32_t shrink_fails; /* this slot's shrink fails */
    bool all_split;       /* a split communicator is busy, too */
} plan;

static device_place *past_the_barrier;

static void nap_ms(long ms)
{
    struct timespec nap = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&nap, NULL);
}

static int32_t own_device(const harness_rank *rank)
{
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    CHECK_STATUS(MUSTER_OK, muster_job_device_facts(rank->job, &facts));
    return facts.device;
}

static int32_t mine[ROWS];
static int32_t whole[ROWS * RANKS];

static muster_status gather_start(harness_rank *rank, muster_comm *comm, int32_t turn,
                                  muster_request **request, muster_error *error)
{
    int64_t lengths[RANKS];
    int32_t size = muster_comm_size(comm);
    int32_t root = turn % size;
    for (int32_t i = 0; i < size; i++)
        lengths[i] = ROWS;
    for (int32_t i = 0; i < ROWS; i++)
        mine[i] = rank->slot * 1000 + turn + i;
    muster_tensor rows = device_tensor(rank, mine, MUSTER_DTYPE_INT32, ROWS, 1);
    muster_tensor all = device_tensor(rank, whole, MUSTER_DTYPE_INT32, ROWS * (int64_t)size, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
    return muster_gatherv_start(comm, &rows, lengths, size, root,
                                muster_comm_rank(comm) == root ? &root_rows : NULL, request, error);
}

static muster_status gather_once(harness_rank *rank, muster_comm *comm, int32_t turn,
                                 muster_error *error)
{
    muster_request *request;
    muster_status status = gather_start(rank, comm, turn, &request, error);
    if (status != MUSTER_OK)
        return status;
    status = muster_request_wait(request, MUSTER_TIMEOUT_INHERIT_NS, error);
    CHECK_STATUS(MUSTER_OK, muster_request_free(request));
    if (status == MUSTER_OK && muster_comm_rank(comm) == turn % muster_comm_size(comm))
        for (int32_t r = 0; r < muster_comm_size(comm); r++)
            for (int32_t i = 0; i < ROWS; i++)
                CHECK(whole[r * ROWS + i] == muster_comm_slot_of_rank(comm, r) * 1000 + turn + i);
    return status;
}

static void *die_soon(void *context)
{
    nap_ms(*(const long *)context);
    raise(SIGKILL);
    return NULL;
}

static void die_in(long ms)
{
    static long delay_ms;
    pthread_t thread;
    delay_ms = ms;
    CHECK(pthread_create(&thread, NULL, die_soon, &delay_ms) == 0);
}

static void *die_once_revoked(void *context)
{
    while (!muster_job_revoked(context))
        nap_ms(1);
    nap_ms(100);
    raise(SIGKILL);
    return NULL;
}

/* Its abort begins when the first one has died, and never ends. */
static void die_in_the_abort(const harness_rank *rank)
{
    pthread_t thread;
    atomic_store(&device_api()->controls->abort_delay_ns[own_device(rank)], INT64_C(60000000000));
    CHECK(pthread_create(&thread, NULL, die_once_revoked, rank->job) == 0);
}

/* What a victim does; it does not return. */
static void die(harness_rank *rank, phase when, int32_t turn)
{
    fake_controls *controls = device_api()->controls;
    muster_request *request;
    muster_comm *half;
    muster_status status;
    muster_error error;
    muster_error_init(&error);
    device_place_await(past_the_barrier, RANKS);
    switch (when) {
    case AFTER_A_BATCH:
        CHECK_STATUS(MUSTER_OK, gather_once(rank, rank->world, turn, &error));
        break;
    case INSIDE_A_BATCH:
    case NOT_ENQUEUED:
        atomic_store(&controls->hold_batches[own_device(rank)], true);
        status = gather_start(rank, rank->world, turn, &request, &error);
        for (bool done = false; status == MUSTER_OK && atomic_load(&controls->batches_alive) == 0;)
            status = muster_request_test(request, &done, &error);
        /* Of two at once the other one may be dead already. */
        CHECK(status == MUSTER_OK || status == MUSTER_ERR_RANK_LOST);
        nap_ms(20);
        break;
    case IN_A_SPLIT:
        atomic_store(&controls->connect_delay_ns[own_device(rank)], INT64_C(60000000000));
        die_in(30);
        (void)muster_comm_split(rank->world, 0, 0, &half, &error);
        break;
    case BEFORE_A_BATCH:
    case WHILE_LENT:
        break;
    }
    raise(SIGKILL);
}

static void rebuild(harness_rank *rank, const plan *p)
{
    fake_controls *controls = device_api()->controls;
    muster_error error;
    muster_error_init(&error);
    int32_t device = own_device(rank);
    bool dies_later = p->second != NO_LATER_DEATH && rank->slot == p->also;
    if (dies_later && p->second == IN_THE_CONNECT) {
        atomic_store(&controls->connect_delay_ns[device], INT64_C(60000000000));
        die_in(200);
    }
    muster_rebuild_result result = {.struct_bytes = sizeof(result)};
    muster_status status = muster_comm_rebuild(rank->world, &result, &error);
    if (status != MUSTER_OK) {
        fprintf(stderr, "slot %d: rebuild: %s: %s\n", rank->slot, muster_status_name(status),
                error.message);
        _exit(99);
    }
    CHECK(!dies_later);
    CHECK(result.kind == MUSTER_REBUILD_SHRINK);
}

static void live_through(harness_rank *rank)
{
    const plan *p = rank->argument;
    fake_controls *controls = device_api()->controls;
    int32_t device = own_device(rank);
    muster_error error;
    muster_error_init(&error);
    atomic_store(&controls->cannot_shrink[device], rank->slot == p->no_shrink);
    if (rank->slot == p->shrink_fails)
        atomic_store(&controls->shrink_status[device], MUSTER_ERR_DEVICE_CALL);
    if (p->second == IN_THE_ABORT && rank->slot == p->also)
        die_in_the_abort(rank);
    bool victim = rank->slot == p->victim || (p->second == NO_LATER_DEATH && rank->slot == p->also);
    muster_comm *busy = NULL;
    if (p->all_split)
        CHECK_STATUS(MUSTER_OK, muster_comm_split(rank->world, 0, 0, &busy, &error));
    int32_t turns = p->when == NOT_ENQUEUED ? 0 : 10;
    for (int32_t turn = 0; turn < turns; turn++)
        CHECK_STATUS(MUSTER_OK, gather_once(rank, rank->world, turn, &error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    device_place_pass(past_the_barrier);
    struct ncclComm *lent = NULL;
    if (p->when == WHILE_LENT)
        CHECK_STATUS(MUSTER_OK, muster_comm_borrow_nccl(rank->world, &lent, &error));
    if (victim)
        die(rank, p->when, turns);
    muster_status status = MUSTER_OK;
    muster_request *left_alone = NULL;
    if (p->all_split && muster_comm_rank(busy) != 0)
        CHECK_STATUS(MUSTER_OK, gather_start(rank, busy, 0, &left_alone, &error));
    if (p->when == IN_A_SPLIT) {
        muster_comm *half = NULL;
        status = muster_comm_split(rank->world, 0, 0, &half, &error);
        CHECK(half == NULL);
    } else if (p->when == WHILE_LENT) {
        while (!muster_job_revoked(rank->job))
            nap_ms(1);
        status = muster_comm_return_nccl(rank->world);
        CHECK(muster_comm_return_nccl(rank->world) == MUSTER_ERR_BORROWED);
    } else {
        for (int32_t turn = turns; status == MUSTER_OK; turn++)
            status = gather_once(rank, rank->world, turn, &error);
    }
    if (status != MUSTER_ERR_RANK_LOST) {
        fprintf(stderr, "slot %d: %s: %s\n", rank->slot, muster_status_name(status), error.message);
        _exit(99);
    }
    rebuild(rank, p);
    if (busy != NULL) {
        if (left_alone != NULL) {
            CHECK_STATUS(MUSTER_ERR_RANK_LOST,
                         muster_request_wait(left_alone, MUSTER_TIMEOUT_INHERIT_NS, &error));
            CHECK_STATUS(MUSTER_OK, muster_request_free(left_alone));
        }
        CHECK_STATUS(MUSTER_ERR_RANK_LOST, muster_barrier(busy, &error));
        CHECK_STATUS(MUSTER_OK, muster_comm_free(busy));
        CHECK_STATUS(MUSTER_OK, muster_comm_split(rank->world, 0, 0, &busy, &error));
    }
    for (int32_t turn = 0; turn < 10; turn++) {
        CHECK_STATUS(MUSTER_OK, gather_once(rank, rank->world, turn, &error));
        if (busy != NULL)
            CHECK_STATUS(MUSTER_OK, gather_once(rank, busy, turn, &error));
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    int32_t lost = p->also == SLOT_NONE ? 1 : 2;
    CHECK(muster_comm_size(rank->world) == RANKS - lost);
    CHECK(atomic_load(&controls->comms_alive) == (busy != NULL ? 2 : 1));
    CHECK(atomic_load(&controls->batches_alive) == 0);
    bool shrinks = p->when == BEFORE_A_BATCH && p->second == NO_LATER_DEATH &&
                   p->no_shrink == SLOT_NONE && p->shrink_fails == SLOT_NONE;
    if (p->when == BEFORE_A_BATCH && p->second == NO_LATER_DEATH)
        CHECK(atomic_load(&controls->shrinks) == (shrinks ? 1 : 0));
    if (busy != NULL)
        CHECK_STATUS(MUSTER_OK, muster_comm_free(busy));
}

static void lose(const plan *p)
{
    harness_options options;
    device_options_init(&options, RANKS);
    options.policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    options.policy.min_ranks = 1;
    options.policy.deadlines.heartbeat_ns = 50000000;
    options.policy.deadlines.verdict_grace_ns = 200000000;
    options.policy.deadlines.gone_ns = 500000000;
    int statuses[RANKS] = {0};
    past_the_barrier = device_place_make();
    harness_run_processes(&options, live_through, (void *)(uintptr_t)p, NULL, statuses);
    device_place_end(past_the_barrier);
    for (int32_t i = 0; i < RANKS; i++) {
        if (i == p->victim || i == p->also)
            assert_true(WIFSIGNALED(statuses[i]) && WTERMSIG(statuses[i]) == SIGKILL);
        else
            assert_int_equal(statuses[i], 0);
    }
}

static plan plan_of(phase when)
{
    return (plan){.when = when,
                  .victim = 2,
                  .also = SLOT_NONE,
                  .no_shrink = SLOT_NONE,
                  .shrink_fails = SLOT_NONE};
}

static void test_before_a_batch(void **state)
{
    (void)state;
    plan p = plan_of(BEFORE_A_BATCH);
    lose(&p);
}

static void test_inside_a_batch(void **state)
{
    (void)state;
    plan p = plan_of(INSIDE_A_BATCH);
    lose(&p);
}

static void test_before_the_first_batch_is_enqueued(void **state)
{
    (void)state;
    plan p = plan_of(NOT_ENQUEUED);
    lose(&p);
}

static void test_after_a_batch(void **state)
{
    (void)state;
    plan p = plan_of(AFTER_A_BATCH);
    p.victim = 0;
    lose(&p);
}

static void test_in_a_split(void **state)
{
    (void)state;
    plan p = plan_of(IN_A_SPLIT);
    lose(&p);
}

static void test_while_lent(void **state)
{
    (void)state;
    plan p = plan_of(WHILE_LENT);
    lose(&p);
}

static void test_while_a_split_communicator_is_busy(void **state)
{
    (void)state;
    plan p = plan_of(INSIDE_A_BATCH);
    p.all_split = true;
    p.victim = 3;
    lose(&p);
}

static void test_two_at_once(void **state)
{
    (void)state;
    plan p = plan_of(INSIDE_A_BATCH);
    p.victim = 0;
    p.also = 3;
    lose(&p);
}

static void test_another_one_in_the_abort(void **state)
{
    (void)state;
    plan p = plan_of(INSIDE_A_BATCH);
    p.second = IN_THE_ABORT;
    p.also = 1;
    lose(&p);
}

static void test_another_one_in_the_connect_of_the_rebuild(void **state)
{
    (void)state;
    plan p = plan_of(INSIDE_A_BATCH);
    p.second = IN_THE_CONNECT;
    p.also = 1;
    lose(&p);
}

static void test_another_one_in_the_shrink_of_the_rebuild(void **state)
{
    (void)state;
    plan p = plan_of(BEFORE_A_BATCH);
    p.second = IN_THE_CONNECT;
    p.also = 3;
    lose(&p);
}

static void test_one_that_cannot_shrink_makes_all_connect_anew(void **state)
{
    (void)state;
    plan p = plan_of(BEFORE_A_BATCH);
    p.no_shrink = 3;
    lose(&p);
}

static void test_a_shrink_that_fails_makes_all_connect_anew(void **state)
{
    (void)state;
    plan p = plan_of(BEFORE_A_BATCH);
    p.shrink_fails = 1;
    lose(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_a_batch),
        cmocka_unit_test(test_inside_a_batch),
        cmocka_unit_test(test_before_the_first_batch_is_enqueued),
        cmocka_unit_test(test_after_a_batch),
        cmocka_unit_test(test_in_a_split),
        cmocka_unit_test(test_while_lent),
        cmocka_unit_test(test_while_a_split_communicator_is_busy),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_another_one_in_the_abort),
        cmocka_unit_test(test_another_one_in_the_connect_of_the_rebuild),
        cmocka_unit_test(test_another_one_in_the_shrink_of_the_rebuild),
        cmocka_unit_test(test_one_that_cannot_shrink_makes_all_connect_anew),
        cmocka_unit_test(test_a_shrink_that_fails_makes_all_connect_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
