/* SPDX-License-Identifier: Apache-2.0 */
#include "status/overview.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

muster_overview *muster_overview_new(size_t job_count, size_t refusal_count)
{
    muster_overview *overview = calloc(1, sizeof *overview);
    if (overview == NULL)
        return NULL;
    overview->jobs = calloc(job_count + 1, sizeof *overview->jobs);
    overview->refusals = calloc(refusal_count + 1, sizeof *overview->refusals);
    overview->job_count = job_count;
    overview->refusal_count = refusal_count;
    if (overview->jobs != NULL && overview->refusals != NULL)
        return overview;
    overview->job_count = 0;
    muster_overview_free(overview);
    return NULL;
}

void muster_overview_free(muster_overview *overview)
{
    if (overview == NULL)
        return;
    for (size_t i = 0; i < overview->job_count; i++)
        muster_view_clean_up(&overview->jobs[i].view);
    free(overview->jobs);
    free(overview->refusals);
    free(overview);
}

const char *muster_overview_communicator_text(uint64_t communicator, char *text, size_t bytes)
{
    if (communicator == MUSTER_COMMUNICATOR_WORLD)
        snprintf(text, bytes, "world");
    else
        snprintf(text, bytes, "%016" PRIx64, communicator);
    return text;
}

static bool overview_in(const muster_view *view, const char *state)
{
    return strcmp(view->state, state) == 0;
}

static bool overview_death_pending(const muster_view *view, int32_t slot)
{
    for (int32_t i = 0; i < view->death_count; i++) {
        const muster_view_death *death = &view->deaths[i];
        if (death->death.slot == slot && !death->death.proven_gone && !death->abandoned)
            return true;
    }
    return false;
}

bool muster_overview_is_pending(const muster_view *view, int32_t slot, muster_overview_pending what)
{
    const muster_view_slot *its = &view->slots[slot];
    bool empty = its->seat == MUSTER_VIEW_SEAT_OPEN || its->seat == MUSTER_VIEW_SEAT_STARTING;
    bool member = its->seat == MUSTER_VIEW_SEAT_FILLED && its->rank != MUSTER_SLOT_NONE;
    switch (what) {
    case MUSTER_OVERVIEW_PENDING_JOIN:
        return overview_in(view, "forming") && empty;
    case MUSTER_OVERVIEW_PENDING_QUIET:
        return overview_in(view, "revoked") && member && !its->quiet;
    case MUSTER_OVERVIEW_PENDING_GONE:
        return overview_in(view, "revoked") && overview_death_pending(view, slot);
    case MUSTER_OVERVIEW_PENDING_SEAT:
        return overview_in(view, "revoked") && empty;
    case MUSTER_OVERVIEW_PENDING_CONNECT:
        return overview_in(view, "connecting") && member && !its->connected;
    case MUSTER_OVERVIEW_PENDING_COUNT:
        break;
    }
    return false;
}

/* ---- who waits for whom ---- */

static bool waits_now(const muster_view_slot *slot)
{
    return slot->seat == MUSTER_VIEW_SEAT_FILLED && slot->activity.waiting;
}

static bool waits_in(const muster_view_slot *slot, const muster_overview_wait *wait)
{
    return waits_now(slot) && slot->activity.communicator == wait->communicator &&
           slot->activity.sequence == wait->sequence && slot->activity.call == wait->call;
}

/* It has to take part, and neither waits there nor has it behind itself. */
static bool waits_is_awaited(const muster_view_slot *slot, const muster_overview_wait *wait)
{
    const muster_activity *activity = &slot->activity;
    if (slot->rank == MUSTER_SLOT_NONE || slot->seat != MUSTER_VIEW_SEAT_FILLED ||
        waits_in(slot, wait))
        return false;
    bool was_in =
        activity->completed_calls > 0 && activity->last_communicator == wait->communicator;
    bool is_in = activity->waiting && activity->communicator == wait->communicator;
    bool behind_it = (was_in && activity->last_sequence >= wait->sequence) ||
                     (is_in && activity->sequence > wait->sequence);
    bool takes_part = wait->communicator == MUSTER_COMMUNICATOR_WORLD || was_in || is_in;
    return takes_part && !behind_it;
}

static bool waits_fill(const muster_view *view, muster_overview_wait *wait)
{
    wait->waiting = calloc((size_t)view->slot_count + 1, sizeof *wait->waiting);
    wait->awaited = calloc((size_t)view->slot_count + 1, sizeof *wait->awaited);
    if (wait->waiting == NULL || wait->awaited == NULL)
        return false;
    for (int32_t i = 0; i < view->slot_count; i++) {
        const muster_view_slot *slot = &view->slots[i];
        if (waits_in(slot, wait)) {
            wait->waiting[wait->waiting_count++] = i;
            if (slot->waited_ns > wait->longest_ns)
                wait->longest_ns = slot->waited_ns;
        } else if (waits_is_awaited(slot, wait)) {
            wait->awaited[wait->awaited_count++] = i;
        }
    }
    return true;
}

static int waits_longest_first(const void *one, const void *other)
{
    const muster_overview_wait *first = one;
    const muster_overview_wait *second = other;
    return (first->longest_ns < second->longest_ns) - (first->longest_ns > second->longest_ns);
}

int muster_overview_waits(const muster_view *view, muster_overview_wait *waits)
{
    int count = 0;
    for (int32_t i = 0; i < view->slot_count && count < MUSTER_OVERVIEW_WAITS_MAX; i++) {
        const muster_view_slot *slot = &view->slots[i];
        bool known = !waits_now(slot);
        for (int k = 0; k < count && !known; k++)
            known = waits_in(slot, &waits[k]);
        if (known)
            continue;
        waits[count] = (muster_overview_wait){.communicator = slot->activity.communicator,
                                              .sequence = slot->activity.sequence,
                                              .call = slot->activity.call};
        count++;
        if (!waits_fill(view, &waits[count - 1])) {
            muster_overview_waits_clean_up(waits, count);
            return -1;
        }
    }
    qsort(waits, (size_t)count, sizeof *waits, waits_longest_first);
    return count;
}

void muster_overview_waits_clean_up(muster_overview_wait *waits, int count)
{
    for (int i = 0; i < count; i++) {
        free(waits[i].waiting);
        free(waits[i].awaited);
    }
}
