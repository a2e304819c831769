/* SPDX-License-Identifier: Apache-2.0 */
/* One babeltrace2 event becomes one record: which payload field goes where is one table. */
#ifndef MUSTER_TRACING_POSTMORTEM_TRACE_FIELDS_H
#define MUSTER_TRACING_POSTMORTEM_TRACE_FIELDS_H

#include <babeltrace2/babeltrace.h>

#include "tracing/postmortem/records.h"

/* False: not an event of the provider `muster`, record untouched. Time stays the caller's. */
bool muster_trace_fields_read(const bt_event *event, muster_event_record *record);

#endif
