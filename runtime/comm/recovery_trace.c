/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/recovery_trace.h"

void muster_recovery_trace(const muster_job *job, uint32_t kind, uint64_t epoch)
{
    MUSTER_TRACE(&job->tracer, recovery, kind, epoch, job->tracer.who.slot,
                 job->tracer.who.incarnation, MUSTER_EVIDENCE_NONE, 0);
}
