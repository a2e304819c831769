/* SPDX-License-Identifier: Apache-2.0 */
/* Every refusal: one rank makes a mistake, all ranks return the same code and name the same rank,
 * nothing is moved, and the next call works. Ranks are threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/harness/harness.h"

enum { RANKS = 3, WRONG = 1, ROOT = 0, ROWS = 4, FEATURES = 2 };

/* One rank's gatherv with everything that a mistake can touch. */
typedef struct call {
    int32_t own;
    int32_t mine[ROWS * FEATURES + 2];
    int32_t whole[ROWS * FEATURES * RANKS];
    muster_tensor rows;
    muster_tensor all;
    muster_tensor chunks[RANKS];
    muster_root_rows root_rows;
    int64_t lengths[RANKS];
    int32_t lengths_count;
    const int64_t *lengths_given;
    int32_t root;
    const muster_root_rows *root_rows_given;
} call;

static void prepare(call *c, int32_t own)
{
    memset(c, 0, sizeof(*c));
    c->own = own;
    c->rows = muster_tensor_host(c->mine, MUSTER_DTYPE_INT32, ROWS, FEATURES);
    c->all = muster_tensor_host(c->whole, MUSTER_DTYPE_INT32, (int64_t)ROWS * RANKS, FEATURES);
    for (int32_t i = 0; i < RANKS; i++) {
        c->chunks[i] =
            muster_tensor_host(c->whole + i * ROWS * FEATURES, MUSTER_DTYPE_INT32, ROWS, FEATURES);
        c->lengths[i] = ROWS;
    }
    c->root_rows.struct_bytes = sizeof(c->root_rows);
    c->root_rows.contiguous = &c->all;
    c->lengths_given = c->lengths;
    c->lengths_count = RANKS;
    c->root = ROOT;
    c->root_rows_given = own == ROOT ? &c->root_rows : NULL;
    for (int32_t i = 0; i < ROWS * FEATURES; i++)
        c->mine[i] = own * 100 + i;
    memset(c->whole, 0x55, sizeof(c->whole));
}

static void null_buffer(call *c)
{
    c->rows.data = NULL;
}
static void misaligned(call *c)
{
    c->rows.data = (char *)c->mine + 1;
}
static void not_contiguous(call *c)
{
    c->rows.strides[0] = FEATURES + 1;
    c->rows.strides[1] = 1;
}
static void wrong_memory(call *c)
{
    c->rows.memory_kind = MUSTER_MEMORY_DEVICE;
    c->rows.device = 0;
}
static void lengths_count(call *c)
{
    c->lengths_count = RANKS - 1;
}
static void negative_length(call *c)
{
    c->lengths[2] = -1;
}
static void lengths_overflow(call *c)
{
    c->lengths[0] = c->lengths[2] = INT64_MAX;
}
static void own_rows(call *c)
{
    c->rows.dimensions[0] = ROWS - 1;
}
static void other_lengths(call *c)
{
    c->lengths[2] = ROWS + 1;
}
static void other_dtype(call *c)
{
    c->rows.dtype = MUSTER_DTYPE_FLOAT32;
}
static void other_features(call *c)
{
    c->rows.dimensions[1] = FEATURES - 1;
}
static void other_dimension_count(call *c)
{
    c->rows.dimension_count = 3;
    c->rows.dimensions[2] = 1;
}
static void other_root(call *c)
{
    c->root = WRONG;
    c->root_rows_given = &c->root_rows;
}
static void root_is_no_rank(call *c)
{
    c->root = RANKS;
}
static void no_dimensions(call *c)
{
    c->rows.dimension_count = 0;
}
static void negative_dimension(call *c)
{
    c->rows.dimensions[1] = -2;
}
static void byte_overflow(call *c)
{
    c->rows.dimensions[1] = INT64_MAX / 2;
}
static void unknown_dtype(call *c)
{
    c->rows.dtype = (muster_dtype)99;
}
static void struct_size(call *c)
{
    c->rows.struct_bytes = 3;
}
static void null_lengths(call *c)
{
    c->lengths_given = NULL;
}
/* At the root. */
static void capacity(call *c)
{
    c->all.dimensions[0] = ROWS * RANKS - 1;
}
static void root_dtype(call *c)
{
    c->all.dtype = MUSTER_DTYPE_FLOAT32;
}
static void root_features(call *c)
{
    c->all.dimensions[1] = FEATURES - 1;
}
static void no_root_rows(call *c)
{
    c->root_rows_given = NULL;
}
static void both_forms(call *c)
{
    c->root_rows.chunks = c->chunks;
    c->root_rows.chunk_count = RANKS;
}
static void chunk_form(call *c)
{
    c->root_rows.contiguous = NULL;
    c->root_rows.chunks = c->chunks;
    c->root_rows.chunk_count = RANKS;
}
static void missing_chunk(call *c)
{
    chunk_form(c);
    c->root_rows.chunk_count = RANKS - 1;
}
static void chunk_shape(call *c)
{
    chunk_form(c);
    c->chunks[2].dimensions[0] = ROWS - 1;
}
static void chunks_overlap(call *c)
{
    chunk_form(c);
    c->chunks[2].data = c->chunks[1].data;
}
static void rows_overlap(call *c)
{
    c->rows.data = c->whole + FEATURES;
}

typedef struct mistake {
    const char *name;
    int32_t rank; /* who makes it */
    void (*make)(call *c);
    muster_status status;
    int32_t named; /* rank that the error names */
} mistake;

static const mistake mistakes[] = {
    {"null buffer", WRONG, null_buffer, MUSTER_ERR_NULL_BUFFER, WRONG},
    {"misaligned", WRONG, misaligned, MUSTER_ERR_MISALIGNED, WRONG},
    {"not contiguous", WRONG, not_contiguous, MUSTER_ERR_NOT_CONTIGUOUS, WRONG},
    {"device memory", WRONG, wrong_memory, MUSTER_ERR_MEMORY_KIND, WRONG},
    {"lengths count", WRONG, lengths_count, MUSTER_ERR_LENGTHS_COUNT, WRONG},
    {"negative length", WRONG, negative_length, MUSTER_ERR_NEGATIVE_LENGTH, WRONG},
    {"lengths overflow", WRONG, lengths_overflow, MUSTER_ERR_OVERFLOW, WRONG},
    {"own rows", WRONG, own_rows, MUSTER_ERR_OWN_ROWS, WRONG},
    {"other lengths", WRONG, other_lengths, MUSTER_ERR_LENGTHS, WRONG},
    {"dtype", WRONG, other_dtype, MUSTER_ERR_DTYPE, WRONG},
    {"features", WRONG, other_features, MUSTER_ERR_FEATURE_DIMENSIONS, WRONG},
    {"dimension count", WRONG, other_dimension_count, MUSTER_ERR_FEATURE_DIMENSIONS, WRONG},
    {"other root", WRONG, other_root, MUSTER_ERR_ROOT, WRONG},
    {"root is no rank", WRONG, root_is_no_rank, MUSTER_ERR_ROOT, WRONG},
    {"no dimensions", WRONG, no_dimensions, MUSTER_ERR_DIMENSIONS, WRONG},
    {"negative dimension", WRONG, negative_dimension, MUSTER_ERR_DIMENSIONS, WRONG},
    {"byte overflow", WRONG, byte_overflow, MUSTER_ERR_OVERFLOW, WRONG},
    {"unknown dtype", WRONG, unknown_dtype, MUSTER_ERR_DTYPE, WRONG},
    {"struct size", WRONG, struct_size, MUSTER_ERR_STRUCT_SIZE, WRONG},
    {"null lengths", WRONG, null_lengths, MUSTER_ERR_INVALID_ARGUMENT, WRONG},
    {"null buffer on the last rank", RANKS - 1, null_buffer, MUSTER_ERR_NULL_BUFFER, RANKS - 1},
    {"capacity", ROOT, capacity, MUSTER_ERR_CAPACITY, ROOT},
    {"root's dtype", ROOT, root_dtype, MUSTER_ERR_DTYPE, ROOT},
    {"root's features", ROOT, root_features, MUSTER_ERR_FEATURE_DIMENSIONS, ROOT},
    {"no root rows", ROOT, no_root_rows, MUSTER_ERR_INVALID_ARGUMENT, ROOT},
    {"both forms", ROOT, both_forms, MUSTER_ERR_INVALID_ARGUMENT, ROOT},
    {"missing chunk", ROOT, missing_chunk, MUSTER_ERR_MISSING_CHUNK, ROOT},
    {"chunk shape", ROOT, chunk_shape, MUSTER_ERR_CHUNK_SHAPE, ROOT},
    {"chunks overlap", ROOT, chunks_overlap, MUSTER_ERR_OVERLAP, ROOT},
    {"rows overlap", ROOT, rows_overlap, MUSTER_ERR_OVERLAP, ROOT},
};

static muster_status gather(harness_rank *rank, const call *c, muster_error *error)
{
    return muster_gatherv(rank->world, &c->rows, c->lengths_given, c->lengths_count, c->root,
                          c->root_rows_given, error);
}

static void all_mistakes(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    muster_error error;
    muster_error_init(&error);
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const mistake *m = &mistakes[i];
        call c;
        prepare(&c, own);
        if (own == m->rank)
            m->make(&c);
        muster_status status = gather(rank, &c, &error);
        if (status != m->status || error.rank != m->named || error.message[0] == '\0') {
            fprintf(stderr, "%s: rank %d got %s naming rank %d (\"%s\"), wanted %s naming %d\n",
                    m->name, own, muster_status_name(status), error.rank, error.message,
                    muster_status_name(m->status), m->named);
            _exit(99);
        }
        CHECK(muster_status_advice(status) == MUSTER_ADVICE_FIX_CALL);
        for (size_t k = 0; k < sizeof(c.whole) / sizeof(c.whole[0]); k++)
            CHECK(c.whole[k] == 0x55555555);
        prepare(&c, own);
        CHECK_STATUS(MUSTER_OK, gather(rank, &c, &error));
        if (own == ROOT)
            for (int32_t k = 0; k < ROWS * FEATURES * RANKS; k++)
                CHECK(c.whole[k] == k / (ROWS * FEATURES) * 100 + k % (ROWS * FEATURES));
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_every_mistake_is_refused_alike(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, all_mistakes, NULL);
}

/* Ranks that are in different calls, phases, or carry different tags. */
static void disagreements(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    muster_error error;
    muster_error_init(&error);
    call c;
    prepare(&c, own);
    muster_status status =
        own == WRONG ? muster_barrier(rank->world, &error) : gather(rank, &c, &error);
    CHECK(status == MUSTER_ERR_CALL && error.rank == WRONG);

    muster_comm_set_tag(rank->world, own == WRONG ? 7 : 5);
    CHECK_STATUS(MUSTER_ERR_TAG, gather(rank, &c, &error));
    CHECK(error.rank == WRONG && error.expected == 5 && error.came == 7);
    muster_comm_set_tag(rank->world, 0);

    muster_phase_context *phase;
    CHECK_STATUS(MUSTER_OK, muster_phase_context_create(rank->job, &phase));
    muster_comm_use_phase(rank->world, phase);
    CHECK_STATUS(MUSTER_OK, muster_phase_enter(phase, own == WRONG ? MUSTER_PHASE_RECOMPUTE
                                                                   : MUSTER_PHASE_FIRST_FORWARD));
    CHECK_STATUS(MUSTER_ERR_PHASE, gather(rank, &c, &error));
    CHECK(error.rank == WRONG);
    muster_phase_reset(phase);
    CHECK_STATUS(MUSTER_OK, gather(rank, &c, &error));
    muster_comm_use_phase(rank->world, NULL);
    muster_phase_context_free(phase);

    /* A broadcast of different shapes. */
    muster_tensor rows = muster_tensor_host(c.mine, MUSTER_DTYPE_INT32, own == WRONG ? 2 : 3, 1);
    CHECK_STATUS(MUSTER_ERR_OWN_ROWS, muster_broadcast(rank->world, &rows, ROOT, &error));
    CHECK(error.rank == WRONG && error.expected == 3 && error.came == 2);

    /* Nowhere to put the handle of a started call. */
    muster_request *request = NULL;
    status = muster_gatherv_start(rank->world, &c.rows, c.lengths, RANKS, ROOT, c.root_rows_given,
                                  own == WRONG ? NULL : &request, &error);
    if (own != WRONG) {
        CHECK(status == MUSTER_OK);
        status = muster_request_wait(request, MUSTER_TIMEOUT_INHERIT_NS, &error);
        CHECK_STATUS(MUSTER_OK, muster_request_free(request));
    }
    CHECK(status == MUSTER_ERR_INVALID_ARGUMENT && error.rank == WRONG);

    /* allgather_lengths' own arguments. */
    int64_t lengths[RANKS];
    CHECK_STATUS(
        MUSTER_ERR_NEGATIVE_LENGTH,
        muster_allgather_lengths(rank->world, own == WRONG ? -4 : 4, lengths, RANKS, &error));
    CHECK_STATUS(
        MUSTER_ERR_LENGTHS_COUNT,
        muster_allgather_lengths(rank->world, 4, lengths, own == WRONG ? 1 : RANKS, &error));
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_disagreements_are_named(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, disagreements, NULL);
}

/* The second tensor of a batch differs: only the slow round can name it. */
static void batches_differ(harness_rank *rank)
{
    const int32_t own = muster_comm_rank(rank->world);
    const int64_t lengths[RANKS] = {1, 1, 1};
    int64_t mine[4] = {0};
    int64_t whole[4 * RANKS] = {0};
    muster_error error;
    muster_error_init(&error);
    for (int turn = 0; turn < 3; turn++) {
        muster_batch *batch;
        CHECK_STATUS(MUSTER_OK,
                     muster_batch_gatherv_begin(rank->world, lengths, RANKS, ROOT, &batch, &error));
        int tensors = turn == 2 && own == WRONG ? 1 : 2;
        for (int i = 0; i < tensors; i++) {
            bool wrong = own == WRONG && i == 1;
            muster_dtype dtype = wrong && turn == 0 ? MUSTER_DTYPE_INT32 : MUSTER_DTYPE_INT64;
            int64_t features = wrong && turn == 1 ? 1 : 2;
            muster_tensor rows = muster_tensor_host(mine + 2 * i, dtype, 1, features);
            muster_tensor all = muster_tensor_host(whole + 2 * RANKS * i, dtype, RANKS, features);
            muster_root_rows root_rows = {.struct_bytes = sizeof(root_rows), .contiguous = &all};
            CHECK_STATUS(MUSTER_OK,
                         muster_batch_add(batch, &rows, own == ROOT ? &root_rows : NULL, &error));
        }
        static const muster_status wanted[3] = {MUSTER_ERR_DTYPE, MUSTER_ERR_FEATURE_DIMENSIONS,
                                                MUSTER_ERR_TENSOR_COUNT};
        CHECK_STATUS(wanted[turn], muster_batch_run(batch, &error));
        CHECK(error.rank == WRONG);
        CHECK(turn == 2 || error.tensor_index == 1);
    }
    CHECK_STATUS(MUSTER_OK, muster_barrier(rank->world, &error));
}

static void test_a_differing_tensor_of_a_batch_is_named(void **state)
{
    (void)state;
    harness_options options;
    harness_options_init(&options, RANKS);
    harness_run_threads(&options, batches_differ, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mistake_is_refused_alike),
        cmocka_unit_test(test_disagreements_are_named),
        cmocka_unit_test(test_a_differing_tensor_of_a_batch_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
