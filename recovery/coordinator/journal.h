/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's file. Records are appended and durable before a call returns (fdatasync). When the
 * records that count no more outweigh those that do, and at each start, the file is replaced as a whole,
 * atomically: written beside it, flushed, renamed, folder flushed. So it stays as small as a few times
 * what it says, however long the job runs.
 *
 * One coordinator holds it at a time: the file's own lock is the guard, and a new file is locked before it
 * takes the old one's name, so that no second lock file is left behind. A copy has another inode than
 * the file that was written, and is refused unless it is said to be one: two coordinators with the same
 * past would each believe that the job is theirs. */
#ifndef MUSTER_COORDINATOR_JOURNAL_H
#define MUSTER_COORDINATOR_JOURNAL_H

#include "coordinator/journal_format.h"

typedef struct muster_journal_options {
    const char *path; /* NULL: nothing is kept, the term is term_floor */
    bool no_sync;     /* what is written outlives the process, but perhaps not the machine */
    bool copied;      /* it may be a copy: no coordinator of the original lives */
    uint64_t term_floor;
} muster_journal_options;

typedef struct muster_journal {
    char *path; /* NULL: nothing is kept */
    char *temporary_path;
    char *folder;
    int fd; /* holds the lock */
    bool no_sync;
    uint64_t cut_bytes; /* of a torn tail, at the open */
    uint64_t replaced;  /* how often the file was, since the open */
    muster_journal_position position;
    muster_journal_content content;
} muster_journal;

/* Locks, reads, cuts a torn tail, and writes a term that is higher than the one read and at least
 * term_floor. An empty file is a new journal.
 * MUSTER_ERR_ENVIRONMENT: held by another coordinator, a copy, or damaged (the sentence names offset
 * and field); the file is then as it was. MUSTER_ERR_SYSTEM names the path; MUSTER_ERR_NO_MEMORY. */
muster_status muster_journal_open(muster_journal *journal, const muster_journal_options *options,
                                  muster_error *error);

/* The next term. Durable on MUSTER_OK. After an error the journal is not to be used any more. */
muster_status muster_journal_raise_term(muster_journal *journal, muster_error *error);

/* What a job must not forget; takes *state over in every case. As above. */
muster_status muster_journal_put(muster_journal *journal, uint64_t job, const char *name,
                                 muster_journal_state *state, muster_error *error);
muster_status muster_journal_remove(muster_journal *journal, uint64_t job, muster_error *error);

void muster_journal_close(muster_journal *journal);

#endif
