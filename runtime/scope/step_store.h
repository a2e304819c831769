/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank keeps of committed steps: its own state and its mirror of another slot's, in two
 * generations, each known by the epoch and step in which it was staged. Private memory, no I/O. */
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
 * A new epoch forgets "the last step committed in this epoch". */
bool muster_step_store_set_restore(muster_step_store *store, const muster_restore *restore,
                                   const int32_t *slots);

#endif
