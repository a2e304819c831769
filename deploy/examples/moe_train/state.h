/* SPDX-License-Identifier: Apache-2.0 */
/* The state that a slot commits with each step: progress, its shards, and on the root the experts. */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "progress.h"
#include "shards.h"

enum { STATE_PARTS_MAX = 2 + ADAM_KINDS };

struct state {
    struct state_header {
        char name[8];
        struct progress progress;
        int32_t rank;
        int32_t size; /* of the world in which it was committed: says which shards these are */
        int32_t has_experts;
        int32_t reserved;
    } header;
    muster_state_part parts[STATE_PARTS_MAX];
    int32_t part_count;
};

/* Describes the state in place; nothing is copied. experts: ADAM_KINDS * EXPERTS_COUNT values, or NULL
 * where they do not live here. */
void state_pack(struct state *state, const struct progress *progress, const struct shards *shards,
                const real *experts);

/* Takes from one slot's state what this rank needs under the present membership. experts: where they
 * go if this state has them, or NULL. False when the bytes are not such a state. */
bool state_take(const void *bytes, size_t byte_count, struct progress *progress,
                struct shards *shards, real *experts);

#endif
