/* SPDX-License-Identifier: Apache-2.0 */
/* Adam, element by element: so it may run on shards of any size and gives the same bits. */
#ifndef ADAM_H
#define ADAM_H

#include <stdint.h>

#include "matrix.h"

/* What an optimiser keeps a parameter: the value and two moments. */
enum { ADAM_VALUE = 0, ADAM_FIRST_MOMENT = 1, ADAM_SECOND_MOMENT = 2, ADAM_KINDS = 3 };

/* step: from 1. */
void adam_update(uint64_t step, int64_t count, const real *gradient, real *value,
                 real *first_moment, real *second_moment);

#endif
