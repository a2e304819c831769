/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void muster_samples_init(muster_samples *samples)
{
    *samples = (muster_samples){0};
}

void muster_samples_clean_up(muster_samples *samples)
{
    free(samples->values);
    *samples = (muster_samples){0};
}

void muster_samples_add(muster_samples *samples, double value)
{
    if (samples->count == samples->capacity) {
        size_t capacity = samples->capacity == 0 ? 64 : samples->capacity * 2;
        double *grown = realloc(samples->values, capacity * sizeof(*grown));
        MUSTER_ASSERT(grown != NULL);
        samples->values = grown;
        samples->capacity = capacity;
    }
    samples->values[samples->count++] = value;
}

static int compare_values(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The value at a fraction of the sorted samples. */
static double quantile(const muster_samples *samples, double fraction)
{
    MUSTER_ASSERT(samples->count > 0);
    double *sorted = malloc(samples->count * sizeof(*sorted));
    MUSTER_ASSERT(sorted != NULL);
    memcpy(sorted, samples->values, samples->count * sizeof(*sorted));
    qsort(sorted, samples->count, sizeof(*sorted), compare_values);
    double value = sorted[(size_t)(fraction * (double)(samples->count - 1) + 0.5)];
    free(sorted);
    return value;
}

double muster_samples_least(const muster_samples *samples)
{
    return quantile(samples, 0.0);
}

double muster_samples_most(const muster_samples *samples)
{
    return quantile(samples, 1.0);
}

double muster_samples_median(const muster_samples *samples)
{
    return quantile(samples, 0.5);
}

void muster_measure_print_time(const char *name, const muster_samples *samples_us, double floor_us)
{
    double median_us = muster_samples_median(samples_us);
    printf("%-68s median %10.2f us  least %10.2f  worst %10.2f  n %zu", name, median_us,
           muster_samples_least(samples_us), muster_samples_most(samples_us), samples_us->count);
    if (floor_us > 0)
        printf("  wanted < %g us: %s", floor_us, median_us < floor_us ? "held" : "MISSED");
    printf("\n");
    fflush(stdout);
}

void muster_measure_print_ratio(const char *name, double ratio, const char *of_what, double floor)
{
    printf("%-68s %.2f of %s", name, ratio, of_what);
    if (floor > 0)
        printf("  wanted >= %.2f: %s", floor, ratio >= floor ? "held" : "MISSED");
    printf("\n");
    fflush(stdout);
}
