/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds the mirror of whose step state. Pure. */
#ifndef MUSTER_SCOPE_MIRROR_H
#define MUSTER_SCOPE_MIRROR_H

#include "core/message.h"

/* Fills mirrored[rank] with the rank whose state that rank holds, and holders[rank] with the one that holds
 * that rank's; the same on every rank of an epoch. On one host round the ring of ranks; over several hosts
 * always on another one, unless one host has more than half of all ranks. False when memory ran out. */
bool muster_mirror_plan(const muster_member *members, int32_t member_count, int32_t *mirrored,
                        int32_t *holders);

#endif
