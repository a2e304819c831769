/* SPDX-License-Identifier: Apache-2.0 */
#include "layout/tensor.h"

#include <inttypes.h>

#include <muster/device.h>

#include "base/assert.h"
#include "base/error.h"

muster_tensor muster_tensor_host(void *data, muster_dtype dtype, int64_t rows, int64_t features)
{
    const muster_tensor tensor = {
        .struct_bytes = sizeof(muster_tensor),
        .data = data,
        .dtype = dtype,
        .memory_kind = MUSTER_MEMORY_HOST,
        .device = -1,
        .dimension_count = 2,
        .dimensions = {rows, features},
    };
    return tensor;
}

muster_tensor muster_tensor_device(void *data, muster_dtype dtype, int64_t rows, int64_t features,
                                   int32_t device)
{
    muster_tensor tensor = muster_tensor_host(data, dtype, rows, features);
    tensor.memory_kind = MUSTER_MEMORY_DEVICE;
    tensor.device = device;
    return tensor;
}

typedef struct dtype_row {
    muster_dtype dtype;
    size_t bytes;
    const char *text;
} dtype_row;

static const dtype_row dtype_rows[] = {
#define MUSTER_DTYPE_ROW(name, value, bytes, text) {MUSTER_DTYPE_##name, bytes, text},
    MUSTER_DTYPE_LIST(MUSTER_DTYPE_ROW)
#undef MUSTER_DTYPE_ROW
};

/* NULL for a value that is no dtype. The values count from 1 without a gap, so a row is found at once. */
static const dtype_row *row_of(muster_dtype dtype)
{
    const size_t index = (size_t)dtype - MUSTER_DTYPE_INT8;
    if (index >= sizeof(dtype_rows) / sizeof(dtype_rows[0]))
        return NULL;
    MUSTER_ASSERT(dtype_rows[index].dtype == dtype);
    return &dtype_rows[index];
}

size_t muster_dtype_bytes(muster_dtype dtype)
{
    const dtype_row *row = row_of(dtype);
    return row != NULL ? row->bytes : 0;
}

const char *muster_dtype_text(muster_dtype dtype)
{
    const dtype_row *row = row_of(dtype);
    return row != NULL ? row->text : "unknown dtype";
}

static muster_field dimension_field(int32_t dimension)
{
    if (dimension == 0)
        return MUSTER_FIELD_OWN_ROWS;
    return (muster_field)(MUSTER_FIELD_FEATURE_DIMENSION_1 + dimension - 1);
}

/* Elements of one row; false on overflow. A feature dimension of 0 makes it 0, whatever the others. */
static bool row_elements(const muster_tensor *tensor, int64_t *elements)
{
    *elements = 1;
    for (int32_t i = 1; i < tensor->dimension_count; i++) {
        if (tensor->dimensions[i] == 0) {
            *elements = 0;
            return true;
        }
    }
    for (int32_t i = 1; i < tensor->dimension_count; i++) {
        if (__builtin_mul_overflow(*elements, tensor->dimensions[i], elements))
            return false;
    }
    return true;
}

static muster_status check_shape(const muster_tensor *tensor, muster_error *error)
{
    if (muster_dtype_bytes(tensor->dtype) == 0)
        return muster_error_set(error, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, MUSTER_DTYPE_INT8,
                                tensor->dtype,
                                "dtype: expected a value of muster_dtype, came %d; set "
                                "muster_tensor.dtype to one of MUSTER_DTYPE_*",
                                (int)tensor->dtype);
    if (tensor->dimension_count < 1 || tensor->dimension_count > MUSTER_DIMENSIONS_MAX)
        return muster_error_set(error, MUSTER_ERR_DIMENSIONS, MUSTER_FIELD_DIMENSION_COUNT,
                                MUSTER_DIMENSIONS_MAX, tensor->dimension_count,
                                "dimension_count: expected 1 to %d, came %" PRId32
                                "; fold dimensions together",
                                MUSTER_DIMENSIONS_MAX, tensor->dimension_count);
    for (int32_t i = 0; i < tensor->dimension_count; i++) {
        if (tensor->dimensions[i] < 0)
            return muster_error_set(error, MUSTER_ERR_DIMENSIONS, dimension_field(i), 0,
                                    tensor->dimensions[i],
                                    "dimensions[%" PRId32 "]: expected 0 or more, came %" PRId64, i,
                                    tensor->dimensions[i]);
    }
    return MUSTER_OK;
}

static muster_status check_memory_kind(const muster_tensor *tensor, bool device_allowed,
                                       muster_error *error)
{
    if (tensor->memory_kind == MUSTER_MEMORY_HOST) {
        if (tensor->device == -1)
            return MUSTER_OK;
        return muster_error_set(
            error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_BUFFER, -1, tensor->device,
            "device: expected -1 for host memory, came %" PRId32 "; muster_tensor_host sets it",
            tensor->device);
    }
    if (tensor->memory_kind != MUSTER_MEMORY_DEVICE)
        return muster_error_set(error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_MEMORY_KIND,
                                MUSTER_MEMORY_HOST, tensor->memory_kind,
                                "memory_kind: expected MUSTER_MEMORY_HOST or _DEVICE, came %d",
                                (int)tensor->memory_kind);
    if (!device_allowed)
        return muster_error_set(error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_MEMORY_KIND,
                                MUSTER_MEMORY_HOST, tensor->memory_kind,
                                "memory_kind: expected host memory, came device memory, and no "
                                "device plane is loaded; copy to the host first");
    if (tensor->device < 0)
        return muster_error_set(
            error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_BUFFER, 0, tensor->device,
            "device: expected 0 or more for device memory, came %" PRId32, tensor->device);
    return MUSTER_OK;
}

/* The stride of a dimension of at most one entry is never used to find an element, so it may be
 * anything (frameworks leave odd values there); so may all of them where there is no element. */
static muster_status check_strides(const muster_tensor *tensor, muster_error *error)
{
    bool all_zero = true;
    for (int32_t i = 0; i < tensor->dimension_count; i++) {
        if (tensor->dimensions[i] == 0)
            return MUSTER_OK;
        all_zero = all_zero && tensor->strides[i] == 0;
    }
    if (all_zero)
        return MUSTER_OK;
    int64_t expected = 1; /* cannot overflow: the elements were counted before */
    for (int32_t i = tensor->dimension_count - 1; i >= 0; i--) {
        if (tensor->dimensions[i] > 1 && tensor->strides[i] != expected)
            return muster_error_set(
                error, MUSTER_ERR_NOT_CONTIGUOUS, dimension_field(i), expected, tensor->strides[i],
                "strides[%" PRId32 "]: expected %" PRId64 " (contiguous, row-major), came %" PRId64
                "; make a contiguous copy, or leave all strides 0",
                i, expected, tensor->strides[i]);
        expected *= tensor->dimensions[i];
    }
    return MUSTER_OK;
}

/* *bytes of the whole tensor; everything that is later computed from it fits 63 bits. */
static muster_status check_size(const muster_tensor *tensor, int64_t *bytes, muster_error *error)
{
    int64_t row_bytes = 0;
    if (!row_elements(tensor, &row_bytes) ||
        __builtin_mul_overflow(row_bytes, (int64_t)muster_dtype_bytes(tensor->dtype), &row_bytes))
        return muster_error_set(error, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX, 0,
                                "the bytes of one row overflow 64 bits; look at the feature "
                                "dimensions");
    if (__builtin_mul_overflow(row_bytes, tensor->dimensions[0], bytes) ||
        (uint64_t)*bytes > UINTPTR_MAX - (uintptr_t)tensor->data)
        return muster_error_set(error, MUSTER_ERR_OVERFLOW, MUSTER_FIELD_BYTES, INT64_MAX,
                                tensor->dimensions[0],
                                "%" PRId64 " rows of %" PRId64
                                " bytes overflow the address space; look at the dimensions",
                                tensor->dimensions[0], row_bytes);
    return MUSTER_OK;
}

muster_status muster_tensor_check(const muster_tensor *tensor, bool device_allowed,
                                  muster_error *error)
{
    if (tensor == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "the tensor is NULL; a rank without rows passes one of 0 rows");
    if (tensor->struct_bytes != sizeof(*tensor))
        return muster_error_set(error, MUSTER_ERR_STRUCT_SIZE, MUSTER_FIELD_STRUCT_BYTES,
                                (int64_t)sizeof(*tensor), (int64_t)tensor->struct_bytes,
                                "muster_tensor.struct_bytes: expected %zu, came %zu; set it to "
                                "sizeof(muster_tensor)",
                                sizeof(*tensor), tensor->struct_bytes);
    int64_t bytes = 0;
    muster_status status = check_shape(tensor, error);
    if (status == MUSTER_OK)
        status = check_memory_kind(tensor, device_allowed, error);
    if (status == MUSTER_OK)
        status = check_size(tensor, &bytes, error);
    if (status == MUSTER_OK)
        status = check_strides(tensor, error);
    if (status != MUSTER_OK)
        return status;
    if (bytes == 0)
        return muster_error_set_ok(error);
    if (tensor->data == NULL)
        return muster_error_set(error, MUSTER_ERR_NULL_BUFFER, MUSTER_FIELD_BUFFER, bytes, 0,
                                "data: expected %" PRId64 " bytes, came NULL", bytes);
    const size_t alignment = muster_dtype_bytes(tensor->dtype);
    MUSTER_ASSERT(alignment > 0); /* check_shape */
    const size_t off = (uintptr_t)tensor->data % alignment;
    if (off != 0)
        return muster_error_set(error, MUSTER_ERR_MISALIGNED, MUSTER_FIELD_BUFFER,
                                (int64_t)alignment, (int64_t)off,
                                "data: expected an address that is a multiple of %zu (%s), came "
                                "one that is off by %zu",
                                alignment, muster_dtype_text(tensor->dtype), off);
    return muster_error_set_ok(error);
}

size_t muster_tensor_row_bytes(const muster_tensor *tensor)
{
    int64_t elements = 0;
    const bool fits = row_elements(tensor, &elements);
    return fits ? (size_t)elements * muster_dtype_bytes(tensor->dtype) : 0;
}

size_t muster_tensor_bytes(const muster_tensor *tensor)
{
    return muster_tensor_row_bytes(tensor) * (size_t)tensor->dimensions[0];
}
