/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of one figure, and the lines in which figures are printed. */
#ifndef MUSTER_RUNTIME_BENCH_MEASURE_H
#define MUSTER_RUNTIME_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

typedef struct muster_samples {
    double *values;
    size_t count;
    size_t capacity;
} muster_samples;

void muster_samples_init(muster_samples *samples);
void muster_samples_clean_up(muster_samples *samples);
void muster_samples_add(muster_samples *samples, double value);
double muster_samples_least(const muster_samples *samples);
double muster_samples_most(const muster_samples *samples);
double muster_samples_median(const muster_samples *samples); /* sorts a copy */

/* "name  median 1.2 us  worst 3.4 us  n 30  floor < 5 us: held" */
void muster_measure_print_time(const char *name, const muster_samples *samples_us, double floor_us);
/* "name  ratio 0.83 of the best single-thread copy  floor >= 0.50: held" */
void muster_measure_print_ratio(const char *name, double ratio, const char *of_what, double floor);

#endif
