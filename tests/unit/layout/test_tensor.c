/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "layout/tensor.h"

static _Alignas(16) unsigned char memory[4096];

static void assert_refused(const muster_tensor *tensor, muster_status status, muster_field field,
                           int64_t expected, int64_t came)
{
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_tensor_check(tensor, false, &error), status);
    assert_int_equal(error.status, status);
    assert_int_equal(error.field, field);
    assert_int_equal(error.expected, expected);
    assert_int_equal(error.came, came);
    assert_int_equal(error.rank, -1);
    assert_true(strlen(error.message) > 10);
    assert_int_equal(muster_tensor_check(tensor, false, NULL), status);
}

static void assert_taken(const muster_tensor *tensor)
{
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_tensor_check(tensor, false, &error), MUSTER_OK);
    assert_int_equal(error.status, MUSTER_OK);
}

static void every_dtype_has_bytes_and_text(void **state)
{
    (void)state;
#define CHECK_DTYPE(name, value, bytes, text) \
    assert_int_equal(muster_dtype_bytes(MUSTER_DTYPE_##name), bytes); \
    assert_string_equal(muster_dtype_text(MUSTER_DTYPE_##name), text);
    MUSTER_DTYPE_LIST(CHECK_DTYPE)
#undef CHECK_DTYPE
    assert_int_equal(muster_dtype_bytes((muster_dtype)0), 0);
    assert_int_equal(muster_dtype_bytes((muster_dtype)99), 0);
    assert_string_equal(muster_dtype_text((muster_dtype)99), "unknown dtype");
}

static void a_plain_tensor_is_taken_and_measured(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(memory, MUSTER_DTYPE_FLOAT32, 5, 7);
    assert_taken(&tensor);
    assert_int_equal(muster_tensor_row_bytes(&tensor), 28);
    assert_int_equal(muster_tensor_bytes(&tensor), 140);
    tensor.dimension_count = 1;
    assert_taken(&tensor);
    assert_int_equal(muster_tensor_row_bytes(&tensor), 4);
    assert_int_equal(muster_tensor_bytes(&tensor), 20);
    tensor.dimension_count = 8;
    for (int i = 0; i < 8; i++)
        tensor.dimensions[i] = 2;
    assert_taken(&tensor);
    assert_int_equal(muster_tensor_bytes(&tensor), 1024);
}

static void no_bytes_need_no_buffer(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(NULL, MUSTER_DTYPE_FLOAT64, 0, 7);
    assert_taken(&tensor);
    assert_int_equal(muster_tensor_bytes(&tensor), 0);
    tensor = muster_tensor_host(NULL, MUSTER_DTYPE_FLOAT64, 7, 0);
    assert_taken(&tensor);
    assert_int_equal(muster_tensor_row_bytes(&tensor), 0);
    tensor = muster_tensor_host(memory + 1, MUSTER_DTYPE_FLOAT64, 0, 7);
    assert_taken(&tensor);
}

static void null_and_other_structs_are_refused(void **state)
{
    (void)state;
    assert_refused(NULL, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0);
    muster_tensor tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT8, 1, 1);
    tensor.struct_bytes = 8;
    assert_refused(&tensor, MUSTER_ERR_STRUCT_SIZE, MUSTER_FIELD_STRUCT_BYTES,
                   sizeof(muster_tensor), 8);
}

static void wrong_dtypes_and_dimensions_are_refused(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(memory, (muster_dtype)15, 1, 1);
    assert_refused(&tensor, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, MUSTER_DTYPE_INT8, 15);
    tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT8, 1, 1);
    tensor.dimension_count = 0;
    assert_refused(&tensor, MUSTER_ERR_DIMENSIONS, MUSTER_FIELD_DIMENSION_COUNT, 8, 0);
    tensor.dimension_count = 9;
    assert_refused(&tensor, MUSTER_ERR_DIMENSIONS, MUSTER_FIELD_DIMENSION_COUNT, 8, 9);
    tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT8, -3, 1);
    assert_refused(&tensor, MUSTER_ERR_DIMENSIONS, MUSTER_FIELD_OWN_ROWS, 0, -3);
    tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT8, 3, -1);
    assert_refused(&tensor, MUSTER_ERR_DIMENSIONS, MUSTER_FIELD_FEATURE_DIMENSION_1, 0, -1);
    tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT8, 3, 1);
    tensor.dimension_count = 8;
    tensor.dimensions[7] = -2;
    assert_refused(&tensor, MUSTER_ERR_DIMENSIONS, MUSTER_FIELD_FEATURE_DIMENSION_7, 0, -2);
}

static void other_memory_is_refused(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT8, 1, 1);
    tensor.device = 0;
    assert_refused(&tensor, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_BUFFER, -1, 0);
    tensor.memory_kind = (muster_memory_kind)0;
    assert_refused(&tensor, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_MEMORY_KIND, MUSTER_MEMORY_HOST,
                   0);
    tensor.memory_kind = MUSTER_MEMORY_DEVICE;
    assert_refused(&tensor, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_MEMORY_KIND, MUSTER_MEMORY_HOST,
                   MUSTER_MEMORY_DEVICE);
    assert_int_equal(muster_tensor_check(&tensor, true, NULL), MUSTER_OK);
    tensor.device = -1;
    assert_int_equal(muster_tensor_check(&tensor, true, NULL), MUSTER_ERR_MEMORY_KIND);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(memory, MUSTER_DTYPE_FLOAT32, 1, INT64_C(1) << 61);
    assert_refused(&tensor, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX, 0);
    tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT8, INT64_C(1) << 32, INT64_C(1) << 32);
    assert_refused(&tensor, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX, INT64_C(1) << 32);
    /* Without rows, a row of too many bytes is still no tensor. */
    tensor = muster_tensor_host(NULL, MUSTER_DTYPE_FLOAT64, 0, INT64_MAX);
    assert_refused(&tensor, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX, 0);
    /* Features that multiply beyond 64 bits, but for a zero among them: no bytes. */
    tensor = muster_tensor_host(NULL, MUSTER_DTYPE_INT8, 4, INT64_MAX);
    tensor.dimension_count = 4;
    tensor.dimensions[2] = INT64_MAX;
    tensor.dimensions[3] = 0;
    assert_taken(&tensor);
    assert_int_equal(muster_tensor_bytes(&tensor), 0);
    /* Bytes that fit 64 bits, from an address from which they do not. */
    const uintptr_t last = UINTPTR_MAX - 15;
    tensor = muster_tensor_host(NULL, MUSTER_DTYPE_INT8, 17, 1);
    memcpy(&tensor.data, &last, sizeof(last));
    assert_refused(&tensor, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX, 17);
}

static void strides_must_say_row_major(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT16, 4, 3);
    tensor.strides[0] = 3;
    tensor.strides[1] = 1;
    assert_taken(&tensor);
    tensor.strides[0] = 4;
    assert_refused(&tensor, MUSTER_ERR_NOT_CONTIGUOUS, MUSTER_FIELD_OWN_ROWS, 3, 4);
    tensor.strides[0] = 1;
    tensor.strides[1] = 4; /* transposed */
    assert_refused(&tensor, MUSTER_ERR_NOT_CONTIGUOUS, MUSTER_FIELD_FEATURE_DIMENSION_1, 1, 4);
    tensor.strides[0] = -3;
    tensor.strides[1] = 1;
    assert_refused(&tensor, MUSTER_ERR_NOT_CONTIGUOUS, MUSTER_FIELD_OWN_ROWS, 3, -3);
    tensor.strides[0] = 3;
    tensor.strides[1] = 0; /* broadcast over the features */
    assert_refused(&tensor, MUSTER_ERR_NOT_CONTIGUOUS, MUSTER_FIELD_FEATURE_DIMENSION_1, 1, 0);
    /* A stride behind the last dimension is not read. */
    tensor.strides[1] = 1;
    tensor.strides[2] = 77;
    assert_taken(&tensor);
}

static void strides_that_are_never_used_may_be_anything(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT16, 1, 3);
    tensor.strides[0] = 999;
    tensor.strides[1] = 1;
    assert_taken(&tensor);
    tensor = muster_tensor_host(memory, MUSTER_DTYPE_INT16, 0, 3);
    tensor.strides[0] = 5;
    tensor.strides[1] = 5;
    assert_taken(&tensor);
}

static void null_and_misaligned_buffers_are_refused(void **state)
{
    (void)state;
    muster_tensor tensor = muster_tensor_host(NULL, MUSTER_DTYPE_INT32, 2, 3);
    assert_refused(&tensor, MUSTER_ERR_NULL_BUFFER, MUSTER_FIELD_BUFFER, 24, 0);
    tensor = muster_tensor_host(memory + 2, MUSTER_DTYPE_INT32, 2, 3);
    assert_refused(&tensor, MUSTER_ERR_MISALIGNED, MUSTER_FIELD_BUFFER, 4, 2);
    tensor = muster_tensor_host(memory + 1, MUSTER_DTYPE_BFLOAT16, 2, 3);
    assert_refused(&tensor, MUSTER_ERR_MISALIGNED, MUSTER_FIELD_BUFFER, 2, 1);
    tensor = muster_tensor_host(memory + 1, MUSTER_DTYPE_FLOAT8_E4M3, 2, 3);
    assert_taken(&tensor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype_has_bytes_and_text),
        cmocka_unit_test(a_plain_tensor_is_taken_and_measured),
        cmocka_unit_test(no_bytes_need_no_buffer),
        cmocka_unit_test(null_and_other_structs_are_refused),
        cmocka_unit_test(wrong_dtypes_and_dimensions_are_refused),
        cmocka_unit_test(other_memory_is_refused),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(strides_must_say_row_major),
        cmocka_unit_test(strides_that_are_never_used_may_be_anything),
        cmocka_unit_test(null_and_misaligned_buffers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
