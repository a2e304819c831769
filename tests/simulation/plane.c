/* SPDX-License-Identifier: Apache-2.0 */
/* The host and the device plane, as far as recovery depends on them: agreement rounds in which every
 * rank posts one record, bytes that each rank writes into its peers' memory itself, and the kernel's
 * word that a peer is dying.
 *
 * A process's memory has a number, which grows when it abandons what it had. A peer writes into the
 * memory that it was told of when it connected. The write that must never happen: into memory that its
 * owner uses in another epoch by now. */
#include <stdlib.h>

#include "base/assert.h"
#include "world.h"

static void plane_send(sim_world *world, const sim_process *to, sim_plane_message message)
{
    const sim_process *from = world->processes[message.from];
    sim_plane_message *copy = malloc(sizeof *copy);
    MUSTER_ASSERT(copy);
    bool near = from->host == to->host;
    message.deliver_ns = world->now_ns + sim_chance_between(&world->chance, 1000,
                                                            near ? 50000 : world->network.delay_ns);
    message.from_host = from->host;
    *copy = message;
    sim_plane_message **at = &((sim_process *)(uintptr_t)to)->inbox;
    while (*at && (*at)->deliver_ns <= message.deliver_ns) {
        at = &(*at)->next;
    }
    copy->next = *at;
    *at = copy;
}

static sim_plane_message plane_message(const sim_process *process, sim_plane_kind kind)
{
    return (sim_plane_message){.kind = kind,
                               .from = process->index,
                               .epoch = process->epoch,
                               .members_hash = process->members_hash,
                               .sequence = process->sequence,
                               .call = process->call,
                               .step = process->step,
                               .memory = process->memory};
}

static sim_process *plane_member(sim_world *world, const muster_member *member)
{
    for (int i = 0; i < world->living_count; i++) {
        if (world->living[i]->process_id == member->process_id) {
            return world->living[i];
        }
    }
    return NULL;
}

static void plane_send_all(sim_world *world, const sim_process *process,
                           const sim_plane_message *message)
{
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        const sim_process *to = plane_member(world, &process->members[rank]);
        if (to && rank != process->own_rank) {
            plane_send(world, to, *message);
        }
    }
}

void sim_plane_enter(sim_world *world, sim_process *process)
{
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        process->hello[rank] = rank == process->own_rank;
        process->peer_process[rank] = -1;
        process->record_sequence[rank] = 0;
        process->bytes_sequence[rank] = 0;
    }
    const sim_plane_message hello = plane_message(process, SIM_PLANE_HELLO);
    plane_send_all(world, process, &hello);
}

bool sim_plane_connected(const sim_process *process)
{
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        if (!process->hello[rank]) {
            return false;
        }
    }
    return true;
}

void sim_plane_post(sim_world *world, sim_process *process)
{
    process->record_sequence[process->own_rank] = process->sequence;
    process->record_call[process->own_rank] = process->call;
    const sim_plane_message record = plane_message(process, SIM_PLANE_RECORD);
    plane_send_all(world, process, &record);
}

bool sim_plane_round_complete(const sim_process *process)
{
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        if (process->record_sequence[rank] < process->sequence) {
            return false;
        }
    }
    return true;
}

bool sim_plane_round_agrees(const sim_process *process)
{
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        /* A rank that is one call ahead has agreed to this one before. */
        if (process->record_sequence[rank] == process->sequence &&
            process->record_call[rank] != process->call) {
            return false;
        }
    }
    return true;
}

void sim_plane_write(sim_world *world, sim_process *process)
{
    sim_plane_message bytes = plane_message(process, SIM_PLANE_BYTES);
    bytes.value = process->step * 1000 + (uint64_t)process->members[process->own_rank].slot;
    process->write_ns = 0;
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        int peer = process->peer_process[rank];
        sim_process *owner = peer >= 0 ? world->processes[peer] : NULL;
        if (!owner || !owner->alive || rank == process->own_rank) {
            continue; /* its memory went with it */
        }
        if (process->peer_memory[rank] == owner->memory && owner->epoch != process->epoch) {
            sim_fail(
                world,
                "a byte of epoch %llu was written by %s into memory that %s uses in epoch %llu",
                (unsigned long long)process->epoch, process->client.name, owner->client.name,
                (unsigned long long)owner->epoch);
        }
        if (process->peer_memory[rank] == owner->memory) {
            plane_send(world, owner, bytes);
        }
    }
}

/* A batch is complete with everybody's bytes, a stage with those of the rank before; a commit has none.
 * Those of a stage go to all here: one more message costs nothing. */
bool sim_plane_bytes_complete(const sim_process *process)
{
    if (process->call == SIM_CALL_COMMIT) {
        return true;
    }
    for (int32_t rank = 0; rank < process->member_count; rank++) {
        if (rank != process->own_rank && process->bytes_sequence[rank] < process->sequence) {
            return false;
        }
    }
    return true;
}

void sim_plane_dying(sim_world *world, const sim_process *dead)
{
    sim_plane_message dying = {.kind = SIM_PLANE_DYING,
                               .from = dead->index,
                               .epoch = dead->epoch,
                               .dead_slot = (int32_t)atomic_load(&dead->protocol.slot),
                               .dead_incarnation =
                                   (uint32_t)atomic_load(&dead->protocol.incarnation)};
    for (int i = 0; i < world->living_count; i++) {
        const sim_process *peer = world->living[i];
        if (peer != dead && peer->host == dead->host && peer->epoch == dead->epoch &&
            dead->epoch > 0) {
            plane_send(world, peer, dying);
        }
    }
}

/* A message between hosts that are cut off from each other waits, as TCP would keep it. */
static int64_t plane_message_due(const sim_process *process, const sim_plane_message *message)
{
    const sim_network *network = &process->client.world->network;
    int64_t due_ns = message->deliver_ns;
    if (message->from_host != process->host) {
        int64_t own_ns = network->cut_peers_ns[process->host];
        int64_t peer_ns = network->cut_peers_ns[message->from_host];
        due_ns = own_ns > due_ns ? own_ns : due_ns;
        due_ns = peer_ns > due_ns ? peer_ns : due_ns;
    }
    return due_ns;
}

/* Early words of an epoch that this rank has not entered yet wait. */
static bool plane_message_awaits_epoch(const sim_process *process, const sim_plane_message *message)
{
    return message->kind != SIM_PLANE_DYING && message->epoch > process->epoch;
}

int64_t sim_plane_due(const sim_process *process)
{
    int64_t due_ns = SIM_NEVER;
    for (const sim_plane_message *message = process->inbox; message; message = message->next) {
        int64_t message_ns = plane_message_due(process, message);
        if (!plane_message_awaits_epoch(process, message) && message_ns < due_ns) {
            due_ns = message_ns;
        }
    }
    return due_ns;
}

static void plane_take_dying(sim_process *process, const sim_plane_message *message)
{
    muster_message evidence = muster_protocol_header(&process->protocol, MUSTER_MESSAGE_EVIDENCE);
    evidence.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    evidence.u.evidence.accused_slot = message->dead_slot;
    evidence.u.evidence.accused_incarnation = message->dead_incarnation;
    muster_protocol_report(&process->protocol, &evidence);
}

static void plane_take(sim_world *world, sim_process *process, const sim_plane_message *message)
{
    if (message->kind == SIM_PLANE_DYING) {
        if (message->epoch == process->epoch) {
            plane_take_dying(process, message);
        }
        return;
    }
    if (message->epoch < process->epoch) {
        return; /* of a transport that is closed */
    }
    int32_t rank = 0;
    const sim_process *from = world->processes[message->from];
    while (rank < process->member_count && process->members[rank].process_id != from->process_id) {
        rank++;
    }
    if (rank == process->member_count || message->members_hash != process->members_hash) {
        sim_fail(world, "%s got something of epoch %llu from %s, whose epoch has other members",
                 process->client.name, (unsigned long long)process->epoch, from->client.name);
        return;
    }
    switch (message->kind) {
    case SIM_PLANE_HELLO:
        process->hello[rank] = true;
        process->peer_memory[rank] = message->memory;
        process->peer_process[rank] = message->from;
        return;
    case SIM_PLANE_RECORD:
        if (message->sequence > process->record_sequence[rank]) {
            process->record_sequence[rank] = message->sequence;
            process->record_call[rank] = message->call;
        }
        return;
    case SIM_PLANE_BYTES:
        if (message->sequence > process->bytes_sequence[rank]) {
            process->bytes_sequence[rank] = message->sequence;
            process->bytes_value[rank] = message->value;
        }
        return;
    case SIM_PLANE_DYING:
        return;
    }
}

void sim_plane_turn(sim_world *world, sim_process *process)
{
    sim_plane_message **at = &process->inbox;
    while (*at) {
        sim_plane_message *message = *at;
        if (plane_message_awaits_epoch(process, message) ||
            plane_message_due(process, message) > world->now_ns) {
            at = &message->next;
            continue;
        }
        *at = message->next;
        plane_take(world, process, message);
        free(message);
    }
}

void sim_plane_clean_up(sim_process *process)
{
    while (process->inbox) {
        sim_plane_message *message = process->inbox;
        process->inbox = message->next;
        free(message);
    }
}
