/* SPDX-License-Identifier: Apache-2.0 */
/* One step: every kind of call once, every byte of what comes looked at. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rank_work.h"

enum { POISON = 0xa5, TAG_BASE = 1000, P2P_SENDS = 2, ALLGATHER_ROWS = 100, SPLIT_TRIES = 20 };

bool work_owns(const struct work *work, int32_t cell)
{
    return cell % work->size == work->rank;
}

static int64_t rows_of_rank(const struct work *work, int32_t rank)
{
    int64_t rows = 0;
    for (int32_t cell = rank; cell < work->values.cell_count; cell += work->size)
        rows += values_rows(&work->values, work->expected.step, cell);
    return rows;
}

static int64_t all_rows(const struct work *work, int64_t lengths[VALUES_CELLS_MAX])
{
    int64_t rows = 0;
    for (int32_t rank = 0; rank < work->size; rank++) {
        lengths[rank] = rows_of_rank(work, rank);
        rows += lengths[rank];
    }
    return rows;
}

/* As if it computed; and where a hang is wanted, it never comes back. */
static void nap(struct work *work, uint64_t part)
{
    uint64_t step = work->expected.step;
    uint64_t x = values_at(&work->values, VALUES_NAP, step, (uint64_t)work->rank, part, 0);
    int64_t ns = (int64_t)(x % 1000) * work->step_ms * 500;
    const struct timespec pause = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (work_hang && part == 0)
        sleep(1000);
    muster_progress(work->job);
    nanosleep(&pause, NULL);
}

static muster_status check_lengths(struct work *work)
{
    int64_t came[VALUES_CELLS_MAX];
    work_at(work, "allgather_lengths");
    muster_status status = muster_allgather_lengths(work->world, rows_of_rank(work, work->rank),
                                                    came, work->size, &work->error);
    for (int32_t rank = 0; rank < work->size && status == MUSTER_OK; rank++) {
        if (came[rank] != rows_of_rank(work, rank))
            work_wrong(work, "a length", (uint64_t)rows_of_rank(work, rank), (uint64_t)came[rank]);
    }
    return status;
}

static void fill_own(struct work *work)
{
    uint64_t step = work->expected.step;
    int64_t at = 0;
    for (int32_t cell = work->rank; cell < work->values.cell_count; cell += work->size) {
        int64_t rows = values_rows(&work->values, step, cell);
        for (int64_t row = 0; row < rows; row++, at++) {
            for (int32_t i = 0; i < VALUES_ROW_WORDS; i++)
                work->words[at * VALUES_ROW_WORDS + i] =
                    values_gathered(&work->values, step, cell, row, i);
            for (int32_t i = 0; i < VALUES_ROW_BYTES; i++)
                work->bytes[at * VALUES_ROW_BYTES + i] =
                    values_byte(&work->values, step, cell, row, i);
        }
    }
}

/* What was gathered, by rank and then by cell; and turned into what is scattered. */
static void check_gathered(struct work *work, uint64_t *words, const uint8_t *bytes)
{
    uint64_t step = work->expected.step;
    int64_t at = 0;
    for (int32_t rank = 0; rank < work->size; rank++) {
        for (int32_t cell = rank; cell < work->values.cell_count; cell += work->size) {
            int64_t rows = values_rows(&work->values, step, cell);
            for (int64_t row = 0; row < rows; row++, at++) {
                for (int32_t i = 0; i < VALUES_ROW_WORDS; i++) {
                    uint64_t *word = &words[at * VALUES_ROW_WORDS + i];
                    uint64_t expected = values_gathered(&work->values, step, cell, row, i);
                    if (*word != expected)
                        work_wrong(work, "a gathered word", expected, *word);
                    *word = values_scattered(&work->values, step, cell, row, i);
                }
                for (int32_t i = 0; i < VALUES_ROW_BYTES; i++) {
                    uint8_t expected = values_byte(&work->values, step, cell, row, i);
                    uint8_t came = bytes[at * VALUES_ROW_BYTES + i];
                    if (came != expected)
                        work_wrong(work, "a gathered byte", expected, came);
                }
            }
        }
    }
    if (*(const uint8_t *)&words[at * VALUES_ROW_WORDS] != POISON ||
        bytes[at * VALUES_ROW_BYTES] != POISON)
        work_wrong(work, "behind the gathered rows", POISON, bytes[at * VALUES_ROW_BYTES]);
}

/* Two tensors of one layout in one batch, into memory of the runtime or of malloc. */
static muster_status gather(struct work *work, int32_t root)
{
    int64_t lengths[VALUES_CELLS_MAX] = {0};
    int64_t own_rows = rows_of_rank(work, work->rank);
    int64_t total = all_rows(work, lengths);
    int memory = (int)(work->expected.step / 2 % 2);
    uint64_t *words = work->root_words[memory];
    uint8_t *bytes = work->root_bytes[memory];
    muster_batch *batch = NULL;
    work_at(work, "a batch of gathers");
    if (work->rank == root) {
        memset(words, POISON, (size_t)(total + 1) * VALUES_ROW_WORDS * sizeof *words);
        memset(bytes, POISON, (size_t)(total + 1) * VALUES_ROW_BYTES);
    }
    fill_own(work);
    muster_status status =
        muster_batch_gatherv_begin(work->world, lengths, work->size, root, &batch, &work->error);
    if (status != MUSTER_OK)
        return status;
    muster_tensor own[2] = {
        muster_tensor_host(work->words, MUSTER_DTYPE_UINT64, own_rows, VALUES_ROW_WORDS),
        muster_tensor_host(work->bytes, MUSTER_DTYPE_UINT8, own_rows, VALUES_ROW_BYTES)};
    muster_tensor all[2] = {muster_tensor_host(words, MUSTER_DTYPE_UINT64, total, VALUES_ROW_WORDS),
                            muster_tensor_host(bytes, MUSTER_DTYPE_UINT8, total, VALUES_ROW_BYTES)};
    for (int i = 0; i < 2; i++) {
        muster_root_rows root_rows = {.struct_bytes = sizeof root_rows, .contiguous = &all[i]};
        status = muster_batch_add(batch, &own[i], &root_rows, &work->error);
        if (status != MUSTER_OK) {
            muster_batch_abandon(batch);
            return status;
        }
    }
    status = muster_batch_run(batch, &work->error);
    if (status == MUSTER_OK && work->rank == root)
        check_gathered(work, words, bytes);
    return status;
}

static void check_scattered(struct work *work)
{
    uint64_t step = work->expected.step;
    int64_t at = 0;
    for (int32_t cell = work->rank; cell < work->values.cell_count; cell += work->size) {
        int64_t rows = values_rows(&work->values, step, cell);
        const uint64_t *first = &work->back_words[at * VALUES_ROW_WORDS];
        for (int64_t row = 0; row < rows; row++, at++) {
            for (int32_t i = 0; i < VALUES_ROW_WORDS; i++) {
                uint64_t expected = values_scattered(&work->values, step, cell, row, i);
                uint64_t came = work->back_words[at * VALUES_ROW_WORDS + i];
                if (came != expected)
                    work_wrong(work, "a scattered word", expected, came);
            }
        }
        values_cell_add(&work->values, step, cell, first, rows, work->own.cells[cell]);
    }
}

/* Waits for work->request in small portions, as a rank does that has something else to do. */
static muster_status wait_request(struct work *work)
{
    muster_status status = MUSTER_OK;
    bool done = false;
    for (int i = 0; i < 20 && !done && status == MUSTER_OK; i++)
        status = muster_request_test(work->request, &done, &work->error);
    if (!done && status == MUSTER_OK)
        status = muster_request_wait(work->request, MUSTER_TIMEOUT_INHERIT_NS, &work->error);
    if (muster_request_free(work->request) == MUSTER_OK)
        work->request = NULL;
    return status;
}

/* The transformed rows back to their ranks: from one buffer or from chunks, blocking or not. */
static muster_status scatter(struct work *work, int32_t root)
{
    int64_t lengths[VALUES_CELLS_MAX] = {0};
    muster_tensor chunks[VALUES_CELLS_MAX];
    uint64_t step = work->expected.step;
    int64_t own_rows = rows_of_rank(work, work->rank);
    int64_t total = all_rows(work, lengths);
    uint64_t *words = work->root_words[step / 2 % 2];
    work_at(work, "a scatter");
    memset(work->back_words, POISON, (size_t)own_rows * VALUES_ROW_WORDS * sizeof *words);
    int64_t at = 0;
    for (int32_t rank = 0; rank < work->size; rank++) {
        chunks[rank] = muster_tensor_host(words + at * VALUES_ROW_WORDS, MUSTER_DTYPE_UINT64,
                                          lengths[rank], VALUES_ROW_WORDS);
        at += lengths[rank];
    }
    muster_tensor all = muster_tensor_host(words, MUSTER_DTYPE_UINT64, total, VALUES_ROW_WORDS);
    muster_tensor own =
        muster_tensor_host(work->back_words, MUSTER_DTYPE_UINT64, own_rows, VALUES_ROW_WORDS);
    muster_root_rows root_rows = {.struct_bytes = sizeof root_rows, .contiguous = &all};
    if (step % 3 == 0)
        root_rows = (muster_root_rows){
            .struct_bytes = sizeof root_rows, .chunks = chunks, .chunk_count = work->size};
    muster_status status;
    if (step % 2 == 0) {
        status =
            muster_scatterv(work->world, &root_rows, lengths, work->size, root, &own, &work->error);
    } else {
        status = muster_scatterv_start(work->world, &root_rows, lengths, work->size, root, &own,
                                       &work->request, &work->error);
        if (status == MUSTER_OK)
            status = wait_request(work);
    }
    if (status == MUSTER_OK)
        check_scattered(work);
    return status;
}

static muster_status broadcast(struct work *work)
{
    uint32_t rows[600];
    uint64_t step = work->expected.step;
    int32_t root = (int32_t)((step * 7 + 1) % (uint64_t)work->size);
    int64_t count = 1 + (int64_t)(step * 37 % 600);
    work_at(work, "a broadcast");
    memset(rows, POISON, sizeof rows);
    for (int64_t i = 0; i < count && work->rank == root; i++)
        rows[i] = (uint32_t)values_at(&work->values, VALUES_BROADCAST, step, (uint64_t)i, 0, 0);
    muster_tensor tensor = muster_tensor_host(rows, MUSTER_DTYPE_UINT32, count, 1);
    muster_status status = muster_broadcast(work->world, &tensor, root, &work->error);
    for (int64_t i = 0; i < count && status == MUSTER_OK; i++) {
        uint32_t expected =
            (uint32_t)values_at(&work->values, VALUES_BROADCAST, step, (uint64_t)i, 0, 0);
        if (rows[i] != expected)
            work_wrong(work, "a broadcast element", expected, rows[i]);
    }
    return status;
}

static muster_status allgather(struct work *work)
{
    uint16_t own[ALLGATHER_ROWS * 4];
    static uint16_t all[ALLGATHER_ROWS * 4 * VALUES_CELLS_MAX];
    int64_t lengths[VALUES_CELLS_MAX] = {0};
    uint64_t step = work->expected.step;
    int64_t total = 0;
    work_at(work, "an allgather");
    memset(all, POISON, sizeof all);
    for (int32_t rank = 0; rank < work->size; rank++) {
        lengths[rank] = (int64_t)(((uint64_t)rank + step) % 4) * ALLGATHER_ROWS;
        total += lengths[rank];
    }
    for (int64_t i = 0; i < lengths[work->rank]; i++)
        own[i] = (uint16_t)values_at(&work->values, VALUES_ALLGATHER, step, (uint64_t)work->rank,
                                     (uint64_t)i, 0);
    muster_tensor rows = muster_tensor_host(own, MUSTER_DTYPE_UINT16, lengths[work->rank], 1);
    muster_tensor all_rows_tensor = muster_tensor_host(all, MUSTER_DTYPE_UINT16, total, 1);
    muster_status status =
        muster_allgatherv(work->world, &rows, lengths, work->size, &all_rows_tensor, &work->error);
    int64_t at = 0;
    for (int32_t rank = 0; rank < work->size && status == MUSTER_OK; rank++) {
        for (int64_t i = 0; i < lengths[rank]; i++, at++) {
            uint16_t expected = (uint16_t)values_at(&work->values, VALUES_ALLGATHER, step,
                                                    (uint64_t)rank, (uint64_t)i, 0);
            if (all[at] != expected)
                work_wrong(work, "an allgathered element", expected, all[at]);
        }
    }
    return status;
}

static int64_t p2p_elements(uint64_t step, int32_t from, int32_t message)
{
    return (int64_t)((step * 131 + (uint64_t)from * 17 + (uint64_t)message * 7) % 5000);
}

static uint64_t message_id(int32_t from, int32_t message)
{
    return (uint64_t)from * P2P_SENDS + (uint64_t)message;
}

/* Each rank sends two messages round the ring, step by step to another neighbour: itself, too. */
static muster_status p2p(struct work *work)
{
    static uint32_t out[P2P_SENDS][5000];
    static uint32_t in[P2P_SENDS][5000];
    uint64_t step = work->expected.step;
    int32_t distance = (int32_t)(step % (uint64_t)work->size);
    int32_t to = (work->rank + distance) % work->size;
    int32_t from = (work->rank - distance + work->size) % work->size;
    muster_batch *batch = NULL;
    work_at(work, "a P2P batch");
    memset(in, POISON, sizeof in);
    muster_status status = muster_p2p_begin(work->world, &batch, &work->error);
    if (status != MUSTER_OK)
        return status;
    for (int32_t m = 0; m < P2P_SENDS && status == MUSTER_OK; m++) {
        int64_t count = p2p_elements(step, work->rank, m);
        for (int64_t i = 0; i < count; i++)
            out[m][i] = (uint32_t)values_at(&work->values, VALUES_P2P, step,
                                            message_id(work->rank, m), (uint64_t)i, 0);
        muster_tensor sent = muster_tensor_host(out[m], MUSTER_DTYPE_UINT32, count, 1);
        muster_tensor received =
            muster_tensor_host(in[m], MUSTER_DTYPE_UINT32, p2p_elements(step, from, m), 1);
        status = muster_p2p_isend(batch, &sent, to, &work->error);
        if (status == MUSTER_OK)
            status = muster_p2p_irecv(batch, &received, from, &work->error);
    }
    if (status != MUSTER_OK) {
        muster_batch_abandon(batch);
        return status;
    }
    status = muster_batch_run(batch, &work->error);
    for (int32_t m = 0; m < P2P_SENDS && status == MUSTER_OK; m++) {
        for (int64_t i = 0; i < p2p_elements(step, from, m); i++) {
            uint32_t expected = (uint32_t)values_at(&work->values, VALUES_P2P, step,
                                                    message_id(from, m), (uint64_t)i, 0);
            if (in[m][i] != expected)
                work_wrong(work, "an element of a message", expected, in[m][i]);
        }
    }
    return status;
}

static void check_shard(const struct work *work)
{
    for (int64_t i = 0; i < work->shard_elements; i++) {
        int64_t element = work->rank * work->shard_elements + i;
        if (element < VALUES_PARAM_ELEMENTS && work->shard[i] != work->own.param[element])
            work_wrong(work, "an element of a shard", work->own.param[element], work->shard[i]);
    }
}

/* The parameter is made full, changed by one rank, and every shard has the change afterwards. */
static muster_status change_param(struct work *work)
{
    uint64_t step = work->expected.step;
    int32_t modifier = (int32_t)(step % (uint64_t)work->size);
    work_at(work, "params_gather");
    muster_status status =
        muster_params_gather(work->world, &work->param, 1, modifier, &work->scope, &work->error);
    if (status != MUSTER_OK)
        return status;
    uint64_t *full = muster_params_full(work->scope, 0);
    for (int32_t i = 0; i < VALUES_PARAM_ELEMENTS; i++) {
        if (full[i] != work->expected.param[i])
            work_wrong(work, "an element of a parameter", work->expected.param[i], full[i]);
        /* The others change it, too: that must be dropped. */
        full[i] = work->rank == modifier
                      ? full[i] + values_at(&work->values, VALUES_PARAM, step, (uint64_t)i, 0, 0)
                      : ~full[i];
    }
    nap(work, 2);
    work_at(work, "params_release");
    status = muster_params_release(work->scope, &work->error);
    /* Refused, it would stay open, and the next rebuild drops it; otherwise the handle is gone. */
    if (muster_status_advice(status) != MUSTER_ADVICE_FIX_CALL && status != MUSTER_ERR_NO_MEMORY)
        work->scope = NULL;
    return status;
}

/* Even and odd ranks by themselves, in reverse order. */
static muster_status split(struct work *work)
{
    uint64_t step = work->expected.step;
    int64_t lengths[VALUES_CELLS_MAX] = {0};
    uint64_t own = values_at(&work->values, VALUES_SPLIT, step, (uint64_t)work->rank, 0, 0);
    uint64_t all[VALUES_CELLS_MAX];
    work_at(work, "a split");
    /* Where the way to another host is cut for a moment, all agree that it took too long, and the world
     * stands; had the world failed, the next call would say so. */
    muster_status status = MUSTER_ERR_TIMEOUT;
    for (int i = 0; i < SPLIT_TRIES && status == MUSTER_ERR_TIMEOUT; i++)
        status =
            muster_comm_split(work->world, work->rank % 2, -work->rank, &work->split, &work->error);
    if (status != MUSTER_OK)
        return status;
    int32_t size = muster_comm_size(work->split);
    int32_t last = work->rank % 2 + (size - 1) * 2;
    for (int32_t i = 0; i < size; i++)
        lengths[i] = 1;
    muster_tensor rows = muster_tensor_host(&own, MUSTER_DTYPE_UINT64, 1, 1);
    muster_tensor all_rows_tensor = muster_tensor_host(all, MUSTER_DTYPE_UINT64, size, 1);
    work_at(work, "an allgather of a split communicator");
    status = muster_allgatherv(work->split, &rows, lengths, size, &all_rows_tensor, &work->error);
    for (int32_t i = 0; i < size && status == MUSTER_OK; i++) {
        uint64_t expected =
            values_at(&work->values, VALUES_SPLIT, step, (uint64_t)(last - 2 * i), 0, 0);
        if (all[i] != expected)
            work_wrong(work, "an element of a split communicator", expected, all[i]);
    }
    if (status != MUSTER_OK)
        return status;
    status = muster_comm_free(work->split);
    work->split = NULL;
    return status;
}

muster_status work_step(struct work *work)
{
    typedef muster_status part(struct work * work);
    static part *const parts[] = {broadcast, allgather, p2p, change_param, split};
    uint64_t step = work->expected.step;
    int32_t root = (int32_t)(step % (uint64_t)work->size);
    muster_comm_set_tag(work->world, TAG_BASE + step);
    nap(work, 0);
    muster_status status = check_lengths(work);
    if (status == MUSTER_OK)
        status = gather(work, root);
    nap(work, 1);
    if (status == MUSTER_OK)
        status = scatter(work, root);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == MUSTER_OK; i++) {
        if (parts[i] != split || step % 3 == 0)
            status = parts[i](work);
    }
    if (status != MUSTER_OK)
        return status;
    values_advance(&work->values, &work->expected);
    memcpy(work->own.param, work->expected.param, sizeof work->own.param);
    check_shard(work);
    work->own.step = work->expected.step;
    return MUSTER_OK;
}
