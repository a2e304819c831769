/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank of the campaign commits, takes up after a loss, and must have at the end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rank_work.h"

/* At the head of a slot's state. */
struct state_head {
    uint64_t step;
    int32_t rank;
    int32_t size;
};

static size_t state_bytes(const struct work *work, int32_t rank, int32_t size)
{
    size_t cells = 0;
    for (int32_t cell = rank; cell < work->values.cell_count; cell += size)
        cells++;
    return sizeof(struct state_head) + cells * sizeof work->own.cells[0] +
           (size_t)muster_param_shard_elements(VALUES_PARAM_ELEMENTS, size) * sizeof(uint64_t);
}

muster_status work_commit(struct work *work)
{
    struct state_head head = {work->own.step, work->rank, work->size};
    muster_state_part parts[VALUES_CELLS_MAX + 2] = {{&head, sizeof head}};
    int32_t count = 1;
    work_at(work, "a commit");
    for (int32_t cell = work->rank; cell < work->values.cell_count; cell += work->size)
        parts[count++] = (muster_state_part){work->own.cells[cell], sizeof work->own.cells[cell]};
    parts[count++] =
        (muster_state_part){work->shard, (size_t)work->shard_elements * sizeof *work->shard};
    return muster_step_commit(work->world, work->own.step, parts, count, &work->error);
}

void work_drop(struct work *work)
{
    muster_params_abandon(work->scope);
    work->scope = NULL;
    if (work->request != NULL && muster_request_free(work->request) != MUSTER_OK)
        work_wrong(work, "a request in flight after a loss", 0, 1);
    work->request = NULL;
    if (work->split != NULL && muster_comm_free(work->split) != MUSTER_OK)
        work_wrong(work, "a split communicator that cannot be freed", 0, 1);
    work->split = NULL;
}

/* A new epoch has a new size, new ranks and new shards. */
static muster_status make_for_world(struct work *work)
{
    work_at(work, "making a parameter");
    work->rank = muster_comm_rank(work->world);
    work->size = muster_comm_size(work->world);
    muster_status status = muster_param_free(work->param);
    work->param = NULL;
    if (status != MUSTER_OK)
        return status;
    free(work->shard);
    work->shard_elements = muster_param_shard_elements(VALUES_PARAM_ELEMENTS, work->size);
    work->shard = calloc((size_t)work->shard_elements, sizeof *work->shard);
    if (work->shard == NULL)
        return MUSTER_ERR_NO_MEMORY;
    return muster_param_create(work->world, MUSTER_DTYPE_UINT64, VALUES_PARAM_ELEMENTS, work->shard,
                               &work->param, &work->error);
}

/* Takes one slot's state apart, into own. */
static void take_state(struct work *work, const uint8_t *state, size_t bytes, uint64_t step,
                       int32_t size)
{
    struct state_head head;
    if (bytes < sizeof head)
        work_wrong(work, "the bytes of a state", sizeof head, bytes);
    memcpy(&head, state, sizeof head);
    state += sizeof head;
    if (head.step != step)
        work_wrong(work, "the step of a state", step, head.step);
    if (head.size != size || head.rank < 0 || head.rank >= size)
        work_wrong(work, "the size of a state's epoch", (uint64_t)size, (uint64_t)head.size);
    if (bytes != state_bytes(work, head.rank, head.size))
        work_wrong(work, "the bytes of a state", state_bytes(work, head.rank, head.size), bytes);
    for (int32_t cell = head.rank; cell < work->values.cell_count; cell += head.size) {
        memcpy(work->own.cells[cell], state, sizeof work->own.cells[cell]);
        state += sizeof work->own.cells[cell];
    }
    int64_t elements = muster_param_shard_elements(VALUES_PARAM_ELEMENTS, head.size);
    int64_t first = head.rank * elements;
    int64_t left = VALUES_PARAM_ELEMENTS - first;
    if (left > 0)
        memcpy(&work->own.param[first], state,
               (size_t)(left < elements ? left : elements) * sizeof(uint64_t));
}

static muster_status fetch(struct work *work, int32_t slot, uint64_t step, int32_t size)
{
    size_t bytes = 0;
    work_at(work, "a fetch of a size");
    muster_status status = muster_step_fetch(work->world, slot, NULL, 0, &bytes, &work->error);
    if (status != MUSTER_OK)
        return status;
    uint8_t *state = malloc(bytes > 0 ? bytes : 1);
    if (state == NULL)
        return MUSTER_ERR_NO_MEMORY;
    work_at(work, "a fetch");
    status = muster_step_fetch(work->world, slot, state, bytes, &bytes, &work->error);
    if (status == MUSTER_OK)
        take_state(work, state, bytes, step, size);
    free(state);
    return status;
}

static void check_state(const struct work *work, const char *what)
{
    for (int32_t cell = 0; cell < work->values.cell_count; cell++) {
        for (int32_t w = 0; w < VALUES_CELL_WORDS; w++) {
            if (work->own.cells[cell][w] != work->expected.cells[cell][w])
                work_wrong(work, what, work->expected.cells[cell][w], work->own.cells[cell][w]);
        }
    }
    for (int32_t i = 0; i < VALUES_PARAM_ELEMENTS; i++) {
        if (work->own.param[i] != work->expected.param[i])
            work_wrong(work, what, work->expected.param[i], work->own.param[i]);
    }
}

muster_status work_restore(struct work *work)
{
    int32_t slots[VALUES_CELLS_MAX];
    muster_restore_point point = {.struct_bytes = sizeof point};
    muster_status status = make_for_world(work);
    if (status != MUSTER_OK)
        return status;
    muster_comm_set_tag(work->world, 0);
    status = muster_step_restore_point(work->world, &point, slots, VALUES_CELLS_MAX);
    if (status != MUSTER_OK)
        return status;
    uint64_t step = point.has_step ? point.step : 0;
    values_begin(&work->expected);
    values_begin(&work->own);
    while (work->expected.step < step)
        values_advance(&work->values, &work->expected);
    for (int32_t i = 0; point.has_step && i < point.slot_count; i++) {
        status = fetch(work, slots[i], step, point.slot_count);
        if (status != MUSTER_OK)
            return status;
    }
    check_state(work, "a restored state");
    work->own.step = step;
    for (int64_t i = 0; i < work->shard_elements; i++) {
        int64_t element = work->rank * work->shard_elements + i;
        work->shard[i] = element < VALUES_PARAM_ELEMENTS ? work->own.param[element] : 0;
    }
    printf("campaign: restored step=%" PRIu64 " from=%s epoch=%" PRIu64 " rank=%d size=%d\n", step,
           point.has_step     ? "state"
           : point.state_lost ? "lost"
                              : "nothing",
           muster_job_epoch(work->job).value, work->rank, work->size);
    return work_commit(work);
}

muster_status work_verify_end(struct work *work)
{
    int64_t lengths[VALUES_CELLS_MAX] = {0};
    uint64_t own[VALUES_CELLS_MAX][VALUES_CELL_WORDS];
    uint64_t all[VALUES_CELLS_MAX][VALUES_CELL_WORDS];
    int64_t count = 0;
    for (int32_t cell = 0; cell < work->values.cell_count; cell++)
        lengths[cell % work->size]++;
    for (int32_t cell = work->rank; cell < work->values.cell_count; cell += work->size)
        memcpy(own[count++], work->own.cells[cell], sizeof own[0]);
    muster_tensor rows = muster_tensor_host(own, MUSTER_DTYPE_UINT64, count, VALUES_CELL_WORDS);
    muster_tensor all_rows =
        muster_tensor_host(all, MUSTER_DTYPE_UINT64, work->values.cell_count, VALUES_CELL_WORDS);
    work_at(work, "the last allgather");
    muster_status status =
        muster_allgatherv(work->world, &rows, lengths, work->size, &all_rows, &work->error);
    if (status != MUSTER_OK)
        return status;
    int64_t at = 0;
    for (int32_t rank = 0; rank < work->size; rank++) {
        for (int32_t cell = rank; cell < work->values.cell_count; cell += work->size)
            memcpy(work->own.cells[cell], all[at++], sizeof all[0]);
    }
    check_state(work, "the last state");
    printf("campaign: done slot=%d step=%" PRIu64 " digest=%016" PRIx64 "\n",
           muster_job_slot(work->job), work->own.step, values_digest(&work->values, &work->own));
    return MUSTER_OK;
}
