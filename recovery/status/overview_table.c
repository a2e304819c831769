/* SPDX-License-Identifier: Apache-2.0 */
/* The overview for a terminal: what `muster status` prints. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collective/record.h"
#include "status/overview.h"
#include "status/text.h"

#define TABLE_CELL_BYTES 64
#define TABLE_NOTES_MAX 10
#define TABLE_RECOVERIES_MAX 5

/* "0.25 s", "12 s", "3 min", "5 h" */
static const char *table_duration(int64_t ns, char *text)
{
    const double seconds = (double)ns / 1e9;
    if (ns < 0)
        snprintf(text, TABLE_CELL_BYTES, "-");
    else if (seconds < 1)
        snprintf(text, TABLE_CELL_BYTES, "%.0f ms", seconds * 1e3);
    else if (seconds < 60)
        snprintf(text, TABLE_CELL_BYTES, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(text, TABLE_CELL_BYTES, "%.0f min", seconds / 60);
    else
        snprintf(text, TABLE_CELL_BYTES, "%.1f h", seconds / 3600);
    return text;
}

static const char *table_call(uint32_t call, uint64_t communicator, uint64_t sequence, char *text)
{
    char name[24];
    if (communicator == MUSTER_COMMUNICATOR_WORLD)
        snprintf(text, TABLE_CELL_BYTES, "%s %" PRIu64, muster_call_text((muster_call)call),
                 sequence);
    else
        snprintf(text, TABLE_CELL_BYTES, "%s %" PRIu64 " of %.8s",
                 muster_call_text((muster_call)call), sequence,
                 muster_overview_communicator_text(communicator, name, sizeof name));
    return text;
}

/* "slots 0 to 3, 7": runs are drawn together, and a long list ends with how many more there are. */
static void table_slots(muster_text *text, const int32_t *slots, int32_t count)
{
    int32_t runs = 0;
    muster_text_add(text, "slot%s ", count == 1 ? "" : "s");
    for (int32_t i = 0; i < count;) {
        int32_t end = i;
        while (end + 1 < count && slots[end + 1] == slots[end] + 1)
            end++;
        if (++runs > 12) {
            muster_text_add(text, " and %d more", (int)(count - i));
            return;
        }
        muster_text_add(text, "%s%d", i > 0 ? ", " : "", (int)slots[i]);
        if (end > i)
            muster_text_add(text, end > i + 1 ? " to %d" : ", %d", (int)slots[end]);
        i = end + 1;
    }
}

static void table_now(const muster_view_slot *slot, const muster_deadlines *deadlines, char *text)
{
    char call[TABLE_CELL_BYTES];
    char duration[TABLE_CELL_BYTES];
    const muster_activity *activity = &slot->activity;
    if (slot->expected)
        snprintf(text, 2 * TABLE_CELL_BYTES, "expected back since the coordinator's restart");
    else if (slot->connection_lost)
        snprintf(text, 2 * TABLE_CELL_BYTES, "connection lost: back within %s, or lost",
                 table_duration(deadlines->reconnect_ns, duration));
    else if (slot->suspected)
        snprintf(text, 2 * TABLE_CELL_BYTES, "slow: silent; a verdict falls at %s",
                 table_duration(deadlines->silence_ns, duration));
    else if (slot->late)
        snprintf(text, 2 * TABLE_CELL_BYTES, "comes in at the next committed step");
    else if (activity->waiting)
        snprintf(text, 2 * TABLE_CELL_BYTES, "waits in %s for %s",
                 table_call(activity->call, activity->communicator, activity->sequence, call),
                 table_duration(slot->waited_ns, duration));
    else if (slot->heartbeat_ns < 0)
        snprintf(text, 2 * TABLE_CELL_BYTES, "joined");
    else
        snprintf(text, 2 * TABLE_CELL_BYTES, "computes");
}

static void table_slot(muster_text *text, const muster_view *view, const muster_view_slot *slot)
{
    char rank[16] = "-";
    char heard[TABLE_CELL_BYTES] = "-";
    char step[24] = "-";
    char last[TABLE_CELL_BYTES] = "-";
    char now[2 * TABLE_CELL_BYTES] = "";
    char process[16] = "-";
    if (slot->rank != MUSTER_SLOT_NONE)
        snprintf(rank, sizeof rank, "%d", slot->rank);
    if (slot->seat == MUSTER_VIEW_SEAT_FILLED) {
        snprintf(process, sizeof process, "%d", slot->process_id);
        table_duration(slot->silent_ns, heard);
        if (slot->activity.has_committed_step)
            snprintf(step, sizeof step, "%" PRIu64, slot->activity.committed_step);
        if (slot->activity.completed_calls > 0)
            table_call(slot->activity.last_call, slot->activity.last_communicator,
                       slot->activity.last_sequence, last);
        table_now(slot, &view->deadlines, now);
    } else if (slot->seat == MUSTER_VIEW_SEAT_STARTING) {
        snprintf(now, sizeof now, "a new process was asked for");
    }
    muster_text_add(text, "  %5d %5s %6u %8s  %-8s %8s %8s  %-24s %s\n", slot->slot, rank,
                    slot->incarnation, process, muster_view_seat_text(slot->seat), heard, step,
                    last, now);
}

static void table_pending(muster_text *text, const muster_view *view)
{
    static const char *const texts[] = {
#define TABLE_PENDING(name, sentence) sentence,
        MUSTER_OVERVIEW_PENDING_LIST(TABLE_PENDING)
#undef TABLE_PENDING
    };
    int32_t *slots = calloc((size_t)view->slot_count + 1, sizeof *slots);
    text->failed = text->failed || slots == NULL;
    for (int what = 0; what < MUSTER_OVERVIEW_PENDING_COUNT && slots != NULL; what++) {
        int32_t count = 0;
        for (int32_t i = 0; i < view->slot_count; i++) {
            if (muster_overview_is_pending(view, i, (muster_overview_pending)what))
                slots[count++] = i;
        }
        if (count == 0)
            continue;
        muster_text_add(text, "  the next epoch waits for ");
        table_slots(text, slots, count);
        muster_text_add(text, " %s\n", texts[what]);
    }
    free(slots);
}

static void table_waits(muster_text *text, const muster_view *view)
{
    muster_overview_wait waits[MUSTER_OVERVIEW_WAITS_MAX];
    int count = muster_overview_waits(view, waits);
    text->failed = text->failed || count < 0;
    for (int i = 0; i < count; i++) {
        char call[TABLE_CELL_BYTES];
        muster_text_add(text, "  ");
        table_slots(text, waits[i].waiting, waits[i].waiting_count);
        muster_text_add(text, " wait%s in %s", waits[i].waiting_count == 1 ? "s" : "",
                        table_call(waits[i].call, waits[i].communicator, waits[i].sequence, call));
        if (waits[i].awaited_count > 0) {
            muster_text_add(text, " for ");
            table_slots(text, waits[i].awaited, waits[i].awaited_count);
        }
        muster_text_add(text, "\n");
    }
    muster_overview_waits_clean_up(waits, count);
}

static void table_notes(muster_text *text, const muster_overview *overview,
                        const muster_history *history)
{
    char age[TABLE_CELL_BYTES];
    char clean[MUSTER_TEXT_CLEAN_BYTES];
    for (uint64_t i = 0; i < TABLE_NOTES_MAX; i++) {
        const muster_note *note = muster_history_verdict(history, i);
        if (note == NULL)
            break;
        if (i == 0)
            muster_text_add(text, "  verdicts (%" PRIu64 "), the newest first:\n",
                            history->verdict_count);
        muster_text_add(text, "    %8s ago, epoch %" PRIu64 ": %s\n",
                        table_duration(overview->now_ns - (int64_t)note->time_ns, age), note->epoch,
                        muster_text_clean(note->text, clean, sizeof clean));
    }
}

static void table_recoveries(muster_text *text, const muster_overview *overview,
                             const muster_history *history)
{
    for (uint64_t i = 0; i < TABLE_RECOVERIES_MAX; i++) {
        const muster_history_recovery *recovery = muster_history_recovery_at(history, i);
        char one[TABLE_CELL_BYTES];
        char other[TABLE_CELL_BYTES];
        if (recovery == NULL)
            break;
        if (i == 0)
            muster_text_add(text, "  recoveries (%" PRIu64 "), the newest first:\n",
                            history->recovery_count);
        muster_text_add(text, "    %8s ago, epoch %" PRIu64 " lost %d rank%s: ",
                        table_duration(overview->now_ns - recovery->verdict_ns, one),
                        recovery->lost_epoch, recovery->lost_count,
                        recovery->lost_count == 1 ? "" : "s");
        if (recovery->established_ns > 0)
            muster_text_add(text,
                            "epoch %" PRIu64 " with %d ranks stood after %s (agreed after %s)\n",
                            recovery->new_epoch, recovery->member_count,
                            table_duration(recovery->established_ns - recovery->verdict_ns, one),
                            table_duration(recovery->agreed_ns - recovery->verdict_ns, other));
        else
            muster_text_add(text, recovery->gave_up ? "given up\n" : "under way\n");
    }
}

static void table_job(muster_text *text, const muster_overview *overview,
                      const muster_overview_job *job)
{
    const muster_view *view = &job->view;
    char clean[MUSTER_TEXT_CLEAN_BYTES];
    muster_text_add(text, "\njob %s: %s, epoch %" PRIu64 " with %d of %d ranks",
                    muster_text_clean(job->name, clean, sizeof clean), view->state, view->epoch,
                    view->member_count, view->slot_count);
    if (view->has_step)
        muster_text_add(text, ", step %" PRIu64 " committed", view->committed_step);
    muster_text_add(text, "\n");
    if (view->ended && view->ended_text[0] != '\0')
        muster_text_add(text, "  %s\n", muster_text_clean(view->ended_text, clean, sizeof clean));
    muster_text_add(text,
                    "  on loss: %s%s (%d of %d replacements used), at least %d ranks; %d spare%s, "
                    "%d launcher%s\n",
                    view->on_loss == MUSTER_ON_LOSS_SHRINK ? "shrink" : "replace",
                    view->grows ? ", grows again" : "", view->replacements_used,
                    view->max_replacements, view->min_ranks, view->spare_count,
                    view->spare_count == 1 ? "" : "s", view->launcher_count,
                    view->launcher_count == 1 ? "" : "s");
    if (view->adopting)
        muster_text_add(text, "  the journal is lost: it waits for a majority of the ranks\n");
    muster_text_add(text, "  %5s %5s %6s %8s  %-8s %8s %8s  %-24s %s\n", "slot", "rank", "incarn.",
                    "process", "seat", "heard", "step", "last call", "now");
    for (int32_t i = 0; i < view->slot_count; i++)
        table_slot(text, view, &view->slots[i]);
    table_waits(text, view);
    table_pending(text, view);
    table_notes(text, overview, &job->history);
    table_recoveries(text, overview, &job->history);
}

char *muster_overview_table(const muster_overview *overview)
{
    muster_text text = {0};
    char up[TABLE_CELL_BYTES];
    bool refused = false;
    muster_text_add(
        &text, "coordinator %s, term %" PRIu64 ", up %s, %" PRIu64 " connection%s, %zu job%s\n",
        overview->endpoint, overview->term, table_duration(overview->up_ns, up),
        overview->connection_count, overview->connection_count == 1 ? "" : "s", overview->job_count,
        overview->job_count == 1 ? "" : "s");
    for (size_t i = 0; i < overview->refusal_count; i++) {
        const muster_overview_refusal *refusal = &overview->refusals[i];
        if (refusal->count > 0) {
            muster_text_add(&text, "%s%" PRIu64 " %s", refused ? "; " : "refused: ", refusal->count,
                            refusal->text);
            refused = true;
        }
    }
    if (refused)
        muster_text_add(&text, "\n");
    for (size_t i = 0; i < overview->job_count; i++)
        table_job(&text, overview, &overview->jobs[i]);
    return muster_text_take(&text);
}
