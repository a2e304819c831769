/* SPDX-License-Identifier: Apache-2.0 */
/* What was recorded of each incarnation, and what is missing: never silent. Pure. */
#ifndef MUSTER_TRACING_POSTMORTEM_LOSSES_H
#define MUSTER_TRACING_POSTMORTEM_LOSSES_H

#include "tracing/postmortem/findings.h"

/* Fills rings, batch_count and event_count. False when memory ran out. */
bool muster_losses_find(const muster_records *records, muster_findings *findings);

#endif
