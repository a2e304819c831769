/* SPDX-License-Identifier: Apache-2.0 */
/* The merge is associative: over random records, every way of bracketing them gives one summary. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "collective/verdict.h"

#define RANKS_MAX 12

static uint64_t state_word;

static uint64_t draw(void)
{
    state_word ^= state_word << 13;
    state_word ^= state_word >> 7;
    state_word ^= state_word << 17;
    return state_word;
}

static bool one_in(uint64_t n)
{
    return draw() % n == 0;
}

/* Mostly alike; each field differs now and then, from few values, so that differences meet again. */
static void draw_record(muster_record *record, uint64_t rareness)
{
    memset(record, 0, sizeof(*record));
    record->wire_version = one_in(rareness) ? 2 : 1;
    record->job = one_in(rareness);
    record->communicator = one_in(rareness);
    record->epoch = one_in(rareness);
    record->sequence = one_in(rareness);
    record->call = one_in(rareness) ? (uint32_t)(draw() % 15) : (uint32_t)MUSTER_CALL_GATHERV;
    record->root = one_in(rareness) ? (int32_t)(draw() % (RANKS_MAX + 2)) - 1 : 2;
    record->phase = one_in(rareness);
    record->tag = one_in(rareness);
    record->tensor_count = one_in(rareness);
    record->dtype = one_in(rareness);
    record->dimension_count = one_in(rareness);
    record->feature_dimensions[draw() % 7] = one_in(rareness);
    record->lengths_count = one_in(rareness);
    record->lengths_hash = one_in(rareness);
    record->total_rows = one_in(rareness);
    record->argument = one_in(rareness);
    record->own_rows = one_in(rareness) ? (int64_t)draw() : (int64_t)(draw() % 4);
    record->capacity_rows = one_in(3) ? -1 : (int64_t)(draw() % 40);
    record->descriptors_hash = one_in(rareness);
    for (int i = 0; i < 2; i++) {
        record->p2p_send_digest[i] = draw();
        record->p2p_receive_digest[i] = draw();
    }
    record->local_status = one_in(rareness) ? (int32_t)(1 + draw() % 30) : 0;
    record->local_field = (int32_t)(draw() % 30);
    record->local_expected = (int64_t)(draw() % 100);
    record->local_came = (int64_t)(draw() % 100);
    record->local_tensor_index = (int32_t)(draw() % 4) - 1;
    record->local_native_code = (int32_t)(draw() % 4);
    record->region_version = draw() % 3;
    record->region_mapped_version = draw() % 4;
    record->memory_kind = one_in(rareness) ? (int32_t)(draw() % 3) : MUSTER_MEMORY_HOST;
}

static muster_verdict_summary merge_randomly(const muster_record *records, int32_t first,
                                             int32_t count)
{
    if (count == 1)
        return muster_verdict_of(&records[first], first);
    const int32_t left_count = 1 + (int32_t)(draw() % (uint64_t)(count - 1));
    const muster_verdict_summary left = merge_randomly(records, first, left_count);
    const muster_verdict_summary right =
        merge_randomly(records, first + left_count, count - left_count);
    return muster_verdict_merge(&left, &right);
}

static void assert_same_summary(const muster_verdict_summary *a, const muster_verdict_summary *b)
{
    assert_memory_equal(&a->reference, &b->reference, sizeof(a->reference));
    assert_int_equal(a->first_rank, b->first_rank);
    assert_int_equal(a->rank_count, b->rank_count);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->failing_rank, b->failing_rank);
    assert_int_equal(a->field, b->field);
    assert_int_equal(a->expected, b->expected);
    assert_int_equal(a->came, b->came);
    assert_int_equal(a->tensor_index, b->tensor_index);
    assert_int_equal(a->native_code, b->native_code);
    assert_int_equal(a->memory_kind, b->memory_kind);
    assert_int_equal(a->memory_kind_rank, b->memory_kind_rank);
    assert_int_equal(a->other_memory_kind, b->other_memory_kind);
    assert_int_equal(a->other_memory_kind_rank, b->other_memory_kind_rank);
    assert_memory_equal(a->p2p_send_digest, b->p2p_send_digest, sizeof(a->p2p_send_digest));
    assert_memory_equal(a->p2p_receive_digest, b->p2p_receive_digest,
                        sizeof(a->p2p_receive_digest));
    assert_int_equal(a->rows_sum, b->rows_sum);
    assert_int_equal(a->rows_overflow, b->rows_overflow);
    assert_int_equal(a->root_capacity_rows, b->root_capacity_rows);
    assert_int_equal(a->root_total_rows, b->root_total_rows);
    assert_int_equal(a->root_region_version, b->root_region_version);
    assert_int_equal(a->least_region_mapped_version, b->least_region_mapped_version);
    assert_int_equal(a->descriptors_rank, b->descriptors_rank);
}

/* The rule of verdict.h, written down once more without any merge: every record against rank 0's. */
static int32_t lowest_failing(const muster_record *records, int32_t count)
{
    for (int32_t rank = 0; rank < count; rank++) {
        const muster_verdict_summary first = muster_verdict_of(&records[0], rank - 1);
        const muster_verdict_summary own = muster_verdict_of(&records[rank], rank);
        if (rank == 0 && own.status != MUSTER_OK)
            return 0;
        if (rank > 0 && muster_verdict_merge(&first, &own).failing_rank >= 0)
            return rank;
    }
    return -1;
}

static void every_bracketing_gives_one_summary(void **state)
{
    const uint64_t seed = *(const uint64_t *)*state;
    print_message("seed %" PRIu64 " (MUSTER_TEST_SEED=%" PRIu64 " repeats it)\n", seed, seed);
    state_word = seed * 2 + 1;
    int failed = 0;
    int passed = 0;
    for (int round = 0; round < 4000; round++) {
        muster_record records[RANKS_MAX];
        const int32_t count = 2 + (int32_t)(draw() % (RANKS_MAX - 1));
        const uint64_t rareness = round % 2 == 0 ? 20 : 400;
        for (int32_t rank = 0; rank < count; rank++)
            draw_record(&records[rank], rareness);
        const muster_verdict_summary once = merge_randomly(records, 0, count);
        for (int again = 0; again < 6; again++) {
            const muster_verdict_summary other = merge_randomly(records, 0, count);
            assert_same_summary(&once, &other);
        }
        const muster_verdict finished = muster_verdict_finish(&once);
        const muster_verdict flat = muster_verdict_of_records(records, sizeof(records[0]), count);
        assert_int_equal(finished.status, flat.status);
        assert_int_equal(finished.rank, flat.rank);
        assert_int_equal(finished.field, flat.field);
        assert_int_equal(finished.direct, flat.direct);
        assert_int_equal(finished.needs_descriptors, flat.needs_descriptors);
        assert_int_equal(once.failing_rank, lowest_failing(records, count));
        failed += once.status != MUSTER_OK;
        passed += once.status == MUSTER_OK;
    }
    /* Both kinds were really tried. */
    assert_true(failed > 500 && passed > 500);
}

static int read_seed(void **state)
{
    static uint64_t seed;
    const char *text = getenv("MUSTER_TEST_SEED");
    seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    *state = &seed;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_bracketing_gives_one_summary, read_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
