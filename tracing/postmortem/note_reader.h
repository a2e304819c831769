/* SPDX-License-Identifier: Apache-2.0 */
/* events.jsonl and job.json, as the coordinator and the launcher leave them, to records (json-c). */
#ifndef MUSTER_TRACING_POSTMORTEM_NOTE_READER_H
#define MUSTER_TRACING_POSTMORTEM_NOTE_READER_H

#include "tracing/postmortem/records.h"

/* One line to a note: kind and evidence as numbers, names (FIRST_BATCH) or texts ("first batch").
 * False: not a note. */
bool muster_note_reader_parse(const char *line, muster_note *note);

/* Missing files are MUSTER_OK: records says so. A line that is no note is counted, not fatal: a
 * coordinator that was killed leaves its last line torn. MUSTER_ERR_SYSTEM, MUSTER_ERR_NO_MEMORY. */
muster_status muster_note_reader_read(const char *directory, muster_records *records,
                                      muster_error *error);

#endif
