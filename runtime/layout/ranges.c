/* SPDX-License-Identifier: Apache-2.0 */
#include "layout/ranges.h"

#include <stdlib.h>

void muster_range_list_init(muster_range_list *list)
{
    *list = (muster_range_list){0};
}

void muster_range_list_clean_up(muster_range_list *list)
{
    free(list->items);
    *list = (muster_range_list){0};
}

bool muster_range_list_add(muster_range_list *list, const void *data, size_t bytes, bool written)
{
    const int32_t ordinal = list->added++;
    if (bytes == 0)
        return true;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        muster_range *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    uintptr_t begin = (uintptr_t)data;
    list->items[list->count++] = (muster_range){
        .begin = begin, .end = begin + bytes, .ordinal = ordinal, .written = written};
    return true;
}

static int compare_ranges(const void *left, const void *right)
{
    const muster_range *a = left;
    const muster_range *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    /* So that the pair that is found does not depend on the sort. */
    return (a->ordinal > b->ordinal) - (a->ordinal < b->ordinal);
}

static bool reaches(const muster_range *range, uintptr_t address)
{
    return range != NULL && address < range->end;
}

bool muster_range_list_find_overlap(muster_range_list *list, muster_range *one, muster_range *other)
{
    if (list->count < 2)
        return false;
    qsort(list->items, list->count, sizeof(*list->items), compare_ranges);
    /* In order of their beginnings, a range meets an earlier one exactly when it begins before the
     * farthest end so far; two reads may. */
    const muster_range *read = NULL;
    const muster_range *written = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const muster_range *range = &list->items[i];
        const muster_range *met = NULL;
        if (reaches(written, range->begin))
            met = written;
        else if (range->written && reaches(read, range->begin))
            met = read;
        if (met != NULL) {
            *one = *met;
            *other = *range;
            return true;
        }
        const muster_range **farthest = range->written ? &written : &read;
        if (!reaches(*farthest, range->end))
            *farthest = range;
    }
    return false;
}

bool muster_range_list_overlaps(muster_range_list *list)
{
    muster_range one;
    muster_range other;
    return muster_range_list_find_overlap(list, &one, &other);
}
