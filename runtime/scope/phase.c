/* SPDX-License-Identifier: Apache-2.0 */
/* Phase contexts: the stack of scope/phase_stack.h, bound to a job so that each scope is traced. */
#include <muster/phase.h>

#include <stdlib.h>

#include "comm/comm.h"
#include "scope/phase_stack.h"
#include "tracing/trace.h"

struct muster_phase_context {
    muster_job *job;
    muster_phase_stack stack;
};

muster_status muster_phase_context_create(muster_job *job, muster_phase_context **context)
{
    if (context == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    *context = NULL;
    if (job == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    muster_phase_context *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return MUSTER_ERR_NO_MEMORY;
    made->job = job;
    *context = made;
    return MUSTER_OK;
}

void muster_phase_context_free(muster_phase_context *context)
{
    free(context);
}

muster_status muster_phase_enter(muster_phase_context *context, muster_phase phase)
{
    if (context == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    muster_status status = muster_phase_stack_enter(&context->stack, phase);
    if (status == MUSTER_OK)
        MUSTER_TRACE(&context->job->tracer, phase_begin, (int32_t)phase, context->stack.depth);
    return status;
}

muster_status muster_phase_leave(muster_phase_context *context, muster_phase phase)
{
    if (context == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    int32_t depth = context->stack.depth;
    muster_status status = muster_phase_stack_leave(&context->stack, phase);
    if (status == MUSTER_OK)
        MUSTER_TRACE(&context->job->tracer, phase_end, (int32_t)phase, depth);
    return status;
}

muster_phase muster_phase_current(const muster_phase_context *context)
{
    return context == NULL ? MUSTER_PHASE_NONE : muster_phase_stack_current(&context->stack);
}

void muster_phase_reset(muster_phase_context *context)
{
    if (context == NULL)
        return;
    /* Every begin in a trace gets its end, also for scopes that a lost step left open. */
    for (int32_t depth = context->stack.depth; depth > 0; depth--)
        MUSTER_TRACE(&context->job->tracer, phase_end, (int32_t)context->stack.phases[depth - 1],
                     depth);
    context->stack = (muster_phase_stack){0};
}

const char *muster_phase_text(muster_phase phase)
{
    switch (phase) {
    case MUSTER_PHASE_NONE:
        return "none";
    case MUSTER_PHASE_FIRST_FORWARD:
        return "first_forward";
    case MUSTER_PHASE_RECOMPUTE:
        return "recompute";
    case MUSTER_PHASE_OTHER:
        return "other";
    case MUSTER_PHASE_ERROR:
        return "error";
    }
    return "unknown phase";
}
