/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "coordinator/broadcast.h"
#include "coordinator/admission.h"
#include "coordinator/descriptors.h"
#include "wire/wire.h"

/* Messages taken in, and time spent on them, in one turn: more wait, so that deadlines and lost
 * connections are looked at in between. */
#define SERVING_MESSAGES_A_TURN 512
#define SERVING_TURN_NS ((int64_t)5000000)
/* Clocks drift slowly: one ping a second says enough. */
#define SERVING_PING_NS ((int64_t)1000000000)
#define SERVING_REFUSALS_NS ((int64_t)10000000000)
#define SERVING_SAY_AGAIN_NS ((int64_t)1000000000)
/* Longer than a launcher takes to find a restarted coordinator. */
#define SERVING_ENDED_KEPT_NS ((int64_t)10000000000)

static void serving_fail(muster_coordinator *coordinator, muster_status status,
                         const muster_error *detail, const char *what)
{
    if (coordinator->failure.status == MUSTER_OK)
        muster_error_set(&coordinator->failure, status, MUSTER_FIELD_NONE, 0, 0, "%s%s%s", what,
                         detail != NULL ? ": " : "", detail != NULL ? detail->message : "");
}

/* Never blocks: a peer that takes no messages, or is gone, is lost to us. */
static void serving_send_bytes(muster_coordinator *coordinator, uint64_t connection,
                               const void *bytes, size_t byte_count)
{
    const muster_peer *peer = muster_peers_find(coordinator->peers, connection);
    if (peer == NULL)
        return;
    bool sent = zmq_send(coordinator->router, peer->routing_id, peer->routing_id_bytes,
                         ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                zmq_send(coordinator->router, bytes, byte_count, ZMQ_DONTWAIT) >= 0;
    if (!sent)
        muster_peers_lose(coordinator->peers, connection);
}

/* NULL: no memory, and the coordinator ends. To be freed. */
static void *serving_encode(muster_coordinator *coordinator, const muster_message *message,
                            size_t *byte_count)
{
    void *bytes = NULL;
    if (muster_wire_encode(message, &bytes, byte_count) != MUSTER_OK)
        serving_fail(coordinator, MUSTER_ERR_NO_MEMORY, NULL, "no memory for a message");
    return bytes;
}

static void serving_send(muster_coordinator *coordinator, uint64_t connection,
                         const muster_message *message)
{
    size_t byte_count = 0;
    if (muster_peers_find(coordinator->peers, connection) == NULL)
        return;
    void *bytes = serving_encode(coordinator, message, &byte_count);
    if (bytes != NULL)
        serving_send_bytes(coordinator, connection, bytes, byte_count);
    free(bytes);
}

static void serving_send_shared(muster_coordinator *coordinator, muster_broadcast *broadcast,
                                const muster_core_action *action)
{
    zmq_msg_t frame;
    muster_peer *peer = muster_peers_find(coordinator->peers, action->connection);
    if (peer == NULL)
        return;
    if (!muster_broadcast_frame(broadcast, &action->message, &frame)) {
        serving_fail(coordinator, MUSTER_ERR_NO_MEMORY, NULL, "no memory for a message");
        return;
    }
    bool sent = zmq_send(coordinator->router, peer->routing_id, peer->routing_id_bytes,
                         ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                zmq_msg_send(&frame, coordinator->router, ZMQ_DONTWAIT) >= 0;
    zmq_msg_close(&frame);
    if (!sent)
        muster_peers_lose(coordinator->peers, action->connection);
}

/* Of an answer that no core gives. Peers ignore a lower term than they have seen, and a job that is not the first of
 * this process has a higher one than the start. */
static uint64_t serving_answer_term(const muster_coordinator *coordinator,
                                    const muster_message *asked)
{
    bool ours = asked->term > coordinator->term && asked->term <= coordinator->journal.content.term;
    return ours ? asked->term : coordinator->term;
}

void muster_serving_refuse(muster_coordinator *coordinator, uint64_t connection,
                           const muster_message *asked, muster_status status, const char *text)
{
    muster_message answer = {.type = MUSTER_MESSAGE_REFUSED,
                             .job = asked->job,
                             .term = serving_answer_term(coordinator, asked),
                             .epoch = asked->epoch,
                             .slot = asked->slot,
                             .incarnation = asked->incarnation};
    answer.u.refused.status = (uint32_t)status;
    snprintf(answer.u.refused.text, sizeof answer.u.refused.text, "%s", text);
    serving_send(coordinator, connection, &answer);
}

void muster_serving_answer(muster_coordinator *coordinator, uint64_t connection,
                           const muster_message *asked, muster_message_type type)
{
    muster_message answer = {.type = type,
                             .job = asked->job,
                             .term = serving_answer_term(coordinator, asked),
                             .epoch = asked->epoch,
                             .slot = asked->slot,
                             .incarnation = asked->incarnation};
    serving_send(coordinator, connection, &answer);
}

/* only: the connection of the one that is told; 0: all. False: there is no launcher. */
static bool serving_tell_launchers(muster_coordinator *coordinator, const muster_hosted_job *job,
                                   const muster_note *note, uint64_t only)
{
    if (job->launcher_count == 0)
        return false;
    muster_message message = {.type = MUSTER_MESSAGE_NOTE,
                              .job = job->job,
                              .term = muster_core_term(job->core),
                              .epoch = note->epoch,
                              .slot = note->slot,
                              .incarnation = note->incarnation};
    message.u.note = *note;
    size_t byte_count = 0;
    void *bytes = serving_encode(coordinator, &message, &byte_count);
    if (bytes != NULL && only != 0)
        serving_send_bytes(coordinator, only, bytes, byte_count);
    for (size_t i = 0; bytes != NULL && only == 0 && i < job->launcher_count; i++)
        serving_send_bytes(coordinator, job->launchers[i], bytes, byte_count);
    free(bytes);
    return true;
}

static void serving_tell_kept(muster_coordinator *coordinator, muster_hosted_job *job)
{
    for (size_t i = 0; i < job->note_count; i++)
        serving_tell_launchers(coordinator, job, muster_hosted_job_note(job, i), 0);
    muster_hosted_job_drop_notes(job);
}

static void serving_note(muster_coordinator *coordinator, muster_hosted_job *job,
                         const muster_note *note, uint64_t only)
{
    if (!muster_event_log_write(&coordinator->events, job->name, note) &&
        !coordinator->events_failed) {
        coordinator->events_failed = true;
        fprintf(stderr, "muster coordinator: the events file cannot be written; going on "
                        "without it\n");
    }
    muster_hosted_job_remember(job, note);
    coordinator->tracer.who.job = job->job;
    coordinator->tracer.who.epoch = note->epoch;
    MUSTER_TRACE(&coordinator->tracer, recovery, note->kind, note->epoch, note->slot,
                 note->incarnation, note->evidence, note->value);
    if (!serving_tell_launchers(coordinator, job, note, only))
        muster_hosted_job_keep_note(job, note);
    if (coordinator->options.on_note != NULL)
        coordinator->options.on_note(coordinator->options.on_note_context, job->job, note);
}

/* False: the coordinator must end, and no later action may become visible. */
static bool serving_persist(muster_coordinator *coordinator, const muster_hosted_job *job)
{
    muster_journal_state state = {0};
    muster_error error;
    muster_error_init(&error);
    if (coordinator->journal.path == NULL)
        return true;
    if (muster_core_save(job->core, &state.core, &state.core_bytes) != MUSTER_OK ||
        muster_claims_save(&job->claims, &state.claims, &state.claims_bytes) != MUSTER_OK) {
        muster_journal_state_clean_up(&state);
        serving_fail(coordinator, MUSTER_ERR_NO_MEMORY, NULL, "no memory to save a job");
        return false;
    }
    muster_status status =
        muster_journal_put(&coordinator->journal, job->job, job->name, &state, &error);
    if (status == MUSTER_OK)
        return true;
    serving_fail(coordinator, status, &error, "the coordinator cannot keep its journal");
    return false;
}

static void serving_end(muster_coordinator *coordinator, muster_hosted_job *job, int64_t now_ns)
{
    muster_error error;
    muster_error_init(&error);
    job->ended = true;
    job->ended_ns = now_ns;
    muster_status why = MUSTER_OK;
    if (muster_core_ended(job->core, &why) && why == MUSTER_ERR_FENCED)
        return; /* another coordinator serves it, perhaps from this very journal: it is not ours to end */
    muster_status status = muster_journal_remove(&coordinator->journal, job->job, &error);
    if (status != MUSTER_OK)
        serving_fail(coordinator, status, &error, "the coordinator cannot keep its journal");
}

static void serving_step(muster_coordinator *coordinator, muster_hosted_job *job, int64_t now_ns,
                         const muster_core_event *event)
{
    muster_core_actions *actions = &coordinator->actions;
    muster_broadcast broadcasts[2] = {0}; /* with all members; with what has changed */
    job->deadline_ns = muster_core_step(job->core, now_ns, event, actions);
    for (size_t i = 0; i < actions->count && coordinator->failure.status == MUSTER_OK; i++) {
        const muster_core_action *action = &actions->items[i];
        switch (action->kind) {
        case MUSTER_CORE_SEND:
            if (!muster_admission_say(coordinator, job, event, action))
                break;
            if (action->shared)
                serving_send_shared(coordinator,
                                    &broadcasts[action->message.u.agreed.base_epoch != 0], action);
            else
                serving_send(coordinator, action->connection, &action->message);
            break;
        case MUSTER_CORE_NOTE:
            muster_claims_note(&job->claims, &action->message.u.note);
            serving_note(coordinator, job, &action->message.u.note, action->connection);
            break;
        case MUSTER_CORE_PERSIST:
            serving_persist(coordinator, job);
            break;
        case MUSTER_CORE_END:
            serving_end(coordinator, job, now_ns);
            break;
        }
    }
    muster_broadcast_forget(&broadcasts[0]);
    muster_broadcast_forget(&broadcasts[1]);
    muster_core_actions_clear(actions);
}

/* The first job takes the term of the start; later ones a new one, because a job of the same name may
 * have used epochs under the last. */
static bool serving_take_term(muster_coordinator *coordinator, uint64_t *term)
{
    muster_error error;
    muster_error_init(&error);
    if (coordinator->term_taken) {
        muster_status status = muster_journal_raise_term(&coordinator->journal, &error);
        if (status != MUSTER_OK) {
            serving_fail(coordinator, status, &error, "the coordinator cannot keep its journal");
            return false;
        }
    }
    coordinator->term_taken = true;
    *term = coordinator->journal.content.term;
    return true;
}

static int64_t serving_slots(const muster_coordinator *coordinator)
{
    int64_t total = 0;
    for (size_t i = 0; i < coordinator->jobs.count; i++)
        total += muster_core_policy(coordinator->jobs.items[i]->core)->slot_count;
    return total;
}

/* Slots are memory, and a stranger says how many it wants. */
static bool serving_has_room(const muster_coordinator *coordinator, int32_t slot_count)
{
    int64_t total = serving_slots(coordinator) + slot_count;
    return slot_count > 0 && total <= MUSTER_COORDINATOR_SLOTS_MAX &&
           coordinator->jobs.count < MUSTER_COORDINATOR_JOBS_MAX;
}

/* Jobs that nobody has come to, or all have gone from, before they had an epoch: they can begin anew, and
 * hold the place of others until their deadline. */
static void serving_forget_unformed(muster_coordinator *coordinator)
{
    for (size_t i = 0; i < coordinator->jobs.count;) {
        const muster_hosted_job *job = coordinator->jobs.items[i];
        muster_error error;
        muster_error_init(&error);
        if (job->peer_count > 0 || muster_core_epoch(job->core) > 0) {
            i++;
            continue;
        }
        muster_status status = muster_journal_remove(&coordinator->journal, job->job, &error);
        if (status != MUSTER_OK)
            serving_fail(coordinator, status, &error, "the coordinator cannot keep its journal");
        muster_jobs_remove(&coordinator->jobs, job->job);
    }
}

/* The core takes the slots that a rank says with its JOIN only: they count beside what it has. */
static void serving_say_descriptors(muster_coordinator *coordinator, const muster_hosted_job *job,
                                    int32_t slot_count)
{
    char text[256];
    int64_t connections = serving_slots(coordinator);
    if (muster_core_policy(job->core)->slot_count == 0)
        connections += slot_count;
    muster_descriptors_text((size_t)connections, text, sizeof text);
    if (text[0] != '\0')
        fprintf(stderr, "muster coordinator: job '%s' makes it %lld ranks: %s\n", job->name,
                (long long)connections, text);
}

static muster_hosted_job *serving_create(muster_coordinator *coordinator,
                                         const muster_message *message, const char *name)
{
    uint64_t term = 0;
    int32_t slot_count = message->type == MUSTER_MESSAGE_JOIN
                             ? message->u.join.slot_count
                             : message->u.launcher_join.policy.slot_count;
    if (!serving_has_room(coordinator, slot_count))
        serving_forget_unformed(coordinator);
    if (!serving_has_room(coordinator, slot_count) || !serving_take_term(coordinator, &term))
        return NULL;
    muster_core *core = muster_core_new(message->job, term, &coordinator->options.policy);
    muster_hosted_job *job = muster_jobs_add(&coordinator->jobs, message->job, name, core);
    /* Some may have named it before: it is the next of its name. */
    const muster_peer *peer = muster_peers_next(coordinator->peers, NULL);
    if (job != NULL) {
        job->taken_up = message->term != 0; /* without a journal, or with one that was lost */
        serving_say_descriptors(coordinator, job, slot_count);
    }
    for (; job != NULL && peer != NULL; peer = muster_peers_next(coordinator->peers, peer)) {
        if (peer->job != message->job)
            continue;
        job->peer_count++;
        if (peer->launcher)
            (void)muster_hosted_job_add_launcher(job, peer->connection);
    }
    return job;
}

/* A launcher's message that names its job in words. Its text came over the wire. */
static bool serving_name_fits(const muster_message *message)
{
    const char *name = message->u.launcher_join.job_name;
    return memchr(name, '\0', sizeof message->u.launcher_join.job_name) != NULL &&
           muster_hash_text(name) == message->job;
}

/* The last job of this name is over, and this is the next one. A launcher that has seen a term is one of the last job's,
 * come back. A rank that nobody launched and that knows of no term begins a job, too, where nobody of the last one is
 * there any more: it is only kept for a launcher that may come back. */
static bool serving_begins_anew(const muster_hosted_job *ended, const muster_message *message)
{
    if (message->term != 0)
        return false;
    if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN)
        return true;
    return message->type == MUSTER_MESSAGE_JOIN && !message->u.join.rejoin &&
           message->incarnation == UINT32_MAX && message->u.join.slot_count > 0 &&
           ended->peer_count == 0;
}

/* The job that a message is for; NULL: it was answered. */
static muster_hosted_job *serving_job_of(muster_coordinator *coordinator, uint64_t connection,
                                         const muster_message *message)
{
    muster_hosted_job *job = muster_jobs_find(&coordinator->jobs, message->job);
    const char *name = NULL;
    if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN) {
        if (!serving_name_fits(message)) {
            muster_serving_refuse(coordinator, connection, message, MUSTER_ERR_INVALID_ARGUMENT,
                                  "the launcher's job name does not fit its hash");
            return NULL;
        }
        name = message->u.launcher_join.job_name;
    }
    if (job != NULL && job->ended && serving_begins_anew(job, message)) {
        muster_jobs_remove(&coordinator->jobs, message->job);
        job = NULL;
    }
    if (job != NULL) {
        if (name != NULL)
            snprintf(job->name, sizeof job->name, "%s", name);
        return job;
    }
    bool creates =
        name != NULL || (message->type == MUSTER_MESSAGE_JOIN && message->u.join.slot_count > 0);
    if (creates) {
        job = serving_create(coordinator, message, name);
        coordinator->counters.no_room += job == NULL;
        if (job == NULL)
            muster_serving_refuse(
                coordinator, connection, message, MUSTER_ERR_NO_MEMORY,
                "the coordinator cannot take another job, or not one of so many slots");
        return job;
    }
    if (message->type == MUSTER_MESSAGE_JOIN)
        muster_serving_refuse(
            coordinator, connection, message, MUSTER_ERR_ENVIRONMENT,
            "the coordinator knows no job of this name: start it with `muster run`, or "
            "give MUSTER_SLOT_COUNT");
    else if (message->type == MUSTER_MESSAGE_LEAVE ||
             message->type == MUSTER_MESSAGE_LAUNCHER_LEAVE)
        muster_serving_answer(coordinator, connection, message, MUSTER_MESSAGE_GOODBYE);
    else
        muster_serving_answer(coordinator, connection, message, MUSTER_MESSAGE_REJOIN);
    return NULL;
}

/* While traces are kept, each rank's clock is compared with ours now and then: the round trip bounds the
 * error. A heartbeat is the occasion, because it says that somebody is there to answer. */
static void serving_ping(muster_coordinator *coordinator, muster_peer *peer,
                         const muster_message *heartbeat, int64_t now_ns)
{
    if (coordinator->tracer.table == NULL || now_ns - peer->pinged_ns < SERVING_PING_NS)
        return;
    peer->pinged_ns = now_ns;
    muster_message ping = {.type = MUSTER_MESSAGE_PING,
                           .job = heartbeat->job,
                           .term = coordinator->term,
                           .epoch = heartbeat->epoch,
                           .slot = heartbeat->slot,
                           .incarnation = heartbeat->incarnation};
    ping.u.ping.ping_id = ++coordinator->last_ping_id;
    ping.u.ping.sent_ns = (uint64_t)now_ns;
    serving_send(coordinator, peer->connection, &ping);
}

static void serving_trace_pong(muster_coordinator *coordinator, const muster_message *message,
                               int64_t now_ns)
{
    coordinator->tracer.who.job = message->job;
    coordinator->tracer.who.epoch = message->epoch;
    MUSTER_TRACE(&coordinator->tracer, clock_ping, message->u.ping.ping_id, message->slot,
                 message->u.ping.sent_ns, message->u.ping.received_ns, message->u.ping.answered_ns,
                 (uint64_t)now_ns);
}

static void serving_hear(muster_coordinator *coordinator, muster_peer *peer,
                         const muster_message *message, int64_t now_ns)
{
    uint64_t connection = peer->connection;
    if (!muster_admission_key(coordinator, peer, message))
        return;
    if (peer->job != 0 && peer->job != message->job) {
        coordinator->counters.foreign_jobs++;
        muster_serving_refuse(coordinator, connection, message, MUSTER_ERR_FOREIGN,
                              "this connection belongs to another job");
        return;
    }
    if (!muster_admission_epoch(coordinator, peer, message))
        return;
    muster_hosted_job *job = serving_job_of(coordinator, connection, message);
    if (job == NULL || !muster_admission_hear(coordinator, job, peer, message))
        return;
    job->peer_count += peer->job == 0;
    peer->job = message->job;
    if (message->type == MUSTER_MESSAGE_LAUNCHER_JOIN) {
        peer->launcher = true;
        if (!muster_hosted_job_add_launcher(job, connection))
            serving_fail(coordinator, MUSTER_ERR_NO_MEMORY, NULL, "no memory for a launcher");
        serving_tell_kept(coordinator, job);
    }
    if (message->type == MUSTER_MESSAGE_PONG)
        serving_trace_pong(coordinator, message, now_ns);
    if (message->type == MUSTER_MESSAGE_HEARTBEAT)
        serving_ping(coordinator, peer, message, now_ns);
    const muster_core_event event = {
        .kind = MUSTER_CORE_MESSAGE, .connection = connection, .message = message};
    serving_step(coordinator, job, now_ns, &event);
}

static void serving_decode(muster_coordinator *coordinator, muster_peer *peer, zmq_msg_t *payload,
                           int64_t now_ns)
{
    muster_message message;
    muster_error error;
    memset(&message, 0, sizeof message);
    muster_error_init(&error);
    muster_status status =
        muster_wire_decode(zmq_msg_data(payload), zmq_msg_size(payload), &message, &error);
    if (status == MUSTER_OK) {
        coordinator->messages_heard++;
        serving_hear(coordinator, peer, &message, now_ns);
        muster_message_clean_up(&message);
        return;
    }
    if (status == MUSTER_ERR_VERSION)
        coordinator->counters.other_versions++;
    else
        coordinator->counters.malformed++;
    /* Said once a connection and once a second: whoever sends rubbish sends a lot of it. The counters
     * miss none. */
    if (!peer->refused && now_ns - coordinator->said_refused_ns >= SERVING_SAY_AGAIN_NS) {
        coordinator->said_refused_ns = now_ns;
        fprintf(stderr, "muster coordinator: a message was refused: %s\n", error.message);
    }
    peer->refused = true;
    if (status == MUSTER_ERR_VERSION)
        muster_serving_refuse(coordinator, peer->connection, &message, status, error.message);
}

/* Takes the frames of a message that has too many. */
static void serving_drop_rest(muster_coordinator *coordinator, zmq_msg_t *last)
{
    while (zmq_msg_more(last) && zmq_msg_recv(last, coordinator->router, ZMQ_DONTWAIT) >= 0) {
    }
}

/* False when none waits. A message of other than two frames is dropped. */
static bool serving_receive(muster_coordinator *coordinator)
{
    zmq_msg_t id;
    zmq_msg_t payload;
    zmq_msg_init(&id);
    zmq_msg_init(&payload);
    bool received = zmq_msg_recv(&id, coordinator->router, ZMQ_DONTWAIT) >= 0;
    bool whole = received && zmq_msg_more(&id) &&
                 zmq_msg_recv(&payload, coordinator->router, ZMQ_DONTWAIT) >= 0;
    if (received && !whole)
        coordinator->counters.malformed++;
    if (whole && zmq_msg_more(&payload)) {
        coordinator->counters.malformed++;
        whole = false;
        serving_drop_rest(coordinator, &payload);
    }
    if (whole) {
        muster_peer *peer = muster_peers_sender(coordinator->peers, zmq_msg_data(&id),
                                                zmq_msg_size(&id), zmq_msg_get(&payload, ZMQ_SRCFD),
                                                muster_gate_asks_for_keys(coordinator->gate)
                                                    ? zmq_msg_gets(&payload, "User-Id")
                                                    : NULL);
        if (peer == NULL)
            coordinator->counters.no_room++;
        else if (!muster_inbox_put(&coordinator->inbox, peer, &payload))
            coordinator->counters.over_budget++;
    }
    zmq_msg_close(&payload);
    zmq_msg_close(&id);
    return received;
}

/* What waits, the jobs in turn, for a bounded while. Each message has its own time: the one before may
 * have waited for the journal's disk. */
static void serving_work(muster_coordinator *coordinator)
{
    int64_t now_ns = muster_serving_clock_ns();
    const int64_t end_ns = now_ns + SERVING_TURN_NS;
    while (now_ns < end_ns && coordinator->failure.status == MUSTER_OK) {
        muster_inbox_item *item = muster_inbox_take(&coordinator->inbox);
        if (item == NULL)
            return;
        muster_peer *peer = muster_peers_find(coordinator->peers, item->connection);
        if (peer != NULL) {
            serving_decode(coordinator, peer, &item->payload, now_ns);
            peer->waiting--;
            if (peer->lost && peer->waiting == 0)
                muster_peers_lose(coordinator->peers, item->connection);
        }
        muster_inbox_item_free(item);
        const int64_t after_ns = muster_serving_clock_ns();
        muster_inbox_spend(&coordinator->inbox, after_ns - now_ns);
        now_ns = after_ns;
    }
}

static void serving_lose(muster_coordinator *coordinator, int64_t now_ns)
{
    uint64_t connection = muster_peers_next_lost(coordinator->peers);
    for (; connection != 0; connection = muster_peers_next_lost(coordinator->peers)) {
        muster_peer *peer = muster_peers_find(coordinator->peers, connection);
        uint64_t hash = peer->job;
        if (peer->waiting > 0) {
            peer->lost = true;
            continue;
        }
        muster_peers_forget(coordinator->peers, connection);
        muster_hosted_job *job = muster_jobs_find(&coordinator->jobs, hash);
        if (job == NULL)
            continue;
        MUSTER_ASSERT(job->peer_count > 0);
        job->peer_count--;
        muster_hosted_job_remove_launcher(job, connection);
        const muster_core_event event = {.kind = MUSTER_CORE_CONNECTION_LOST,
                                         .connection = connection};
        serving_step(coordinator, job, now_ns, &event);
    }
}

/* Jobs that are over and that nobody asks for any more. One that is older than this process may have a
 * launcher that has yet to come back: forgotten, it would be a new job to it, whose ranks are all dead. */
static void serving_forget_ended(muster_coordinator *coordinator, int64_t now_ns)
{
    for (size_t i = 0; i < coordinator->jobs.count;) {
        const muster_hosted_job *job = coordinator->jobs.items[i];
        bool awaited = job->taken_up && now_ns - job->ended_ns < SERVING_ENDED_KEPT_NS;
        if (job->ended && !awaited && job->peer_count == 0)
            muster_jobs_remove(&coordinator->jobs, job->job);
        else
            i++;
    }
}

static void serving_tick(muster_coordinator *coordinator, int64_t now_ns)
{
    const muster_core_event event = {.kind = MUSTER_CORE_TICK};
    for (size_t i = 0; i < coordinator->jobs.count; i++) {
        if (coordinator->jobs.items[i]->deadline_ns <= now_ns)
            serving_step(coordinator, coordinator->jobs.items[i], now_ns, &event);
    }
}

int64_t muster_serving_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void muster_serving_write_refusals(muster_coordinator *coordinator, int64_t now_ns, bool now)
{
    if (!now && now_ns - coordinator->written_refusals_ns < SERVING_REFUSALS_NS)
        return;
    coordinator->written_refusals_ns = now_ns;
    const muster_refusals refusals = muster_coordinator_refusals(coordinator);
    if (memcmp(&refusals, &coordinator->written_refusals, sizeof refusals) == 0)
        return;
    coordinator->written_refusals = refusals;
#define SERVING_NUMBER(counter, text) {#counter, refusals.counter},
    const muster_event_number numbers[] = {MUSTER_COUNTER_LIST(SERVING_NUMBER)};
#undef SERVING_NUMBER
    (void)muster_event_log_write_numbers(&coordinator->events, "refusals", now_ns, numbers,
                                         sizeof numbers / sizeof numbers[0]);
}

void muster_serving_turn(muster_coordinator *coordinator)
{
    muster_gate_turn(coordinator->gate, muster_serving_clock_ns());
    /* Messages before losses: what a process said before it died is heard first. */
    for (int i = 0; i < SERVING_MESSAGES_A_TURN && serving_receive(coordinator); i++) {
    }
    serving_work(coordinator);
    muster_peers_listen(coordinator->peers);
    int64_t now_ns = muster_serving_clock_ns();
    serving_lose(coordinator, now_ns);
    serving_tick(coordinator, now_ns);
    /* Sends of the ticks may have failed. */
    serving_lose(coordinator, now_ns);
    serving_forget_ended(coordinator, now_ns);
    muster_serving_write_refusals(coordinator, now_ns, false);
}

muster_status muster_serving_restore(muster_coordinator *coordinator, muster_error *error)
{
    const muster_journal_content *content = &coordinator->journal.content;
    for (size_t i = 0; i < content->count; i++) {
        const muster_journal_entry *entry = &content->entries[i];
        muster_error detail;
        muster_error_init(&detail);
        muster_core *core =
            muster_core_restore(entry->state.core, entry->state.core_bytes, content->term, &detail);
        if (core == NULL)
            return muster_error_set(error, detail.status, detail.field, detail.expected,
                                    detail.came,
                                    "the journal's job '%s' cannot be taken up: %.120s; restore "
                                    "the journal from a copy, or move it away",
                                    entry->name, detail.message);
        muster_hosted_job *job = muster_jobs_add(&coordinator->jobs, entry->job, entry->name, core);
        if (job == NULL)
            return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                    "no memory for the jobs of the journal");
        if (!muster_claims_restore(&job->claims, entry->state.claims, entry->state.claims_bytes))
            return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                                    "the journal's job '%s' cannot be taken up: who holds its "
                                    "slots is not readable; restore the journal from a copy, or "
                                    "move it away",
                                    entry->name);
        job->deadline_ns = 0; /* the first turn asks the core */
        job->taken_up = true;
        serving_say_descriptors(coordinator, job, 0);
        coordinator->term_taken = true;
    }
    return muster_error_set_ok(error);
}
