/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong in a run, and when. Up to world->quiet_ns; then everything heals but the dead, and a
 * few processes that stay stopped. */
#include <signal.h>

#include "world.h"

typedef enum fault_kind {
    FAULT_KILL_RANK,
    FAULT_KILL_TWO,
    FAULT_EXIT_RANK, /* by itself, with a code, without a word */
    FAULT_STOP_RANK,
    FAULT_HANG_RANK,
    FAULT_ODD_CALL,
    FAULT_RESET_CONNECTION,
    FAULT_CUT_CONTROL,
    FAULT_CUT_ONE_WAY,
    FAULT_CUT_PEERS,
    FAULT_LOSSY,
    FAULT_CRASH_COORDINATOR,
    FAULT_CRASH_IN_A_TURN,
    FAULT_STOP_COORDINATOR,
    FAULT_LOSE_JOURNAL,
    FAULT_SECOND_COORDINATOR,
    FAULT_KILL_LAUNCHER,
    FAULT_STOP_LAUNCHER,
    FAULT_REPLACE_LAUNCHER,
    FAULT_KILL_HOST,
    FAULT_CLOCK_STEP,
    FAULT_AMBUSH,
    FAULT_CRASH_AT_A_DECISION,
    FAULT_WAKE_AND_FORGET,
    FAULT_LATE_RANK
} fault_kind;

/* How often each is drawn. */
static const struct {
    fault_kind kind;
    int weight;
    const char *name;
} faults[] = {
    {FAULT_KILL_RANK, 24, "kill a rank"},
    {FAULT_KILL_TWO, 8, "kill two ranks"},
    {FAULT_EXIT_RANK, 5, "a rank exits"},
    {FAULT_STOP_RANK, 18, "stop a rank"},
    {FAULT_HANG_RANK, 5, "a rank hangs"},
    {FAULT_ODD_CALL, 1, "a rank calls what nobody else does"},
    {FAULT_RESET_CONNECTION, 10, "reset a connection"},
    {FAULT_CUT_CONTROL, 6, "cut a host off the coordinator"},
    {FAULT_CUT_ONE_WAY, 6, "cut one way"},
    {FAULT_CUT_PEERS, 4, "cut a host off the others"},
    {FAULT_LOSSY, 6, "a lossy network"},
    {FAULT_CRASH_COORDINATOR, 10, "kill the coordinator"},
    {FAULT_CRASH_IN_A_TURN, 16, "kill the coordinator in a turn"},
    {FAULT_STOP_COORDINATOR, 8, "stop the coordinator"},
    {FAULT_LOSE_JOURNAL, 10, "kill the coordinator and lose its journal"},
    {FAULT_SECOND_COORDINATOR, 3, "another coordinator takes the service"},
    {FAULT_KILL_LAUNCHER, 2, "kill a launcher"},
    {FAULT_STOP_LAUNCHER, 4, "stop a launcher"},
    {FAULT_REPLACE_LAUNCHER, 2, "replace a launcher"},
    {FAULT_KILL_HOST, 2, "a host vanishes"},
    {FAULT_CLOCK_STEP, 2, "the wall clock steps"},
    {FAULT_AMBUSH, 50, "an ambush"},
    {FAULT_CRASH_AT_A_DECISION, 14, "the coordinator dies at its next decision"},
    {FAULT_WAKE_AND_FORGET, 8, "the journal is lost, and who was stopped wakes up"},
    {FAULT_LATE_RANK, 16, "somebody starts a rank by hand"},
};

#define FAULT_KINDS ((int)(sizeof faults / sizeof faults[0]))

/* After any other nobody can say any more who is to blame. */
static bool fault_is_gentle(fault_kind kind)
{
    switch (kind) {
    case FAULT_KILL_RANK:
    case FAULT_KILL_TWO:
    case FAULT_EXIT_RANK:
    case FAULT_STOP_RANK:
    case FAULT_HANG_RANK:
    case FAULT_RESET_CONNECTION:
    case FAULT_CRASH_COORDINATOR:
    case FAULT_CRASH_IN_A_TURN:
    case FAULT_STOP_COORDINATOR:
    case FAULT_KILL_LAUNCHER:
    case FAULT_STOP_LAUNCHER:
    case FAULT_AMBUSH:
    case FAULT_CRASH_AT_A_DECISION:
    case FAULT_LATE_RANK:
        return true;
    case FAULT_ODD_CALL:
    case FAULT_CUT_CONTROL:
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT_PEERS:
    case FAULT_LOSSY:
    case FAULT_LOSE_JOURNAL:
    case FAULT_SECOND_COORDINATOR:
    case FAULT_REPLACE_LAUNCHER:
    case FAULT_KILL_HOST:
    case FAULT_CLOCK_STEP:
    case FAULT_WAKE_AND_FORGET:
        return false;
    }
    return false;
}

static int fault_draw(sim_world *world, int weight)
{
    int64_t draw = sim_chance_between(&world->chance, 0, weight - 1);
    int kind = 0;
    while (draw >= faults[kind].weight) {
        draw -= faults[kind].weight;
        kind++;
    }
    return kind;
}

void sim_faults_plan(sim_world *world)
{
    int weight = 0;
    for (int i = 0; i < FAULT_KINDS; i++) {
        weight += faults[i].weight;
    }
    /* In some runs it can always be said who is to blame. */
    bool gentle = sim_chance_percent(&world->chance, 35);
    /* The first come in the middle of the job's start. */
    int count = (int)sim_chance_between(&world->chance, 0, SIM_FAULTS_MAX);
    int64_t at_ns = 0;
    for (int i = 0; i < count; i++) {
        int kind = fault_draw(world, weight);
        while (gentle && !fault_is_gentle(faults[kind].kind)) {
            kind = fault_draw(world, weight);
        }
        bool close = sim_chance_percent(&world->chance, 60);
        at_ns += sim_chance_between(&world->chance, SIM_MS, close ? 80 * SIM_MS : 1200 * SIM_MS);
        at_ns += i == 0 ? sim_chance_between(&world->chance, 0, 800 * SIM_MS) : 0;
        world->faults[world->fault_count++] = (sim_fault){.at_ns = at_ns, .kind = kind};
    }
    world->quiet_ns = at_ns + sim_chance_between(&world->chance, 200, 4000) * SIM_MS;
}

static sim_process *fault_rank(sim_world *world)
{
    if (world->living_count == 0) {
        return NULL;
    }
    return world->living[sim_chance_between(&world->chance, 0, world->living_count - 1)];
}

static sim_launcher *fault_launcher(sim_world *world)
{
    if (world->launcher_count == 0) {
        return NULL;
    }
    sim_launcher *launcher =
        &world->launchers[sim_chance_between(&world->chance, 0, world->launcher_count - 1)];
    return launcher->alive ? launcher : NULL;
}

static int fault_host(sim_world *world)
{
    return (int)sim_chance_between(&world->chance, 0, world->host_count - 1);
}

static int64_t fault_until(sim_world *world, int64_t most_ns)
{
    bool brief = sim_chance_percent(&world->chance, 50);
    return world->now_ns +
           sim_chance_between(&world->chance, 5 * SIM_MS, brief ? most_ns / 10 : most_ns);
}

static void fault_stop_rank(sim_world *world)
{
    sim_process *process = fault_rank(world);
    if (!process || process->stopped) {
        return;
    }
    bool for_good = sim_chance_percent(&world->chance, 10);
    sim_rank_stop(world, process, for_good ? SIM_NEVER : fault_until(world, 6000 * SIM_MS));
}

static void fault_crash_coordinator(sim_world *world, sim_coordinator *coordinator)
{
    sim_coordinator_crash(world, coordinator);
    coordinator->restart_ns = fault_until(world, 2500 * SIM_MS);
}

/* It has the first one's journal (a copy, or the same disk with a lock that did not hold), or none. All
 * connections go to it; the first one has nobody left. */
static void fault_second_coordinator(sim_world *world)
{
    sim_coordinator *first = &world->coordinators[0];
    sim_coordinator *second = &world->coordinators[1];
    if (second->start > 0 || !world->journaled) {
        return;
    }
    second->journal = first->journal;
    second->journal_bytes = first->journal_bytes;
    second->told = first->told;
    first->journal = NULL;
    world->network.service = 1;
    sim_coordinator_start(world, second);
    for (sim_client *client = world->network.clients; client; client = client->next) {
        if (client->alive) {
            sim_network_reset(world, client);
        }
    }
}

static void fault_kill_host(sim_world *world, int host)
{
    int64_t until_ns = world->now_ns + 3000 * SIM_MS;
    world->network.cut_to_ns[host] = until_ns;
    world->network.cut_from_ns[host] = until_ns;
    world->network.cut_peers_ns[host] = until_ns;
    for (int i = 0; i < world->launcher_count; i++) {
        if (world->launchers[i].host == host) {
            sim_launcher_die(world, &world->launchers[i]);
        }
    }
    for (int i = world->living_count; i > 0; i--) {
        if (world->living[i - 1]->host == host) {
            sim_rank_die(world, world->living[i - 1], SIGKILL);
        }
    }
}

static void fault_replace_launcher(sim_world *world, sim_launcher *launcher)
{
    if (!launcher) {
        return;
    }
    sim_launcher_die(world, launcher);
    sim_launcher *heir =
        sim_launcher_start(world, launcher->host, launcher->first_slot, launcher->slot_count, 0);
    if (heir) {
        heir->client.connect_ns = fault_until(world, 2000 * SIM_MS);
        heir->control_due_ns = heir->client.connect_ns;
    }
}

/* For a slot that is empty for good, where there is one: another is refused it. */
static void fault_late_rank(sim_world *world, int host)
{
    const sim_epoch *last = sim_witness_last(world);
    int32_t slot = (int32_t)sim_chance_between(&world->chance, 0, world->policy.slot_count - 1);
    if (!last) {
        return; /* whoever comes first to a job that forms has the slot, and its launcher gives up */
    }
    for (int32_t tried = 0; tried < world->policy.slot_count; tried++) {
        int32_t candidate = (slot + tried) % world->policy.slot_count;
        if (!sim_witness_has(last, candidate)) {
            slot = candidate;
            break;
        }
    }
    sim_process *process = sim_rank_start(world, host, -1, slot, UINT32_MAX);
    if (process) {
        process->by_hand = true;
    }
}

static void fault_happen(sim_world *world, fault_kind kind)
{
    world->harsh = world->harsh || !fault_is_gentle(kind);
    sim_network *network = &world->network;
    sim_coordinator *coordinator = &world->coordinators[network->service];
    sim_process *process = fault_rank(world);
    sim_launcher *launcher = fault_launcher(world);
    int host = fault_host(world);
    switch (kind) {
    case FAULT_KILL_TWO:
        if (process) {
            sim_rank_die(world, process, SIGKILL);
        }
        process = fault_rank(world);
        if (process) {
            sim_rank_die(world, process, SIGKILL);
        }
        return;
    case FAULT_KILL_RANK:
        if (process) {
            sim_rank_die(world, process, SIGKILL);
        }
        return;
    case FAULT_EXIT_RANK:
        if (process) {
            sim_rank_die(world, process, sim_chance_percent(&world->chance, 50) ? 0 : 3 << 8);
        }
        return;
    case FAULT_STOP_RANK:
        fault_stop_rank(world);
        return;
    case FAULT_HANG_RANK:
        if (process) {
            process->hurt = true;
            process->hang_ns = fault_until(world, 8000 * SIM_MS) - world->now_ns;
        }
        return;
    case FAULT_ODD_CALL:
        if (process) {
            process->odd_call = true;
        }
        return;
    case FAULT_RESET_CONNECTION:
        if (process) {
            sim_network_reset(world, &process->client);
        }
        if (launcher && sim_chance_percent(&world->chance, 20)) {
            sim_network_reset(world, &launcher->client);
        }
        return;
    case FAULT_CUT_CONTROL:
        network->cut_to_ns[host] = fault_until(world, 5000 * SIM_MS);
        network->cut_from_ns[host] = network->cut_to_ns[host];
        return;
    case FAULT_CUT_ONE_WAY:
        *(sim_chance_percent(&world->chance, 50) ? &network->cut_to_ns[host]
                                                 : &network->cut_from_ns[host]) =
            fault_until(world, 5000 * SIM_MS);
        return;
    case FAULT_CUT_PEERS:
        network->cut_peers_ns[host] = fault_until(world, 5000 * SIM_MS);
        return;
    case FAULT_LOSSY:
        network->lossy_until_ns = fault_until(world, 3000 * SIM_MS);
        network->drop_percent = (int)sim_chance_between(&world->chance, 0, 20);
        network->double_percent = (int)sim_chance_between(&world->chance, 0, 20);
        network->lossy_delay_ns = sim_chance_between(&world->chance, 1, 100) * SIM_MS;
        return;
    case FAULT_CRASH_COORDINATOR:
        fault_crash_coordinator(world, coordinator);
        return;
    case FAULT_CRASH_IN_A_TURN:
        coordinator->crash_in_actions = (int)sim_chance_between(&world->chance, 1, 30);
        return;
    case FAULT_STOP_COORDINATOR:
        if (coordinator->up && !coordinator->stopped) {
            sim_log(world, "coordinator %d is stopped", coordinator->index);
            coordinator->stopped = true;
            coordinator->wake_ns = fault_until(world, 4000 * SIM_MS);
        }
        return;
    case FAULT_LOSE_JOURNAL:
        fault_crash_coordinator(world, coordinator);
        sim_coordinator_lose_journal(coordinator);
        world->journal_lost = true;
        return;
    case FAULT_SECOND_COORDINATOR:
        fault_second_coordinator(world);
        return;
    case FAULT_KILL_LAUNCHER:
        if (launcher) {
            sim_launcher_die(world, launcher);
        }
        return;
    case FAULT_STOP_LAUNCHER:
        if (launcher && !launcher->stopped) {
            sim_log(world, "launcher %d is stopped", launcher->index);
            launcher->stopped = true;
            launcher->wake_ns = fault_until(world, 4000 * SIM_MS);
        }
        return;
    case FAULT_REPLACE_LAUNCHER:
        fault_replace_launcher(world, launcher);
        return;
    case FAULT_KILL_HOST:
        if (world->host_count > 1) {
            fault_kill_host(world, host);
        }
        return;
    case FAULT_CLOCK_STEP:
        world->wall_ms += sim_chance_between(&world->chance, -1000000, 1000000);
        return;
    case FAULT_AMBUSH:
        /* Half of them in the middle of a copy. */
        world->ambush = sim_chance_percent(&world->chance, 50)
                            ? SIM_RANK_MOVING
                            : (sim_rank_state)sim_chance_between(&world->chance, SIM_RANK_JOINING,
                                                                 SIM_RANK_FAILED);
        return;
    case FAULT_CRASH_AT_A_DECISION:
        coordinator->crash_after_decision = (int)sim_chance_between(&world->chance, 1, 8);
        return;
    case FAULT_LATE_RANK:
        fault_late_rank(world, host);
        return;
    case FAULT_WAKE_AND_FORGET:
        fault_happen(world, FAULT_LOSE_JOURNAL);
        for (int i = 0; i < world->living_count; i++) {
            if (world->living[i]->stopped) {
                world->living[i]->wake_ns = fault_until(world, 1500 * SIM_MS);
            }
        }
        return;
    }
}

void sim_faults_leaving(sim_world *world)
{
    if (world->left_faulted) {
        return;
    }
    world->left_faulted = true;
    if (sim_chance_percent(&world->chance, 10)) {
        fault_happen(world, FAULT_STOP_COORDINATOR);
    } else if (sim_chance_percent(&world->chance, 5)) {
        fault_happen(world, FAULT_KILL_RANK);
    } else if (sim_chance_percent(&world->chance, 5)) {
        fault_happen(world, FAULT_CRASH_COORDINATOR);
    }
}

/* The next rank that comes to this point of its work meets a fault there. */
void sim_faults_ambush(sim_world *world, sim_process *process)
{
    if (world->ambush == SIM_RANK_STARTING || world->ambush != process->state) {
        return;
    }
    sim_log(world, "ambush: %s is %s", process->client.name, sim_rank_state_text(process));
    world->ambush = SIM_RANK_STARTING;
    int64_t draw = sim_chance_between(&world->chance, 0, 99);
    if (draw < 35) {
        sim_rank_die(world, process, SIGKILL);
    } else if (draw < 75) {
        /* Most wake up after the verdict. */
        sim_rank_stop(world, process,
                      world->now_ns + sim_chance_between(&world->chance, 1000, 6000) * SIM_MS);
    } else if (draw < 90) {
        fault_crash_coordinator(world, &world->coordinators[world->network.service]);
    } else {
        fault_happen(world, FAULT_LOSE_JOURNAL);
    }
}

int64_t sim_faults_due(const sim_world *world)
{
    return world->fault_next < world->fault_count ? world->faults[world->fault_next].at_ns
                                                  : SIM_NEVER;
}

void sim_faults_turn(sim_world *world)
{
    while (sim_faults_due(world) <= world->now_ns) {
        int kind = world->faults[world->fault_next++].kind;
        sim_log(world, "fault: %s", faults[kind].name);
        fault_happen(world, faults[kind].kind);
    }
}
