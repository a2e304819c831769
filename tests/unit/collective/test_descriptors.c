/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collective/verdict.h"

static muster_descriptor tensor_of(muster_dtype dtype, int64_t features)
{
    const muster_descriptor descriptor = {
        .dtype = dtype,
        .dimension_count = 2,
        .feature_dimensions = {features},
        .peer = -1,
    };
    return descriptor;
}

static muster_descriptor operation_of(int32_t direction, int32_t peer, int64_t bytes)
{
    const muster_descriptor descriptor = {
        .dtype = MUSTER_DTYPE_UINT8,
        .dimension_count = 1,
        .rows = bytes,
        .bytes = bytes,
        .peer = peer,
        .direction = direction,
    };
    return descriptor;
}

#define SEND(peer, bytes) operation_of(1, peer, bytes)
#define RECEIVE(peer, bytes) operation_of(2, peer, bytes)

static void the_hash_sees_every_field_and_the_count(void **state)
{
    (void)state;
    muster_descriptor list[2] = {tensor_of(MUSTER_DTYPE_INT8, 4), tensor_of(MUSTER_DTYPE_INT8, 4)};
    const uint64_t hash = muster_descriptors_hash(list, 2);
    assert_true(muster_descriptors_hash(list, 1) != hash);
    assert_true(muster_descriptors_hash(list, 0) != hash);
    list[1].feature_dimensions[6] = 1;
    assert_true(muster_descriptors_hash(list, 2) != hash);
    list[1].feature_dimensions[6] = 0;
    list[1].direction = 1;
    assert_true(muster_descriptors_hash(list, 2) != hash);
    list[1].direction = 0;
    assert_true(muster_descriptors_hash(list, 2) == hash);
}

static void a_batch_names_rank_tensor_and_field(void **state)
{
    (void)state;
    muster_descriptor lists[3][3];
    const muster_descriptor *pointers[3] = {lists[0], lists[1], lists[2]};
    int32_t counts[3] = {3, 3, 3};
    for (int rank = 0; rank < 3; rank++)
        for (int i = 0; i < 3; i++)
            lists[rank][i] = tensor_of(MUSTER_DTYPE_INT64, 8 + i);
    muster_verdict verdict =
        muster_verdict_of_descriptors(pointers, counts, 3, MUSTER_CALL_GATHERV);
    assert_int_equal(verdict.status, MUSTER_OK);

    lists[2][1].feature_dimensions[0] = 7;
    verdict = muster_verdict_of_descriptors(pointers, counts, 3, MUSTER_CALL_GATHERV);
    assert_int_equal(verdict.status, MUSTER_ERR_FEATURE_DIMENSIONS);
    assert_int_equal(verdict.rank, 2);
    assert_int_equal(verdict.tensor_index, 1);
    assert_int_equal(verdict.field, MUSTER_FIELD_FEATURE_DIMENSION_1);
    assert_int_equal(verdict.expected, 9);
    assert_int_equal(verdict.came, 7);
    assert_false(verdict.needs_descriptors);

    lists[1][2].dtype = MUSTER_DTYPE_UINT64;
    verdict = muster_verdict_of_descriptors(pointers, counts, 3, MUSTER_CALL_GATHERV);
    assert_int_equal(verdict.status, MUSTER_ERR_DTYPE);
    assert_int_equal(verdict.rank, 1);
    assert_int_equal(verdict.tensor_index, 2);
    assert_int_equal(verdict.expected, MUSTER_DTYPE_INT64);
    assert_int_equal(verdict.came, MUSTER_DTYPE_UINT64);

    lists[1][0].dimension_count = 3;
    verdict = muster_verdict_of_descriptors(pointers, counts, 3, MUSTER_CALL_GATHERV);
    assert_int_equal(verdict.status, MUSTER_ERR_FEATURE_DIMENSIONS);
    assert_int_equal(verdict.field, MUSTER_FIELD_DIMENSION_COUNT);
    assert_int_equal(verdict.tensor_index, 0);

    counts[1] = 2;
    verdict = muster_verdict_of_descriptors(pointers, counts, 3, MUSTER_CALL_GATHERV);
    assert_int_equal(verdict.status, MUSTER_ERR_TENSOR_COUNT);
    assert_int_equal(verdict.rank, 1);
    assert_int_equal(verdict.expected, 3);
    assert_int_equal(verdict.came, 2);
}

/* Page by page, as the slow round does it, the first difference is the same as over whole lists. */
static void pages_find_what_lists_do(void **state)
{
    (void)state;
    enum { RANKS = 4, TENSORS_MAX = 9, PAGE = 4 };
    unsigned seed = 11;
    int differences = 0;
    for (int round = 0; round < 3000; round++) {
        muster_descriptor lists[RANKS][TENSORS_MAX];
        const muster_descriptor *pointers[RANKS];
        int32_t counts[RANKS];
        const int32_t usual = (int32_t)(rand_r(&seed) % TENSORS_MAX);
        for (int rank = 0; rank < RANKS; rank++) {
            pointers[rank] = lists[rank];
            counts[rank] = rand_r(&seed) % 16 == 0 ? usual + 1 : usual;
            for (int i = 0; i < TENSORS_MAX; i++)
                lists[rank][i] = tensor_of(MUSTER_DTYPE_INT64, 8 + (rand_r(&seed) % 32 == 0));
        }
        const muster_verdict whole =
            muster_verdict_of_descriptors(pointers, counts, RANKS, MUSTER_CALL_GATHERV);
        muster_verdict paged = {.status = MUSTER_OK, .rank = RANKS};
        for (int32_t first = 0; first == 0 || first < counts[0]; first += PAGE) {
            const int32_t left = counts[0] - first;
            for (int32_t rank = 1; rank < paged.rank; rank++) {
                const muster_verdict found =
                    muster_verdict_of_page(lists[0] + first, counts[0], lists[rank] + first,
                                           counts[rank], first, left < PAGE ? left : PAGE, rank);
                if (found.status != MUSTER_OK)
                    paged = found;
            }
        }
        assert_int_equal(paged.status, whole.status);
        differences += whole.status != MUSTER_OK;
        if (whole.status == MUSTER_OK)
            continue;
        assert_int_equal(paged.rank, whole.rank);
        assert_int_equal(paged.field, whole.field);
        assert_int_equal(paged.tensor_index, whole.tensor_index);
        assert_int_equal(paged.expected, whole.expected);
        assert_int_equal(paged.came, whole.came);
    }
    assert_true(differences > 100 && differences < 2990);
}

static void parameters_of_other_sizes_are_told_apart(void **state)
{
    (void)state;
    muster_descriptor one = tensor_of(MUSTER_DTYPE_FLOAT32, 4);
    muster_descriptor other = one;
    const muster_descriptor *lists[2] = {&one, &other};
    const int32_t counts[2] = {1, 1};
    one.rows = 10;
    other.rows = 12;
    const muster_verdict verdict =
        muster_verdict_of_descriptors(lists, counts, 2, MUSTER_CALL_PARAMS_GATHER);
    assert_int_equal(verdict.status, MUSTER_ERR_OWN_ROWS);
    assert_int_equal(verdict.rank, 1);
    assert_int_equal(verdict.expected, 10);
    assert_int_equal(verdict.came, 12);
}

typedef struct p2p_case {
    const char *name;
    muster_descriptor lists[3][4];
    int32_t counts[3];
    muster_status status;
    int32_t rank;
    int32_t peer;
    int64_t ordinal;
    int32_t direction;
    muster_field field;
    int64_t expected;
    int64_t came;
} p2p_case;

static void p2p_lists_name_both_sides(void **state)
{
    (void)state;
    const p2p_case cases[] = {
        {"empty lists", {{{0}}}, {0, 0, 0}, MUSTER_OK, -1, -1, -1, 0, MUSTER_FIELD_NONE, 0, 0},
        {"all meet, in other orders between other peers",
         {{SEND(1, 8), SEND(2, 9), SEND(1, 10), RECEIVE(2, 7)},
          {RECEIVE(0, 8), RECEIVE(0, 10), SEND(1, 3), RECEIVE(1, 3)},
          {SEND(0, 7), RECEIVE(0, 9)}},
         {4, 4, 2},
         MUSTER_OK,
         -1,
         -1,
         -1,
         0,
         MUSTER_FIELD_NONE,
         0,
         0},
        {"the second send has other bytes",
         {{RECEIVE(2, 5)}, {SEND(2, 1), SEND(2, 40)}, {RECEIVE(1, 1), RECEIVE(1, 48), SEND(0, 5)}},
         {1, 2, 3},
         MUSTER_ERR_P2P_MISMATCH,
         1,
         2,
         1,
         1,
         MUSTER_FIELD_BYTES,
         40,
         48},
        {"a send without a receive",
         {{SEND(2, 4), SEND(2, 4)}, {{0}}, {RECEIVE(0, 4)}},
         {2, 0, 1},
         MUSTER_ERR_P2P_MISMATCH,
         0,
         2,
         1,
         1,
         MUSTER_FIELD_PEER,
         -1,
         2},
        {"a receive without a send",
         {{SEND(2, 4)}, {{0}}, {RECEIVE(0, 4), RECEIVE(0, 4)}},
         {1, 0, 2},
         MUSTER_ERR_P2P_MISMATCH,
         2,
         0,
         1,
         2,
         MUSTER_FIELD_PEER,
         -1,
         0},
        {"a send to oneself without a receive",
         {{{0}}, {SEND(1, 4)}, {{0}}},
         {0, 1, 0},
         MUSTER_ERR_P2P_MISMATCH,
         1,
         1,
         0,
         1,
         MUSTER_FIELD_PEER,
         -1,
         1},
        {"zero bytes are matched too",
         {{SEND(1, 0)}, {{0}}, {{0}}},
         {1, 0, 0},
         MUSTER_ERR_P2P_MISMATCH,
         0,
         1,
         0,
         1,
         MUSTER_FIELD_PEER,
         -1,
         1},
        {"the pair of the lowest rank is named first",
         {{RECEIVE(2, 6)}, {SEND(1, 4)}, {SEND(0, 7)}},
         {1, 1, 1},
         MUSTER_ERR_P2P_MISMATCH,
         2,
         0,
         0,
         1,
         MUSTER_FIELD_BYTES,
         7,
         6},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const p2p_case *c = &cases[i];
        const muster_descriptor *lists[3];
        for (int rank = 0; rank < 3; rank++)
            lists[rank] = c->counts[rank] > 0 ? c->lists[rank] : NULL;
        const muster_verdict verdict =
            muster_verdict_of_descriptors(lists, c->counts, 3, MUSTER_CALL_P2P);
        print_message("%s\n", c->name);
        assert_int_equal(verdict.status, c->status);
        assert_int_equal(verdict.rank, c->rank);
        assert_int_equal(verdict.peer, c->peer);
        assert_int_equal(verdict.ordinal, c->ordinal);
        assert_int_equal(verdict.direction, c->direction);
        assert_int_equal(verdict.field, c->field);
        assert_int_equal(verdict.expected, c->expected);
        assert_int_equal(verdict.came, c->came);
        assert_false(verdict.needs_descriptors);
    }
}

static void another_dtype_is_a_mismatch_too(void **state)
{
    (void)state;
    muster_descriptor send = SEND(1, 8);
    muster_descriptor receive = RECEIVE(0, 8);
    receive.dtype = MUSTER_DTYPE_INT8;
    const muster_descriptor *lists[2] = {&send, &receive};
    const int32_t counts[2] = {1, 1};
    const muster_verdict verdict = muster_verdict_of_descriptors(lists, counts, 2, MUSTER_CALL_P2P);
    assert_int_equal(verdict.status, MUSTER_ERR_P2P_MISMATCH);
    assert_int_equal(verdict.field, MUSTER_FIELD_DTYPE);
    assert_int_equal(verdict.expected, MUSTER_DTYPE_UINT8);
    assert_int_equal(verdict.came, MUSTER_DTYPE_INT8);
}

/* What the digests of the fast round say must be what the slow round finds. */
static void digests_and_lists_agree(void **state)
{
    (void)state;
    unsigned seed = 7;
    print_message("seed %u\n", seed);
    int mismatches = 0;
    for (int round = 0; round < 3000; round++) {
        muster_descriptor lists[3][3];
        const muster_descriptor *pointers[3] = {lists[0], lists[1], lists[2]};
        int32_t counts[3];
        muster_record records[3];
        memset(records, 0, sizeof(records));
        for (int32_t rank = 0; rank < 3; rank++) {
            int64_t ordinals[2][3] = {{0}};
            counts[rank] = (int32_t)(rand_r(&seed) % 4);
            records[rank].call = MUSTER_CALL_P2P;
            records[rank].root = -1;
            for (int32_t i = 0; i < counts[rank]; i++) {
                const int32_t direction = 1 + (int32_t)(rand_r(&seed) % 2);
                const int32_t peer = (int32_t)(rand_r(&seed) % 2);
                lists[rank][i] = operation_of(direction, peer, rand_r(&seed) % 8 == 0);
                muster_p2p_digest_add(&records[rank], rank, peer, direction,
                                      ordinals[direction - 1][peer]++, lists[rank][i].bytes,
                                      lists[rank][i].dtype);
            }
        }
        const muster_verdict fast = muster_verdict_of_records(records, sizeof(records[0]), 3);
        const muster_verdict slow =
            muster_verdict_of_descriptors(pointers, counts, 3, MUSTER_CALL_P2P);
        assert_int_equal(fast.status, slow.status);
        assert_int_equal(fast.needs_descriptors, slow.status != MUSTER_OK);
        mismatches += slow.status != MUSTER_OK;
    }
    assert_true(mismatches > 100 && mismatches < 2990);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_sees_every_field_and_the_count),
        cmocka_unit_test(a_batch_names_rank_tensor_and_field),
        cmocka_unit_test(pages_find_what_lists_do),
        cmocka_unit_test(parameters_of_other_sizes_are_told_apart),
        cmocka_unit_test(p2p_lists_name_both_sides),
        cmocka_unit_test(another_dtype_is_a_mismatch_too),
        cmocka_unit_test(digests_and_lists_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
