/* SPDX-License-Identifier: Apache-2.0 */
#include "layout/overlap.h"

#include <stdlib.h>

static int by_address(const void *left, const void *right)
{
    const muster_byte_range *a = left;
    const muster_byte_range *b = right;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    /* Equal addresses: in the order of the owners, so that the pair found does not depend on qsort. */
    return (a->owner > b->owner) - (a->owner < b->owner);
}

bool muster_byte_ranges_overlap(muster_byte_range *ranges, size_t count, muster_byte_range *one,
                                muster_byte_range *other)
{
    if (count > 1)
        qsort(ranges, count, sizeof(*ranges), by_address);
    /* Of all ranges so far, the one that reaches farthest: if the next one starts before its end they
     * overlap, and if it does not, it overlaps none of them. */
    const muster_byte_range *farthest = NULL;
    for (size_t i = 0; i < count; i++) {
        const muster_byte_range *range = &ranges[i];
        if (range->bytes == 0)
            continue;
        if (farthest != NULL && range->first < farthest->first + farthest->bytes) {
            if (one != NULL)
                *one = *farthest;
            if (other != NULL)
                *other = *range;
            return true;
        }
        farthest = range;
    }
    return false;
}
