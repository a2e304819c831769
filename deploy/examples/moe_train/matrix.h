/* SPDX-License-Identifier: Apache-2.0 */
/* The three loops of every layer. Plain loops in a fixed order: the same numbers always give the same
 * bits, which is what lets a disturbed run be compared with an undisturbed one bit for bit. Compile
 * without -ffast-math, which would allow other orders. */
#ifndef MATRIX_H
#define MATRIX_H

#include <stddef.h>

/* float in the job; the gradient test compiles the maths once more with double. */
#ifndef MODEL_REAL
#define MODEL_REAL float
#endif
typedef MODEL_REAL real;

/* y[rows] += W[rows][columns] x[columns] */
static inline void matrix_apply(const real *restrict w, const real *restrict x, size_t rows,
                                size_t columns, real *restrict y)
{
    for (size_t i = 0; i < rows; i++) {
        real sum = 0;
        for (size_t j = 0; j < columns; j++) {
            sum += w[i * columns + j] * x[j];
        }
        y[i] += sum;
    }
}

/* x[columns] += transposed W[rows][columns] y[rows] */
static inline void matrix_apply_transposed(const real *restrict w, const real *restrict y,
                                           size_t rows, size_t columns, real *restrict x)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            x[j] += w[i * columns + j] * y[i];
        }
    }
}

/* W[rows][columns] += y[rows] x[columns] */
static inline void matrix_add_outer(const real *restrict y, const real *restrict x, size_t rows,
                                    size_t columns, real *restrict w)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            w[i * columns + j] += y[i] * x[j];
        }
    }
}

static inline void matrix_copy(const real *from, size_t count, real *to)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

static inline void matrix_clear(real *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = 0;
    }
}

#endif
