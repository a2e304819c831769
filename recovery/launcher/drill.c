/* SPDX-License-Identifier: Apache-2.0 */
/* A loss on purpose, so that a recovery can be watched and timed: once a step is committed, a slot's
 * rank gets the signal, and the moment of sending is what detection is counted from. */
#include <signal.h>

#include "launcher/launcher_state.h"

void muster_drill_committed(muster_launcher *launcher, uint64_t step)
{
    const muster_drill *drill = &launcher->options.drill;
    int wanted = drill->wanted ? (drill->again ? 2 : 1) : 0;
    if (launcher->drills_done >= wanted || launcher->ending ||
        step < (launcher->drills_done == 0 ? drill->step : drill->again_step))
        return;
    const muster_launched_slot *place = muster_rank_slot_of(launcher, drill->slot);
    muster_rank *rank = muster_rank_find(launcher, drill->slot, place->incarnation);
    launcher->drills_done++;
    int64_t sent_ns = muster_launcher_clock_ns();
    if (rank == NULL || !muster_child_signal_rank(&rank->child, drill->signal_number)) {
        muster_launcher_say(launcher, "drill: step %llu is committed, but slot %d has no process",
                            (unsigned long long)step, drill->slot);
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
