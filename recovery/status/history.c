/* SPDX-License-Identifier: Apache-2.0 */
#include "status/history.h"

#include <stddef.h>

static const int64_t bucket_bounds_ms[MUSTER_HISTORY_BUCKETS] = {
#define HISTORY_BUCKET_BOUND(bound) bound,
    MUSTER_HISTORY_BUCKET_LIST(HISTORY_BUCKET_BOUND)
#undef HISTORY_BUCKET_BOUND
};

int64_t muster_history_bucket_ms(int index)
{
    return bucket_bounds_ms[index];
}

static muster_history_recovery *history_newest(muster_history *history)
{
    return &history->recoveries[(history->recovery_count - 1) % MUSTER_HISTORY_RECOVERIES];
}

static void history_lose(muster_history *history, const muster_note *note)
{
    history->verdicts[history->verdict_count++ % MUSTER_HISTORY_VERDICTS] = *note;
    if (note->evidence < MUSTER_EVIDENCE_COUNT)
        history->verdicts_by_evidence[note->evidence]++;
    if (!history->recovering) {
        history->recovering = true;
        history->recovery_count++;
        *history_newest(history) = (muster_history_recovery){.lost_epoch = note->epoch,
                                                             .verdict_ns = (int64_t)note->time_ns};
    }
    muster_history_recovery *recovery = history_newest(history);
    if (recovery->lost_count < MUSTER_HISTORY_LOST_SLOTS)
        recovery->lost_slots[recovery->lost_count] = note->slot;
    recovery->lost_count++;
}

static void history_establish(muster_history *history, const muster_note *note)
{
    history->established_count++;
    if (!history->recovering)
        return;
    muster_history_recovery *recovery = history_newest(history);
    recovery->established_ns = (int64_t)note->time_ns;
    history->recovering = false;
    const int64_t took_ns = recovery->established_ns - recovery->verdict_ns;
    int bucket = 0;
    while (bucket < MUSTER_HISTORY_BUCKETS && took_ns > bucket_bounds_ms[bucket] * 1000000)
        bucket++;
    history->recovered_buckets[bucket]++;
    history->recovered_sum_ns += took_ns;
    history->recovered_count++;
}

static void history_agree(muster_history *history, const muster_note *note)
{
    if (!history->recovering || note->slot != MUSTER_SLOT_NONE)
        return;
    muster_history_recovery *recovery = history_newest(history);
    recovery->new_epoch = note->epoch;
    recovery->member_count = (int32_t)note->value;
    recovery->agreed_ns = (int64_t)note->time_ns;
}

static void history_first_batch(muster_history *history, const muster_note *note)
{
    if (history->recovery_count == 0 || history->recovering)
        return;
    muster_history_recovery *recovery = history_newest(history);
    if (note->epoch == recovery->new_epoch)
        recovery->first_batch_ns = (int64_t)note->time_ns;
}

/* Worth a line for people: not what every rank says in every recovery. */
static bool history_is_news(const muster_note *note)
{
    switch ((muster_note_kind)note->kind) {
    case MUSTER_NOTE_NONE: /* a sentence without a kind: the coordinator was paused */
    case MUSTER_NOTE_SUSPECTED:
    case MUSTER_NOTE_EVIDENCE:
    case MUSTER_NOTE_ABANDONED:
    case MUSTER_NOTE_STARTING:
    case MUSTER_NOTE_AGREED:
    case MUSTER_NOTE_ESTABLISHED:
    case MUSTER_NOTE_LEFT:
    case MUSTER_NOTE_GAVE_UP:
    case MUSTER_NOTE_CALLS_DIFFER:
    case MUSTER_NOTE_REFUSED:
    case MUSTER_NOTE_TERM:
        return true;
    default:
        return false;
    }
}

void muster_history_note(muster_history *history, const muster_note *note)
{
    switch ((muster_note_kind)note->kind) {
    case MUSTER_NOTE_VERDICT:
        history_lose(history, note);
        break;
    case MUSTER_NOTE_SUSPECTED:
        history->suspicion_count++;
        break;
    case MUSTER_NOTE_AGREED:
        history_agree(history, note);
        break;
    case MUSTER_NOTE_ESTABLISHED:
        history_establish(history, note);
        break;
    case MUSTER_NOTE_FIRST_BATCH:
        history_first_batch(history, note);
        break;
    case MUSTER_NOTE_GAVE_UP:
    case MUSTER_NOTE_CALLS_DIFFER:
        if (history->recovering)
            history_newest(history)->gave_up = true;
        history->recovering = false;
        break;
    default:
        break;
    }
    if (history_is_news(note))
        history->news[history->news_count++ % MUSTER_HISTORY_NEWS] = *note;
}

const muster_note *muster_history_verdict(const muster_history *history, uint64_t back)
{
    if (back >= history->verdict_count || back >= MUSTER_HISTORY_VERDICTS)
        return NULL;
    return &history->verdicts[(history->verdict_count - 1 - back) % MUSTER_HISTORY_VERDICTS];
}

const muster_note *muster_history_news(const muster_history *history, uint64_t back)
{
    if (back >= history->news_count || back >= MUSTER_HISTORY_NEWS)
        return NULL;
    return &history->news[(history->news_count - 1 - back) % MUSTER_HISTORY_NEWS];
}

const muster_history_recovery *muster_history_recovery_at(const muster_history *history,
                                                          uint64_t back)
{
    if (back >= history->recovery_count || back >= MUSTER_HISTORY_RECOVERIES)
        return NULL;
    return &history->recoveries[(history->recovery_count - 1 - back) % MUSTER_HISTORY_RECOVERIES];
}
