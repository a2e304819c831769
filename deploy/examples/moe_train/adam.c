/* SPDX-License-Identifier: Apache-2.0 */
#include "adam.h"

#include <math.h>

void adam_update(uint64_t step, int64_t count, const real *gradient, real *value,
                 real *first_moment, real *second_moment)
{
    const double rate = 4e-3;
    const double keep_first = 0.9;
    const double keep_second = 0.99;
    const double correct_first = 1 / (1 - pow(keep_first, (double)step));
    const double correct_second = 1 / (1 - pow(keep_second, (double)step));
    for (int64_t i = 0; i < count; i++) {
        double g = (double)gradient[i];
        double m = keep_first * (double)first_moment[i] + (1 - keep_first) * g;
        double v = keep_second * (double)second_moment[i] + (1 - keep_second) * g * g;
        first_moment[i] = (real)m;
        second_moment[i] = (real)v;
        value[i] -= (real)(rate * m * correct_first / (sqrt(v * correct_second) + 1e-8));
    }
}
