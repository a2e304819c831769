/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's bytes: what a coordinator must not forget. Pure; the file is journal.h.
 *
 *    0  magic "MSTRJNL1"      24  bytes of the body
 *    8  version               32  body: for each job: hash u64, name bytes u32, state bytes u32,
 *   12  number of jobs            name, state (as muster_core_save gave it)
 *   16  term                 end  checksum: XXH3-64 of everything before it
 *
 * Little endian. Anything that does not parse exactly is refused: a coordinator that believed half a
 * journal could use an epoch twice. */
#ifndef MUSTER_COORDINATOR_JOURNAL_FORMAT_H
#define MUSTER_COORDINATOR_JOURNAL_FORMAT_H

#include <muster/job.h>

#include "core/message.h"

#define MUSTER_JOURNAL_JOBS_MAX 4096
#define MUSTER_JOURNAL_STATE_BYTES_MAX ((size_t)64 << 20)

typedef struct muster_journal_entry {
    uint64_t job;
    char name[MUSTER_NAME_BYTES];
    void *state; /* owned */
    uint32_t state_bytes;
} muster_journal_entry;

typedef struct muster_journal_content {
    uint64_t term;
    muster_journal_entry *entries;
    size_t count;
    size_t capacity;
} muster_journal_content;

void muster_journal_content_clean_up(muster_journal_content *content);

/* NULL where there is none. */
muster_journal_entry *muster_journal_content_find(const muster_journal_content *content,
                                                  uint64_t job);
/* Takes state over in every case; replaces what the job had. MUSTER_ERR_NO_MEMORY, or
 * MUSTER_ERR_INVALID_ARGUMENT when there are too many jobs or bytes. */
muster_status muster_journal_content_put(muster_journal_content *content, uint64_t job,
                                         const char *name, void *state, size_t state_bytes,
                                         muster_error *error);
void muster_journal_content_remove(muster_journal_content *content, uint64_t job);

/* *bytes is allocated; the caller frees it. MUSTER_OK or MUSTER_ERR_NO_MEMORY. */
muster_status muster_journal_encode(const muster_journal_content *content, void **bytes,
                                    size_t *byte_count);
/* Fills *content, to be ended with muster_journal_content_clean_up on MUSTER_OK. MUSTER_ERR_ENVIRONMENT
 * names offset and field of the first thing that is wrong. */
muster_status muster_journal_decode(const void *bytes, size_t byte_count,
                                    muster_journal_content *content, muster_error *error);

#endif
