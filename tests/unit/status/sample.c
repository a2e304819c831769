/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collective/record.h"

muster_overview *sample_overview(const char *job, int32_t slot_count)
{
    muster_overview *overview = muster_overview_new(1, 1);
    assert_non_null(overview);
    muster_view *view = &overview->jobs[0].view;
    overview->now_ns = INT64_C(1000000000000);
    overview->wall_ms = INT64_C(1700000000000);
    overview->refusals[0] = (muster_overview_refusal){"malformed", "messages that were none", 2};
    snprintf(overview->endpoint, sizeof overview->endpoint, "tcp://127.0.0.1:7400");
    snprintf(overview->jobs[0].name, sizeof overview->jobs[0].name, "%s", job);
    view->state = "running";
    view->epoch = 3;
    view->member_count = slot_count;
    view->slot_count = slot_count;
    view->on_loss = MUSTER_ON_LOSS_REPLACE;
    muster_deadlines_defaults(&view->deadlines);
    view->slots = calloc((size_t)slot_count + 1, sizeof *view->slots);
    view->deaths = calloc((size_t)slot_count + 1, sizeof *view->deaths);
    assert_true(view->slots != NULL && view->deaths != NULL);
    for (int32_t i = 0; i < slot_count; i++)
        view->slots[i] = (muster_view_slot){
            .slot = i, .seat = MUSTER_VIEW_SEAT_FILLED, .rank = i, .epoch = 3, .process_id = 100};
    return overview;
}

void sample_waits(muster_view *view, int32_t slot, uint64_t communicator, uint64_t sequence,
                  int64_t for_ms)
{
    muster_activity *activity = &view->slots[slot].activity;
    activity->waiting = true;
    activity->communicator = communicator;
    activity->sequence = sequence;
    activity->call = MUSTER_CALL_GATHERV;
    view->slots[slot].waited_ns = for_ms * 1000000;
}

void sample_has_completed(muster_view *view, int32_t slot, uint64_t communicator, uint64_t sequence)
{
    muster_activity *activity = &view->slots[slot].activity;
    activity->completed_calls = sequence;
    activity->last_communicator = communicator;
    activity->last_sequence = sequence;
    activity->last_call = MUSTER_CALL_GATHERV;
}
