/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's bytes: a header, then records that are appended, one for each thing to be remembered.
 * Little endian. Pure; the file is journal.h.
 *
 *    0  magic "MSTRJNL2"      24  inode of the file that it was written as
 *    8  version               32  bytes that were written at once (header and first records)
 *   12  bytes of the header   40  checksum of the header
 *   16  identity, random
 *
 *    0  kind: TERM, JOB, END   8  sequence: 1, 2, 3 ...     24  payload
 *    4  bytes of the payload  16  checksum of the 16 above  end checksum of the payload
 *
 * Each change of a job is its whole state once more; the last one counts. Checksums are XXH3-64 with
 * the identity and the sequence mixed in, so that no record of another journal or place passes, and
 * never zero.
 *
 * A machine that stops while a record is appended leaves a part of it, or zeros in its place: that is
 * the torn tail, and only at the end of the file and after what was written at once. It is cut: nobody
 * has heard of it, because records are durable before anything follows from them. Everything else
 * that does not parse exactly is damage and is refused: a coordinator that believed half a journal could
 * use an epoch twice. */
#ifndef MUSTER_COORDINATOR_JOURNAL_FORMAT_H
#define MUSTER_COORDINATOR_JOURNAL_FORMAT_H

#include "coordinator/journal_content.h"

/* Where a journal stands. */
typedef struct muster_journal_position {
    uint64_t identity;
    uint64_t inode;
    uint64_t sequence;   /* of the last record */
    uint64_t byte_count; /* up to its end */
    uint64_t torn_bytes; /* beyond, to be cut */
    uint64_t whole_bytes;
} muster_journal_position;

/* A file with all of content; identity and inode are position's, the rest of it is filled. *bytes is
 * allocated; the caller frees it. MUSTER_OK or MUSTER_ERR_NO_MEMORY. */
muster_status muster_journal_encode_whole(const muster_journal_content *content,
                                          muster_journal_position *position, void **bytes,
                                          size_t *byte_count);
/* One record that follows position, which moves on. As above. */
muster_status muster_journal_encode_term(uint64_t term, muster_journal_position *position,
                                         void **bytes, size_t *byte_count);
muster_status muster_journal_encode_job(const muster_journal_entry *entry,
                                        muster_journal_position *position, void **bytes,
                                        size_t *byte_count);
muster_status muster_journal_encode_end(uint64_t job, muster_journal_position *position,
                                        void **bytes, size_t *byte_count);

/* Fills *content, to be ended with muster_journal_content_clean_up on MUSTER_OK. MUSTER_ERR_ENVIRONMENT
 * names offset and field of the first thing that is wrong; MUSTER_ERR_NO_MEMORY. */
muster_status muster_journal_decode(const void *bytes, size_t byte_count,
                                    muster_journal_content *content,
                                    muster_journal_position *position, muster_error *error);

#endif
