/* SPDX-License-Identifier: Apache-2.0 */
#include "rank_values.h"

#include <string.h>

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t values_at(const struct values *values, enum values_kind kind, uint64_t step, uint64_t a,
                   uint64_t b, uint64_t c)
{
    uint64_t x = mix(values->seed ^ ((uint64_t)kind << 56));
    x = mix(x ^ step);
    x = mix(x ^ (a << 40) ^ (b << 8) ^ c);
    return x;
}

int64_t values_rows(const struct values *values, uint64_t step, int32_t cell)
{
    uint64_t x = values_at(values, VALUES_ROWS, step, (uint64_t)cell, 0, 0);
    uint64_t size = x >> 8;
    if (step + 1 == values->big_step)
        return VALUES_ROWS_MAX - (int64_t)(size % 100);
    if (x % 4 == 0)
        return 0;
    if (x % 32 == 1)
        return (int64_t)(size % VALUES_ROWS_MAX) + 1;
    return (int64_t)(size % 200) + 1;
}

uint64_t values_gathered(const struct values *values, uint64_t step, int32_t cell, int64_t row,
                         int32_t column)
{
    return values_at(values, VALUES_GATHER, step, (uint64_t)cell, (uint64_t)row, (uint64_t)column);
}

uint64_t values_scattered(const struct values *values, uint64_t step, int32_t cell, int64_t row,
                          int32_t column)
{
    return values_gathered(values, step, cell, row, column) ^
           values_at(values, VALUES_KEY, step, 0, 0, 0);
}

uint8_t values_byte(const struct values *values, uint64_t step, int32_t cell, int64_t row,
                    int32_t column)
{
    return (uint8_t)values_at(values, VALUES_GATHER_BYTE, step, (uint64_t)cell, (uint64_t)row,
                              (uint64_t)column);
}

void values_begin(struct values_state *state)
{
    memset(state, 0, sizeof *state);
}

/* Which row of a step's rows goes into word `word` of a cell. */
static int64_t row_of_word(int64_t row_count, int32_t word)
{
    return (int64_t)word * 7919 % row_count;
}

void values_cell_add(const struct values *values, uint64_t step, int32_t cell, const uint64_t *rows,
                     int64_t row_count, uint64_t *words)
{
    for (int32_t w = 0; w < VALUES_CELL_WORDS; w++)
        words[w] += row_count > 0
                        ? rows[row_of_word(row_count, w) * VALUES_ROW_WORDS + w % VALUES_ROW_WORDS]
                        : values_at(values, VALUES_IDLE_CELL, step, (uint64_t)cell, (uint64_t)w, 0);
}

void values_advance(const struct values *values, struct values_state *state)
{
    for (int32_t cell = 0; cell < values->cell_count; cell++) {
        int64_t rows = values_rows(values, state->step, cell);
        for (int32_t w = 0; w < VALUES_CELL_WORDS; w++)
            state->cells[cell][w] +=
                rows > 0 ? values_scattered(values, state->step, cell, row_of_word(rows, w),
                                            w % VALUES_ROW_WORDS)
                         : values_at(values, VALUES_IDLE_CELL, state->step, (uint64_t)cell,
                                     (uint64_t)w, 0);
    }
    for (int32_t i = 0; i < VALUES_PARAM_ELEMENTS; i++)
        state->param[i] += values_at(values, VALUES_PARAM, state->step, (uint64_t)i, 0, 0);
    state->step++;
}

uint64_t values_digest(const struct values *values, const struct values_state *state)
{
    uint64_t x = mix(state->step);
    for (int32_t cell = 0; cell < values->cell_count; cell++) {
        for (int32_t w = 0; w < VALUES_CELL_WORDS; w++)
            x = mix(x ^ state->cells[cell][w]);
    }
    for (int32_t i = 0; i < VALUES_PARAM_ELEMENTS; i++)
        x = mix(x ^ state->param[i]);
    return x;
}
