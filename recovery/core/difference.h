/* SPDX-License-Identifier: Apache-2.0 */
/* Two memberships, and what one has that the other has not. A job of ten thousand ranks that loses one tells the
 * others of one, and not of ten thousand. Pure. */
#ifndef MUSTER_RECOVERY_CORE_DIFFERENCE_H
#define MUSTER_RECOVERY_CORE_DIFFERENCE_H

#include "core/message.h"

/* Members are by rank: their slots ascend. */
typedef struct muster_difference {
    uint64_t base_epoch; /* whose membership it starts from */
    int32_t changed_count;
    muster_member *changed; /* not in the base, or not as there */
    int32_t without_count;
    int32_t *without;      /* slots of the base that are in it no more */
    uint64_t members_hash; /* of all members, so that whoever has another base notices */
} muster_difference;

uint64_t muster_difference_hash(const muster_member *members, int32_t member_count);

/* Fills *difference but for its base_epoch; the arrays are never NULL, and the caller's. False: no memory. */
bool muster_difference_make(const muster_member *base, int32_t base_count,
                            const muster_member *members, int32_t member_count,
                            muster_difference *difference);

/* *members, the caller's, is base with the difference. MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT: that is not the base
 * it was made from, or it is none; MUSTER_ERR_NO_MEMORY. */
muster_status muster_difference_apply(const muster_member *base, int32_t base_count,
                                      const muster_difference *difference, muster_member **members,
                                      int32_t *member_count);

#endif
