/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as NCCL 2.29.7 has them in its table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/emulated_device/kernel.h"
#include "tests/emulated_device/kernel_function.h"

#define FUNCTION_COUNT 673

static const struct {
    unsigned number;
    kernel_function function;
} known[] = {
    {3, {KERNEL_ALL_GATHER, 0, 0, "RING", NCCL_LL}},
    {8, {KERNEL_BROADCASTS, 0, 0, "RING", NCCL_SIMPLE}},
    {61, {KERNEL_ALL_REDUCE, KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_INT32, "NVLS", NCCL_SIMPLE}},
    {64, {KERNEL_ALL_REDUCE, KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_INT64, "NVLS_TREE", NCCL_SIMPLE}},
    {125, {KERNEL_ALL_REDUCE, KERNEL_SCALED_SUM, KERNEL_FLOAT8E4M3, "COLLNET_CHAIN", NCCL_SIMPLE}},
    {186, {KERNEL_ALL_REDUCE, KERNEL_PRODUCT, KERNEL_FLOAT32, "TREE", NCCL_LL}},
    {261, {KERNEL_ALL_REDUCE, KERNEL_SUM, KERNEL_FLOAT32, "RING", NCCL_LL}},
    {308, {KERNEL_ALL_REDUCE, KERNEL_SUM, KERNEL_UINT64, "RING", NCCL_LL128}},
    {345, {KERNEL_BROADCAST, 0, 0, "RING", NCCL_LL}},
    {369, {KERNEL_REDUCE, KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_UINT64, "RING", NCCL_LL}},
    {430, {KERNEL_REDUCE, KERNEL_SUM, KERNEL_BFLOAT16, "RING", NCCL_LL128}},
    {552, {KERNEL_REDUCE_SCATTER, KERNEL_SCALED_SUM, KERNEL_UINT64, "PAT", NCCL_SIMPLE}},
    {672, {KERNEL_SEND_RECEIVE, 0, 0, "RING", NCCL_SIMPLE}},
};

static void numbers_are_those_of_the_table(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof(known) / sizeof(known[0]); at++) {
        const kernel_function *expected = &known[at].function;
        kernel_function found;

        assert_true(kernel_function_find(known[at].number, &found));
        assert_int_equal(found.kind, expected->kind);
        assert_string_equal(found.algorithm, expected->algorithm);
        assert_int_equal(found.protocol, expected->protocol);
        if (!kernel_function_reduces(found.kind))
            continue;
        assert_int_equal(found.operation, expected->operation);
        assert_int_equal(found.type, expected->type);
    }
}

static void there_are_as_many_as_in_the_table(void **state)
{
    kernel_function found;

    (void)state;
    for (unsigned number = 0; number < FUNCTION_COUNT; number++) {
        assert_true(kernel_function_find(number, &found));
        assert_int_equal(found.kind == KERNEL_SEND_RECEIVE, number == FUNCTION_COUNT - 1);
    }
    assert_false(kernel_function_find(FUNCTION_COUNT, &found));
    assert_false(kernel_function_find(1U << 14, &found));
}

static void versions_are_known_or_refused(void **state)
{
    (void)state;
    assert_true(emulated_kernel_knows(22907));
    assert_false(emulated_kernel_knows(22906));
    assert_false(emulated_kernel_knows(23003));
    assert_false(emulated_kernel_knows(0));
}

static void chunk_sizes_are_decoded(void **state)
{
    (void)state;
    assert_int_equal(nccl_chunk_bytes(0), 0);
    assert_int_equal(nccl_chunk_bytes(7), 7);
    assert_int_equal(nccl_chunk_bytes(8), 8);
    assert_int_equal(nccl_chunk_bytes(15), 15);
    assert_int_equal(nccl_chunk_bytes(16), 16);
    assert_int_equal(nccl_chunk_bytes(17), 18);
    assert_int_equal(nccl_chunk_bytes(15 << 3), 128 << 10);
    assert_int_equal(nccl_chunk_bytes(0xef), 0xf0000000U);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_table),
        cmocka_unit_test(there_are_as_many_as_in_the_table),
        cmocka_unit_test(versions_are_known_or_refused),
        cmocka_unit_test(chunk_sizes_are_decoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
