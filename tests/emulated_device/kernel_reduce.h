/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of NCCL's reductions on arrays of elements, rounded after each step as the GPU rounds. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_REDUCE_H
#define MUSTER_TESTS_EMULATED_KERNEL_REDUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NCCL's order; an average is a sum of scaled values for floats, a divided sum for integers. */
typedef enum kernel_operation {
    KERNEL_SUM,
    KERNEL_PRODUCT,
    KERNEL_MINIMUM_OR_MAXIMUM,
    KERNEL_SCALED_SUM,
    KERNEL_DIVIDED_SUM,
    KERNEL_OPERATIONS
} kernel_operation;

/* NCCL's order of data types. */
typedef enum kernel_type {
    KERNEL_INT8,
    KERNEL_UINT8,
    KERNEL_INT32,
    KERNEL_UINT32,
    KERNEL_INT64,
    KERNEL_UINT64,
    KERNEL_FLOAT16,
    KERNEL_FLOAT32,
    KERNEL_FLOAT64,
    KERNEL_BFLOAT16,
    KERNEL_FLOAT8E4M3,
    KERNEL_FLOAT8E5M2,
    KERNEL_TYPES
} kernel_type;

typedef struct kernel_reduction {
    kernel_operation operation;
    kernel_type type;
    size_t element_bytes;
    /* Scaled sum: the factor, in the type's own bits. Divided sum: twice the divisor, plus 1 where values are
     * signed. Minimum or maximum: of integers, the bits to be flipped so that the smaller of unsigned values is the one
     * wanted; of floats, odd for a maximum. */
    uint64_t argument;
} kernel_reduction;

/* False: this type cannot be reduced here (8-bit floats need a GPU that we do not claim to be). */
bool kernel_reduction_init(kernel_reduction *reduction, kernel_operation operation,
                           kernel_type type, uint64_t argument);
/* Own values enter: scaled, if that is asked for. */
void kernel_reduce_begin(const kernel_reduction *reduction, uint8_t *to, const uint8_t *from,
                         size_t count);
void kernel_reduce_add(const kernel_reduction *reduction, uint8_t *to, const uint8_t *with,
                       size_t count);
/* The last step of a divided sum. */
void kernel_reduce_finish(const kernel_reduction *reduction, uint8_t *values, size_t count);

float kernel_float16_to_float(uint16_t bits);
uint16_t kernel_float16_from_float(float value);
float kernel_bfloat16_to_float(uint16_t bits);
uint16_t kernel_bfloat16_from_float(float value);

#endif
