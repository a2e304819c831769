/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rank_set.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define BITS_PER_WORD 64

static size_t word_count(const muster_rank_set *set)
{
    return ((size_t)set->capacity + BITS_PER_WORD - 1) / BITS_PER_WORD;
}

static uint64_t bit_of(int32_t rank)
{
    return (uint64_t)1 << (rank % BITS_PER_WORD);
}

bool muster_rank_set_init(muster_rank_set *set, int32_t capacity)
{
    MUSTER_ASSERT(capacity >= 0);
    set->capacity = capacity;
    set->words = calloc(word_count(set) + 1, sizeof(*set->words));
    if (set->words != NULL)
        return true;
    set->capacity = 0;
    return false;
}

void muster_rank_set_clean_up(muster_rank_set *set)
{
    free(set->words);
    set->words = NULL;
    set->capacity = 0;
}

void muster_rank_set_clear(muster_rank_set *set)
{
    if (set->words != NULL)
        memset(set->words, 0, word_count(set) * sizeof(*set->words));
}

void muster_rank_set_add(muster_rank_set *set, int32_t rank)
{
    MUSTER_ASSERT(rank >= 0 && rank < set->capacity);
    set->words[rank / BITS_PER_WORD] |= bit_of(rank);
}

void muster_rank_set_remove(muster_rank_set *set, int32_t rank)
{
    MUSTER_ASSERT(rank >= 0 && rank < set->capacity);
    set->words[rank / BITS_PER_WORD] &= ~bit_of(rank);
}

bool muster_rank_set_has(const muster_rank_set *set, int32_t rank)
{
    if (rank < 0 || rank >= set->capacity)
        return false;
    return (set->words[rank / BITS_PER_WORD] & bit_of(rank)) != 0;
}

int32_t muster_rank_set_count(const muster_rank_set *set)
{
    int32_t count = 0;
    for (size_t i = 0; i < word_count(set); i++)
        count += __builtin_popcountll(set->words[i]);
    return count;
}

int32_t muster_rank_set_next(const muster_rank_set *set, int32_t from)
{
    if (from < 0)
        from = 0;
    if (from >= set->capacity)
        return -1;
    size_t word = (size_t)from / BITS_PER_WORD;
    uint64_t bits = set->words[word] & ~(bit_of(from) - 1);
    while (bits == 0) {
        word++;
        if (word >= word_count(set))
            return -1;
        bits = set->words[word];
    }
    return (int32_t)(word * BITS_PER_WORD) + __builtin_ctzll(bits);
}

int32_t muster_rank_set_list(const muster_rank_set *set, int32_t *ranks, int32_t capacity)
{
    int32_t count = 0;
    for (int32_t rank = muster_rank_set_next(set, 0); rank >= 0;
         rank = muster_rank_set_next(set, rank + 1)) {
        if (count < capacity)
            ranks[count] = rank;
        count++;
    }
    return count;
}
