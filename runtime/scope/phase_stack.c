/* SPDX-License-Identifier: Apache-2.0 */
#include "scope/phase_stack.h"

muster_status muster_phase_stack_enter(muster_phase_stack *stack, muster_phase phase)
{
    if (phase != MUSTER_PHASE_FIRST_FORWARD && phase != MUSTER_PHASE_RECOMPUTE &&
        phase != MUSTER_PHASE_OTHER)
        return MUSTER_ERR_INVALID_ARGUMENT;
    /* A stack that is too deep is a leave that was forgotten in a loop. It is refused without going
     * into error: the scopes inside are still what the caller entered, and can be left. */
    if (stack->in_error || stack->depth == MUSTER_PHASE_DEPTH_MAX)
        return MUSTER_ERR_UNBALANCED;
    stack->phases[stack->depth++] = phase;
    return MUSTER_OK;
}

muster_status muster_phase_stack_leave(muster_phase_stack *stack, muster_phase phase)
{
    if (!stack->in_error && stack->depth > 0 && stack->phases[stack->depth - 1] == phase) {
        stack->depth--;
        return MUSTER_OK;
    }
    /* From here on nobody knows which scope is innermost; a guess would tag the next batch with a
     * phase that another rank is not in. */
    stack->in_error = true;
    return MUSTER_ERR_UNBALANCED;
}

muster_phase muster_phase_stack_current(const muster_phase_stack *stack)
{
    if (stack->in_error)
        return MUSTER_PHASE_ERROR;
    return stack->depth > 0 ? stack->phases[stack->depth - 1] : MUSTER_PHASE_NONE;
}
