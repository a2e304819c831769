/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator says, taken in. Each hear function runs with the mutex held and returns whether
 * sleepers of the working thread must be woken. */
#include "agent/agent_state.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static void agent_revoke_fd_raise(muster_agent *agent)
{
    uint64_t one = 1;
    (void)!write(agent->revoke_fd, &one, sizeof one); /* full means readable already */
}

static void agent_revoke_fd_drain(muster_agent *agent)
{
    uint64_t count = 0;
    (void)!read(agent->revoke_fd, &count, sizeof count);
}

static void agent_raise_revoked(muster_agent *agent, uint64_t epoch)
{
    if (epoch > atomic_load(&agent->revoked_epoch)) {
        atomic_store(&agent->revoked_epoch, epoch);
    }
    uint64_t current = atomic_load(&agent->epoch);
    if (current > 0 && epoch >= current) {
        agent_revoke_fd_raise(agent);
    }
}

/* This rank can take no part any more; the first reason stays. */
static bool agent_stand_down(muster_agent *agent, muster_status why, const char *text)
{
    if (agent->leaving || muster_agent_standing(agent) != MUSTER_OK) {
        return false;
    }
    snprintf(agent->standing_text, sizeof agent->standing_text, "%s", text);
    agent->ending = why;
    atomic_store(&agent->standing, (int)why);
    if (why != MUSTER_ERR_CALLS_DIFFER) {
        /* By then its epoch is no more, even where no REVOKE came through. */
        agent_raise_revoked(agent, atomic_load(&agent->epoch));
    }
    return true;
}

static void agent_join_again(muster_agent *agent)
{
    agent->join_pending = true;
    agent->join_due_ns = 0;
}

static bool hear_welcome(muster_agent *agent, const muster_message *message)
{
    if (!agent->joined) {
        agent->policy = message->u.welcome.policy;
        agent->joined = true;
    }
    if (atomic_load(&agent->epoch) == 0) {
        atomic_store(&agent->slot, message->slot);
        atomic_store(&agent->incarnation, message->incarnation);
    }
    if (agent->join_pending) {
        agent->join_pending = false;
        agent->heartbeat_due_ns = 0;
        agent->leave_due_ns = 0;
        muster_outbox_send_again(&agent->outbox);
    }
    return false;
}

/* A job that never formed ended for a reason of its own (the others did not come in time). */
static bool hear_gave_up(muster_agent *agent, const muster_message *message)
{
    bool news = agent_stand_down(agent, MUSTER_ERR_GAVE_UP, message->u.refused.text);
    if (news && atomic_load(&agent->epoch) == 0 && message->u.refused.status != MUSTER_OK) {
        agent->ending = (muster_status)message->u.refused.status;
    }
    return news;
}

static bool hear_refused(muster_agent *agent, const muster_message *message)
{
    muster_status why = (muster_status)message->u.refused.status;
    if (why == MUSTER_OK) {
        why = MUSTER_ERR_GAVE_UP;
    }
    const char *text =
        message->u.refused.text[0] ? message->u.refused.text : muster_status_text(why);
    if (!agent->joined) {
        muster_error_set(&agent->refused, why, MUSTER_FIELD_SLOT, agent->slot_count,
                         atomic_load(&agent->slot), "the coordinator at %.60s refused the join: %s",
                         agent->coordinator, text);
        agent->join_pending = false;
        return false;
    }
    if (muster_status_advice(why) == MUSTER_ADVICE_RETRY) {
        return false; /* the JOIN is said again in its time */
    }
    agent->join_pending = false;
    bool other_in_slot = why == MUSTER_ERR_FENCED || why == MUSTER_ERR_SLOT_TAKEN;
    return agent_stand_down(agent, other_in_slot ? MUSTER_ERR_FENCED : MUSTER_ERR_GAVE_UP, text);
}

static bool agent_is_self(const muster_agent *agent, int32_t slot, uint32_t incarnation)
{
    return slot == (int32_t)atomic_load(&agent->slot) &&
           incarnation == (uint32_t)atomic_load(&agent->incarnation);
}

/* Memory that runs out loses the names of the dead, not the revoke. */
static void agent_add_deaths(muster_agent *agent, uint64_t epoch, const muster_death *deaths,
                             int32_t death_count)
{
    for (int32_t i = 0; i < death_count; i++) {
        (void)muster_deaths_add(&agent->deaths, epoch, &deaths[i]);
    }
}

/* An epoch whose AGREED did not come through is revoked: this rank was never in it, and is quiet as
 * soon as it is quiet in its own. Without this the coordinator would wait for a QUIET of that epoch,
 * and take this rank for lost at the end of the rebuild. */
static void agent_quiet_unentered(muster_agent *agent, uint64_t epoch)
{
    uint64_t current = atomic_load(&agent->epoch);
    muster_outbox_entry *quiet = muster_outbox_find(&agent->outbox, MUSTER_MESSAGE_QUIET);
    if (quiet) {
        quiet->message.epoch = epoch > current ? epoch : current;
        quiet->sent = false; /* a REVOKE said again: our answer to it may not have been heard */
        return;
    }
    if (current == 0) {
        /* A newcomer's working thread waits in its join, and holds nothing. */
        muster_message message = muster_agent_header(agent, MUSTER_MESSAGE_QUIET);
        message.epoch = epoch;
        message.u.quiet.blob = agent->blob;
        (void)muster_outbox_put(&agent->outbox, &message); /* no memory: the next REVOKE */
    }
}

static bool hear_revoke(muster_agent *agent, const muster_message *message)
{
    const muster_death *deaths = message->u.revoke.deaths;
    int32_t death_count = message->u.revoke.death_count;
    agent_add_deaths(agent, message->epoch, deaths, death_count);
    muster_outbox_revoked(&agent->outbox, message->epoch, deaths, death_count);
    agent_raise_revoked(agent, message->epoch);
    agent_quiet_unentered(agent, message->epoch);
    for (int32_t i = 0; i < death_count; i++) {
        if (agent_is_self(agent, deaths[i].slot, deaths[i].incarnation)) {
            char text[MUSTER_NOTE_TEXT_BYTES];
            snprintf(text, sizeof text,
                     "incarnation %u of slot %d was declared dead in epoch %llu (%s)",
                     deaths[i].incarnation, deaths[i].slot, (unsigned long long)message->epoch,
                     muster_evidence_text((muster_evidence)deaths[i].evidence));
            agent_stand_down(agent, MUSTER_ERR_FENCED, text);
        }
    }
    return true;
}

static bool agent_in_members(const muster_agent *agent, const muster_message *agreed)
{
    for (int32_t i = 0; i < agreed->u.agreed.member_count; i++) {
        const muster_member *member = &agreed->u.agreed.members[i];
        if (agent_is_self(agent, member->slot, member->incarnation)) {
            return true;
        }
    }
    return false;
}

/* Takes the message over where it is news. */
static bool hear_agreed(muster_agent *agent, muster_message *message)
{
    uint64_t current = atomic_load(&agent->epoch);
    if (message->epoch <= current) {
        return false; /* said again after a rejoin */
    }
    if ((int32_t)atomic_load(&agent->slot) == MUSTER_SLOT_SPARE_WIRE) {
        atomic_store(&agent->slot, message->slot);
        atomic_store(&agent->incarnation, message->incarnation);
    }
    if (!agent_in_members(agent, message)) {
        char text[MUSTER_NOTE_TEXT_BYTES];
        snprintf(text, sizeof text, "epoch %llu was agreed without incarnation %u of slot %d",
                 (unsigned long long)message->epoch, (uint32_t)atomic_load(&agent->incarnation),
                 (int)atomic_load(&agent->slot));
        return agent_stand_down(agent, MUSTER_ERR_FENCED, text);
    }
    if (current > 0) {
        agent_add_deaths(agent, current, message->u.agreed.deaths, message->u.agreed.death_count);
        agent_raise_revoked(agent, message->epoch - 1);
    }
    muster_outbox_agreed(&agent->outbox, message->epoch);
    muster_message_clean_up(&agent->agreed);
    agent->agreed = *message;
    memset(message, 0, sizeof *message);
    atomic_store(&agent->epoch, agent->agreed.epoch);
    return current > 0;
}

static bool hear_established(muster_agent *agent, const muster_message *message)
{
    if (message->epoch != atomic_load(&agent->epoch)) {
        return false;
    }
    agent->established_epoch = message->epoch;
    if (atomic_load(&agent->revoked_epoch) < message->epoch &&
        muster_agent_standing(agent) == MUSTER_OK) {
        agent_revoke_fd_drain(agent);
    }
    return false;
}

/* A PONG is not kept: the next PING asks anew. */
static void agent_answer_ping(muster_agent *agent, const muster_message *ping, int64_t received_ns)
{
    muster_message pong = muster_agent_header(agent, MUSTER_MESSAGE_PONG);
    pong.u.ping = ping->u.ping;
    pong.u.ping.received_ns = (uint64_t)received_ns;
    pong.u.ping.answered_ns = (uint64_t)muster_agent_now_ns();
    (void)muster_link_send(&agent->link, &pong);
}

/* Another job's, or a coordinator's that a later one has replaced. A coordinator that refuses a join
 * because it serves another job says so under that job's number. */
static bool agent_accepts(const muster_agent *agent, const muster_message *message)
{
    if (message->job != agent->job) {
        return message->type == MUSTER_MESSAGE_REFUSED && !agent->joined;
    }
    return message->term >= atomic_load(&agent->term);
}

static void agent_note_term(muster_agent *agent, const muster_message *message)
{
    if (message->job != agent->job || message->term <= atomic_load(&agent->term)) {
        return;
    }
    atomic_store(&agent->term, message->term);
    bool is_answer =
        message->type == MUSTER_MESSAGE_WELCOME || message->type == MUSTER_MESSAGE_REFUSED;
    if (agent->joined && !is_answer) {
        agent_join_again(agent);
    }
}

static bool agent_dispatch(muster_agent *agent, muster_message *message, int64_t now_ns)
{
    switch ((muster_message_type)message->type) {
    case MUSTER_MESSAGE_WELCOME:
        return hear_welcome(agent, message);
    case MUSTER_MESSAGE_REFUSED:
        return hear_refused(agent, message);
    case MUSTER_MESSAGE_REVOKE:
        return hear_revoke(agent, message);
    case MUSTER_MESSAGE_AGREED:
        return hear_agreed(agent, message);
    case MUSTER_MESSAGE_ESTABLISHED:
        return hear_established(agent, message);
    case MUSTER_MESSAGE_GAVE_UP:
        return agent->joined ? hear_gave_up(agent, message) : hear_refused(agent, message);
    case MUSTER_MESSAGE_CALLS_DIFFER:
        return message->epoch == atomic_load(&agent->epoch) &&
               agent_stand_down(agent, MUSTER_ERR_CALLS_DIFFER,
                                "every rank waits, but in different calls");
    case MUSTER_MESSAGE_PING:
        agent_answer_ping(agent, message, now_ns);
        return false;
    case MUSTER_MESSAGE_GOODBYE:
        agent->goodbye = agent->leaving;
        return false;
    case MUSTER_MESSAGE_REJOIN:
        if (agent->joined && !agent->join_pending) {
            agent_join_again(agent);
        }
        return false;
    default:
        return false; /* for a launcher, or of a later minor version */
    }
}

void muster_agent_hear(muster_agent *agent, muster_message *message, int64_t now_ns)
{
    bool wake = false;
    pthread_mutex_lock(&agent->mutex);
    if (agent_accepts(agent, message)) {
        agent->heard = true;
        agent->contact = true;
        agent_note_term(agent, message);
        wake = agent_dispatch(agent, message, now_ns);
        pthread_cond_broadcast(&agent->changed);
    }
    pthread_mutex_unlock(&agent->mutex);
    muster_message_clean_up(message);
    if (wake) {
        pthread_mutex_lock(&agent->wake_mutex);
        if (agent->wake) {
            agent->wake(agent->wake_context);
        }
        pthread_mutex_unlock(&agent->wake_mutex);
    }
}

void muster_agent_hear_reconnect(muster_agent *agent)
{
    pthread_mutex_lock(&agent->mutex);
    agent_join_again(agent);
    pthread_mutex_unlock(&agent->mutex);
}

void muster_agent_hear_failure(muster_agent *agent, muster_status status, const muster_error *error)
{
    pthread_mutex_lock(&agent->mutex);
    /* In a job that runs, a stray message is nobody's verdict: it is ignored. In a join it is the only
     * answer there will be. What came is no proof of a coordinator unless it speaks our protocol. */
    if (!agent->joined && status == MUSTER_ERR_VERSION) {
        agent->refused = *error;
        agent->heard = true;
        pthread_cond_broadcast(&agent->changed);
    }
    /* It may have been a verdict: a coordinator tells one who joins again where the job stands. */
    if (agent->joined && status == MUSTER_ERR_NO_MEMORY && !agent->join_pending) {
        agent->join_pending = true;
        agent->join_due_ns = muster_agent_now_ns() + AGENT_NO_MEMORY_RETRY_NS;
    }
    pthread_mutex_unlock(&agent->mutex);
}
