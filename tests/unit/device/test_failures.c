/* SPDX-License-Identifier: Apache-2.0 */
/* What fails on the device plane: joins, connections, batches, aborts. All ranks return the same code where they
 * have to agree, nobody waits for ever, and nothing is left behind. */
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

enum { RANKS = 3, WRONG = 1 };

static void nap_ms(long ms)
{
    struct timespec nap = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&nap, NULL);
}

static void reset(void)
{
    fake_controls *controls = device_api()->controls;
    for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
        atomic_store(&controls->open_status[i], MUSTER_OK);
        atomic_store(&controls->nccl_version[i], 0);
        atomic_store(&controls->make_id_status[i], MUSTER_OK);
        atomic_store(&controls->connect_status[i], MUSTER_OK);
        atomic_store(&controls->submit_status[i], MUSTER_OK);
        atomic_store(&controls->batch_status[i], MUSTER_OK);
        atomic_store(&controls->hold_batches[i], false);
    }
    atomic_store(&controls->two_ids, false);
}

static void options_init(harness_options *options)
{
    device_options_init(options, RANKS);
    options->policy.on_loss = MUSTER_ON_LOSS_SHRINK;
    options->policy.min_ranks = 1;
    options->policy.deadlines.heartbeat_ns = 25000000;
    options->policy.deadlines.verdict_grace_ns = 100000000;
    options->policy.deadlines.gone_ns = 500000000;
    options->policy.deadlines.reconnect_ns = 100000000;
}

static muster_status broadcast(harness_rank *rank, muster_comm *comm, int32_t *value,
                               muster_error *error)
{
    muster_tensor tensor = device_tensor(rank, value, MUSTER_DTYPE_INT32, 1, 1);
    muster_status status = muster_broadcast(comm, &tensor, 0, error);
    return status == MUSTER_OK ? muster_comm_synchronize(comm, error) : status;
}

static void works(harness_rank *rank, muster_comm *comm)
{
    muster_error error;
    muster_error_init(&error);
    int32_t value = muster_comm_rank(comm) == 0 ? 5 : 0;
    CHECK_STATUS(MUSTER_OK, broadcast(rank, comm, &value, &error));
    CHECK(value == 5);
    CHECK_STATUS(MUSTER_OK, muster_barrier(comm, &error));
}

static void works_in_world(harness_rank *rank)
{
    works(rank, rank->world);
}

/* ---- joining ---- */

typedef struct refusal {
    muster_status wrong;  /* what the rank WRONG gets */
    muster_status others; /* MUSTER_OK: not looked at */
    int32_t named;
    const char *said;
} refusal;

static void refused(const muster_error *error, int32_t slot, void *argument)
{
    const refusal *wanted = argument;
    muster_status status = slot == WRONG ? wanted->wrong : wanted->others;
    if (status == MUSTER_OK)
        return;
    if (error->status != status || strstr(error->message, wanted->said) == NULL ||
        (wanted->named >= 0 && error->rank != wanted->named)) {
        fprintf(stderr, "slot %d: %s naming %d: %s\n", slot, muster_status_name(error->status),
                error->rank, error->message);
        _exit(99);
    }
}

static void must_not_join(harness_rank *rank)
{
    (void)rank;
    CHECK(!"joined");
}

static void refuse_all(muster_status status, int32_t named, const char *said)
{
    refusal wanted = {status, status, named, said};
    harness_options options;
    options_init(&options);
    options.not_joined = refused;
    harness_run_threads(&options, must_not_join, &wanted);
    fake_controls *controls = device_api()->controls;
    assert_int_equal(atomic_load(&controls->comms_alive), 0);
    reset();
}

static void test_a_library_of_another_version_on_one_rank(void **state)
{
    (void)state;
    atomic_store(&device_api()->controls->nccl_version[WRONG], 22800);
    refuse_all(MUSTER_ERR_VERSION, WRONG, "another version");
}

static void test_no_id(void **state)
{
    (void)state;
    atomic_store(&device_api()->controls->make_id_status[0], MUSTER_ERR_DEVICE_CALL);
    refuse_all(MUSTER_ERR_DEVICE_CALL, 0, "make_id of the fake device failed");
}

static void test_a_connect_that_fails_on_one_rank(void **state)
{
    (void)state;
    /* The others are inside and wait for it; it is the one that is named. */
    atomic_store(&device_api()->controls->connect_status[WRONG], MUSTER_ERR_DEVICE_CALL);
    refuse_all(MUSTER_ERR_DEVICE_CALL, WRONG, "connect of the fake device failed");
    atomic_store(&device_api()->controls->connect_status[0], MUSTER_ERR_NO_MEMORY);
    atomic_store(&device_api()->controls->connect_status[2], MUSTER_ERR_DEVICE_CALL);
    refuse_all(MUSTER_ERR_NO_MEMORY, 0, "connect of the fake device failed");
}

static void wrong_has_none(muster_job_options *join, void *argument)
{
    device_adapt(join, argument);
    if (join->slot == WRONG)
        join->device_plane[0] = '\0';
}

static void only_wrong_has_one(muster_job_options *join, void *argument)
{
    device_adapt(join, argument);
    if (join->slot != WRONG)
        join->device_plane[0] = '\0';
}

static void test_ranks_with_and_without_a_plane(void **state)
{
    (void)state;
    refusal wanted = {MUSTER_ERR_NO_DEVICE_PLANE, MUSTER_ERR_NO_DEVICE_PLANE, WRONG,
                      "rank 1 was joined with device plane \"\", rank 0 with \"nccl\""};
    harness_options options;
    options_init(&options);
    options.not_joined = refused;
    options.adapt = wrong_has_none;
    harness_run_threads(&options, must_not_join, &wanted);
    wanted.said = "rank 1 was joined with device plane \"nccl\", rank 0 with \"\"";
    options.adapt = only_wrong_has_one;
    harness_run_threads(&options, must_not_join, &wanted);
}

/* A rank without its device has not joined: the others never hear of it, and give up in their own time. */
static void test_devices_that_cannot_be_opened(void **state)
{
    (void)state;
    static const muster_status codes[] = {MUSTER_ERR_NO_DEVICE, MUSTER_ERR_DRIVER,
                                          MUSTER_ERR_LIBRARY, MUSTER_ERR_DEVICE_CALL};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        refusal wanted = {codes[i], MUSTER_OK, -1, "open of the fake device failed"};
        harness_options options;
        options_init(&options);
        options.not_joined = refused;
        options.policy.deadlines.join_ns = 200000000;
        options.policy.deadlines.start_ns = 200000000;
        atomic_store(&device_api()->controls->open_status[WRONG], codes[i]);
        harness_run_threads(&options, must_not_join, &wanted);
        reset();
    }
}

/* The last mistake is found when the coordinator's deadlines are known, so after the others have met. */
static void others_may_join(harness_rank *rank)
{
    CHECK(rank->slot != WRONG);
}

static int32_t wrong_option;

static void spoil(muster_job_options *join, void *argument)
{
    device_adapt(join, argument);
    if (join->slot != WRONG)
        return;
    if (wrong_option == 0)
        join->device = 9;
    else if (wrong_option == 1)
        join->device = -2;
    else if (wrong_option == 2)
        snprintf(join->device_plane, sizeof(join->device_plane), "rccl");
    else if (wrong_option == 3)
        join->device_abort_timeout_ns = -1;
    else if (wrong_option == 4)
        join->device_slot_count = -1;
    else
        join->device_abort_timeout_ns = INT64_C(3600000000000); /* more than a rebuild has */
}

static void test_options_that_cannot_work(void **state)
{
    (void)state;
    static const refusal wanted[] = {
        {MUSTER_ERR_WRONG_DEVICE, MUSTER_OK, -1, "no fake device 9"},
        {MUSTER_ERR_INVALID_ARGUMENT, MUSTER_OK, -1, "options->device"},
        {MUSTER_ERR_INVALID_ARGUMENT, MUSTER_OK, -1, "device_plane"},
        {MUSTER_ERR_INVALID_ARGUMENT, MUSTER_OK, -1, "device_abort_timeout_ns"},
        {MUSTER_ERR_INVALID_ARGUMENT, MUSTER_OK, -1, "device_slot_count"},
        {MUSTER_ERR_INVALID_ARGUMENT, MUSTER_OK, -1, "MUSTER_DEVICE_ABORT_MS"},
    };
    for (wrong_option = 0; wrong_option < 6; wrong_option++) {
        harness_options options;
        options_init(&options);
        options.not_joined = refused;
        options.adapt = spoil;
        options.policy.deadlines.join_ns = 200000000;
        options.policy.deadlines.start_ns = 200000000;
        harness_run_threads(&options, others_may_join, (void *)(uintptr_t)&wanted[wrong_option]);
    }
}

static void test_more_ids_than_one(void **state)
{
    (void)state;
    harness_options options;
    options_init(&options);
    int32_t before = atomic_load(&device_api()->controls->ids_made);
    atomic_store(&device_api()->controls->two_ids, true);
    harness_run_threads(&options, works_in_world, NULL);
    assert_int_equal(atomic_load(&device_api()->controls->ids_made) - before, 2);
    reset();
}

/* ---- a split ---- */

static void split_fails(harness_rank *rank)
{
    muster_error error;
    muster_error_init(&error);
    fake_controls *controls = device_api()->controls;
    muster_comm *half = NULL;
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    atomic_store(&controls->connect_status[rank->slot],
                 rank->slot == WRONG ? MUSTER_ERR_DEVICE_CALL : MUSTER_OK);
    CHECK_STATUS(MUSTER_ERR_DEVICE_CALL, muster_comm_split(rank->world, 0, 0, &half, &error));
    CHECK(half == NULL);
    atomic_store(&controls->connect_status[rank->slot], MUSTER_OK);
    CHECK_STATUS(MUSTER_OK, muster_comm_split(rank->world, rank->slot / 2, 0, &half, &error));
    works(rank, half);
    works(rank, rank->world);
    CHECK_STATUS(MUSTER_OK, muster_comm_free(half));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_a_split_that_fails_on_one_rank(void **state)
{
    (void)state;
    harness_options options;
    options_init(&options);
    harness_run_threads(&options, split_fails, NULL);
    assert_int_equal(atomic_load(&device_api()->controls->comms_alive), 0);
}

/* ---- a batch ---- */

typedef struct fault {
    bool in_submit;
} fault;

/* One rank's native call fails, and nobody has died. It says so; who waits for its rows comes to his deadline;
 * together they rebuild, and go on. */
static void batch_fails(harness_rank *rank)
{
    const fault *f = rank->argument;
    fake_controls *controls = device_api()->controls;
    muster_error error;
    muster_error_init(&error);
    works(rank, rank->world);
    if (rank->slot == 0)
        atomic_store(f->in_submit ? &controls->submit_status[0] : &controls->batch_status[0],
                     MUSTER_ERR_DEVICE_CALL);
    atomic_store(&controls->hold_batches[rank->slot], !f->in_submit);
    int32_t value = 0;
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, 300000000));
    muster_status status = broadcast(rank, rank->world, &value, &error);
    if (rank->slot == 0) {
        CHECK(status == MUSTER_ERR_DEVICE_CALL && error.native_code == FAKE_NATIVE_CODE);
        CHECK_STATUS(MUSTER_ERR_COMM_FAILED, muster_barrier(rank->world, &error));
        CHECK(error.native_code == FAKE_NATIVE_CODE);
        CHECK(strstr(error.message, "of the fake device failed as told") != NULL ||
              strstr(error.message, "a batch of the fake") != NULL);
        status = muster_comm_synchronize(rank->world, &error);
        CHECK(status == MUSTER_ERR_DEVICE_CALL);
    } else {
        /* Its own part is on its way and may never come. A timeout fails nothing. */
        CHECK(status == MUSTER_ERR_TIMEOUT || status == MUSTER_ERR_RANK_LOST);
    }
    atomic_store(&controls->submit_status[0], MUSTER_OK);
    atomic_store(&controls->batch_status[0], MUSTER_OK);
    while (!muster_job_revoked(rank->job) && rank->slot != 0)
        nap_ms(1);
    status = muster_comm_rebuild(rank->world, NULL, &error);
    if (status != MUSTER_OK) {
        fprintf(stderr, "slot %d: %s: %s\n", rank->slot, muster_status_name(status), error.message);
        _exit(99);
    }
    atomic_store(&controls->hold_batches[rank->slot], false);
    CHECK_STATUS(MUSTER_OK, muster_comm_set_timeout(rank->world, INT64_C(10000000000)));
    works(rank, rank->world);
    CHECK(muster_comm_size(rank->world) == RANKS);
    CHECK(atomic_load(&controls->batches_alive) == 0);
}

static void test_a_batch_that_fails_without_a_death(void **state)
{
    (void)state;
    fault f = {false};
    harness_options options;
    int statuses[RANKS];
    options_init(&options);
    for (int i = 0; i < 2; i++) {
        f.in_submit = i == 1;
        harness_run_processes(&options, batch_fails, &f, NULL, statuses);
        for (int32_t k = 0; k < RANKS; k++)
            assert_int_equal(statuses[k], 0);
    }
}

/* A native call that fails is how a death shows first: what is returned is the death. */
static void failure_before_its_verdict(harness_rank *rank)
{
    fake_controls *controls = device_api()->controls;
    muster_error error;
    muster_error_init(&error);
    works(rank, rank->world);
    device_place_pass(rank->argument);
    int32_t value = 0;
    if (rank->slot == 2) {
        device_place_await(rank->argument, RANKS);
        nap_ms(80);
        raise(SIGKILL);
    }
    atomic_store(&controls->submit_status[rank->slot], MUSTER_ERR_DEVICE_CALL);
    muster_comm *pair = NULL;
    (void)pair;
    muster_status status = broadcast(rank, rank->world, &value, &error);
    CHECK(status == MUSTER_ERR_RANK_LOST);
    atomic_store(&controls->submit_status[rank->slot], MUSTER_OK);
    CHECK_STATUS(MUSTER_OK, muster_comm_rebuild(rank->world, NULL, &error));
    works(rank, rank->world);
}

static void test_a_failure_that_a_death_explains(void **state)
{
    (void)state;
    harness_options options;
    int statuses[RANKS];
    options_init(&options);
    device_place *worked = device_place_make();
    harness_run_processes(&options, failure_before_its_verdict, worked, NULL, statuses);
    device_place_end(worked);
    assert_int_equal(statuses[0], 0);
    assert_int_equal(statuses[1], 0);
}

/* ---- stuck ---- */

typedef struct stuck {
    bool exits;
    device_place *enqueued;
} stuck;

static void adapt_stuck(muster_job_options *join, void *argument)
{
    const stuck *s = argument;
    device_adapt(join, argument);
    join->device_abort_timeout_ns = 100000000;
    join->device_bracket_timeout_ns = 50000000;
    join->exit_when_device_stuck = s->exits;
}

/* Rank 2 dies in a batch; the device of rank 1 never lets go. */
static void get_stuck(harness_rank *rank)
{
    const stuck *s = rank->argument;
    fake_controls *controls = device_api()->controls;
    muster_error error;
    muster_error_init(&error);
    works(rank, rank->world);
    atomic_store(&controls->hold_batches[rank->slot], true);
    if (rank->slot == WRONG)
        atomic_store(&controls->abort_stuck[rank->slot], true);
    int32_t value = 0;
    muster_tensor tensor = device_tensor(rank, &value, MUSTER_DTYPE_INT32, 1, 1);
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &tensor, 0, &error));
    device_place_pass(s->enqueued);
    if (rank->slot == 2) {
        device_place_await(s->enqueued, RANKS);
        raise(SIGKILL);
    }
    muster_status status = muster_comm_synchronize(rank->world, &error);
    if (rank->slot != WRONG) {
        CHECK(status == MUSTER_ERR_RANK_LOST);
        atomic_store(&controls->hold_batches[rank->slot], false);
        /* The one that is stuck ends, and is lost as well. */
        CHECK_STATUS(MUSTER_OK, muster_comm_rebuild(rank->world, NULL, &error));
        CHECK(muster_comm_size(rank->world) == 1);
        works(rank, rank->world);
        return;
    }
    CHECK(!s->exits && status == MUSTER_ERR_DEVICE_STUCK);
    CHECK(muster_status_advice(status) == MUSTER_ADVICE_GIVE_UP);
    CHECK_STATUS(MUSTER_ERR_DEVICE_STUCK, muster_barrier(rank->world, &error));
    CHECK_STATUS(MUSTER_ERR_DEVICE_STUCK, muster_comm_rebuild(rank->world, NULL, &error));
    CHECK(error.message[0] != '\0');
    CHECK_STATUS(MUSTER_ERR_DEVICE_STUCK, muster_job_leave(rank->job, &error));
    _exit(3);
}

static void test_a_device_that_does_not_let_go(void **state)
{
    (void)state;
    for (int exits = 0; exits < 2; exits++) {
        stuck s = {exits == 1, device_place_make()};
        harness_options options;
        int statuses[RANKS];
        options_init(&options);
        options.adapt = adapt_stuck;
        harness_run_processes(&options, get_stuck, &s, NULL, statuses);
        device_place_end(s.enqueued);
        assert_int_equal(statuses[0], 0);
        assert_true(WIFEXITED(statuses[WRONG]));
        assert_int_equal(WEXITSTATUS(statuses[WRONG]),
                         exits == 1 ? MUSTER_DEVICE_STUCK_EXIT_CODE : 3);
    }
}

/* ---- leaving ---- */

static void leave_in_the_air(harness_rank *rank)
{
    fake_controls *controls = device_api()->controls;
    muster_error error;
    muster_error_init(&error);
    works(rank, rank->world);
    atomic_store(&controls->hold_batches[rank->slot], true);
    int32_t value = 0;
    muster_tensor tensor = device_tensor(rank, &value, MUSTER_DTYPE_INT32, 1, 1);
    muster_request *request;
    CHECK_STATUS(MUSTER_OK, muster_broadcast(rank->world, &tensor, 0, &error));
    CHECK_STATUS(MUSTER_OK, muster_broadcast_start(rank->world, &tensor, 0, &request, &error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
    CHECK_STATUS(MUSTER_OK, muster_job_leave(rank->job, &error));
    rank->job = NULL;
    CHECK(atomic_load(&controls->batches_alive) == 0 && atomic_load(&controls->comms_alive) == 0);
}

static void test_leaving_with_batches_in_the_air(void **state)
{
    (void)state;
    harness_options options;
    int statuses[RANKS];
    options_init(&options);
    harness_run_processes(&options, leave_in_the_air, NULL, NULL, statuses);
    for (int32_t k = 0; k < RANKS; k++)
        assert_int_equal(statuses[k], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_library_of_another_version_on_one_rank),
        cmocka_unit_test(test_no_id),
        cmocka_unit_test(test_a_connect_that_fails_on_one_rank),
        cmocka_unit_test(test_ranks_with_and_without_a_plane),
        cmocka_unit_test(test_devices_that_cannot_be_opened),
        cmocka_unit_test(test_options_that_cannot_work),
        cmocka_unit_test(test_more_ids_than_one),
        cmocka_unit_test(test_a_split_that_fails_on_one_rank),
        cmocka_unit_test(test_a_batch_that_fails_without_a_death),
        cmocka_unit_test(test_a_failure_that_a_death_explains),
        cmocka_unit_test(test_a_device_that_does_not_let_go),
        cmocka_unit_test(test_leaving_with_batches_in_the_air),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
