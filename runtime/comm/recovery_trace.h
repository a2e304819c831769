/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a recovery as this rank sees them, into its own trace; the coordinator traces its view. */
#ifndef MUSTER_COMM_RECOVERY_TRACE_H
#define MUSTER_COMM_RECOVERY_TRACE_H

#include "comm/comm.h"

/* kind: muster_note_kind. The thread that serialises calls on the job. */
void muster_recovery_trace(const muster_job *job, uint32_t kind, uint64_t epoch);

#endif
