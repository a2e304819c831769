/* SPDX-License-Identifier: Apache-2.0 */
/* A loss on purpose, so that a recovery can be watched and timed: once a step is committed, a slot's
 * rank gets the signal, and the moment of sending is what detection is counted from. */
#include <signal.h>

#include "launcher/launcher_state.h"

/* The slot's rank; where the job has shrunk past it, that of the next slot that has one. */
static muster_rank *drill_target(muster_launcher *launcher)
{
    const muster_run_options *options = &launcher->options;
    for (int32_t i = 0; i < options->slot_count; i++) {
        int32_t slot = options->first_slot +
                       (options->drill.slot - options->first_slot + i) % options->slot_count;
        const muster_launched_slot *place = muster_rank_slot_of(launcher, slot);
        muster_rank *rank = muster_rank_find(launcher, slot, place->incarnation);
        if (place->lives && rank != NULL)
            return rank;
    }
    return NULL;
}

void muster_drill_committed(muster_launcher *launcher, uint64_t step)
{
    const muster_drill *drill = &launcher->options.drill;
    int wanted = drill->wanted ? (drill->again ? 2 : 1) : 0;
    if (launcher->drills_done >= wanted || launcher->ending ||
        step < (launcher->drills_done == 0 ? drill->step : drill->again_step))
        return;
    muster_rank *rank = drill_target(launcher);
    launcher->drills_done++;
    int64_t sent_ns = muster_launcher_clock_ns();
    if (rank == NULL || !muster_child_signal_rank(&rank->child, drill->signal_number)) {
        muster_launcher_say(launcher, "drill: step %llu is committed, but there is no process",
                            (unsigned long long)step);
        return;
    }
    muster_report_signalled(&launcher->report, rank->slot, rank->incarnation, drill->signal_number,
                            sent_ns);
    muster_launcher_say(launcher,
                        "drill: step %llu is committed; SIG%s to slot %d (incarnation %u, "
                        "process %d)",
                        (unsigned long long)step, drill->signal_number == SIGKILL ? "KILL" : "STOP",
                        rank->slot, rank->incarnation, rank->child.process_id);
}
