/* SPDX-License-Identifier: Apache-2.0 */
/* Whether buffers of one call share a byte. Pure. */
#ifndef MUSTER_LAYOUT_OVERLAP_H
#define MUSTER_LAYOUT_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct muster_byte_range {
    uintptr_t first;
    size_t bytes;  /* first + bytes fits; 0: overlaps nothing, wherever it lies */
    int32_t owner; /* the caller's own number, for its sentence */
} muster_byte_range;

/* Sorts ranges by address and says whether any two share a byte; one and other (may be NULL) get the
 * first such pair. O(n log n). */
bool muster_byte_ranges_overlap(muster_byte_range *ranges, size_t count, muster_byte_range *one,
                                muster_byte_range *other);

#endif
