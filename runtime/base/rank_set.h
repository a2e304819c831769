/* SPDX-License-Identifier: Apache-2.0 */
/* A set of ranks or slots, 0 .. capacity-1, as a bitmap. Pure. */
#ifndef MUSTER_BASE_RANK_SET_H
#define MUSTER_BASE_RANK_SET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct muster_rank_set {
    uint64_t *words;
    int32_t capacity;
} muster_rank_set;

/* False when memory ran out; the set is empty afterwards. */
bool muster_rank_set_init(muster_rank_set *set, int32_t capacity);
void muster_rank_set_clean_up(muster_rank_set *set);

void muster_rank_set_clear(muster_rank_set *set);
void muster_rank_set_add(muster_rank_set *set, int32_t rank);    /* asserts 0 <= rank < capacity */
void muster_rank_set_remove(muster_rank_set *set, int32_t rank); /* likewise */
bool muster_rank_set_has(const muster_rank_set *set, int32_t rank); /* false outside capacity */
int32_t muster_rank_set_count(const muster_rank_set *set);
/* The lowest member >= from, or -1: for (r = next(s, 0); r >= 0; r = next(s, r + 1)). */
int32_t muster_rank_set_next(const muster_rank_set *set, int32_t from);
/* Writes at most capacity members ascending; returns the full count. */
int32_t muster_rank_set_list(const muster_rank_set *set, int32_t *ranks, int32_t capacity);

#endif
