/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collective/verdict.h"

#define SIZE 4
#define ROOT 2

/* A gatherv that all agree on: lengths 1, 2, 3, 4 to rank 2. */
static void agree(muster_record *records)
{
    memset(records, 0, SIZE * sizeof(*records));
    for (int rank = 0; rank < SIZE; rank++) {
        muster_record *record = &records[rank];
        record->wire_version = MUSTER_RECORD_WIRE_VERSION;
        record->call = MUSTER_CALL_GATHERV;
        record->job = 77;
        record->communicator = 5;
        record->epoch = 3;
        record->sequence = 41;
        record->tag = 9;
        record->root = ROOT;
        record->phase = 1;
        record->dtype = MUSTER_DTYPE_BFLOAT16;
        record->dimension_count = 2;
        record->feature_dimensions[0] = 2048;
        record->tensor_count = 2;
        record->lengths_count = SIZE;
        record->own_rows = rank + 1;
        record->lengths_hash = 0xabcd;
        record->total_rows = 10;
        record->capacity_rows = rank == ROOT ? 12 : -1;
        record->descriptors_hash = 0x1234;
    }
}

static muster_verdict verdict_of(const muster_record *records)
{
    return muster_verdict_of_records(records, sizeof(*records), SIZE);
}

static void assert_refused(const muster_record *records, muster_status status, int32_t rank,
                           muster_field field, int64_t expected, int64_t came)
{
    const muster_verdict verdict = verdict_of(records);
    assert_int_equal(verdict.status, status);
    assert_int_equal(verdict.rank, rank);
    assert_int_equal(verdict.field, field);
    assert_int_equal(verdict.expected, expected);
    assert_int_equal(verdict.came, came);
    assert_false(verdict.direct);
    assert_false(verdict.needs_descriptors);
}

static void all_alike_go_ahead(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    const muster_verdict verdict = verdict_of(records);
    assert_int_equal(verdict.status, MUSTER_OK);
    assert_int_equal(verdict.rank, -1);
    assert_int_equal(verdict.field, MUSTER_FIELD_NONE);
    assert_int_equal(verdict.tensor_index, -1);
    assert_false(verdict.needs_descriptors);
    assert_false(verdict.direct);
    assert_int_equal(muster_verdict_of_records(records, sizeof(*records), 1).status, MUSTER_OK);
}

static void records_may_lie_farther_apart(void **state)
{
    (void)state;
    _Alignas(8) unsigned char board[SIZE * MUSTER_RECORD_BYTES];
    muster_record records[SIZE];
    agree(records);
    records[3].tag = 8;
    memset(board, 0xee, sizeof(board));
    for (int rank = 0; rank < SIZE; rank++)
        memcpy(board + (size_t)rank * MUSTER_RECORD_BYTES, &records[rank], sizeof(records[rank]));
    const muster_verdict verdict = muster_verdict_of_records(board, MUSTER_RECORD_BYTES, SIZE);
    assert_int_equal(verdict.status, MUSTER_ERR_TAG);
    assert_int_equal(verdict.rank, 3);
}

/* Each field that must be equal, alone, on rank 1 and then on rank 3. */
#define ASSERT_FIELD(member, value, status, error_field, expected, came) \
    do { \
        for (int rank = 1; rank < SIZE; rank += 2) { \
            muster_record records[SIZE]; \
            agree(records); \
            records[rank].member = (value); \
            assert_refused(records, status, rank, error_field, expected, came); \
        } \
    } while (0)

static void every_difference_has_its_code_and_field(void **state)
{
    (void)state;
    ASSERT_FIELD(wire_version, 3, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION, 2, 3);
    ASSERT_FIELD(job, 78, MUSTER_ERR_FOREIGN, MUSTER_FIELD_JOB, 77, 78);
    ASSERT_FIELD(communicator, 6, MUSTER_ERR_FOREIGN, MUSTER_FIELD_COMMUNICATOR, 5, 6);
    ASSERT_FIELD(epoch, 4, MUSTER_ERR_EPOCH, MUSTER_FIELD_EPOCH, 3, 4);
    ASSERT_FIELD(sequence, 40, MUSTER_ERR_SEQUENCE, MUSTER_FIELD_SEQUENCE, 41, 40);
    ASSERT_FIELD(call, MUSTER_CALL_SCATTERV, MUSTER_ERR_CALL, MUSTER_FIELD_CALL,
                 MUSTER_CALL_GATHERV, MUSTER_CALL_SCATTERV);
    ASSERT_FIELD(call, MUSTER_CALL_PARAMS_GATHER, MUSTER_ERR_SCOPE, MUSTER_FIELD_CALL,
                 MUSTER_CALL_GATHERV, MUSTER_CALL_PARAMS_GATHER);
    ASSERT_FIELD(root, 0, MUSTER_ERR_ROOT, MUSTER_FIELD_ROOT, ROOT, 0);
    ASSERT_FIELD(phase, 2, MUSTER_ERR_PHASE, MUSTER_FIELD_PHASE, 1, 2);
    ASSERT_FIELD(tag, 10, MUSTER_ERR_TAG, MUSTER_FIELD_TAG, 9, 10);
    ASSERT_FIELD(tensor_count, 3, MUSTER_ERR_TENSOR_COUNT, MUSTER_FIELD_TENSOR_COUNT, 2, 3);
    ASSERT_FIELD(dtype, MUSTER_DTYPE_FLOAT16, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE,
                 MUSTER_DTYPE_BFLOAT16, MUSTER_DTYPE_FLOAT16);
    ASSERT_FIELD(dimension_count, 3, MUSTER_ERR_FEATURE_DIMENSIONS, MUSTER_FIELD_DIMENSION_COUNT, 2,
                 3);
    ASSERT_FIELD(feature_dimensions[0], 1024, MUSTER_ERR_FEATURE_DIMENSIONS,
                 MUSTER_FIELD_FEATURE_DIMENSION_1, 2048, 1024);
    ASSERT_FIELD(feature_dimensions[6], 7, MUSTER_ERR_FEATURE_DIMENSIONS,
                 MUSTER_FIELD_FEATURE_DIMENSION_7, 0, 7);
    ASSERT_FIELD(lengths_count, 5, MUSTER_ERR_LENGTHS_COUNT, MUSTER_FIELD_LENGTHS_COUNT, SIZE, 5);
    ASSERT_FIELD(lengths_hash, 1, MUSTER_ERR_LENGTHS, MUSTER_FIELD_LENGTHS, 10, 10);
    ASSERT_FIELD(total_rows, 11, MUSTER_ERR_LENGTHS, MUSTER_FIELD_LENGTHS, 10, 11);
    ASSERT_FIELD(argument, 1, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 1);
}

/* A rank without tensors (an empty P2P list) is of no kind; else the first kind counts. */
static void kinds_of_memory_must_not_differ(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    for (int rank = 0; rank < SIZE; rank++)
        records[rank].memory_kind = MUSTER_MEMORY_DEVICE;
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
    records[3].memory_kind = MUSTER_MEMORY_HOST;
    assert_refused(records, MUSTER_ERR_MEMORY_KIND, 3, MUSTER_FIELD_MEMORY_KIND,
                   MUSTER_MEMORY_DEVICE, MUSTER_MEMORY_HOST);
    records[0].memory_kind = 0;
    records[1].memory_kind = MUSTER_MEMORY_HOST;
    assert_refused(records, MUSTER_ERR_MEMORY_KIND, 2, MUSTER_FIELD_MEMORY_KIND, MUSTER_MEMORY_HOST,
                   MUSTER_MEMORY_DEVICE);
    records[2].memory_kind = 0;
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
    muster_error error;
    muster_error_init(&error);
    records[2].memory_kind = MUSTER_MEMORY_DEVICE;
    const muster_verdict verdict = verdict_of(records);
    muster_verdict_to_error(&verdict, &error);
    assert_non_null(strstr(error.message, "rank 2"));
    assert_non_null(strstr(error.message, "expected host, came device"));
}

static void what_may_differ_may_differ(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    records[1].own_argument[0] = 5;
    records[3].own_argument[1] = -9;
    records[0].capacity_rows = 2; /* not the root's */
    records[1].region_addresses[0] = 4096;
    records[1].region_version = 7; /* not the root's */
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
}

static void the_argument_is_named_by_the_call(void **state)
{
    (void)state;
    const struct {
        muster_call call;
        muster_status status;
        muster_field field;
    } rows[] = {
        {MUSTER_CALL_PARAMS_GATHER, MUSTER_ERR_MODIFIER, MUSTER_FIELD_MODIFIER},
        {MUSTER_CALL_PARAMS_RELEASE, MUSTER_ERR_MODIFIER, MUSTER_FIELD_MODIFIER},
        {MUSTER_CALL_STEP_STAGE, MUSTER_ERR_STEP, MUSTER_FIELD_STEP},
        {MUSTER_CALL_STEP_COMMIT, MUSTER_ERR_STEP, MUSTER_FIELD_STEP},
        {MUSTER_CALL_STEP_FETCH, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_SLOT},
        {MUSTER_CALL_BARRIER, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        muster_record records[SIZE];
        agree(records);
        for (int rank = 0; rank < SIZE; rank++) {
            records[rank].call = rows[i].call;
            records[rank].argument = rank == 3 ? -1 : 6;
        }
        assert_refused(records, rows[i].status, 3, rows[i].field, 6, -1);
    }
}

static void the_rows_of_a_broadcast_are_equal(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    for (int rank = 0; rank < SIZE; rank++) {
        records[rank].call = MUSTER_CALL_BROADCAST;
        records[rank].own_rows = 6;
    }
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
    records[2].own_rows = 7;
    assert_refused(records, MUSTER_ERR_OWN_ROWS, 2, MUSTER_FIELD_OWN_ROWS, 6, 7);
}

static void the_lowest_failing_rank_and_its_first_field_are_named(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    records[3].wire_version = 3;
    records[1].argument = 8;
    records[1].dtype = MUSTER_DTYPE_INT8;
    records[1].tag = 1;
    records[2].epoch = 9;
    assert_refused(records, MUSTER_ERR_TAG, 1, MUSTER_FIELD_TAG, 9, 1);
}

static void a_local_status_comes_with_its_detail(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    records[2].local_status = MUSTER_ERR_MISALIGNED;
    records[2].local_field = MUSTER_FIELD_BUFFER;
    records[2].local_expected = 4;
    records[2].local_came = 1;
    records[2].local_tensor_index = 1;
    records[2].local_native_code = 22;
    records[3].local_status = MUSTER_ERR_OVERLAP;
    assert_refused(records, MUSTER_ERR_MISALIGNED, 2, MUSTER_FIELD_BUFFER, 4, 1);
    const muster_verdict verdict = verdict_of(records);
    assert_int_equal(verdict.tensor_index, 1);
    assert_int_equal(verdict.native_code, 22);
    /* The identity of a record comes before what it says of itself; then its detail is not meant. */
    records[2].epoch = 1;
    assert_refused(records, MUSTER_ERR_EPOCH, 2, MUSTER_FIELD_EPOCH, 3, 1);
    assert_int_equal(verdict_of(records).tensor_index, -1);
    assert_int_equal(verdict_of(records).native_code, 0);
}

/* Rank 0 fails by itself and says nonsense: nobody who differs from it is accused. */
static void a_failing_reference_accuses_nobody(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    records[0].local_status = MUSTER_ERR_NEGATIVE_LENGTH;
    records[0].local_field = MUSTER_FIELD_LENGTHS;
    records[0].local_came = -4;
    records[0].local_tensor_index = -1;
    records[0].root = 99;
    records[0].lengths_hash = 0;
    records[0].total_rows = -4;
    records[0].dtype = 0;
    records[0].own_rows = -4;
    assert_refused(records, MUSTER_ERR_NEGATIVE_LENGTH, 0, MUSTER_FIELD_LENGTHS, 0, -4);
    assert_int_equal(verdict_of(records).tensor_index, -1);
}

static void the_root_needs_room_for_all_rows(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    records[ROOT].capacity_rows = 10;
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
    records[ROOT].capacity_rows = 9;
    assert_refused(records, MUSTER_ERR_CAPACITY, ROOT, MUSTER_FIELD_CAPACITY, 10, 9);
    records[ROOT].capacity_rows = -1; /* chunks: none to check */
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
    records[1].own_rows = INT64_MAX;
    assert_refused(records, MUSTER_ERR_OVERFLOW, -1, MUSTER_FIELD_LENGTHS, INT64_MAX, 0);
}

static void a_descriptors_hash_asks_for_the_slow_round(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    records[2].descriptors_hash = 1;
    records[3].descriptors_hash = 2;
    muster_verdict verdict = verdict_of(records);
    assert_true(verdict.needs_descriptors);
    assert_int_not_equal(verdict.status, MUSTER_OK);
    assert_int_equal(verdict.rank, 2);
    assert_int_equal(verdict.field, MUSTER_FIELD_DESCRIPTORS);
    assert_false(verdict.direct);
    /* Any other failure, even of a higher rank, can be named at once. */
    records[3].local_status = MUSTER_ERR_NO_MEMORY;
    assert_refused(records, MUSTER_ERR_NO_MEMORY, 3, MUSTER_FIELD_NONE, 0, 0);
    records[3].local_status = MUSTER_OK;
    records[3].lengths_hash = 0;
    assert_refused(records, MUSTER_ERR_LENGTHS, 3, MUSTER_FIELD_LENGTHS, 10, 10);
}

static void p2p_digests_meet_or_ask_for_the_slow_round(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    for (int rank = 0; rank < SIZE; rank++) {
        records[rank].call = MUSTER_CALL_P2P;
        records[rank].root = -1;
        records[rank].lengths_count = 0;
    }
    for (int rank = 0; rank < SIZE; rank++) {
        const int next = (rank + 1) % SIZE;
        muster_p2p_digest_add(&records[rank], rank, next, 1, 0, 100 + rank, MUSTER_DTYPE_INT8);
        muster_p2p_digest_add(&records[next], next, rank, 2, 0, 100 + rank, MUSTER_DTYPE_INT8);
    }
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
    muster_p2p_digest_add(&records[1], 1, 1, 1, 0, 8, MUSTER_DTYPE_INT8);
    muster_verdict verdict = verdict_of(records);
    assert_int_equal(verdict.status, MUSTER_ERR_P2P_MISMATCH);
    assert_true(verdict.needs_descriptors);
    /* A failure of its own goes before, and no slow round is asked for. */
    records[3].local_status = MUSTER_ERR_NULL_BUFFER;
    records[3].local_tensor_index = 0;
    verdict = verdict_of(records);
    assert_int_equal(verdict.status, MUSTER_ERR_NULL_BUFFER);
    assert_false(verdict.needs_descriptors);
    records[3].local_status = MUSTER_OK;
    muster_p2p_digest_add(&records[1], 1, 1, 2, 0, 8, MUSTER_DTYPE_INT8);
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
}

static void each_part_of_a_p2p_operation_counts(void **state)
{
    (void)state;
    /* sender, receiver, ordinal, bytes, dtype of the receive; the send is 0 -> 1, first, 64 bytes */
    const int64_t receives[][5] = {
        {0, 1, 0, 64, MUSTER_DTYPE_INT8}, {0, 1, 1, 64, MUSTER_DTYPE_INT8},
        {0, 1, 0, 63, MUSTER_DTYPE_INT8}, {0, 1, 0, 64, MUSTER_DTYPE_UINT8},
        {2, 1, 0, 64, MUSTER_DTYPE_INT8}, {0, 3, 0, 64, MUSTER_DTYPE_INT8},
        {1, 0, 0, 64, MUSTER_DTYPE_INT8}};
    for (size_t i = 0; i < sizeof(receives) / sizeof(receives[0]); i++) {
        muster_record records[SIZE];
        memset(records, 0, sizeof(records));
        for (int rank = 0; rank < SIZE; rank++) {
            records[rank].call = MUSTER_CALL_P2P;
            records[rank].root = -1;
        }
        muster_p2p_digest_add(&records[0], 0, 1, 1, 0, 64, MUSTER_DTYPE_INT8);
        muster_p2p_digest_add(&records[receives[i][1]], (int32_t)receives[i][1],
                              (int32_t)receives[i][0], 2, receives[i][2], receives[i][3],
                              (int32_t)receives[i][4]);
        assert_int_equal(verdict_of(records).status, i == 0 ? MUSTER_OK : MUSTER_ERR_P2P_MISMATCH);
    }
}

static void the_direct_way_is_taken_when_everyone_has_mapped_it(void **state)
{
    (void)state;
    muster_record records[SIZE];
    agree(records);
    for (int rank = 0; rank < SIZE; rank++)
        records[rank].region_mapped_version = rank == ROOT ? 0 : 5;
    assert_false(verdict_of(records).direct); /* the root's buffer lies elsewhere */
    records[ROOT].region_version = 5;
    assert_true(verdict_of(records).direct);
    assert_int_equal(verdict_of(records).root_region_version, 5);
    records[3].region_mapped_version = 6;
    assert_true(verdict_of(records).direct);
    records[1].region_mapped_version = 4;
    assert_false(verdict_of(records).direct);
    assert_int_equal(verdict_of(records).status, MUSTER_OK);
    assert_int_equal(verdict_of(records).root_region_version, 5);
    records[1].own_rows = 0; /* it has nothing to move, so it needs no mapping */
    assert_true(verdict_of(records).direct);
    for (int rank = 0; rank < SIZE; rank++)
        records[rank].call = MUSTER_CALL_ALLGATHERV; /* no root's memory in it */
    records[ROOT].capacity_rows = -1;
    assert_false(verdict_of(records).direct);
}

static void calls_have_texts_and_traits(void **state)
{
    (void)state;
#define CHECK_CALL(name, value, text, has_root, has_lengths) \
    assert_string_equal(muster_call_text(MUSTER_CALL_##name), text); \
    assert_int_equal(muster_call_has_root(MUSTER_CALL_##name), has_root); \
    assert_int_equal(muster_call_has_lengths(MUSTER_CALL_##name), has_lengths);
    MUSTER_CALL_LIST(CHECK_CALL)
#undef CHECK_CALL
    assert_string_equal(muster_call_text((muster_call)99), "unknown call");
    assert_false(muster_call_has_root((muster_call)99));
    assert_false(muster_call_has_lengths((muster_call)99));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_alike_go_ahead),
        cmocka_unit_test(records_may_lie_farther_apart),
        cmocka_unit_test(every_difference_has_its_code_and_field),
        cmocka_unit_test(kinds_of_memory_must_not_differ),
        cmocka_unit_test(what_may_differ_may_differ),
        cmocka_unit_test(the_argument_is_named_by_the_call),
        cmocka_unit_test(the_rows_of_a_broadcast_are_equal),
        cmocka_unit_test(the_lowest_failing_rank_and_its_first_field_are_named),
        cmocka_unit_test(a_local_status_comes_with_its_detail),
        cmocka_unit_test(a_failing_reference_accuses_nobody),
        cmocka_unit_test(the_root_needs_room_for_all_rows),
        cmocka_unit_test(a_descriptors_hash_asks_for_the_slow_round),
        cmocka_unit_test(p2p_digests_meet_or_ask_for_the_slow_round),
        cmocka_unit_test(each_part_of_a_p2p_operation_counts),
        cmocka_unit_test(the_direct_way_is_taken_when_everyone_has_mapped_it),
        cmocka_unit_test(calls_have_texts_and_traits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
