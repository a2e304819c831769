/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a job and the moves between them.
 *
 *               all joined                all connected
 *   forming ----------------> connecting ----------------> running
 *      |  \                    |      ^                       |
 *      |   \ ranks know an     | a    | quiet, gone,          | a verdict,
 *      |    \ epoch that we    | ver- | replaced: agreed      | or a rank asks
 *      |     \ do not:         | dict |                       | for a rebuild
 *      |      \ adopted        v      |                       |
 *      |       `------------> revoked <-----------------------'
 *      |        `-------------------------------> running
 *      v
 *    ended <--- from every state: everyone left, gave up, calls differ, another coordinator
 *
 * Epoch numbers are used when a job moves to connecting, one each time, and never again. */
#include "core/core_state.h"

static const char *const state_texts[MUSTER_CORE_STATE_COUNT] = {
    [MUSTER_CORE_FORMING] = "forming", [MUSTER_CORE_CONNECTING] = "connecting",
    [MUSTER_CORE_RUNNING] = "running", [MUSTER_CORE_REVOKED] = "revoked",
    [MUSTER_CORE_ENDED] = "ended",
};

static const bool state_moves[MUSTER_CORE_STATE_COUNT][MUSTER_CORE_STATE_COUNT] = {
    /* running to running and connecting to running: a newer epoch was adopted from the ranks */
    [MUSTER_CORE_FORMING] = {[MUSTER_CORE_CONNECTING] = true,
                             [MUSTER_CORE_RUNNING] = true,
                             [MUSTER_CORE_REVOKED] = true,
                             [MUSTER_CORE_ENDED] = true},
    [MUSTER_CORE_CONNECTING] =
        {[MUSTER_CORE_RUNNING] = true, [MUSTER_CORE_REVOKED] = true, [MUSTER_CORE_ENDED] = true},
    [MUSTER_CORE_RUNNING] =
        {[MUSTER_CORE_RUNNING] = true, [MUSTER_CORE_REVOKED] = true, [MUSTER_CORE_ENDED] = true},
    [MUSTER_CORE_REVOKED] = {[MUSTER_CORE_CONNECTING] = true,
                             [MUSTER_CORE_RUNNING] = true,
                             [MUSTER_CORE_REVOKED] = true,
                             [MUSTER_CORE_ENDED] = true},
};

void muster_core_state_move(muster_core *core, muster_core_state to)
{
    MUSTER_ASSERT(state_moves[core->state][to]);
    core->state = to;
    core->changed = true;
    core->persist_due = true;
}

const char *muster_core_state_text(const muster_core *core)
{
    return state_texts[core->state];
}
