/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collective/verdict.h"

static muster_verdict verdict_of(muster_status status, int32_t rank, muster_field field,
                                 int64_t expected, int64_t came)
{
    const muster_verdict verdict = {
        .status = status,
        .rank = rank,
        .field = field,
        .expected = expected,
        .came = came,
        .tensor_index = -1,
        .peer = -1,
        .ordinal = -1,
    };
    return verdict;
}

static void assert_sentence(muster_verdict verdict, const char *sentence)
{
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_verdict_to_error(&verdict, &error), verdict.status);
    assert_int_equal(error.status, verdict.status);
    assert_int_equal(error.rank, verdict.rank);
    assert_int_equal(error.field, verdict.field);
    assert_int_equal(error.expected, verdict.expected);
    assert_int_equal(error.came, verdict.came);
    assert_int_equal(error.tensor_index, verdict.tensor_index);
    assert_int_equal(error.native_code, verdict.native_code);
    assert_string_equal(error.message, sentence);
}

static void a_sentence_says_who_what_expected_came_and_what_to_do(void **state)
{
    (void)state;
    assert_sentence(verdict_of(MUSTER_ERR_ROOT, 3, MUSTER_FIELD_ROOT, 0, 2),
                    "rank 3: ranks disagree on the root, or the root is not a rank: root: "
                    "expected 0, came 2; pass one root on all ranks");
    assert_sentence(verdict_of(MUSTER_ERR_CAPACITY, 1, MUSTER_FIELD_CAPACITY, 10, 9),
                    "rank 1: the root's buffer has too few rows for the sum of the lengths: "
                    "capacity in rows: expected 10, came 9; give the root room for the sum of the "
                    "lengths");
    muster_verdict tensor = verdict_of(MUSTER_ERR_MISALIGNED, 2, MUSTER_FIELD_BUFFER, 4, 1);
    tensor.tensor_index = 5;
    tensor.native_code = 3;
    assert_sentence(tensor,
                    "rank 2: tensor 5: a buffer is not aligned to the size of its dtype: expected "
                    "a multiple of 4, came one off by 1; fix the call");
    assert_sentence(verdict_of(MUSTER_ERR_MISSING_CHUNK, 0, MUSTER_FIELD_CHUNK, 4, 2),
                    "rank 0: the root has no chunk for a rank: expected 4 chunks, came none for "
                    "rank 2; fix the call");
    assert_sentence(verdict_of(MUSTER_ERR_NULL_BUFFER, 0, MUSTER_FIELD_BUFFER, 64, 0),
                    "rank 0: a buffer with rows in it is NULL: expected 64 bytes; fix the call");
}

static void values_are_said_as_a_person_would(void **state)
{
    (void)state;
    assert_sentence(verdict_of(MUSTER_ERR_DTYPE, 1, MUSTER_FIELD_DTYPE, MUSTER_DTYPE_BFLOAT16,
                               MUSTER_DTYPE_FLOAT32),
                    "rank 1: the dtype differs, or its value is none: dtype: expected bfloat16, "
                    "came float32; pass tensors alike in all but their rows");
    assert_sentence(
        verdict_of(MUSTER_ERR_CALL, 1, MUSTER_FIELD_CALL, MUSTER_CALL_GATHERV, MUSTER_CALL_BARRIER),
        "rank 1: ranks are in different calls: call: expected gatherv, came barrier; "
        "let all ranks make the same calls in the same order");
    assert_sentence(verdict_of(MUSTER_ERR_MODIFIER, 1, MUSTER_FIELD_MODIFIER, -1, 0),
                    "rank 1: ranks disagree on the modifier of a gathered scope: modifier rank: "
                    "expected none, came 0; name one modifier on all ranks");
    assert_sentence(verdict_of(MUSTER_ERR_TAG, 1, MUSTER_FIELD_TAG, 255, -1),
                    "rank 1: ranks carry different user tags: tag: expected 0xff, came "
                    "0xffffffffffffffff; set one tag on all ranks");
}

static void lengths_are_told_by_their_sums(void **state)
{
    (void)state;
    assert_sentence(verdict_of(MUSTER_ERR_LENGTHS, 2, MUSTER_FIELD_LENGTHS, 8, 9),
                    "rank 2: other lengths than rank 0: expected a sum of 8, came 9; pass the "
                    "lengths that muster_allgather_lengths gave, on all ranks");
    assert_sentence(verdict_of(MUSTER_ERR_LENGTHS, 2, MUSTER_FIELD_LENGTHS, 8, 8),
                    "rank 2: other lengths than rank 0, though their sum is 8 on both; pass the "
                    "lengths that muster_allgather_lengths gave, on all ranks");
}

static void a_p2p_mismatch_names_both_sides(void **state)
{
    (void)state;
    muster_verdict verdict = verdict_of(MUSTER_ERR_P2P_MISMATCH, 1, MUSTER_FIELD_BYTES, 40, 48);
    verdict.peer = 2;
    verdict.ordinal = 3;
    verdict.direction = 1;
    assert_sentence(verdict, "send 3 of rank 1 to rank 2: its bytes is 40, the receive's there is "
                             "48; post one receive for each send, of its bytes and dtype");
    verdict.field = MUSTER_FIELD_PEER;
    verdict.expected = -1;
    verdict.came = 2;
    assert_sentence(verdict, "send 3 of rank 1 to rank 2 has no receive there; post one receive "
                             "for each send, of its bytes and dtype");
    verdict.direction = 2;
    assert_sentence(verdict, "receive 3 of rank 1 from rank 2 has no send there; post one receive "
                             "for each send, of its bytes and dtype");
    /* Before the slow round nobody can be named. */
    assert_sentence(verdict_of(MUSTER_ERR_P2P_MISMATCH, -1, MUSTER_FIELD_DESCRIPTORS, 0, 0),
                    "a send of the P2P batch has no matching receive: tensor descriptors; post one "
                    "receive for each send, of its bytes and dtype");
}

static void success_clears_the_error_and_none_is_fine(void **state)
{
    (void)state;
    muster_verdict verdict = verdict_of(MUSTER_OK, -1, MUSTER_FIELD_NONE, 0, 0);
    muster_error error;
    muster_error_init(&error);
    error.status = MUSTER_ERR_TAG;
    strcpy(error.message, "old");
    assert_int_equal(muster_verdict_to_error(&verdict, &error), MUSTER_OK);
    assert_int_equal(error.status, MUSTER_OK);
    assert_string_equal(error.message, "");
    assert_int_equal(muster_verdict_to_error(&verdict, NULL), MUSTER_OK);
    verdict.status = MUSTER_ERR_TAG;
    assert_int_equal(muster_verdict_to_error(&verdict, NULL), MUSTER_ERR_TAG);
    memset(&error, 0, sizeof(error));
    const muster_error before = error;
    assert_int_equal(muster_verdict_to_error(&verdict, &error), MUSTER_ERR_TAG);
    assert_memory_equal(&error, &before, sizeof(error));
}

/* Whatever the status, field and values: a sentence that is not cut and ends in what to do. */
static void every_status_and_field_has_a_whole_sentence(void **state)
{
    (void)state;
    const muster_status statuses[] = {
#define STATUS(name, value, advice, text) MUSTER_##name,
        MUSTER_STATUS_LIST(STATUS)
#undef STATUS
    };
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i] == MUSTER_OK)
            continue;
        for (int field = 0; field <= MUSTER_FIELD_OPTION; field++) {
            muster_verdict verdict =
                verdict_of(statuses[i], INT32_MAX, (muster_field)field, INT64_MIN, INT64_MIN + 1);
            verdict.tensor_index = INT32_MAX;
            muster_error error;
            muster_error_init(&error);
            assert_int_equal(muster_verdict_to_error(&verdict, &error), statuses[i]);
            assert_true(strlen(error.message) < MUSTER_ERROR_MESSAGE_BYTES - 1);
            assert_non_null(strstr(error.message, "rank 2147483647"));
            assert_non_null(strchr(error.message, ';'));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentence_says_who_what_expected_came_and_what_to_do),
        cmocka_unit_test(values_are_said_as_a_person_would),
        cmocka_unit_test(lengths_are_told_by_their_sums),
        cmocka_unit_test(a_p2p_mismatch_names_both_sides),
        cmocka_unit_test(success_clears_the_error_and_none_is_fine),
        cmocka_unit_test(every_status_and_field_has_a_whole_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
