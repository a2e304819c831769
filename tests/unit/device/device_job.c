/* SPDX-License-Identifier: Apache-2.0 */
/* A rank of a small job with a device plane, for `muster run --device nccl`: gathers and commits; the first process
 * of slot 1 kills itself on the way. Every rank must be on the device of its slot, whoever fills it. */
#include <signal.h>
#include <string.h>

#include "unit/device/device_rank.h"

enum { STEPS = 8, LAST_WORDS_OF_SLOT_1 = 4, ROWS = 16, RANKS_MOST = 8 };

static muster_status step(harness_rank *rank, uint64_t number, muster_error *error)
{
    int32_t size = muster_comm_size(rank->world);
    static int32_t mine[ROWS];
    static int32_t whole[ROWS * RANKS_MOST];
    int64_t lengths[RANKS_MOST];
    for (int32_t i = 0; i < size; i++)
        lengths[i] = ROWS;
    for (int32_t i = 0; i < ROWS; i++)
        mine[i] = rank->slot * 100 + (int32_t)number + i;
    muster_tensor rows = device_tensor(rank, mine, MUSTER_DTYPE_INT32, ROWS, 1);
    muster_tensor all = device_tensor(rank, whole, MUSTER_DTYPE_INT32, ROWS * (int64_t)size, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
    bool is_root = muster_comm_rank(rank->world) == 0;
    muster_status status =
        muster_gatherv(rank->world, &rows, lengths, size, 0, is_root ? &root_rows : NULL, error);
    muster_state_part state = {.data = &number, .bytes = sizeof(number)};
    if (status == MUSTER_OK) /* the commit covers the gather: its rows are there after it */
        status = muster_step_commit(rank->world, number, &state, 1, error);
    for (int32_t i = 0; status == MUSTER_OK && is_root && i < ROWS * size; i++)
        CHECK(whole[i] == i / ROWS * 100 + (int32_t)number + i % ROWS);
    return status;
}

static uint64_t restore(const harness_rank *rank)
{
    muster_restore_point point = {.struct_bytes = sizeof(point)};
    CHECK_STATUS(MUSTER_OK, muster_step_restore_point(rank->world, &point, NULL, 0));
    return point.has_step ? point.step + 1 : 1;
}

static void check_device(const harness_rank *rank)
{
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    CHECK_STATUS(MUSTER_OK, muster_job_device_facts(rank->job, &facts));
    CHECK(facts.device == rank->slot);
}

int main(void)
{
    harness_rank rank = {0};
    muster_error error;
    muster_error_init(&error);
    if (muster_job_join(NULL, &rank.job, &error) != MUSTER_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    rank.world = muster_job_world(rank.job);
    rank.slot = muster_job_slot(rank.job);
    check_device(&rank);
    for (uint64_t number = restore(&rank); number <= STEPS; number++) {
        if (number == LAST_WORDS_OF_SLOT_1 && rank.slot == 1 &&
            muster_job_incarnation(rank.job) == 0)
            raise(SIGKILL);
        muster_status status = step(&rank, number, &error);
        if (muster_status_advice(status) == MUSTER_ADVICE_RECOVER) {
            status = muster_comm_rebuild(rank.world, NULL, &error);
            number = restore(&rank) - 1;
        }
        if (status != MUSTER_OK) {
            fprintf(stderr, "step %llu: %s: %s\n", (unsigned long long)number,
                    muster_status_name(status), error.message);
            return 1;
        }
    }
    check_device(&rank);
    printf("slot %d of %d went to the end, incarnation %u\n", rank.slot,
           muster_comm_size(rank.world), muster_job_incarnation(rank.job));
    return muster_job_leave(rank.job, &error) == MUSTER_OK ? 0 : 1;
}
