/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's process: the real protocol of its agent, and a working thread that joins, computes, calls,
 * commits, rebuilds and leaves as runtime/comm does, each call with its deadline. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "world.h"

#define RANK_WORLD 1u
#define RANK_ODD_COMMUNICATOR 99u
#define RANK_CONTACT_NS (6000 * SIM_MS)
#define RANK_CALLS_A_STEP 3

static void rank_goes(sim_world *world, sim_process *process, sim_rank_state state,
                      int64_t until_ns);

/* ---- beginning and end ---- */

sim_process *sim_rank_start(sim_world *world, int host, int launcher, int32_t slot,
                            uint32_t incarnation)
{
    if (world->process_count == SIM_PROCESSES_MAX) {
        sim_fail(world, "%d processes were started: nothing comes of it", SIM_PROCESSES_MAX);
        return NULL;
    }
    sim_process *process = calloc(1, sizeof *process);
    MUSTER_ASSERT(process);
    process->index = world->process_count;
    process->process_id = 1000 + process->index;
    process->host = host;
    process->launcher = launcher;
    process->slot = slot;
    process->spare = slot == MUSTER_SLOT_SPARE_WIRE;
    process->incarnation = incarnation;
    process->alive = true;
    process->started_ns = world->now_ns;
    process->exit_seen_ns = SIM_NEVER;
    process->store = muster_step_store_new();
    MUSTER_ASSERT(process->store);
    snprintf(process->client.name, sizeof process->client.name, "process %d", process->process_id);
    process->client.host = host;
    sim_network_add(world, &process->client);
    process->client.connect_ns = SIM_NEVER;
    muster_protocol_identity identity = {.coordinator = "the simulation",
                                         .job = world->job,
                                         .slot = slot,
                                         .slot_count = world->policy.slot_count,
                                         .incarnation = process->spare ? UINT32_MAX : incarnation,
                                         .process_id = process->process_id,
                                         .host = (uint64_t)host + 1};
    identity.blob.bytes = sizeof process->process_id;
    memcpy(identity.blob.data, &process->process_id, sizeof process->process_id);
    muster_protocol_init(&process->protocol, &identity);
    process->agent_due_ns = SIM_NEVER;
    world->processes[world->process_count++] = process;
    world->living[world->living_count++] = process;
    sim_log(world, "%s starts on host %d for slot %d, incarnation %d", process->client.name, host,
            slot, (int)incarnation);
    process->state = SIM_RANK_STARTING;
    process->until_ns = world->now_ns + sim_chance_between(&world->chance, SIM_MS, 200 * SIM_MS);
    return process;
}

void sim_rank_die(sim_world *world, sim_process *process, int32_t wait_status)
{
    if (!process->alive) {
        return;
    }
    sim_log(world, "%s (slot %d) ends, wait status %d, in state %s", process->client.name,
            (int)atomic_load(&process->protocol.slot), wait_status, sim_rank_state_text(process));
    process->alive = false;
    process->stopped = false;
    process->wait_status = wait_status;
    process->exit_seen_ns = world->now_ns + sim_chance_between(&world->chance, SIM_MS, 30 * SIM_MS);
    for (int i = 0; i < world->living_count; i++) {
        if (world->living[i] == process) {
            world->living[i] = world->living[--world->living_count];
            break;
        }
    }
    if (process->state != SIM_RANK_LEAVING && process->state != SIM_RANK_STARTING) {
        sim_plane_dying(world, process);
    }
    process->state = SIM_RANK_EXITED;
    if (process->launcher < 0 && !process->by_hand && !process->finished && process->slot >= 0) {
        world->pod_ns[process->slot] =
            world->now_ns + sim_chance_between(&world->chance, 50 * SIM_MS, 600 * SIM_MS);
    }
    sim_network_close(world, &process->client);
    sim_plane_clean_up(process);
    muster_protocol_clean_up(&process->protocol);
    muster_step_store_free(process->store);
    process->store = NULL;
}

void sim_rank_clean_up(sim_process *process)
{
    sim_plane_clean_up(process);
    if (process->alive) {
        muster_protocol_clean_up(&process->protocol);
        muster_step_store_free(process->store);
    }
    free(process);
}

void sim_rank_stop(sim_world *world, sim_process *process, int64_t wake_ns)
{
    sim_log(world, "%s is stopped", process->client.name);
    process->stopped = true;
    process->hurt = true;
    process->wake_ns = wake_ns;
    process->stopped_ns = world->now_ns;
}

static void rank_exit(sim_world *world, sim_process *process, int code)
{
    process->exit_code = code;
    sim_rank_die(world, process, code << 8);
}

const char *sim_rank_state_text(const sim_process *process)
{
    static const char *const texts[] = {
        [SIM_RANK_STARTING] = "starting",
        [SIM_RANK_JOINING] = "joining",
        [SIM_RANK_AWAIT_AGREED] = "awaiting the next epoch",
        [SIM_RANK_CONNECTING] = "connecting",
        [SIM_RANK_AWAIT_ESTABLISHED] = "awaiting that all are connected",
        [SIM_RANK_COMPUTING] = "computing",
        [SIM_RANK_ROUND] = "in a round",
        [SIM_RANK_MOVING] = "moving bytes",
        [SIM_RANK_RELEASING] = "releasing",
        [SIM_RANK_FAILED] = "failed",
        [SIM_RANK_LEAVING] = "leaving",
        [SIM_RANK_EXITED] = "exited",
    };
    return texts[process->state];
}

static void rank_goes(sim_world *world, sim_process *process, sim_rank_state state,
                      int64_t until_ns)
{
    process->state = state;
    process->until_ns = until_ns;
    if (state != SIM_RANK_ROUND && state != SIM_RANK_MOVING) {
        sim_log(world, "%s (slot %d, epoch %llu) is %s", process->client.name,
                (int)atomic_load(&process->protocol.slot), (unsigned long long)process->epoch,
                sim_rank_state_text(process));
    }
}

static void rank_begin_call(sim_world *world, sim_process *process, int64_t length_ns)
{
    process->call_began_ns = world->now_ns;
    process->slept_ns = 0;
    process->deadline_ns = length_ns == SIM_NEVER ? SIM_NEVER : world->now_ns + length_ns;
}

static void rank_end_call(sim_world *world, sim_process *process, muster_status outcome)
{
    process->outcome = outcome;
    if (process->marked) {
        muster_activity_not_waiting(&process->protocol.marks);
        process->marked = false;
    }
    sim_witness_called(world, process);
}

/* ---- joins and rebuilds ---- */

static void rank_quiet(sim_world *world, sim_process *process, uint64_t epoch)
{
    process->quiet_holding_count =
        muster_step_store_holdings(process->store, process->quiet_holdings, 4);
    process->quiet_epoch = epoch;
    sim_log(world, "%s says quiet of epoch %llu", process->client.name, (unsigned long long)epoch);
    muster_protocol_quiet(&process->protocol, epoch, (uint64_t)world->now_ns,
                          &process->protocol.blob, process->quiet_holdings,
                          process->quiet_holding_count);
    process->agent_due_ns = world->now_ns;
}

static bool rank_enter(sim_world *world, sim_process *process)
{
    const muster_message *agreed = &process->protocol.agreed;
    process->after_epoch = agreed->epoch;
    process->epoch = agreed->epoch;
    process->member_count = agreed->u.agreed.member_count;
    process->own_rank = -1;
    for (int32_t i = 0; i < process->member_count; i++) {
        process->members[i] = agreed->u.agreed.members[i];
        if (process->members[i].slot == (int32_t)atomic_load(&process->protocol.slot)) {
            process->own_rank = i;
        }
    }
    process->members_hash = sim_witness_hash(process->members, process->member_count);
    process->restore = agreed->u.agreed.restore;
    if (process->own_rank < 0) {
        return false;
    }
    bool kept = muster_step_store_set_restore(process->store, &agreed->u.agreed.restore,
                                              agreed->u.agreed.restore_slots);
    MUSTER_ASSERT(kept);
    if (agreed->u.agreed.abandon_memory) {
        process->memory++;
    }
    sim_witness_entered(world, process);
    sim_plane_enter(world, process);
    return true;
}

static void rank_next(sim_world *world, sim_process *process);

static void rank_established(sim_world *world, sim_process *process)
{
    process->sequence = 0;
    process->call = SIM_CALL_COMMIT; /* as if a step had just ended */
    process->repeat_restored = process->restore.has_step;
    process->step = process->restore.has_step ? process->restore.step : 0;
    muster_message resumed = muster_protocol_header(&process->protocol, MUSTER_MESSAGE_RESUMED);
    resumed.u.resumed.returned_ns = (uint64_t)world->now_ns;
    muster_protocol_report(&process->protocol, &resumed);
    process->agent_due_ns = world->now_ns;
    rank_next(world, process);
}

/* ---- calls ---- */

static void rank_next(sim_world *world, sim_process *process)
{
    if (process->call == SIM_CALL_COMMIT && process->repeat_restored) {
        process->call = SIM_CALL_STAGE;
        process->repeat_restored = false;
    } else if (process->call == SIM_CALL_COMMIT) {
        if (process->step >= world->final_step) {
            process->finished = true;
            sim_faults_leaving(world);
            rank_begin_call(world, process, world->policy.deadlines.leave_ns);
            muster_protocol_leave(&process->protocol);
            process->agent_due_ns = world->now_ns;
            rank_goes(world, process, SIM_RANK_LEAVING, SIM_NEVER);
            return;
        }
        process->call = SIM_CALL_BATCH;
        process->step++;
    } else {
        process->call = process->call == SIM_CALL_BATCH ? SIM_CALL_STAGE : SIM_CALL_COMMIT;
    }
    int64_t compute_ns =
        sim_chance_between(&world->chance, world->step_ns / 20, world->step_ns / RANK_CALLS_A_STEP);
    if (process->hang_ns > 0) {
        sim_log(world, "%s hangs for %lld ms", process->client.name,
                (long long)(process->hang_ns / SIM_MS));
        compute_ns = process->hang_ns;
        process->hang_ns = 0;
    }
    process->state = SIM_RANK_COMPUTING;
    process->until_ns = world->now_ns + compute_ns;
    muster_activity_progress(&process->protocol.marks);
}

static void rank_call(sim_world *world, sim_process *process)
{
    rank_begin_call(world, process, world->policy.deadlines.batch_ns);
    process->accused = false;
    process->sequence++;
    uint64_t communicator = RANK_WORLD;
    if (process->odd_call) {
        process->odd_call = false;
        process->call = SIM_CALL_ODD;
        communicator = RANK_ODD_COMMUNICATOR;
        sim_log(world, "%s calls what nobody else does", process->client.name);
    }
    if (process->call == SIM_CALL_STAGE) {
        process->generation =
            muster_step_store_begin(process->store, process->epoch, process->step,
                                    process->members[process->own_rank].slot, sizeof(uint64_t));
        MUSTER_ASSERT(process->generation);
        uint64_t value = process->step * 1000 + (uint64_t)process->members[process->own_rank].slot;
        memcpy(process->generation->own.data, &value, sizeof value);
    }
    if (process->call != SIM_CALL_ODD) {
        sim_plane_post(world, process);
    }
    muster_activity_waiting(&process->protocol.marks, communicator, process->sequence,
                            (uint32_t)process->call, (uint64_t)world->now_ns);
    process->marked = true;
    process->write_ns = 0;
    rank_goes(world, process, SIM_RANK_ROUND, SIM_NEVER);
}

/* OK while this rank may go on in its epoch. */
static muster_status rank_refusal(const sim_process *process)
{
    muster_status standing = muster_protocol_standing(&process->protocol);
    if (standing != MUSTER_OK) {
        return standing;
    }
    return muster_protocol_revoked(&process->protocol, process->epoch) ? MUSTER_ERR_RANK_LOST
                                                                       : MUSTER_OK;
}

static void rank_release(sim_world *world, sim_process *process, muster_status outcome)
{
    bool device = sim_chance_percent(&world->chance, world->device_percent);
    int64_t bound_ns = device ? 300 * SIM_MS : 2 * SIM_MS;
    process->outcome = outcome;
    int64_t release_ns = world->now_ns + sim_chance_between(&world->chance, 1000, bound_ns);
    if (process->write_ns != 0 && sim_chance_percent(&world->chance, 50)) {
        process->write_ns = 0; /* it stopped before */
    }
    if (process->write_ns != 0 && process->write_ns > release_ns) {
        release_ns = process->write_ns; /* the piece that is being copied is copied */
    }
    rank_goes(world, process, SIM_RANK_RELEASING, release_ns);
}

static void rank_accuse(sim_world *world, sim_process *process)
{
    process->accused = true;
    process->deadline_ns = world->now_ns + world->policy.deadlines.verdict_grace_ns;
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        bool missing = process->state == SIM_RANK_ROUND
                           ? process->record_sequence[rank] < process->sequence
                           : process->bytes_sequence[rank] < process->sequence;
        if (!missing || rank == process->own_rank) {
            continue;
        }
        sim_log(world, "%s accuses slot %d", process->client.name, process->members[rank].slot);
        muster_message evidence =
            muster_protocol_header(&process->protocol, MUSTER_MESSAGE_EVIDENCE);
        evidence.u.evidence.evidence = MUSTER_EVIDENCE_BATCH_DEADLINE;
        evidence.u.evidence.accused_slot = process->members[rank].slot;
        evidence.u.evidence.accused_incarnation = process->members[rank].incarnation;
        evidence.u.evidence.communicator =
            process->call == SIM_CALL_ODD ? RANK_ODD_COMMUNICATOR : RANK_WORLD;
        evidence.u.evidence.sequence = process->sequence;
        evidence.u.evidence.call = (uint32_t)process->call;
        muster_protocol_report(&process->protocol, &evidence);
        process->agent_due_ns = world->now_ns;
    }
}

static void rank_complete(sim_world *world, sim_process *process)
{
    if (process->call == SIM_CALL_STAGE) {
        muster_step_generation *generation = process->generation;
        if (process->member_count > 1) {
            int32_t before =
                process->own_rank == 0 ? process->member_count - 1 : process->own_rank - 1;
            bool room = muster_step_generation_expect_mirror(
                generation, process->members[before].slot, sizeof(uint64_t));
            MUSTER_ASSERT(room);
            memcpy(generation->mirror.data, &process->bytes_value[before], sizeof(uint64_t));
        }
        muster_step_generation_stage(generation);
    } else if (process->call == SIM_CALL_COMMIT) {
        muster_step_store_commit(process->store, process->generation);
        sim_witness_committed(world, process, process->step);
        muster_activity_committed(&process->protocol.marks, process->step);
        muster_message committed =
            muster_protocol_header(&process->protocol, MUSTER_MESSAGE_COMMITTED);
        committed.u.committed.step = process->step;
        muster_protocol_report(&process->protocol, &committed);
        process->agent_due_ns = world->now_ns;
    }
    rank_end_call(world, process, MUSTER_OK);
    muster_activity_completed(&process->protocol.marks,
                              process->call == SIM_CALL_ODD ? RANK_ODD_COMMUNICATOR : RANK_WORLD,
                              process->sequence, (uint32_t)process->call);
    rank_next(world, process);
}

static void rank_in_call(sim_world *world, sim_process *process)
{
    muster_status refusal = rank_refusal(process);
    if (refusal != MUSTER_OK) {
        rank_release(world, process, refusal);
        return;
    }
    if (process->state == SIM_RANK_ROUND && process->call != SIM_CALL_ODD &&
        sim_plane_round_complete(process)) {
        if (!sim_plane_round_agrees(process)) {
            rank_release(world, process, MUSTER_ERR_CALL);
            return;
        }
        bool device = sim_chance_percent(&world->chance, world->device_percent);
        int64_t bound_ns = device ? 40 * SIM_MS : 3 * SIM_MS;
        process->write_ns = world->now_ns + sim_chance_between(&world->chance, 1000, bound_ns);
        process->state = SIM_RANK_MOVING;
    }
    if (process->state == SIM_RANK_MOVING && process->write_ns == 0 &&
        sim_plane_bytes_complete(process)) {
        rank_complete(world, process);
        return;
    }
    if (world->now_ns < process->deadline_ns) {
        return;
    }
    if (!process->accused) {
        rank_accuse(world, process);
        return;
    }
    rank_release(world, process, MUSTER_ERR_TIMEOUT);
}

/* ---- the thread ---- */

static void rank_await_agreed(sim_world *world, sim_process *process)
{
    muster_status status = MUSTER_OK;
    bool over = muster_protocol_agreed(&process->protocol, process->after_epoch, &status);
    if (over && status == MUSTER_OK) {
        if (process->deadline_ns == SIM_NEVER) { /* a spare has its slot */
            rank_begin_call(world, process, world->policy.deadlines.rebuild_ns);
        }
        if (rank_enter(world, process)) {
            rank_goes(world, process, SIM_RANK_CONNECTING, SIM_NEVER);
            return;
        }
        status = MUSTER_ERR_FENCED;
    }
    if (!over && world->now_ns < process->deadline_ns) {
        return;
    }
    rank_end_call(world, process, over ? status : MUSTER_ERR_TIMEOUT);
    rank_exit(world, process, 1);
}

static void rank_connecting(sim_world *world, sim_process *process)
{
    muster_status status = rank_refusal(process);
    if (status == MUSTER_OK && process->state == SIM_RANK_CONNECTING) {
        if (sim_plane_connected(process)) {
            bool said = muster_protocol_connected(&process->protocol, process->epoch);
            MUSTER_ASSERT(said);
            process->agent_due_ns = world->now_ns;
            rank_goes(world, process, SIM_RANK_AWAIT_ESTABLISHED, SIM_NEVER);
        }
    } else if (process->state == SIM_RANK_AWAIT_ESTABLISHED) {
        bool over = muster_protocol_established(&process->protocol, process->epoch, &status);
        if (over && status == MUSTER_OK) {
            rank_end_call(world, process, MUSTER_OK);
            rank_established(world, process);
            return;
        }
    }
    if (status == MUSTER_ERR_RANK_LOST) {
        rank_quiet(world, process, process->epoch);
        rank_goes(world, process, SIM_RANK_AWAIT_AGREED, SIM_NEVER);
    } else if (status != MUSTER_OK || world->now_ns >= process->deadline_ns) {
        rank_end_call(world, process, status == MUSTER_OK ? MUSTER_ERR_TIMEOUT : status);
        rank_exit(world, process, 1);
    }
}

static void rank_joining(sim_world *world, sim_process *process)
{
    const muster_protocol *protocol = &process->protocol;
    if (protocol->refused.status != MUSTER_OK) {
        rank_end_call(world, process, protocol->refused.status);
        rank_exit(world, process, 1);
    } else if (protocol->joined) {
        if (process->spare) {
            process->deadline_ns = SIM_NEVER;
        }
        rank_goes(world, process, SIM_RANK_AWAIT_AGREED, SIM_NEVER);
    } else if (world->now_ns >= process->deadline_ns ||
               (!protocol->heard && world->now_ns >= process->started_ns + RANK_CONTACT_NS)) {
        rank_end_call(world, process, MUSTER_ERR_NO_COORDINATOR);
        rank_exit(world, process, 1);
    }
}

static void rank_released(sim_world *world, sim_process *process)
{
    muster_status outcome = process->outcome;
    if (process->write_ns != 0) {
        return; /* not before its last byte */
    }
    rank_end_call(world, process, outcome);
    if (outcome == MUSTER_ERR_RANK_LOST || outcome == MUSTER_ERR_TIMEOUT) {
        int64_t late_ns = sim_chance_percent(&world->chance, 10) ? 400 * SIM_MS : 5 * SIM_MS;
        rank_goes(world, process, SIM_RANK_FAILED,
                  world->now_ns + sim_chance_between(&world->chance, 1000, late_ns));
        return;
    }
    rank_exit(world, process, 1);
}

/* One look. True when the state changed: look again. */
static bool rank_work(sim_world *world, sim_process *process)
{
    sim_rank_state before = process->state;
    bool due = world->now_ns >= process->until_ns;
    switch (process->state) {
    case SIM_RANK_STARTING:
        if (due) {
            process->client.connect_ns = world->now_ns;
            process->agent_due_ns = world->now_ns;
            process->started_ns = world->now_ns;
            rank_begin_call(world, process, world->policy.deadlines.join_ns);
            rank_goes(world, process, SIM_RANK_JOINING, SIM_NEVER);
        }
        break;
    case SIM_RANK_JOINING:
        rank_joining(world, process);
        break;
    case SIM_RANK_AWAIT_AGREED:
        rank_await_agreed(world, process);
        break;
    case SIM_RANK_CONNECTING:
    case SIM_RANK_AWAIT_ESTABLISHED:
        rank_connecting(world, process);
        break;
    case SIM_RANK_COMPUTING:
        if (due && rank_refusal(process) != MUSTER_OK) {
            rank_begin_call(world, process, world->policy.deadlines.batch_ns);
            rank_release(world, process, rank_refusal(process));
        } else if (due) {
            rank_call(world, process);
        }
        break;
    case SIM_RANK_ROUND:
    case SIM_RANK_MOVING:
        rank_in_call(world, process);
        break;
    case SIM_RANK_RELEASING:
        if (due) {
            rank_released(world, process);
        }
        break;
    case SIM_RANK_FAILED:
        if (due) {
            rank_begin_call(world, process, world->policy.deadlines.rebuild_ns);
            rank_quiet(world, process, process->epoch);
            process->after_epoch = process->epoch;
            rank_goes(world, process, SIM_RANK_AWAIT_AGREED, SIM_NEVER);
        }
        break;
    case SIM_RANK_LEAVING:
        if (muster_protocol_left(&process->protocol) || world->now_ns >= process->deadline_ns) {
            rank_end_call(world, process, MUSTER_OK);
            rank_exit(world, process, 0);
        }
        break;
    case SIM_RANK_EXITED:
        break;
    }
    return process->alive && process->state != before;
}

/* ---- the agent ---- */

static muster_status rank_send(void *context, const muster_message *message)
{
    sim_process *process = context;
    const sim_world *world = process->client.world;
    if (message->type == MUSTER_MESSAGE_LEAVE && process->client.connection != 0 &&
        world->now_ns >= world->network.lossy_until_ns) {
        process->leave_coordinator = process->client.coordinator;
        process->leave_connection = process->client.connection;
    }
    return sim_network_send(&process->client, message);
}

static void rank_listen(sim_world *world, sim_process *process)
{
    sim_network_client_turn(&process->client);
    int connections = sim_network_connections(&process->client);
    if (connections > (process->connected_once ? 0 : 1)) {
        muster_protocol_hear_reconnect(&process->protocol);
    }
    process->connected_once = process->connected_once || connections > 0;
    if (connections > 0) {
        process->agent_due_ns = world->now_ns;
    }
    muster_message message;
    while (sim_network_receive(&process->client, &message)) {
        muster_protocol_heard heard;
        muster_protocol_hear(&process->protocol, &message, world->now_ns, &heard);
        muster_message_clean_up(&message);
        process->agent_due_ns = world->now_ns;
    }
}

static void rank_speak(sim_world *world, sim_process *process)
{
    if (process->agent_due_ns > world->now_ns) {
        return;
    }
    muster_protocol_turn turn = {
        .now_ns = world->now_ns, .next_ns = SIM_NEVER, .send = rank_send, .context = process};
    muster_protocol_speak(&process->protocol, &turn);
    /* Without a connection it speaks again when there is one. */
    process->agent_due_ns = turn.blocked ? SIM_NEVER : turn.next_ns;
    if (!turn.blocked && turn.next_ns <= world->now_ns) {
        sim_fail(world, "the agent of %s is due at once again", process->client.name);
    }
}

int64_t sim_rank_due(const sim_process *process)
{
    if (process->stopped) {
        return process->wake_ns;
    }
    int64_t due_ns = process->until_ns;
    const int64_t others_ns[] = {
        process->state == SIM_RANK_STARTING ? SIM_NEVER : process->agent_due_ns,
        process->state == SIM_RANK_COMPUTING || process->state == SIM_RANK_RELEASING ||
                process->state == SIM_RANK_FAILED || process->state == SIM_RANK_STARTING
            ? SIM_NEVER
            : process->deadline_ns,
        process->write_ns == 0 ? SIM_NEVER : process->write_ns,
        process->state == SIM_RANK_JOINING && !process->protocol.heard
            ? process->started_ns + RANK_CONTACT_NS
            : SIM_NEVER,
        sim_network_client_due(&process->client),
        process->inbox ? sim_plane_due(process) : SIM_NEVER,
    };
    for (size_t i = 0; i < sizeof others_ns / sizeof others_ns[0]; i++) {
        due_ns = others_ns[i] < due_ns ? others_ns[i] : due_ns;
    }
    return due_ns;
}

void sim_rank_turn(sim_world *world, sim_process *process)
{
    if (process->stopped) {
        sim_log(world, "%s wakes up", process->client.name);
        process->stopped = false;
        process->slept_ns += world->now_ns - process->stopped_ns;
        process->wake_ns = SIM_NEVER;
    }
    /* A copy that was under way when the process was stopped goes on before anything is heard. */
    if (process->write_ns != 0 && process->write_ns <= world->now_ns) {
        sim_plane_write(world, process);
    }
    rank_listen(world, process);
    sim_plane_turn(world, process);
    while (rank_work(world, process)) {
        sim_faults_ambush(world, process);
        if (!process->alive || process->stopped) {
            return;
        }
    }
    if (process->alive) {
        sim_plane_turn(world, process); /* what waited for the epoch that was entered */
        rank_speak(world, process);
    }
}
