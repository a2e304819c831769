/* SPDX-License-Identifier: Apache-2.0 */
/* What one call reads and writes on this rank, as address ranges: nothing may be written that is read
 * or written elsewhere in the same call. Pure. */
#ifndef MUSTER_LAYOUT_RANGES_H
#define MUSTER_LAYOUT_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct muster_range {
    uintptr_t begin;
    uintptr_t end;
    int32_t ordinal; /* the how-manieth one that was added, from 0; those without bytes count too */
    bool written;
} muster_range;

typedef struct muster_range_list {
    muster_range *items;
    size_t count;
    size_t capacity;
    int32_t added;
} muster_range_list;

void muster_range_list_init(muster_range_list *list);
void muster_range_list_clean_up(muster_range_list *list);
/* Ranges without bytes are left out. False when memory ran out. */
bool muster_range_list_add(muster_range_list *list, const void *data, size_t bytes, bool written);
/* Sorts the list; true when a written range meets another one. O(n log n). */
bool muster_range_list_overlaps(muster_range_list *list);
/* As above, and says which two: the first such pair in the order of addresses. */
bool muster_range_list_find_overlap(muster_range_list *list, muster_range *one,
                                    muster_range *other);

#endif
