/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <string.h>

static const char STATE_NAME[8] = "moe-st1";

static size_t shard_bytes(int32_t size)
{
    return (size_t)shards_element_count(size) * sizeof(real);
}

static const size_t EXPERTS_BYTES = sizeof(real) * ADAM_KINDS * EXPERTS_COUNT;

void state_pack(struct state *state, const struct progress *progress, const struct shards *shards,
                const real *experts)
{
    memset(state, 0, sizeof *state);
    memcpy(state->header.name, STATE_NAME, sizeof STATE_NAME);
    state->header.progress = *progress;
    state->header.rank = shards->rank;
    state->header.size = shards->size;
    state->header.has_experts = experts != NULL;
    state->parts[0] = (muster_state_part){.data = &state->header, .bytes = sizeof state->header};
    for (int kind = 0; kind < ADAM_KINDS; kind++) {
        state->parts[1 + kind] =
            (muster_state_part){.data = shards->values[kind], .bytes = shard_bytes(shards->size)};
    }
    state->part_count = 1 + ADAM_KINDS;
    if (experts != NULL) {
        state->parts[state->part_count++] =
            (muster_state_part){.data = experts, .bytes = EXPERTS_BYTES};
    }
}

bool state_take(const void *bytes, size_t byte_count, struct progress *progress,
                struct shards *shards, real *experts)
{
    struct state_header header;
    if (byte_count < sizeof header) {
        return false;
    }
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.name, STATE_NAME, sizeof STATE_NAME) != 0 || header.size < 1 ||
        header.rank < 0 || header.rank >= header.size) {
        return false;
    }
    size_t shards_bytes = ADAM_KINDS * shard_bytes(header.size);
    size_t experts_bytes = header.has_experts != 0 ? EXPERTS_BYTES : 0;
    if (byte_count != sizeof header + shards_bytes + experts_bytes) {
        return false;
    }
    const char *at = (const char *)bytes + sizeof header;
    *progress = header.progress;
    shards_take(shards, (const real *)(const void *)at, header.rank, header.size);
    if (experts != NULL && experts_bytes > 0) {
        memcpy(experts, at + shards_bytes, experts_bytes);
    }
    return true;
}
