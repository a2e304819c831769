/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint phases: which part of activation checkpointing is running. A stack of nested scopes in
 * an explicit context, not in a thread, because autograd recomputes on another one. Each enter and
 * leave is a trace event. */
#ifndef MUSTER_PHASE_H
#define MUSTER_PHASE_H

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

typedef enum muster_phase {
    MUSTER_PHASE_NONE = 0,          /* inside no scope */
    MUSTER_PHASE_FIRST_FORWARD = 1, /* the forward whose activations are dropped */
    MUSTER_PHASE_RECOMPUTE = 2,     /* the forward again, during backward */
    MUSTER_PHASE_OTHER = 3,         /* a checkpointing scope of another kind */
    MUSTER_PHASE_ERROR = 4          /* the scopes were unbalanced; muster_phase_reset mends it */
} muster_phase;

#define MUSTER_PHASE_DEPTH_MAX 64

/* A context of this job. *context is the caller's, freed with muster_phase_context_free; once the job
 * is left it may only be freed. Any thread; does not block. MUSTER_OK, MUSTER_ERR_INVALID_ARGUMENT,
 * MUSTER_ERR_NO_MEMORY. */
MUSTER_API muster_status muster_phase_context_create(muster_job *job,
                                                     muster_phase_context **context);
MUSTER_API void muster_phase_context_free(muster_phase_context *context);

/* Enters a scope of phase FIRST_FORWARD, RECOMPUTE or OTHER. A context may move between threads, but
 * the caller serialises calls on it. Does not block.
 * MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT (NONE, ERROR or no phase); MUSTER_ERR_UNBALANCED (deeper
 * than MUSTER_PHASE_DEPTH_MAX, or already in error). */
MUSTER_API muster_status muster_phase_enter(muster_phase_context *context, muster_phase phase);

/* Leaves the innermost scope, which must be of this phase; else MUSTER_ERR_UNBALANCED, and the
 * context is in MUSTER_PHASE_ERROR until it is reset. Does not block. */
MUSTER_API muster_status muster_phase_leave(muster_phase_context *context, muster_phase phase);

/* The innermost phase, NONE outside, ERROR after an unbalanced leave. NULL gives NONE. */
MUSTER_API muster_phase muster_phase_current(const muster_phase_context *context);

/* Leaves every scope and the error: for use after a rebuild has thrown the step away. */
MUSTER_API void muster_phase_reset(muster_phase_context *context);

/* "first_forward" and so on; static storage. */
MUSTER_API const char *muster_phase_text(muster_phase phase);

MUSTER_END_DECLS

#endif
