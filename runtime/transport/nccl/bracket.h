/* SPDX-License-Identifier: Apache-2.0 */
/* The bracket around every call into NCCL on one communicator: who is inside, and who may still enter.
 * NCCL frees a communicator while it aborts it, so nobody may be inside then, and nobody enter.
 *
 * One word, so that entering and refusing cannot miss each other: whoever refuses sees all who are inside,
 * or they see the refusal. Any thread; nothing here blocks. */
#ifndef MUSTER_TRANSPORT_NCCL_BRACKET_H
#define MUSTER_TRANSPORT_NCCL_BRACKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct muster_nccl_bracket {
    _Atomic uint32_t word; /* the refusals, and below them how many are inside */
} muster_nccl_bracket;

typedef enum muster_nccl_refusal {
    MUSTER_NCCL_REVOKED =
        1 << 30,                 /* calls are refused; a shrink of a healthy communicator is not */
    MUSTER_NCCL_ENDING = 1 << 29 /* it is about to be freed: nobody enters */
} muster_nccl_refusal;

void muster_nccl_bracket_init(muster_nccl_bracket *bracket);

/* False where it is refused: then there is nothing to leave. */
bool muster_nccl_bracket_enter(muster_nccl_bracket *bracket);
/* The same, but only MUSTER_NCCL_ENDING refuses. */
bool muster_nccl_bracket_enter_revoked(muster_nccl_bracket *bracket);
void muster_nccl_bracket_leave(muster_nccl_bracket *bracket);

void muster_nccl_bracket_refuse(muster_nccl_bracket *bracket, muster_nccl_refusal refusal);
bool muster_nccl_bracket_is_refused(const muster_nccl_bracket *bracket);
bool muster_nccl_bracket_is_empty(const muster_nccl_bracket *bracket);

#endif
