/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include "random.h"

void batch_make(uint64_t seed, uint64_t step, int64_t text_count, struct batch *batch)
{
    const uint64_t beginnings = (uint64_t)(text_count - MODEL_CONTEXT);
    batch->rows = 0;
    for (uint64_t i = 0; i < BATCH_SEQUENCES; i++) {
        uint64_t draw = random_at(seed, step, i);
        uint64_t rows = 1 + (draw >> 40) % MODEL_CONTEXT;
        batch->sequences[i] = (struct batch_sequence){
            .begin = (int64_t)((draw & 0xffffffffffu) % beginnings), .rows = (int64_t)rows};
        batch->rows += (int64_t)rows;
    }
}

void batch_share(uint64_t seed, uint64_t step, int32_t size, int64_t *counts)
{
    for (int32_t r = 0; r < size; r++) {
        counts[r] = 0;
    }
    /* Each rank draws where its range ends; ranges lie in rank order, so what counts is how many
     * sequences the ends before it have left over. */
    int64_t left = BATCH_SEQUENCES;
    for (int32_t r = 0; r + 1 < size; r++) {
        uint64_t draw = random_at(seed ^ 0x5ca1ab1eu, step, (uint64_t)r);
        int64_t most = 2 * left / (size - r); /* so that nobody takes all, on average */
        counts[r] = (int64_t)(draw % (uint64_t)(most + 1));
        left -= counts[r];
    }
    counts[size - 1] = left;
}
