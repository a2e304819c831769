/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors: rows of feature dimensions in somebody's memory. Muster never allocates, frees or keeps a
 * tensor of the caller; a descriptor is read during the call that takes it, the data until the call
 * or its request is complete. */
#ifndef MUSTER_TENSOR_H
#define MUSTER_TENSOR_H

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* X(name, value, bytes, text). Values are stable: they travel on the wire and in traces. */
#define MUSTER_DTYPE_LIST(X) \
    X(INT8, 1, 1, "int8") \
    X(UINT8, 2, 1, "uint8") \
    X(INT16, 3, 2, "int16") \
    X(UINT16, 4, 2, "uint16") \
    X(INT32, 5, 4, "int32") \
    X(UINT32, 6, 4, "uint32") \
    X(INT64, 7, 8, "int64") \
    X(UINT64, 8, 8, "uint64") \
    X(FLOAT16, 9, 2, "float16") \
    X(BFLOAT16, 10, 2, "bfloat16") \
    X(FLOAT32, 11, 4, "float32") \
    X(FLOAT64, 12, 8, "float64") \
    X(FLOAT8_E4M3, 13, 1, "float8_e4m3") \
    X(FLOAT8_E5M2, 14, 1, "float8_e5m2")

typedef enum muster_dtype {
#define MUSTER_DTYPE_ENUM(name, value, bytes, text) MUSTER_DTYPE_##name = (value),
    MUSTER_DTYPE_LIST(MUSTER_DTYPE_ENUM)
#undef MUSTER_DTYPE_ENUM
} muster_dtype;

typedef enum muster_memory_kind {
    MUSTER_MEMORY_HOST = 1,
    MUSTER_MEMORY_DEVICE =
        2 /* refused with MUSTER_ERR_MEMORY_KIND where no device plane is loaded */
} muster_memory_kind;

#define MUSTER_DIMENSIONS_MAX 8

/* dimensions[0] counts rows; dimensions[1 ..] are the feature dimensions, the same on all ranks.
 * A tensor of one dimension has rows of one element. strides are in elements; all zero means
 * contiguous row-major; anything else must say the same, or the call is refused
 * (MUSTER_ERR_NOT_CONTIGUOUS). data may be NULL where there are no bytes. */
typedef struct muster_tensor {
    size_t struct_bytes;
    void *data;
    muster_dtype dtype;
    muster_memory_kind memory_kind;
    int32_t device; /* index of the device; -1 for host memory */
    int32_t dimension_count;
    int64_t dimensions[MUSTER_DIMENSIONS_MAX];
    int64_t strides[MUSTER_DIMENSIONS_MAX];
} muster_tensor;

/* A contiguous host tensor of `rows` rows of `features` elements each (features >= 0; with
 * dimension_count 2). Checks nothing: the call that takes it does. Any thread; does not block. */
MUSTER_API muster_tensor muster_tensor_host(void *data, muster_dtype dtype, int64_t rows,
                                            int64_t features);

/* Bytes of one element; 0 for a value that is no dtype. Any thread; does not block. */
MUSTER_API size_t muster_dtype_bytes(muster_dtype dtype);

/* "bfloat16" and so on; static storage, "unknown dtype" for a value that is none. */
MUSTER_API const char *muster_dtype_text(muster_dtype dtype);

MUSTER_END_DECLS

#endif
