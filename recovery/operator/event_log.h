/* SPDX-License-Identifier: Apache-2.0 */
/* What happens in a job, as JSON lines in a file: one note a line, each flushed, so that whoever
 * follows the file sees it at once and a crash loses none that was written. */
#ifndef MUSTER_OPERATOR_EVENT_LOG_H
#define MUSTER_OPERATOR_EVENT_LOG_H

#include <stdio.h>

#include "core/message.h"

typedef struct muster_event_log {
    FILE *file; /* NULL: none is kept */
} muster_event_log;

/* Appends to path, made where missing; path NULL keeps none. MUSTER_ERR_SYSTEM names the path. */
muster_status muster_event_log_open(muster_event_log *log, const char *path, muster_error *error);

/* False when the line could not be written: say it once, the job goes on. */
bool muster_event_log_write(muster_event_log *log, const char *job_name, const muster_note *note);

/* Numbers by name, such as what was refused: {"kind": KIND, "time_ns": ..., NAME: number, ...}. */
typedef struct muster_event_number {
    const char *name;
    uint64_t value;
} muster_event_number;

/* As muster_event_log_write. */
bool muster_event_log_write_numbers(muster_event_log *log, const char *kind, int64_t time_ns,
                                    const muster_event_number *numbers, size_t count);

void muster_event_log_close(muster_event_log *log);

/* The line without its end; the caller frees it. NULL when memory ran out. */
char *muster_event_line(const char *job_name, const muster_note *note);

#endif
