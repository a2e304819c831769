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
    list->items[list->count++] =
        (muster_range){.begin = begin, .end = begin + bytes, .written = written};
    return true;
}

static int compare_ranges(const void *left, const void *right)
{
    const muster_range *a = left;
    const muster_range *b = right;
    return (a->begin > b->begin) - (a->begin < b->begin);
}

bool muster_range_list_overlaps(muster_range_list *list)
{
    if (list->count < 2)
        return false;
    qsort(list->items, list->count, sizeof(*list->items), compare_ranges);
    /* In order of their beginnings, a range meets an earlier one exactly when it begins before the
     * farthest end so far; two reads may. */
    uintptr_t read_end = 0;
    uintptr_t written_end = 0;
    for (size_t i = 0; i < list->count; i++) {
        const muster_range *range = &list->items[i];
        if (range->begin < written_end || (range->written && range->begin < read_end))
            return true;
        uintptr_t *end = range->written ? &written_end : &read_end;
        *end = range->end > *end ? range->end : *end;
    }
    return false;
}
