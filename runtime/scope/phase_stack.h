/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of nested checkpoint phases, as plain memory: what may be entered, what may be left, which
 * phase is innermost. Pure. */
#ifndef MUSTER_SCOPE_PHASE_STACK_H
#define MUSTER_SCOPE_PHASE_STACK_H

#include <stdbool.h>

#include <muster/phase.h>

/* All zero is an empty stack. */
typedef struct muster_phase_stack {
    muster_phase phases[MUSTER_PHASE_DEPTH_MAX]; /* outermost first */
    int32_t depth;
    bool in_error;
} muster_phase_stack;

/* As muster_phase_enter and muster_phase_leave; a refusal of enter changes nothing. */
muster_status muster_phase_stack_enter(muster_phase_stack *stack, muster_phase phase);
muster_status muster_phase_stack_leave(muster_phase_stack *stack, muster_phase phase);

muster_phase muster_phase_stack_current(const muster_phase_stack *stack);

#endif
