/* SPDX-License-Identifier: Apache-2.0 */
/* What recovery/coordinator does around a core, without its sockets and files: jobs begin and end, the
 * actions of a turn are done in their order, notes go to the launchers. It can die before any action, and
 * in the middle of a record that it appends to its journal. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "coordinator/journal_format.h"
#include "world.h"

#define COORDINATOR_NOTES_MAX 256

/* ---- journal ---- */

static void coordinator_disk_whole(sim_coordinator *coordinator,
                                   const muster_journal_content *content)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    coordinator->position.identity = coordinator->start + 1;
    muster_status status =
        muster_journal_encode_whole(content, &coordinator->position, &bytes, &byte_count);
    MUSTER_ASSERT(status == MUSTER_OK);
    free(coordinator->journal);
    coordinator->journal = bytes;
    coordinator->journal_bytes = byte_count;
}

/* Of what is being appended when the coordinator dies, any part may be there, or zeros in its place. */
static void coordinator_disk_append(sim_world *world, sim_coordinator *coordinator, uint8_t *bytes,
                                    size_t byte_count, bool dies)
{
    size_t appended = byte_count;
    if (dies) {
        appended = (size_t)sim_chance_between(&world->chance, 0, (int64_t)byte_count);
        /* Zeros begin with a sector: not in the middle of a checksum. */
        bool in_checksum = (appended > 16 && appended < 24) || appended + 8 > byte_count;
        if (!in_checksum && sim_chance_percent(&world->chance, 30)) {
            memset(bytes + appended, 0, byte_count - appended);
            appended = byte_count;
        }
    }
    uint8_t *grown = realloc(coordinator->journal, coordinator->journal_bytes + appended);
    MUSTER_ASSERT(grown);
    memcpy(grown + coordinator->journal_bytes, bytes, appended);
    coordinator->journal = grown;
    coordinator->journal_bytes += appended;
    free(bytes);
}

static void coordinator_disk_read(sim_world *world, const sim_coordinator *coordinator,
                                  muster_journal_content *content)
{
    memset(content, 0, sizeof *content);
    if (!coordinator->journal) {
        return;
    }
    muster_error error;
    muster_error_init(&error);
    muster_journal_position position;
    if (muster_journal_decode(coordinator->journal, coordinator->journal_bytes, content, &position,
                              &error) != MUSTER_OK) {
        sim_fail(world, "the journal cannot be read: %s", error.message);
        memset(content, 0, sizeof *content);
    }
}

void sim_coordinator_lose_journal(sim_coordinator *coordinator)
{
    free(coordinator->journal);
    coordinator->journal = NULL;
    coordinator->journal_bytes = 0;
}

static void coordinator_persist(sim_world *world, sim_coordinator *coordinator, bool dies)
{
    if (!world->journaled || !coordinator->journal) {
        return;
    }
    void *bytes = NULL;
    size_t byte_count = 0;
    muster_status status = MUSTER_OK;
    if (coordinator->ended) {
        status = muster_journal_encode_end(world->job, &coordinator->position, &bytes, &byte_count);
    } else {
        muster_journal_entry entry = {.job = world->job, .name = SIM_JOB_NAME};
        status = muster_core_save(coordinator->core, &entry.state.core, &entry.state.core_bytes);
        MUSTER_ASSERT(status == MUSTER_OK);
        status = muster_journal_encode_job(&entry, &coordinator->position, &bytes, &byte_count);
        free(entry.state.core);
    }
    MUSTER_ASSERT(status == MUSTER_OK);
    coordinator_disk_append(world, coordinator, bytes, byte_count, dies);
}

static void coordinator_raise_term(sim_world *world, sim_coordinator *coordinator)
{
    coordinator->term++;
    if (!world->journaled || !coordinator->journal) {
        return;
    }
    void *bytes = NULL;
    size_t byte_count = 0;
    muster_status status =
        muster_journal_encode_term(coordinator->term, &coordinator->position, &bytes, &byte_count);
    MUSTER_ASSERT(status == MUSTER_OK);
    coordinator_disk_append(world, coordinator, bytes, byte_count, false);
}

/* ---- starts and ends ---- */

static uint64_t coordinator_wall(const sim_world *world)
{
    return (uint64_t)(world->wall_ms + world->now_ns / SIM_MS);
}

void sim_coordinator_start(sim_world *world, sim_coordinator *coordinator)
{
    muster_journal_content content;
    coordinator_disk_read(world, coordinator, &content);
    const muster_journal_entry *entry = muster_journal_content_find(&content, world->job);
    uint64_t term = content.term + 1;
    if (term < coordinator_wall(world)) {
        term = coordinator_wall(world);
    }
    content.term = term;
    coordinator->up = true;
    coordinator->stopped = false;
    coordinator->start++;
    coordinator->term = term;
    coordinator->term_taken = false;
    coordinator->told =
        coordinator->told && entry != NULL; /* or its journal was written by one that was */
    coordinator->ended = false;
    coordinator->next_ns = SIM_NEVER;
    coordinator->wake_ns = SIM_NEVER;
    coordinator->restart_ns = SIM_NEVER;
    coordinator->crash_in_actions = 0;
    if (world->journaled) {
        coordinator_disk_whole(coordinator, &content);
    }
    if (entry) {
        muster_error error;
        muster_error_init(&error);
        coordinator->core =
            muster_core_restore(entry->state.core, entry->state.core_bytes, content.term, &error);
        if (!coordinator->core) {
            sim_fail(world, "what was saved cannot be taken up: %s", error.message);
        }
        coordinator->next_ns = world->now_ns;
        coordinator->term_taken = true;
    }
    muster_journal_content_clean_up(&content);
    if (!coordinator->core && coordinator->index == world->network.service) {
        sim_witness_forgotten(world);
    }
    sim_log(world, "coordinator %d starts, term %llu, %s", coordinator->index,
            (unsigned long long)term, coordinator->core ? "from its journal" : "knowing nothing");
}

void sim_coordinator_crash(sim_world *world, sim_coordinator *coordinator)
{
    if (!coordinator->up) {
        return;
    }
    sim_log(world, "coordinator %d dies", coordinator->index);
    coordinator->up = false;
    coordinator->next_ns = SIM_NEVER;
    muster_core_free(coordinator->core);
    coordinator->core = NULL;
    coordinator->note_count = 0;
    sim_network_coordinator_died(world, coordinator->index);
}

void sim_coordinator_clean_up(sim_coordinator *coordinator)
{
    muster_core_free(coordinator->core);
    muster_core_actions_clean_up(&coordinator->actions);
    sim_coordinator_lose_journal(coordinator);
    free(coordinator->notes);
}

/* ---- actions ---- */

static bool coordinator_tell_launchers(sim_world *world, const sim_coordinator *coordinator,
                                       const muster_note *note)
{
    bool told = false;
    muster_message message = {.type = MUSTER_MESSAGE_NOTE,
                              .job = world->job,
                              .term = muster_core_term(coordinator->core),
                              .epoch = note->epoch,
                              .slot = note->slot,
                              .incarnation = note->incarnation};
    message.u.note = *note;
    for (int i = 0; i < world->launcher_count; i++) {
        const sim_client *client = &world->launchers[i].client;
        if (client->alive && client->connection != 0 && client->coordinator == coordinator->index) {
            sim_network_send_back(world, coordinator->index, client->connection, &message);
            told = true;
        }
    }
    return told;
}

static void coordinator_note(sim_world *world, sim_coordinator *coordinator,
                             const muster_note *note)
{
    if (coordinator->crash_after_decision > 0 &&
        (note->kind == MUSTER_NOTE_VERDICT || note->kind == MUSTER_NOTE_AGREED)) {
        coordinator->crash_in_actions = coordinator->crash_after_decision;
        coordinator->crash_after_decision = 0;
    }
    sim_log(world, "coordinator %d: %s: %s", coordinator->index,
            muster_note_text((muster_note_kind)note->kind), note->text);
    if (coordinator->index == world->network.service) { /* a stale one is heard by nobody */
        sim_witness_note(world, coordinator, note);
    }
    if (coordinator_tell_launchers(world, coordinator, note) || !world->launched) {
        return;
    }
    if (!coordinator->notes) {
        coordinator->notes = calloc(COORDINATOR_NOTES_MAX, sizeof *coordinator->notes);
        MUSTER_ASSERT(coordinator->notes);
    }
    if (coordinator->note_count < COORDINATOR_NOTES_MAX) {
        coordinator->notes[coordinator->note_count++] = *note;
    }
}

static void coordinator_send(sim_world *world, const sim_coordinator *coordinator,
                             const muster_core_action *action)
{
    const muster_message *message = &action->message;
    const sim_client *client = sim_network_find(world, coordinator->index, action->connection);
    sim_log(world, "coordinator %d to %s: %s epoch %llu term %llu", coordinator->index,
            client ? client->name : "nobody", muster_message_type_text(message->type),
            (unsigned long long)message->epoch, (unsigned long long)message->term);
    if (message->type == MUSTER_MESSAGE_AGREED && client) {
        sim_witness_agreed(world, coordinator, message);
    }
    sim_network_send_back(world, coordinator->index, action->connection, message);
}

/* False: the coordinator died. */
static bool coordinator_do(sim_world *world, sim_coordinator *coordinator,
                           const muster_core_action *action)
{
    bool dies = coordinator->crash_in_actions > 0 && --coordinator->crash_in_actions == 0;
    bool service = coordinator->index == world->network.service;
    if (service && (dies || action->kind != MUSTER_CORE_NOTE)) {
        sim_witness_given(world, !dies);
    }
    if (action->kind == MUSTER_CORE_PERSIST) {
        coordinator_persist(world, coordinator, dies);
    } else if (!dies && action->kind == MUSTER_CORE_SEND) {
        coordinator_send(world, coordinator, action);
    } else if (!dies && action->kind == MUSTER_CORE_NOTE) {
        coordinator_note(world, coordinator, &action->message.u.note);
    } else if (!dies) {
        coordinator->ended = true;
        coordinator_persist(world, coordinator, false);
    }
    return !dies;
}

static void coordinator_step(sim_world *world, sim_coordinator *coordinator,
                             const muster_core_event *event)
{
    muster_core_actions *actions = &coordinator->actions;
    coordinator->next_ns = muster_core_step(coordinator->core, world->now_ns, event, actions);
    if (coordinator->next_ns <= world->now_ns) {
        sim_fail(world, "the core's next deadline is past");
    }
    bool lives = true;
    for (size_t i = 0; i < actions->count && lives; i++) {
        lives = coordinator_do(world, coordinator, &actions->items[i]);
    }
    muster_core_actions_clear(actions);
    if (!lives) {
        sim_coordinator_crash(world, coordinator);
        coordinator->restart_ns =
            world->now_ns + sim_chance_between(&world->chance, 5, 1500) * SIM_MS;
    }
}

/* ---- messages ---- */

static void coordinator_answer(sim_world *world, const sim_coordinator *coordinator,
                               uint64_t connection, const muster_message *asked,
                               muster_message_type type)
{
    muster_message answer = {.type = type,
                             .job = asked->job,
                             .term = coordinator->term,
                             .epoch = asked->epoch,
                             .slot = asked->slot,
                             .incarnation = asked->incarnation};
    if (type == MUSTER_MESSAGE_REFUSED) {
        answer.u.refused.status = MUSTER_ERR_ENVIRONMENT;
    }
    sim_network_send_back(world, coordinator->index, connection, &answer);
}

static void coordinator_create(sim_world *world, sim_coordinator *coordinator)
{
    muster_policy policy = world->policy;
    world->next_job = world->next_job || sim_world_ended(world);
    policy.slot_count = 0; /* the first launcher or rank brings the number */
    if (coordinator->term_taken) {
        coordinator_raise_term(world, coordinator);
    }
    coordinator->term_taken = true;
    coordinator->ended = false;
    coordinator->core = muster_core_new(world->job, coordinator->term, &policy);
    MUSTER_ASSERT(coordinator->core);
}

/* True when there is a job to hand the message to. */
static bool coordinator_has_job(sim_world *world, sim_coordinator *coordinator, uint64_t connection,
                                const muster_message *message)
{
    if (coordinator->core && coordinator->ended && message->type == MUSTER_MESSAGE_LAUNCHER_JOIN &&
        message->term == 0) {
        muster_core_free(coordinator->core);
        coordinator->core = NULL;
    }
    if (coordinator->core) {
        return true;
    }
    switch (message->type) {
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        coordinator_create(world, coordinator);
        return true;
    case MUSTER_MESSAGE_JOIN:
        if (message->u.join.slot_count > 0) {
            coordinator_create(world, coordinator);
            return true;
        }
        coordinator_answer(world, coordinator, connection, message, MUSTER_MESSAGE_REFUSED);
        return false;
    case MUSTER_MESSAGE_LEAVE:
    case MUSTER_MESSAGE_LAUNCHER_LEAVE:
        coordinator_answer(world, coordinator, connection, message, MUSTER_MESSAGE_GOODBYE);
        return false;
    default:
        coordinator_answer(world, coordinator, connection, message, MUSTER_MESSAGE_REJOIN);
        return false;
    }
}

static void coordinator_hear(sim_world *world, sim_coordinator *coordinator,
                             const sim_client *client, const muster_message *message)
{
    if (message->type != MUSTER_MESSAGE_HEARTBEAT &&
        message->type != MUSTER_MESSAGE_LAUNCHER_HEARTBEAT) {
        sim_log(world, "%s to coordinator %d: %s epoch %llu term %llu%s", client->name,
                coordinator->index, muster_message_type_text(message->type),
                (unsigned long long)message->epoch, (unsigned long long)message->term,
                message->type == MUSTER_MESSAGE_JOIN && message->u.join.rejoin ? " again" : "");
    }
    uint64_t connection = client->connection;
    if (!coordinator_has_job(world, coordinator, connection, message)) {
        return;
    }
    coordinator->told = coordinator->told || message->epoch > 0 || world->witness.epoch_count == 0;
    if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN) {
        for (int i = 0; i < coordinator->note_count; i++) {
            coordinator_tell_launchers(world, coordinator, &coordinator->notes[i]);
        }
        coordinator->note_count = 0;
    }
    const muster_core_event event = {
        .kind = MUSTER_CORE_MESSAGE, .connection = connection, .message = message};
    coordinator_step(world, coordinator, &event);
}

int64_t sim_coordinator_due(sim_world *world, const sim_coordinator *coordinator)
{
    if (!coordinator->up) {
        return coordinator->restart_ns;
    }
    if (coordinator->stopped) {
        return coordinator->wake_ns;
    }
    int64_t network_ns = sim_network_coordinator_due(world, coordinator->index);
    return network_ns < coordinator->next_ns ? network_ns : coordinator->next_ns;
}

void sim_coordinator_turn(sim_world *world, sim_coordinator *coordinator)
{
    if (!coordinator->up) {
        sim_coordinator_start(world, coordinator);
        return;
    }
    if (coordinator->stopped) {
        sim_log(world, "coordinator %d goes on", coordinator->index);
        coordinator->stopped = false;
        coordinator->wake_ns = SIM_NEVER;
    }
    /* Messages before losses: what a process said before it died is heard first. */
    muster_message message;
    const sim_client *client;
    while (coordinator->up &&
           (client = sim_network_take(world, coordinator->index, &message)) != NULL) {
        coordinator_hear(world, coordinator, client, &message);
        muster_message_clean_up(&message);
    }
    uint64_t lost;
    while (coordinator->up && (lost = sim_network_take_loss(world, coordinator->index)) != 0) {
        if (coordinator->core) {
            const muster_core_event event = {.kind = MUSTER_CORE_CONNECTION_LOST,
                                             .connection = lost};
            coordinator_step(world, coordinator, &event);
        }
    }
    if (coordinator->up && coordinator->core && coordinator->next_ns <= world->now_ns) {
        const muster_core_event event = {.kind = MUSTER_CORE_TICK};
        coordinator_step(world, coordinator, &event);
    }
}
