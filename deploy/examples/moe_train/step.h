/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STEP_H
#define STEP_H

#include "trainer.h"

/* Runs and commits the step after progress.steps_done. On MUSTER_OK progress is that step's; on an
 * error shards and experts may hold half a step: restore before going on. */
muster_status step_run(struct trainer *trainer);

/* Commits the state as it is, under progress.steps_done. */
muster_status step_commit(struct trainer *trainer);

#endif
