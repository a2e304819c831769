/* SPDX-License-Identifier: Apache-2.0 */
/* What was noted since this coordinator took a job up again and before a launcher had come back to it,
 * for the first that does: ranks may be faster, and without it a whole recovery would be missing from
 * what the launcher prints, reports and keeps. Kept for a while only. */
#ifndef MUSTER_COORDINATOR_BACKLOG_H
#define MUSTER_COORDINATOR_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "core/message.h"

#define MUSTER_BACKLOG_NOTES_MAX 1024
#define MUSTER_BACKLOG_NS ((int64_t)30000000000)

typedef struct muster_backlog {
    bool kept; /* false: nothing is added */
    muster_note *notes;
    size_t count;
    size_t capacity;
} muster_backlog;

/* The oldest ones stay when there are too many, or when memory runs out; all go when they are old. */
void muster_backlog_add(muster_backlog *backlog, const muster_note *note);
void muster_backlog_clean_up(muster_backlog *backlog);

#endif
