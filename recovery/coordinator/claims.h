/* SPDX-License-Identifier: Apache-2.0 */
/* Whose slot is it? Where keys are asked for, a slot belongs, for one incarnation, to the key with which
 * its process joined, and the slots of a launcher to the launcher's key. Whoever comes with another key
 * and speaks for them is refused before the core hears of it.
 *
 * The core knows no keys; its answers say what it believed: a WELCOME or an AGREED to a connection makes
 * a claim, a verdict or a leave ends it. Claims are saved with the job, so that the moment in which a
 * coordinator comes back is no moment to steal one. Pure. */
#ifndef MUSTER_COORDINATOR_CLAIMS_H
#define MUSTER_COORDINATOR_CLAIMS_H

#include "core/message.h"
#include "keys/key.h"

typedef struct muster_claim {
    muster_key key; /* empty: the slot is nobody's */
    uint32_t incarnation;
} muster_claim;

typedef struct muster_launcher_claim {
    muster_key key;
    int32_t process_id;
    int32_t first_slot;
    int32_t slot_count;
} muster_launcher_claim;

typedef struct muster_spare_claim {
    muster_key key;
    int32_t process_id;
    uint64_t host;
} muster_spare_claim;

typedef struct muster_claims {
    muster_claim *slots; /* by slot */
    size_t slot_count;
    muster_launcher_claim *launchers;
    size_t launcher_count;
    muster_spare_claim *spares; /* a ring: the oldest gives way */
    size_t spare_count;
    size_t spare_next;
} muster_claims;

void muster_claims_clean_up(muster_claims *claims);

/* Whether whoever holds key may say this. */
bool muster_claims_allow(const muster_claims *claims, const muster_key *key,
                         const muster_message *message);
/* Whether key holds anything in this job. */
bool muster_claims_has(const muster_claims *claims, const muster_key *key);
/* What the core was told and took: a LAUNCHER_JOIN or LAUNCHER_LEAVE, the JOIN of a spare. */
void muster_claims_hear(muster_claims *claims, const muster_key *key,
                        const muster_message *message);
/* What the core says to the holder of key. False: it would give away what another key holds. */
bool muster_claims_say(muster_claims *claims, const muster_key *key, const muster_message *message);
/* A verdict, a leave, a launcher that is given up. */
void muster_claims_note(muster_claims *claims, const muster_note *note);

/* *bytes is allocated, NULL where there is nothing to save. MUSTER_OK or MUSTER_ERR_NO_MEMORY. */
muster_status muster_claims_save(const muster_claims *claims, void **bytes, size_t *byte_count);
/* False: that is no saved claims, or memory ran out; *claims is then empty. */
bool muster_claims_restore(muster_claims *claims, const void *bytes, size_t byte_count);

#endif
