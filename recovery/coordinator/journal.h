/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's file: replaced as a whole, atomically, and durable before a call returns (written
 * beside it, flushed, renamed, folder flushed). One coordinator holds it at a time: the file's own lock
 * is the guard, and a new file is locked before it takes the old one's name, so that no second lock
 * file is left behind. */
#ifndef MUSTER_COORDINATOR_JOURNAL_H
#define MUSTER_COORDINATOR_JOURNAL_H

#include "coordinator/journal_format.h"

typedef struct muster_journal {
    char *path; /* NULL: nothing is kept */
    char *temporary_path;
    char *folder;
    int fd;       /* holds the lock */
    bool no_sync; /* need not outlive the machine */
    muster_journal_content content;
} muster_journal;

/* no_sync: what is written outlives the process, but perhaps not the machine.
 * Locks, reads, and writes a term that is higher than the one read and at least term_floor. path
 * NULL: nothing is kept, the term is term_floor. An empty file is a new journal.
 * MUSTER_ERR_ENVIRONMENT: held by another coordinator, or damaged (the sentence names offset and
 * field); MUSTER_ERR_SYSTEM names the path; MUSTER_ERR_NO_MEMORY. */
muster_status muster_journal_open(muster_journal *journal, const char *path, bool no_sync,
                                  uint64_t term_floor, muster_error *error);

/* The next term. Durable on MUSTER_OK. */
muster_status muster_journal_raise_term(muster_journal *journal, muster_error *error);

/* What a job must not forget; takes state (from malloc) over in every case. Durable on MUSTER_OK. */
muster_status muster_journal_put(muster_journal *journal, uint64_t job, const char *name,
                                 void *state, size_t state_bytes, muster_error *error);
muster_status muster_journal_remove(muster_journal *journal, uint64_t job, muster_error *error);

void muster_journal_close(muster_journal *journal);

#endif
