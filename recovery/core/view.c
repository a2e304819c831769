/* SPDX-License-Identifier: Apache-2.0 */
#include "core/view.h"

#include <stdlib.h>
#include <string.h>

#include "core/core_state.h"

const char *muster_view_seat_text(muster_view_seat seat)
{
    static const char *const texts[] = {
#define VIEW_SEAT_TEXT(name, text) text,
        MUSTER_VIEW_SEAT_LIST(VIEW_SEAT_TEXT)
#undef VIEW_SEAT_TEXT
    };
    MUSTER_ASSERT((int)seat >= 0 && seat < MUSTER_VIEW_SEAT_COUNT);
    return texts[seat];
}

static muster_view_seat view_seat(const muster_core_slot *slot)
{
    switch (slot->seat) {
    case MUSTER_CORE_SEAT_FILLED:
        return slot->process.left ? MUSTER_VIEW_SEAT_LEFT : MUSTER_VIEW_SEAT_FILLED;
    case MUSTER_CORE_SEAT_RETIRED:
        return MUSTER_VIEW_SEAT_RETIRED;
    case MUSTER_CORE_SEAT_OPEN:
        break;
    }
    return slot->replacement == MUSTER_CORE_REPLACEMENT_STARTED ? MUSTER_VIEW_SEAT_STARTING
                                                                : MUSTER_VIEW_SEAT_OPEN;
}

static void view_process(const muster_core_process *process, int64_t now_ns, muster_view_slot *slot)
{
    slot->incarnation = process->incarnation;
    slot->process_id = process->process_id;
    slot->host = process->host;
    slot->epoch = process->said_epoch;
    slot->from_spare = process->from_spare;
    slot->expected = process->expected;
    slot->connection_lost = process->connection_lost;
    slot->suspected = process->suspected;
    slot->silent_ns = now_ns - process->heard_ns;
    slot->heartbeat_ns = process->activity_ns > 0 ? now_ns - process->activity_ns : -1;
    slot->activity = process->activity;
    if (process->activity.waiting)
        slot->waited_ns = now_ns - process->wait_seen_ns;
}

static void view_slots(const muster_core *core, int64_t now_ns, muster_view *view)
{
    if (core->slots == NULL)
        return; /* it does not know yet how many there are */
    for (int32_t i = 0; i < view->slot_count; i++) {
        const muster_core_slot *from = &core->slots[i];
        muster_view_slot *slot = &view->slots[i];
        slot->slot = i;
        slot->seat = view_seat(from);
        slot->rank = MUSTER_SLOT_NONE;
        slot->deaths_without_commit = from->deaths_without_commit;
        slot->heartbeat_ns = -1;
        if (from->seat == MUSTER_CORE_SEAT_FILLED) {
            view_process(&from->process, now_ns, slot);
            slot->late = from->late;
            slot->quiet = core->state == MUSTER_CORE_REVOKED && from->process.quiet;
            slot->connected = core->state != MUSTER_CORE_REVOKED && from->process.connected;
        } else {
            slot->incarnation =
                slot->seat == MUSTER_VIEW_SEAT_STARTING ? from->start_incarnation : from->fence;
        }
    }
    for (int32_t rank = 0; rank < core->member_count; rank++) {
        muster_view_slot *slot = &view->slots[core->members[rank].slot];
        if (core->slots[slot->slot].member)
            slot->rank = rank;
    }
}

static void view_deaths(const muster_core *core, int64_t now_ns, muster_view *view)
{
    for (int32_t i = 0; i < view->death_count; i++) {
        const muster_core_death *death = &core->deaths[i];
        view->deaths[i] = (muster_view_death){.death = death->death,
                                              .process_id = death->process_id,
                                              .abandoned = death->abandoned,
                                              .age_ns = now_ns - death->verdict_ns};
    }
}

bool muster_view_take(const muster_core *core, int64_t now_ns, muster_view *view)
{
    *view = (muster_view){
        .job = core->job,
        .term = core->term,
        .state = muster_core_state_text(core),
        .ended = core->state == MUSTER_CORE_ENDED,
        .ended_status = core->ended_status,
        .epoch = core->epoch,
        .member_count = core->member_count,
        .slot_count = core->slots != NULL ? core->policy.slot_count : 0,
        .min_ranks = muster_core_members_minimum(core),
        .on_loss = core->policy.on_loss,
        .deadlines = core->policy.deadlines,
        .spare_count = (int32_t)core->spare_count,
        .launcher_count = (int32_t)core->launcher_count,
        .grows = core->policy.grow != 0,
        .replacements_used = core->replacements_used,
        .max_replacements = core->policy.max_replacements,
        .has_committed = core->has_committed,
        .has_step = core->committed_epoch > 0,
        .committed_epoch = core->committed_epoch,
        .committed_step = core->committed_step,
        .adopting = core->adoption.epoch != 0,
        .death_count = (int32_t)core->death_count,
    };
    memcpy(view->ended_text, core->ended_text, sizeof view->ended_text);
    /* One more of each, so that none is no reason for NULL. */
    view->slots = calloc((size_t)view->slot_count + 1, sizeof *view->slots);
    view->deaths = calloc((size_t)view->death_count + 1, sizeof *view->deaths);
    if (view->slots == NULL || view->deaths == NULL) {
        muster_view_clean_up(view);
        return false;
    }
    view_slots(core, now_ns, view);
    view_deaths(core, now_ns, view);
    return true;
}

void muster_view_clean_up(muster_view *view)
{
    free(view->slots);
    free(view->deaths);
    memset(view, 0, sizeof *view);
}
