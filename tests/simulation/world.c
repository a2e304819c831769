/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"

/* A world that does not end by itself has lost its way. */
#define WORLD_TURNS_MAX 2000000

void sim_fail(sim_world *world, const char *format, ...)
{
    va_list arguments;
    if (world->outcome.failed) {
        return;
    }
    world->outcome.failed = true;
    va_start(arguments, format);
    vsnprintf(world->outcome.failure, sizeof world->outcome.failure, format, arguments);
    va_end(arguments);
    sim_log(world, "FAILED: %s", world->outcome.failure);
}

void sim_log(const sim_world *world, const char *format, ...)
{
    va_list arguments;
    if (!world->verbose) {
        return;
    }
    printf("%10.3f ms  ", (double)world->now_ns / (double)SIM_MS);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

/* ---- the seed's job ---- */

static void world_deadline(sim_world *world, int64_t *deadline_ns, int64_t least_ms,
                           int64_t most_ms)
{
    *deadline_ns = sim_chance_between(&world->chance, least_ms, most_ms) * SIM_MS;
}

static void world_deadlines(sim_world *world)
{
    muster_deadlines *deadlines = &world->policy.deadlines;
    muster_error error;
    muster_error_init(&error);
    muster_deadlines_defaults(deadlines);
    world_deadline(world, &deadlines->heartbeat_ns, 100, 200);
    world_deadline(world, &deadlines->suspect_ns, 500, 700);
    world_deadline(world, &deadlines->silence_ns, 1500, 2500);
    world_deadline(world, &deadlines->reconnect_ns, 900, 1500);
    world_deadline(world, &deadlines->batch_ns, 2000, 4000);
    world_deadline(world, &deadlines->verdict_grace_ns, 900, 1200);
    world_deadline(world, &deadlines->gone_ns, 500, 1500);
    world_deadline(world, &deadlines->start_ns, 2500, 4000);
    world_deadline(world, &deadlines->join_ns, 10000, 14000);
    world_deadline(world, &deadlines->rebuild_ns, 14000, 18000);
    world_deadline(world, &deadlines->leave_ns, 800, 1600);
    if (muster_deadlines_check(deadlines, &error) != MUSTER_OK) {
        sim_fail(world, "%s", error.message);
    }
}

static void world_launch(sim_world *world)
{
    int32_t slot = 0;
    for (int host = 0; host < world->host_count; host++) {
        int32_t count = (world->policy.slot_count - slot) / (world->host_count - host);
        if (world->launched) {
            int32_t spares = host == 0 ? world->spare_count : 0;
            sim_launcher *launcher = sim_launcher_start(world, host, slot, count, spares);
            launcher->control_due_ns = sim_chance_between(&world->chance, 0, 50 * SIM_MS);
        }
        for (int32_t i = 0; i < count; i++) {
            world->pod_ns[slot + i] =
                world->launched ? SIM_NEVER : sim_chance_between(&world->chance, 0, 200 * SIM_MS);
        }
        slot += count;
    }
    for (int32_t i = 0; !world->launched && i < world->spare_count; i++) {
        sim_rank_start(world, 0, -1, MUSTER_SLOT_SPARE_WIRE, 0);
    }
}

static void world_make(sim_world *world)
{
    sim_chance *chance = &world->chance;
    muster_policy *policy = &world->policy;
    world->job = muster_hash_text(SIM_JOB_NAME);
    world->host_count = (int)sim_chance_between(chance, 1, SIM_HOSTS_MAX);
    policy->slot_count = (int32_t)sim_chance_between(chance, world->host_count, 6);
    policy->on_loss =
        sim_chance_percent(chance, 65) ? MUSTER_ON_LOSS_REPLACE : MUSTER_ON_LOSS_SHRINK;
    policy->min_ranks = sim_chance_percent(chance, 70)
                            ? 1
                            : (int32_t)sim_chance_between(chance, 0, policy->slot_count);
    policy->max_replacements =
        sim_chance_percent(chance, 80) ? 40 : (int32_t)sim_chance_between(chance, 0, 3);
    policy->grow = sim_chance_percent(chance, 40);
    policy->crash_loop_deaths = sim_chance_percent(chance, 70) ? 10 : 3;
    world_deadlines(world);
    world->launched = sim_chance_percent(chance, 75);
    world->journaled = sim_chance_percent(chance, 85);
    world->spare_count =
        sim_chance_percent(chance, 30) ? (int32_t)sim_chance_between(chance, 1, 2) : 0;
    world->device_percent = (int)sim_chance_between(chance, 0, 1) * 50;
    world->step_ns = sim_chance_between(chance, 60, 300) * SIM_MS;
    world->wall_ms = sim_chance_between(chance, 1000000, 2000000);
    world->last_step_known = sim_chance_percent(chance, 30);
    world->final_step =
        world->last_step_known ? (uint64_t)sim_chance_between(chance, 2, 15) : UINT64_MAX;
    world->network.delay_ns = sim_chance_between(chance, 1, 8) * SIM_MS;
    world->form_ns = SIM_NEVER;
    world->healed_ns = SIM_NEVER;
    for (int i = 0; i < SIM_SLOTS_MAX; i++) {
        world->pod_ns[i] = SIM_NEVER;
    }
    for (int i = 0; i < SIM_COORDINATORS_MAX; i++) {
        world->coordinators[i].index = i;
        world->coordinators[i].restart_ns = SIM_NEVER;
        muster_core_actions_init(&world->coordinators[i].actions);
    }
    sim_log(world, "%d slots on %d hosts, %s, %s, at least %d, %s, %s, %d spares",
            policy->slot_count, world->host_count, world->launched ? "launched" : "pods",
            policy->on_loss == MUSTER_ON_LOSS_REPLACE ? "replace" : "shrink", policy->min_ranks,
            world->journaled ? "journaled" : "no journal", "from the start", world->spare_count);
    sim_coordinator_start(world, &world->coordinators[0]);
    world_launch(world);
    sim_faults_plan(world);
}

static void world_clean_up(sim_world *world)
{
    sim_network_clean_up(world);
    for (int i = 0; i < world->process_count; i++) {
        sim_rank_clean_up(world->processes[i]);
    }
    for (int i = 0; i < SIM_COORDINATORS_MAX; i++) {
        sim_coordinator_clean_up(&world->coordinators[i]);
    }
}

/* ---- faults have stopped ---- */

bool sim_world_ended(const sim_world *world)
{
    const sim_coordinator *coordinator = &world->coordinators[world->network.service];
    bool finished = false;
    for (int i = 0; i < world->process_count; i++) {
        finished = finished || world->processes[i]->finished;
    }
    return finished || world->witness.gave_up || (coordinator->up && coordinator->ended);
}

/* Everything that this job's deadlines allow one after the other, once; see the README. */
static int64_t world_form_bound(const sim_world *world)
{
    const muster_deadlines *deadlines = &world->policy.deadlines;
    return deadlines->join_ns + deadlines->silence_ns + deadlines->reconnect_ns +
           deadlines->gone_ns + 2 * deadlines->start_ns + deadlines->rebuild_ns +
           deadlines->batch_ns + 2 * deadlines->verdict_grace_ns + deadlines->leave_ns +
           20000 * SIM_MS;
}

static void world_heal(sim_world *world)
{
    sim_log(world, "faults have stopped");
    sim_network *network = &world->network;
    for (int host = 0; host < SIM_HOSTS_MAX; host++) {
        network->cut_to_ns[host] = world->now_ns;
        network->cut_from_ns[host] = world->now_ns;
        network->cut_peers_ns[host] = world->now_ns;
    }
    network->lossy_until_ns = world->now_ns;
    for (int i = 0; i < SIM_COORDINATORS_MAX; i++) {
        sim_coordinator *coordinator = &world->coordinators[i];
        coordinator->crash_in_actions = 0;
        coordinator->crash_after_decision = 0;
        if (coordinator->stopped) {
            coordinator->wake_ns = world->now_ns;
        }
        if (!coordinator->up && i == network->service) {
            coordinator->restart_ns = world->now_ns;
        }
    }
    for (int i = 0; i < world->launcher_count; i++) {
        world->launchers[i].wake_ns = world->now_ns;
    }
    uint64_t last_step = 0;
    for (int i = 0; i < world->living_count; i++) {
        sim_process *process = world->living[i];
        if (process->stopped && process->wake_ns != SIM_NEVER) {
            process->wake_ns = world->now_ns;
        }
        process->hang_ns = 0;
        process->odd_call = false;
        last_step = process->step > last_step ? process->step : last_step;
    }
    world->ambush = SIM_RANK_STARTING;
    if (!world->last_step_known) {
        world->final_step = last_step + 2;
        world->last_step_known = true;
    }
    world->form_ns = world->now_ns + world_form_bound(world);
    world->quiet_ns = SIM_NEVER;
    world->healed_ns = world->now_ns;
}

bool sim_world_silent(const sim_world *world)
{
    const muster_core *core = world->coordinators[world->network.service].core;
    muster_status status = MUSTER_OK;
    return core && muster_core_ended(core, &status) && status == MUSTER_ERR_FENCED;
}

/* Who is left over at the end of the time that the job had. */
static void world_not_formed(sim_world *world)
{
    if (sim_world_silent(world)) {
        return;
    }
    for (int i = 0; i < world->living_count; i++) {
        const sim_process *process = world->living[i];
        if (process->stopped) {
            continue;
        }
        sim_fail(
            world,
            "faults stopped %lld ms ago, and %s (slot %d, epoch %llu) is still %s; the job is %s",
            (long long)(world_form_bound(world) / SIM_MS), process->client.name,
            (int)atomic_load(&process->protocol.slot), (unsigned long long)process->epoch,
            sim_rank_state_text(process),
            world->coordinators[world->network.service].core
                ? muster_core_state_text(world->coordinators[world->network.service].core)
                : "unknown");
        return;
    }
}

/* ---- the loop ---- */

static void world_pods(sim_world *world)
{
    for (int32_t slot = 0; slot < world->policy.slot_count; slot++) {
        if (world->pod_ns[slot] > world->now_ns) {
            continue;
        }
        world->pod_ns[slot] = SIM_NEVER;
        if (!sim_world_ended(world)) {
            sim_rank_start(world, (int)(slot % world->host_count), -1, slot, UINT32_MAX);
        }
    }
}

static int64_t world_due(sim_world *world)
{
    int64_t due_ns = sim_faults_due(world);
#define WORLD_DUE(at_ns) \
    do { \
        int64_t one_ns = (at_ns); \
        due_ns = one_ns < due_ns ? one_ns : due_ns; \
    } while (0)
    for (int i = 0; i < SIM_COORDINATORS_MAX; i++) {
        WORLD_DUE(sim_coordinator_due(world, &world->coordinators[i]));
    }
    for (int i = 0; i < world->launcher_count; i++) {
        WORLD_DUE(sim_launcher_due(world, &world->launchers[i]));
    }
    for (int i = 0; i < world->living_count; i++) {
        WORLD_DUE(sim_rank_due(world->living[i]));
    }
    for (int32_t slot = 0; slot < world->policy.slot_count; slot++) {
        WORLD_DUE(world->pod_ns[slot]);
    }
    WORLD_DUE(world->quiet_ns);
    WORLD_DUE(world->form_ns);
#undef WORLD_DUE
    return due_ns;
}

static void world_turn(sim_world *world)
{
    if (sim_faults_due(world) <= world->now_ns) {
        sim_faults_turn(world);
    }
    for (int i = 0; i < SIM_COORDINATORS_MAX; i++) {
        if (sim_coordinator_due(world, &world->coordinators[i]) <= world->now_ns) {
            sim_coordinator_turn(world, &world->coordinators[i]);
        }
    }
    for (int i = 0; i < world->launcher_count; i++) {
        if (sim_launcher_due(world, &world->launchers[i]) <= world->now_ns) {
            sim_launcher_turn(world, &world->launchers[i]);
        }
    }
    for (int i = world->living_count; i > 0; i--) {
        if (i <= world->living_count && sim_rank_due(world->living[i - 1]) <= world->now_ns) {
            sim_rank_turn(world, world->living[i - 1]);
        }
    }
    world_pods(world);
    if (world->quiet_ns <= world->now_ns) {
        world_heal(world);
    }
}

static bool world_over(const sim_world *world)
{
    if (world->outcome.failed || world->next_job) {
        return true;
    }
    if (world->quiet_ns != SIM_NEVER && !sim_world_ended(world)) {
        return false;
    }
    for (int i = 0; i < world->living_count; i++) {
        if (!world->living[i]->stopped) {
            return false;
        }
    }
    if (!sim_world_ended(world)) {
        for (int i = 0; i < world->launcher_count; i++) {
            if (world->launchers[i].alive) {
                return false;
            }
        }
        for (int32_t slot = 0; slot < world->policy.slot_count; slot++) {
            if (world->pod_ns[slot] != SIM_NEVER) {
                return false;
            }
        }
    }
    return true;
}

void sim_world_run(uint64_t seed, bool verbose, sim_outcome *outcome)
{
    sim_world *world = calloc(1, sizeof *world);
    MUSTER_ASSERT(world);
    world->seed = seed;
    world->chance.state = seed * 0x9e3779b97f4a7c15u + 1;
    world->verbose = verbose;
    world_make(world);
    while (!world_over(world)) {
        int64_t due_ns = world_due(world);
        if (due_ns == SIM_NEVER) {
            break;
        }
        world->now_ns = due_ns > world->now_ns ? due_ns : world->now_ns;
        if (world->now_ns >= world->form_ns) {
            world_not_formed(world);
            break;
        }
        world_turn(world);
        sim_witness_look(world);
        if (++world->turns > WORLD_TURNS_MAX) {
            sim_fail(world, "%d turns, and no end", WORLD_TURNS_MAX);
        }
    }
    sim_witness_end(world);
    world->outcome.turns = world->turns;
    *outcome = world->outcome;
    world_clean_up(world);
    free(world);
}
