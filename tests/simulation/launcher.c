/* SPDX-License-Identifier: Apache-2.0 */
/* A launcher: recovery/launcher's word with the coordinator (the real control.c), and of the rest what
 * the protocol sees: processes are started, killed, and seen to exit. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/assert.h"
#include "base/error.h"
#include "world.h"

#define LAUNCHER_GAVE_UP_NS (2000 * SIM_MS)
#define LAUNCHER_UNSAID_NS (3000 * SIM_MS)
#define LAUNCHER_UNDECIDED_NS (15000 * SIM_MS)

sim_launcher *sim_launcher_start(sim_world *world, int host, int32_t first_slot, int32_t slot_count,
                                 int32_t spare_count)
{
    if (world->launcher_count == SIM_LAUNCHERS_MAX) {
        return NULL;
    }
    sim_launcher *launcher = &world->launchers[world->launcher_count];
    memset(launcher, 0, sizeof *launcher);
    launcher->index = world->launcher_count++;
    launcher->process_id = 100 + launcher->index;
    launcher->host = host;
    launcher->alive = true;
    launcher->first_slot = first_slot;
    launcher->slot_count = slot_count;
    launcher->spare_count = spare_count;
    snprintf(launcher->client.name, sizeof launcher->client.name, "launcher %d", launcher->index);
    launcher->client.host = host;
    launcher->client.launcher = true;
    sim_network_add(world, &launcher->client);
    const muster_control_facts facts = {.job_name = SIM_JOB_NAME,
                                        .first_slot = first_slot,
                                        .slot_count = slot_count,
                                        .spare_count = spare_count,
                                        .policy = &world->policy};
    char endpoint[32];
    muster_error error;
    muster_error_init(&error);
    snprintf(endpoint, sizeof endpoint, "sim:%p", (void *)&launcher->client);
    muster_status status = muster_control_open(&launcher->control, endpoint, &facts, &error);
    MUSTER_ASSERT(status == MUSTER_OK);
    launcher->control.join.u.launcher_join.process_id = launcher->process_id;
    launcher->control.join.u.launcher_join.host = (uint64_t)host + 1;
    launcher->control_due_ns = world->now_ns;
    return launcher;
}

void sim_launcher_die(sim_world *world, sim_launcher *launcher)
{
    if (launcher->alive) {
        sim_log(world, "launcher %d ends", launcher->index);
        launcher->alive = false;
        sim_network_close(world, &launcher->client);
    }
}

/* ---- its processes ---- */

static bool launcher_has(const sim_launcher *launcher, const sim_process *process)
{
    return process->launcher == launcher->index;
}

/* The latest with this number. */
static sim_process *launcher_find(sim_world *world, const sim_launcher *launcher, int32_t slot,
                                  uint32_t incarnation)
{
    for (int i = world->process_count; i > 0; i--) {
        sim_process *process = world->processes[i - 1];
        if (launcher_has(launcher, process) && process->slot == slot &&
            process->incarnation == incarnation) {
            return process;
        }
    }
    return NULL;
}

static sim_process *launcher_find_process(sim_world *world, const sim_launcher *launcher,
                                          int32_t process_id)
{
    for (int i = 0; i < world->process_count; i++) {
        sim_process *process = world->processes[i];
        if (launcher_has(launcher, process) && process->process_id == process_id) {
            return process;
        }
    }
    return NULL;
}

static void launcher_tell(sim_world *world, sim_launcher *launcher, muster_message_type type,
                          const sim_process *process)
{
    if (type == MUSTER_MESSAGE_EXITED && process->joined &&
        process->since_epoch < launcher->epoch) {
        (void)muster_control_send_member_exited(&launcher->control, process->slot,
                                                process->incarnation, process->process_id,
                                                process->wait_status, world->now_ns);
        return;
    }
    (void)muster_control_send_process(
        &launcher->control, type, process->slot, process->incarnation, process->process_id,
        type == MUSTER_MESSAGE_EXITED ? process->wait_status : -1, world->now_ns);
}

static void launcher_begin_process(sim_world *world, sim_launcher *launcher, int32_t slot,
                                   uint32_t incarnation)
{
    sim_process *process =
        sim_rank_start(world, launcher->host, launcher->index, slot, incarnation);
    if (process) {
        process->since_epoch = launcher->epoch;
    }
    if (process && slot >= 0) {
        launcher_tell(world, launcher, MUSTER_MESSAGE_STARTED, process);
    }
}

static void launcher_kill_process(sim_world *world, sim_process *process)
{
    if (process->alive) {
        sim_rank_die(world, process, SIGKILL);
    }
}

static void launcher_exits(sim_world *world, sim_launcher *launcher)
{
    for (int i = 0; i < world->process_count; i++) {
        sim_process *process = world->processes[i];
        if (launcher_has(launcher, process) && !process->exit_handled &&
            process->exit_seen_ns <= world->now_ns) {
            process->exit_handled = true;
            launcher_tell(world, launcher, MUSTER_MESSAGE_EXITED, process);
        }
    }
}

/* ---- what the coordinator says ---- */

static void launcher_welcome(sim_world *world, sim_launcher *launcher,
                             const muster_message *message)
{
    launcher->control.welcomed = true;
    launcher->control.heartbeat_ns = message->u.welcome.policy.deadlines.heartbeat_ns;
    if (launcher->began) {
        for (int i = 0; i < world->process_count; i++) {
            sim_process *process = world->processes[i];
            if (!launcher_has(launcher, process)) {
                continue;
            }
            if (process->exit_handled) {
                launcher_tell(world, launcher, MUSTER_MESSAGE_EXITED, process);
            } else if (process->slot >= 0) {
                launcher_tell(world, launcher, MUSTER_MESSAGE_STARTED, process);
            }
        }
        return;
    }
    launcher->began = true;
    bool all = message->epoch == 0 && !message->u.welcome.begun;
    for (int32_t i = 0; i < launcher->slot_count && all; i++) {
        launcher_begin_process(world, launcher, launcher->first_slot + i, 0);
    }
    for (int32_t i = 0; i < launcher->spare_count; i++) {
        launcher_begin_process(world, launcher, MUSTER_SLOT_SPARE_WIRE, launcher->spares_started++);
    }
}

static void launcher_start_asked(sim_world *world, sim_launcher *launcher,
                                 const muster_message *message)
{
    const sim_process *known = launcher_find(world, launcher, message->slot, message->incarnation);
    if (known && !known->exit_handled) {
        launcher_tell(world, launcher, MUSTER_MESSAGE_STARTED, known); /* our answer was lost */
    }
    if (!known && !launcher->ending && message->slot >= launcher->first_slot &&
        message->slot < launcher->first_slot + launcher->slot_count) {
        launcher_begin_process(world, launcher, message->slot, message->incarnation);
    }
}

static void launcher_kill_asked(sim_world *world, sim_launcher *launcher,
                                const muster_message *message)
{
    sim_process *process = launcher_find(world, launcher, message->slot, message->incarnation);
    if (!process) {
        process = launcher_find_process(world, launcher, message->u.process.process_id);
    }
    if (process && process->exit_handled) {
        (void)muster_control_send_process(&launcher->control, MUSTER_MESSAGE_EXITED, message->slot,
                                          message->incarnation, process->process_id,
                                          process->wait_status, world->now_ns);
    } else if (process) {
        launcher_kill_process(world, process);
    }
}

static void launcher_assigned(sim_world *world, sim_launcher *launcher,
                              const muster_message *message)
{
    if (launcher_find(world, launcher, message->slot, message->incarnation)) {
        return;
    }
    sim_process *spare = launcher_find_process(world, launcher, message->u.process.process_id);
    if (spare && spare->spare) {
        spare->slot = message->slot;
        spare->incarnation = message->incarnation;
        spare->since_epoch = launcher->epoch;
        spare->joined = true;
        launcher_tell(world, launcher, MUSTER_MESSAGE_STARTED, spare);
    }
}

static void launcher_end(sim_world *world, sim_launcher *launcher, const char *why)
{
    if (!launcher->ending) {
        sim_log(world, "launcher %d ends the job: %s", launcher->index, why);
        launcher->ending = true;
        launcher->kill_ns = world->now_ns + LAUNCHER_GAVE_UP_NS;
    }
}

static void launcher_note(sim_world *world, sim_launcher *launcher, const muster_note *note)
{
    sim_process *process =
        note->slot >= 0 ? launcher_find(world, launcher, note->slot, note->incarnation) : NULL;
    if (process && note->kind == MUSTER_NOTE_JOINED) {
        process->joined = true;
    }
    if (note->slot < 0 && note->kind == MUSTER_NOTE_AGREED) {
        launcher->epoch = note->epoch;
    }
    if (note->kind == MUSTER_NOTE_GAVE_UP) {
        launcher_end(world, launcher, note->text);
    }
}

static void launcher_hear(sim_world *world, sim_launcher *launcher, const muster_message *message)
{
    switch (message->type) {
    case MUSTER_MESSAGE_LAUNCHER_WELCOME:
        launcher_welcome(world, launcher, message);
        return;
    case MUSTER_MESSAGE_REFUSED:
        launcher_end(world, launcher, message->u.refused.text);
        return;
    case MUSTER_MESSAGE_REJOIN:
        muster_control_rejoin(&launcher->control, world->now_ns);
        return;
    case MUSTER_MESSAGE_START:
        launcher_start_asked(world, launcher, message);
        return;
    case MUSTER_MESSAGE_KILL:
        launcher_kill_asked(world, launcher, message);
        return;
    case MUSTER_MESSAGE_ASSIGNED:
        launcher_assigned(world, launcher, message);
        return;
    case MUSTER_MESSAGE_GAVE_UP:
        launcher_end(world, launcher, message->u.refused.text);
        return;
    case MUSTER_MESSAGE_NOTE:
        launcher_note(world, launcher, &message->u.note);
        return;
    default:
        return;
    }
}

/* Nobody of its slots lives, and nothing was said about it for long: recovery/launcher/ending.c. */
static void launcher_decide(sim_world *world, sim_launcher *launcher)
{
    bool all_well = true;
    if (!launcher->began || launcher->ending) {
        return;
    }
    for (int32_t i = 0; i < launcher->slot_count; i++) {
        const sim_process *last = NULL;
        for (int k = 0; k < world->process_count; k++) {
            if (launcher_has(launcher, world->processes[k]) &&
                world->processes[k]->slot == launcher->first_slot + i) {
                last = world->processes[k];
            }
        }
        if (last && last->exit_seen_ns > world->now_ns) {
            launcher->undecided_ns = SIM_NEVER;
            return;
        }
        all_well = all_well && last && last->wait_status == 0;
    }
    if (launcher->undecided_ns == SIM_NEVER) {
        launcher->undecided_ns = world->now_ns;
    }
    int64_t waited_ns = world->now_ns - launcher->undecided_ns;
    if (waited_ns >= (all_well ? LAUNCHER_UNSAID_NS : LAUNCHER_UNDECIDED_NS)) {
        launcher_end(world, launcher, all_well ? "its ranks ended well" : "no rank lives");
    }
}

static void launcher_finish(sim_world *world, sim_launcher *launcher)
{
    bool anybody = false;
    for (int i = 0; i < world->living_count; i++) {
        anybody = anybody || launcher_has(launcher, world->living[i]);
    }
    if (!anybody) {
        muster_message leave = {.type = MUSTER_MESSAGE_LAUNCHER_LEAVE,
                                .job = world->job,
                                .term = launcher->control.term,
                                .slot = MUSTER_SLOT_NONE};
        (void)sim_network_send(&launcher->client, &leave);
        sim_launcher_die(world, launcher);
    } else if (world->now_ns >= launcher->kill_ns) {
        for (int i = world->living_count; i > 0; i--) {
            if (launcher_has(launcher, world->living[i - 1])) {
                launcher_kill_process(world, world->living[i - 1]);
            }
        }
    }
}

int64_t sim_launcher_due(sim_world *world, const sim_launcher *launcher)
{
    if (!launcher->alive) {
        return SIM_NEVER;
    }
    if (launcher->stopped) {
        return launcher->wake_ns;
    }
    int64_t due_ns = sim_network_client_due(&launcher->client);
    due_ns = launcher->control_due_ns < due_ns ? launcher->control_due_ns : due_ns;
    for (int i = 0; i < world->process_count; i++) {
        const sim_process *process = world->processes[i];
        if (launcher_has(launcher, process) && !process->exit_handled &&
            process->exit_seen_ns < due_ns) {
            due_ns = process->exit_seen_ns;
        }
    }
    return due_ns;
}

void sim_launcher_turn(sim_world *world, sim_launcher *launcher)
{
    if (launcher->stopped) {
        sim_log(world, "launcher %d goes on", launcher->index);
        launcher->stopped = false;
        launcher->wake_ns = SIM_NEVER;
    }
    sim_network_client_turn(&launcher->client);
    muster_message message;
    while (muster_control_receive(&launcher->control, world->now_ns, &message)) {
        launcher_hear(world, launcher, &message);
        muster_message_clean_up(&message);
    }
    launcher_exits(world, launcher);
    launcher_decide(world, launcher);
    if (launcher->ending) {
        launcher_finish(world, launcher);
    }
    if (launcher->alive) {
        launcher->control_due_ns = muster_control_turn(&launcher->control, world->now_ns);
        if (launcher->control_due_ns <= world->now_ns) {
            launcher->control_due_ns = world->now_ns + SIM_MS;
        }
    }
}
