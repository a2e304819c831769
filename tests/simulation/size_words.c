/* SPDX-License-Identifier: Apache-2.0 */
#include "size_words.h"

#include <stdlib.h>
#include <string.h>

#include <muster/version.h>

#include "base/assert.h"
#include "wire/wire.h"

#define BLOB_BYTES 80
#define SECOND ((int64_t)1000000000)

static int32_t host_of(int32_t rank)
{
    return rank / SIZE_RANKS_A_HOST;
}

/* One that is on another host, where there is one. */
static int32_t mirrored_by(int32_t ranks, int32_t slot)
{
    int32_t away = ranks > SIZE_RANKS_A_HOST ? SIZE_RANKS_A_HOST : 1;
    return (slot + ranks - away) % ranks;
}

void size_words_policy(int32_t ranks, muster_policy *policy)
{
    memset(policy, 0, sizeof *policy);
    policy->slot_count = ranks;
    policy->on_loss = MUSTER_ON_LOSS_REPLACE; /* the first one; the others shrink the job */
    policy->max_replacements = 1;
    policy->min_ranks = 1;
    policy->crash_loop_deaths = 3;
    muster_deadlines_defaults(&policy->deadlines);
    policy->deadlines.heartbeat_ns = SECOND;
    policy->deadlines.suspect_ns = 4 * SECOND;
    policy->deadlines.verdict_grace_ns = 5 * SECOND;
}

void size_words_message(int32_t ranks, const size_word *said, muster_message *message,
                        muster_holding *holdings)
{
    int32_t slot = said->slot;
    memset(message, 0, sizeof *message);
    message->type = said->type;
    message->job = SIZE_JOB;
    message->term = SIZE_TERM;
    message->epoch = said->epoch;
    message->slot =
        said->rank >= 0 || said->type == MUSTER_MESSAGE_EXITED ? slot : MUSTER_SLOT_NONE;
    message->incarnation = said->incarnation;
    switch (said->type) {
    case MUSTER_MESSAGE_JOIN:
        message->term = 0;
        message->incarnation = UINT32_MAX;
        message->u.join.library_version = MUSTER_VERSION;
        message->u.join.slot_count = ranks;
        message->u.join.process_id = 1000 + said->rank;
        message->u.join.host = 1 + (uint64_t)host_of(said->rank);
        message->u.join.blob.bytes = BLOB_BYTES;
        memcpy(message->u.join.blob.data, &said->rank, sizeof said->rank);
        return;
    case MUSTER_MESSAGE_QUIET:
        message->u.quiet.members_epoch = said->epoch;
        message->u.quiet.blob.bytes = BLOB_BYTES;
        memcpy(message->u.quiet.blob.data, &said->rank, sizeof said->rank);
        message->u.quiet.holding_count = 4; /* own and mirror, of two generations */
        message->u.quiet.holdings = holdings;
        for (int32_t i = 0; i < 4; i++) {
            holdings[i] = (muster_holding){.slot = i % 2 ? mirrored_by(ranks, slot) : slot,
                                           .epoch = said->epoch,
                                           .step = 10 + (uint64_t)i / 2,
                                           .mirror = i % 2 != 0,
                                           .committed = i < 2};
        }
        return;
    case MUSTER_MESSAGE_EVIDENCE: /* of the rank before it */
        message->u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
        message->u.evidence.accused_slot = slot - 1;
        return;
    case MUSTER_MESSAGE_EXITED: /* by a signal */
        message->u.process.process_id = 1000 + slot;
        message->u.process.wait_status = 9;
        return;
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        message->term = 0;
        message->u.launcher_join.process_id = 7;
        message->u.launcher_join.host = (uint64_t)(-said->rank);
        message->u.launcher_join.first_slot = (-1 - said->rank) * SIZE_RANKS_A_HOST;
        message->u.launcher_join.slot_count = SIZE_RANKS_A_HOST;
        if (message->u.launcher_join.first_slot >=
            ranks) { /* of the host behind them, the spare's */
            message->u.launcher_join.first_slot = ranks;
            message->u.launcher_join.slot_count = 0;
            message->u.launcher_join.spare_count = 1;
        }
        size_words_policy(ranks, &message->u.launcher_join.policy);
        return;
    default:
        return;
    }
}

size_t size_words_bytes(const muster_message *message)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    muster_status status = muster_wire_encode(message, &bytes, &byte_count);
    MUSTER_ASSERT(status == MUSTER_OK);
    free(bytes);
    return byte_count;
}
