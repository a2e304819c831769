/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/bracket.h"

#include "base/assert.h"

#define REFUSALS ((uint32_t)MUSTER_NCCL_REVOKED | (uint32_t)MUSTER_NCCL_ENDING)

void muster_nccl_bracket_init(muster_nccl_bracket *bracket)
{
    atomic_init(&bracket->word, 0);
}

static bool enter(muster_nccl_bracket *bracket, uint32_t refusals)
{
    const uint32_t before = atomic_fetch_add(&bracket->word, 1);
    if ((before & refusals) == 0)
        return true;
    muster_nccl_bracket_leave(bracket);
    return false;
}

bool muster_nccl_bracket_enter(muster_nccl_bracket *bracket)
{
    return enter(bracket, REFUSALS);
}

bool muster_nccl_bracket_enter_revoked(muster_nccl_bracket *bracket)
{
    return enter(bracket, MUSTER_NCCL_ENDING);
}

void muster_nccl_bracket_leave(muster_nccl_bracket *bracket)
{
    const uint32_t before = atomic_fetch_sub(&bracket->word, 1);
    MUSTER_ASSERT((before & ~REFUSALS) > 0);
}

void muster_nccl_bracket_refuse(muster_nccl_bracket *bracket, muster_nccl_refusal refusal)
{
    atomic_fetch_or(&bracket->word, (uint32_t)refusal);
}

bool muster_nccl_bracket_is_refused(const muster_nccl_bracket *bracket)
{
    return (atomic_load(&bracket->word) & REFUSALS) != 0;
}

bool muster_nccl_bracket_is_empty(const muster_nccl_bracket *bracket)
{
    return (atomic_load(&bracket->word) & ~REFUSALS) == 0;
}
