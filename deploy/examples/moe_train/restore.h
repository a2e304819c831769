/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESTORE_H
#define RESTORE_H

#include "trainer.h"

/* Brings this rank to where the group goes on, after joining or after a rebuild, whoever was lost: the
 * last committed step, or the last checkpoint, or the beginning; and commits it, so that mirrors exist
 * under this membership. Where some rank knows that the job is at its end, trainer->end says so
 * afterwards and nothing is restored. *exit_code is set, on every rank alike, where there is nothing
 * to go on from (MUSTER_OK is returned then); else it is untouched. */
muster_status restore_run(struct trainer *trainer, int *exit_code);

#endif
