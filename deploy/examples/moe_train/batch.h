/* SPDX-License-Identifier: Apache-2.0 */
/* The global batch of a step: a list of sequences of the text, the same on every rank and for any
 * number of ranks; and how it is shared out: each rank a contiguous range, some of them empty. Since
 * ranges are contiguous and sums run over sequences in their global order, results do not depend on
 * who computed what. */
#ifndef BATCH_H
#define BATCH_H

#include <stdint.h>

#include "model.h"

enum { BATCH_SEQUENCES = 12, BATCH_ROWS_MAX = BATCH_SEQUENCES * MODEL_CONTEXT };

struct batch {
    struct batch_sequence {
        int64_t begin; /* in the text; byte begin + i is followed by begin + i + 1 */
        int64_t rows;  /* 1 .. MODEL_CONTEXT */
    } sequences[BATCH_SEQUENCES];
    int64_t rows; /* of all */
};

/* text_count > MODEL_CONTEXT. */
void batch_make(uint64_t seed, uint64_t step, int64_t text_count, struct batch *batch);

/* How many of the batch's sequences each of size ranks takes; counts[size] adds up to
 * BATCH_SEQUENCES. */
void batch_share(uint64_t seed, uint64_t step, int32_t size, int64_t *counts);

#endif
