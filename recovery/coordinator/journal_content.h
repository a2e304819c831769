/* SPDX-License-Identifier: Apache-2.0 */
/* What a coordinator must not forget: the highest term, and of each job what its core saved and which key
 * holds which slot. Pure; the bytes are journal_format.h, the file is journal.h. */
#ifndef MUSTER_COORDINATOR_JOURNAL_CONTENT_H
#define MUSTER_COORDINATOR_JOURNAL_CONTENT_H

#include <muster/job.h>

#include "core/message.h"

#define MUSTER_JOURNAL_JOBS_MAX 4096
#define MUSTER_JOURNAL_STATE_BYTES_MAX ((size_t)64 << 20)

/* Bytes of one job; both owned, from malloc, NULL where there are none. */
typedef struct muster_journal_state {
    void *core; /* as muster_core_save gave it */
    size_t core_bytes;
    void *claims; /* as muster_claims_save gave it */
    size_t claims_bytes;
} muster_journal_state;

typedef struct muster_journal_entry {
    uint64_t job;
    char name[MUSTER_NAME_BYTES];
    muster_journal_state state;
} muster_journal_entry;

typedef struct muster_journal_content {
    uint64_t term;
    muster_journal_entry *entries;
    size_t count;
    size_t capacity;
} muster_journal_content;

void muster_journal_content_clean_up(muster_journal_content *content);
void muster_journal_state_clean_up(muster_journal_state *state);

/* NULL where there is none. */
muster_journal_entry *muster_journal_content_find(const muster_journal_content *content,
                                                  uint64_t job);
/* Takes *state over in every case; replaces what the job had. MUSTER_ERR_NO_MEMORY, or
 * MUSTER_ERR_INVALID_ARGUMENT when there are too many jobs or bytes. */
muster_status muster_journal_content_put(muster_journal_content *content, uint64_t job,
                                         const char *name, muster_journal_state *state,
                                         muster_error *error);
void muster_journal_content_remove(muster_journal_content *content, uint64_t job);

#endif
