/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank of the campaign must see, computed from the seed, the step and the place alone: the same
 * for any number of ranks and through any loss. Pure.
 *
 * The job's state is `cell_count` cells, as many as the job has slots, and one parameter. Rank r of
 * `size` owns the cells v with v % size == r, so a job that shrank goes on with all of them. */
#ifndef RANK_VALUES_H
#define RANK_VALUES_H

#include <stdint.h>

enum {
    VALUES_CELL_WORDS = 64,
    VALUES_ROW_WORDS = 8,    /* features of the first tensor, u64 */
    VALUES_ROW_BYTES = 3,    /* features of the second, u8 */
    VALUES_ROWS_MAX = 16384, /* of one cell in one step */
    VALUES_PARAM_ELEMENTS =
        1001, /* no multiple of any number of ranks here: the last shard is padded */
    VALUES_CELLS_MAX = 16
};

/* What a value is for, so that no two of them are the same by chance. */
enum values_kind {
    VALUES_GATHER = 1,
    VALUES_GATHER_BYTE = 2,
    VALUES_KEY = 3,
    VALUES_ROWS = 4,
    VALUES_BROADCAST = 5,
    VALUES_ALLGATHER = 6,
    VALUES_P2P = 7,
    VALUES_PARAM = 8,
    VALUES_SPLIT = 9,
    VALUES_NAP = 10,
    VALUES_IDLE_CELL = 11
};

struct values {
    uint64_t seed;
    int32_t cell_count;
    uint64_t big_step; /* one past the step in which every cell has many rows; 0: none */
};

/* The state of the whole job after some steps. */
struct values_state {
    uint64_t step;
    uint64_t cells[VALUES_CELLS_MAX][VALUES_CELL_WORDS];
    uint64_t param[VALUES_PARAM_ELEMENTS];
};

uint64_t values_at(const struct values *values, enum values_kind kind, uint64_t step, uint64_t a,
                   uint64_t b, uint64_t c);

/* Rows of a cell in a step: often few, sometimes none, now and then megabytes. */
int64_t values_rows(const struct values *values, uint64_t step, int32_t cell);

/* A word of a gathered row, and what the root makes of it before it is scattered. */
uint64_t values_gathered(const struct values *values, uint64_t step, int32_t cell, int64_t row,
                         int32_t column);
uint64_t values_scattered(const struct values *values, uint64_t step, int32_t cell, int64_t row,
                          int32_t column);
uint8_t values_byte(const struct values *values, uint64_t step, int32_t cell, int64_t row,
                    int32_t column);

/* The state before the first step, and one step on. */
void values_begin(struct values_state *state);
void values_advance(const struct values *values, struct values_state *state);

/* What a step adds to one cell when these rows came back to it (VALUES_ROW_WORDS words each). */
void values_cell_add(const struct values *values, uint64_t step, int32_t cell, const uint64_t *rows,
                     int64_t row_count, uint64_t *words);

uint64_t values_digest(const struct values *values, const struct values_state *state);

#endif
