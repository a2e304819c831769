/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator must hear at least once. A message stays here until a later one supersedes it,
 * and is sent again after every rejoin: what was sent into a connection that broke, or to a
 * coordinator that died before it had written it down, was not heard.
 *
 * No clock, no socket; the agent's mutex guards it. */
#ifndef MUSTER_RECOVERY_OUTBOX_H
#define MUSTER_RECOVERY_OUTBOX_H

#include "core/message.h"

typedef struct muster_outbox_entry {
    muster_message message;
    bool sent;
} muster_outbox_entry;

typedef struct muster_outbox {
    muster_outbox_entry *entries; /* in the order in which they are to be sent */
    size_t count;
    size_t capacity;
} muster_outbox;

void muster_outbox_init(muster_outbox *outbox);
void muster_outbox_clean_up(muster_outbox *outbox);

/* Takes over *message (QUIET, CONNECTED, EVIDENCE, COMMITTED, RESUMED), which is empty afterwards. It
 * takes the place of one of its type; of RESUMED there may be one with the return and one with the first
 * batch. EVIDENCE of the same kind about the same process is kept once. False when memory ran out:
 * then it is dropped. */
bool muster_outbox_put(muster_outbox *outbox, muster_message *message);

/* The first entry not sent yet; NULL: none. */
muster_outbox_entry *muster_outbox_next(muster_outbox *outbox);

/* The one of this type; NULL: none. */
muster_outbox_entry *muster_outbox_find(muster_outbox *outbox, uint32_t type);

/* After a rejoin: everything is to be sent again. */
void muster_outbox_send_again(muster_outbox *outbox);

/* A new epoch supersedes all that was said about earlier ones. */
void muster_outbox_agreed(muster_outbox *outbox, uint64_t epoch);

/* A revoke supersedes CONNECTED, and the evidence against those it names. CONNECTED outlives its
 * ESTABLISHED on purpose: a restarted coordinator may not know that there was one. */
void muster_outbox_revoked(muster_outbox *outbox, uint64_t epoch, const muster_death *deaths,
                           int32_t death_count);

#endif
