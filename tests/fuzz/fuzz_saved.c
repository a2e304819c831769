/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a saved job: refused, or a core that lives through a few turns and can be saved. */
#include <stdlib.h>

#include "base/assert.h"
#include "core/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    muster_core *core = muster_core_restore(bytes, byte_count, 5, NULL);
    if (!core) {
        return 0;
    }
    muster_core_actions actions;
    muster_core_actions_init(&actions);
    int64_t now_ns = 0;
    for (int turn = 0; turn < 50; turn++) {
        muster_core_event tick = {.kind = MUSTER_CORE_TICK};
        int64_t next_ns = muster_core_step(core, now_ns, &tick, &actions);
        muster_core_actions_clear(&actions);
        if (next_ns == INT64_MAX) {
            break;
        }
        now_ns = next_ns;
    }
    void *saved;
    size_t saved_bytes;
    MUSTER_ASSERT(muster_core_save(core, &saved, &saved_bytes) == MUSTER_OK);
    free(saved);
    muster_core_actions_clean_up(&actions);
    muster_core_free(core);
    return 0;
}
