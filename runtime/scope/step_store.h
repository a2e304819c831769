/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank keeps of committed steps: its own state and its mirror of another slot's, in two
 * generations, each known by the epoch and step in which it was staged. Private memory, no I/O.
 *
 * A generation is empty, then staged (own state and mirror complete), then committed:
 *
 *   begin: the generation that is not the newest committed one, emptied, with room for the own state
 *   expect_mirror: and for the mirror, once its size is known
 *   stage: both are filled            commit: everyone has staged
 *
 * What is left in the middle of that, by a loss or a refusal, is empty and never counted as held. */
#ifndef MUSTER_SCOPE_STEP_STORE_H
#define MUSTER_SCOPE_STEP_STORE_H

#include "core/message.h"

typedef struct muster_step_store muster_step_store;

muster_step_store *muster_step_store_new(void); /* NULL: no memory */
void muster_step_store_free(muster_step_store *store);

/* Everything held, for the rebuild: writes at most capacity, returns the full count (at most 4). */
int32_t muster_step_store_holdings(const muster_step_store *store, muster_holding *holdings,
                                   int32_t capacity);

/* From an AGREED: where the job goes on, and which slots that epoch had. Copied. False: no memory.
 * A new epoch forgets "the last step committed in this epoch". The restored generation counts as
 * committed from here on, whatever this rank saw of it; newer ones, which the job does not go on
 * from, are dropped, so that no later rebuild can choose them. */
bool muster_step_store_set_restore(muster_step_store *store, const muster_restore *restore,
                                   const int32_t *slots);

/* The restore point, and its slots where slots is not NULL; valid until the next set_restore. */
const muster_restore *muster_step_store_restore(const muster_step_store *store,
                                                const int32_t **slots);

/* A slot's state in one generation. */
typedef struct muster_step_state {
    int32_t slot; /* MUSTER_SLOT_NONE: none is held */
    void *data;
    size_t bytes;
    size_t capacity;
} muster_step_state;

typedef enum muster_step_generation_state {
    MUSTER_STEP_EMPTY = 0,
    MUSTER_STEP_STAGED = 1,
    MUSTER_STEP_COMMITTED = 2
} muster_step_generation_state;

typedef struct muster_step_generation {
    muster_step_generation_state state;
    uint64_t epoch;
    uint64_t step;
    muster_step_state own;
    muster_step_state mirror;
} muster_step_generation;

/* The generation to write next. What it held is gone, its memory is used again. NULL: no memory for
 * own_bytes; the generation is then empty, and the newest committed one untouched. */
muster_step_generation *muster_step_store_begin(muster_step_store *store, uint64_t epoch,
                                                uint64_t step, int32_t own_slot, size_t own_bytes);
/* Room for the mirror of slot; begins afresh what was there. False: no memory. */
bool muster_step_generation_expect_mirror(muster_step_generation *generation, int32_t slot,
                                          size_t bytes);
void muster_step_generation_stage(muster_step_generation *generation);
/* A staged one only; remembered as the last commit of its epoch. */
void muster_step_store_commit(muster_step_store *store, muster_step_generation *generation);

/* The last step committed in epoch by this rank. False: none. */
bool muster_step_store_last_committed(const muster_step_store *store, uint64_t epoch,
                                      uint64_t *step);

/* This rank's copy of a slot's state at the restore point, its own before a mirror; NULL: none. */
const muster_step_state *muster_step_store_find(const muster_step_store *store, int32_t slot,
                                                bool *is_own);

#endif
