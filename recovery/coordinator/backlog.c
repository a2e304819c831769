/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/backlog.h"

#include <stdlib.h>
#include <string.h>

void muster_backlog_add(muster_backlog *backlog, const muster_note *note)
{
    if (!backlog->kept)
        return;
    if (backlog->count > 0 &&
        (int64_t)(note->time_ns - backlog->notes[0].time_ns) > MUSTER_BACKLOG_NS) {
        muster_backlog_clean_up(backlog);
        return;
    }
    if (backlog->count == backlog->capacity) {
        size_t capacity = backlog->capacity == 0 ? 64 : backlog->capacity * 2;
        muster_note *notes = capacity <= MUSTER_BACKLOG_NOTES_MAX
                                 ? realloc(backlog->notes, capacity * sizeof *notes)
                                 : NULL;
        if (notes == NULL)
            return;
        backlog->notes = notes;
        backlog->capacity = capacity;
    }
    backlog->notes[backlog->count++] = *note;
}

void muster_backlog_clean_up(muster_backlog *backlog)
{
    free(backlog->notes);
    memset(backlog, 0, sizeof *backlog);
}
