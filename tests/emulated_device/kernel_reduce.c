/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_reduce.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

float kernel_float16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000U) << 16;
    uint32_t exponent = bits >> 10 & 0x1fU;
    uint32_t fraction = bits & 0x3ffU;

    if (exponent == 0x1f)
        return float_of(sign | 0x7f800000U | fraction << 13);
    if (exponent == 0)
        return sign != 0 ? -ldexpf((float)fraction, -24) : ldexpf((float)fraction, -24);
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

/* To the nearest, ties to even. */
uint16_t kernel_float16_from_float(float value)
{
    uint32_t bits = bits_of(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000U);
    uint32_t magnitude = bits & 0x7fffffffU;

    if (magnitude > 0x7f800000U)
        return 0x7fff;
    if (magnitude >=
        0x477ff000U) /* halfway between the largest and what would follow it: infinite */
        return sign | 0x7c00;
    if (magnitude <
        0x38800000U) { /* below the smallest normal: a multiple of 2^-24, rounded by the addition */
        float shifted = float_of(magnitude) + 0.5F;

        return (uint16_t)(sign | (bits_of(shifted) - 0x3f000000U));
    }
    magnitude += 0xfffU + (magnitude >> 13 & 1U);
    return (uint16_t)(sign | ((magnitude >> 13) - (112U << 10)));
}

float kernel_bfloat16_to_float(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t kernel_bfloat16_from_float(float value)
{
    uint32_t bits = bits_of(value);

    if ((bits & 0x7fffffffU) > 0x7f800000U)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

/* One element of each type: how it is read and written, and the type that NCCL computes it in. Signed integers are
 * computed as unsigned ones of their size; only minimum, maximum and division tell them apart, by the argument. */
static float half_load(const uint8_t *at)
{
    uint16_t bits;

    memcpy(&bits, at, sizeof(bits));
    return kernel_float16_to_float(bits);
}

static void half_store(uint8_t *at, float value)
{
    uint16_t bits = kernel_float16_from_float(value);

    memcpy(at, &bits, sizeof(bits));
}

static float brain_load(const uint8_t *at)
{
    uint16_t bits;

    memcpy(&bits, at, sizeof(bits));
    return kernel_bfloat16_to_float(bits);
}

static void brain_store(uint8_t *at, float value)
{
    uint16_t bits = kernel_bfloat16_from_float(value);

    memcpy(at, &bits, sizeof(bits));
}

#define PLAIN_ACCESS(name, type) \
    static type name##_load(const uint8_t *at) \
    { \
        type value; \
\
        memcpy(&value, at, sizeof(value)); \
        return value; \
    } \
    static void name##_store(uint8_t *at, type value) \
    { \
        memcpy(at, &value, sizeof(value)); \
    }
PLAIN_ACCESS(byte, uint8_t)
PLAIN_ACCESS(word, uint32_t)
PLAIN_ACCESS(long, uint64_t)
PLAIN_ACCESS(single, float)
PLAIN_ACCESS(double, double)

/* Two functions for each type: scale, and combine. */
#define ARITHMETIC(name, type, chosen) \
    static void name##_scale(const kernel_reduction *reduction, uint8_t *to, const uint8_t *from, \
                             size_t count) \
    { \
        type factor = name##_load((const uint8_t *)&reduction->argument); \
\
        for (size_t at = 0; at < count * reduction->element_bytes; at += reduction->element_bytes) \
            name##_store(to + at, (type)(name##_load(from + at) * factor)); \
    } \
    static void name##_add(const kernel_reduction *reduction, uint8_t *to, const uint8_t *with, \
                           size_t count) \
    { \
        for (size_t at = 0; at < count * reduction->element_bytes; \
             at += reduction->element_bytes) { \
            type left = name##_load(to + at); \
            type right = name##_load(with + at); \
\
            switch (reduction->operation) { \
            case KERNEL_PRODUCT: \
                left = (type)(left * right); \
                break; \
            case KERNEL_MINIMUM_OR_MAXIMUM: \
                left = chosen(reduction->argument, left, right); \
                break; \
            default: \
                left = (type)(left + right); \
            } \
            name##_store(to + at, left); \
        } \
    }
#define CHOSEN_INTEGER(argument, left, right) \
    ((left) ^ (argument)) < ((right) ^ (argument)) ? (left) : (right)
#define CHOSEN_SINGLE(argument, left, right) \
    ((argument)&1U) == 0 ? fminf(left, right) : fmaxf(left, right)
#define CHOSEN_DOUBLE(argument, left, right) \
    ((argument)&1U) == 0 ? fmin(left, right) : fmax(left, right)
ARITHMETIC(byte, uint8_t, CHOSEN_INTEGER)
ARITHMETIC(word, uint32_t, CHOSEN_INTEGER)
ARITHMETIC(long, uint64_t, CHOSEN_INTEGER)
ARITHMETIC(single, float, CHOSEN_SINGLE)
ARITHMETIC(double, double, CHOSEN_DOUBLE)
ARITHMETIC(half, float, CHOSEN_SINGLE)
ARITHMETIC(brain, float, CHOSEN_SINGLE)

typedef void array_function(const kernel_reduction *reduction, uint8_t *to, const uint8_t *from,
                            size_t count);

static const struct {
    size_t element_bytes;
    array_function *scale;
    array_function *add;
} types[KERNEL_TYPES] = {
    [KERNEL_INT8] = {1, byte_scale, byte_add},
    [KERNEL_UINT8] = {1, byte_scale, byte_add},
    [KERNEL_INT32] = {4, word_scale, word_add},
    [KERNEL_UINT32] = {4, word_scale, word_add},
    [KERNEL_INT64] = {8, long_scale, long_add},
    [KERNEL_UINT64] = {8, long_scale, long_add},
    [KERNEL_FLOAT16] = {2, half_scale, half_add},
    [KERNEL_FLOAT32] = {4, single_scale, single_add},
    [KERNEL_FLOAT64] = {8, double_scale, double_add},
    [KERNEL_BFLOAT16] = {2, brain_scale, brain_add},
};

bool kernel_reduction_init(kernel_reduction *reduction, kernel_operation operation,
                           kernel_type type, uint64_t argument)
{
    if ((unsigned)type >= KERNEL_TYPES || types[type].element_bytes == 0)
        return false;
    *reduction = (kernel_reduction){.operation = operation,
                                    .type = type,
                                    .element_bytes = types[type].element_bytes,
                                    .argument = argument};
    return true;
}

void kernel_reduce_begin(const kernel_reduction *reduction, uint8_t *to, const uint8_t *from,
                         size_t count)
{
    if (reduction->operation == KERNEL_SCALED_SUM)
        types[reduction->type].scale(reduction, to, from, count);
    else
        memmove(to, from, count * reduction->element_bytes);
}

void kernel_reduce_add(const kernel_reduction *reduction, uint8_t *to, const uint8_t *with,
                       size_t count)
{
    types[reduction->type].add(reduction, to, with, count);
}

/* Signed values are divided by their magnitude: towards zero. */
static uint64_t divided(uint64_t value, uint64_t divisor, uint64_t sign_bit)
{
    if ((value & sign_bit) == 0)
        return value / divisor;
    return 0 - ((0 - value) & (sign_bit | (sign_bit - 1))) / divisor;
}

void kernel_reduce_finish(const kernel_reduction *reduction, uint8_t *values, size_t count)
{
    size_t bytes = reduction->element_bytes;
    uint64_t divisor = reduction->argument >> 1;
    uint64_t sign_bit = (reduction->argument & 1U) == 0 ? 0 : (uint64_t)1 << (8 * bytes - 1);

    if (reduction->operation != KERNEL_DIVIDED_SUM || divisor == 0)
        return;
    for (size_t at = 0; at < count * bytes; at += bytes) {
        uint64_t value = 0;

        memcpy(&value, values + at, bytes); /* the lower bytes come first */
        value = divided(value, divisor, sign_bit);
        memcpy(values + at, &value, bytes);
    }
}
