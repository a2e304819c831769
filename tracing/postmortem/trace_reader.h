/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots on disk to records (babeltrace2). */
#ifndef MUSTER_TRACING_POSTMORTEM_TRACE_READER_H
#define MUSTER_TRACING_POSTMORTEM_TRACE_READER_H

#include "tracing/postmortem/records.h"

/* Reads every snapshot below directory/traces. A snapshot that cannot be read to its end keeps what
 * was read and says why in its own record. No such folder is MUSTER_OK: there are no traces.
 * MUSTER_ERR_NO_MEMORY; MUSTER_ERR_UNSUPPORTED (babeltrace2's CTF plugin is not installed). */
muster_status muster_trace_reader_read(const char *directory, muster_records *records,
                                       muster_error *error);

#endif
