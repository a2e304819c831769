/* SPDX-License-Identifier: Apache-2.0 */
/* Records to findings. Pure: no file, no clock; what the records do not say is not found. */
#ifndef MUSTER_TRACING_POSTMORTEM_ANALYSIS_H
#define MUSTER_TRACING_POSTMORTEM_ANALYSIS_H

#include "tracing/postmortem/findings.h"

/* records are sorted (muster_records_sort). Where there is no event log, the notes are taken from the
 * coordinator's own trace, if that was recorded (records then gets them). *findings is the caller's to
 * clean up, on an error too. MUSTER_OK or MUSTER_ERR_NO_MEMORY. */
muster_status muster_analysis_run(muster_records *records, muster_findings *findings,
                                  muster_error *error);

#endif
