/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator says, taken in. Each hear function returns whether sleepers of the working
 * thread must be woken. */
#include "agent/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/difference.h"

static void protocol_raise_revoked(muster_protocol *protocol, uint64_t epoch)
{
    if (epoch > atomic_load(&protocol->revoked_epoch)) {
        atomic_store(&protocol->revoked_epoch, epoch);
    }
    uint64_t current = atomic_load(&protocol->epoch);
    if (current > 0 && epoch >= current) {
        protocol->revoke_shown = true;
    }
}

/* This rank can take no part any more; the first reason stays. */
static bool protocol_stand_down(muster_protocol *protocol, muster_status why, const char *text)
{
    if (protocol->leaving || muster_protocol_standing(protocol) != MUSTER_OK) {
        return false;
    }
    snprintf(protocol->standing_text, sizeof protocol->standing_text, "%s", text);
    protocol->ending = why;
    atomic_store(&protocol->standing, (int)why);
    if (why != MUSTER_ERR_CALLS_DIFFER) {
        /* By then its epoch is no more, even where no REVOKE came through. */
        protocol_raise_revoked(protocol, atomic_load(&protocol->epoch));
    }
    return true;
}

static void protocol_join_again(muster_protocol *protocol)
{
    protocol->join_pending = true;
    protocol->join_due_ns = 0;
}

static bool hear_welcome(muster_protocol *protocol, const muster_message *message)
{
    if (!protocol->joined) {
        protocol->policy = message->u.welcome.policy;
        protocol->joined = true;
    }
    if (atomic_load(&protocol->epoch) == 0) {
        atomic_store(&protocol->slot, message->slot);
        atomic_store(&protocol->incarnation, message->incarnation);
    }
    if (protocol->join_pending) {
        protocol->join_pending = false;
        protocol->heartbeat_due_ns = 0;
        protocol->leave_due_ns = 0;
        muster_outbox_send_again(&protocol->outbox);
    }
    return false;
}

/* A job that never formed ended for a reason of its own (the others did not come in time). */
static bool hear_gave_up(muster_protocol *protocol, const muster_message *message)
{
    bool news = protocol_stand_down(protocol, MUSTER_ERR_GAVE_UP, message->u.refused.text);
    if (news && atomic_load(&protocol->epoch) == 0 && message->u.refused.status != MUSTER_OK) {
        protocol->ending = (muster_status)message->u.refused.status;
    }
    return news;
}

static bool hear_refused(muster_protocol *protocol, const muster_message *message)
{
    muster_status why = (muster_status)message->u.refused.status;
    if (why == MUSTER_OK) {
        why = MUSTER_ERR_GAVE_UP;
    }
    const char *text =
        message->u.refused.text[0] ? message->u.refused.text : muster_status_text(why);
    if (!protocol->joined) {
        muster_error_set(&protocol->refused, why, MUSTER_FIELD_SLOT, protocol->identity.slot_count,
                         atomic_load(&protocol->slot),
                         "the coordinator at %.60s refused the join: %s",
                         protocol->identity.coordinator, text);
        protocol->join_pending = false;
        return false;
    }
    if (muster_status_advice(why) == MUSTER_ADVICE_RETRY) {
        return false; /* the JOIN is said again in its time */
    }
    protocol->join_pending = false;
    bool other_in_slot = why == MUSTER_ERR_FENCED || why == MUSTER_ERR_SLOT_TAKEN;
    return protocol_stand_down(protocol, other_in_slot ? MUSTER_ERR_FENCED : MUSTER_ERR_GAVE_UP,
                               text);
}

static bool protocol_is_self(const muster_protocol *protocol, int32_t slot, uint32_t incarnation)
{
    return slot == (int32_t)atomic_load(&protocol->slot) &&
           incarnation == (uint32_t)atomic_load(&protocol->incarnation);
}

/* Memory that runs out loses the names of the dead, not the revoke. */
static void protocol_add_deaths(muster_protocol *protocol, uint64_t epoch,
                                const muster_death *deaths, int32_t death_count)
{
    for (int32_t i = 0; i < death_count; i++) {
        (void)muster_deaths_add(&protocol->deaths, epoch, &deaths[i]);
    }
}

/* An epoch whose AGREED did not come through is revoked: this rank was never in it, and is quiet as
 * soon as it is quiet in its own. Without this the coordinator would wait for a QUIET of that epoch,
 * and take this rank for lost at the end of the rebuild. */
static void protocol_quiet_unentered(muster_protocol *protocol, uint64_t epoch)
{
    uint64_t current = atomic_load(&protocol->epoch);
    muster_outbox_entry *quiet = muster_outbox_find(&protocol->outbox, MUSTER_MESSAGE_QUIET);
    if (quiet) {
        quiet->message.epoch = epoch > current ? epoch : current;
        quiet->message.u.quiet.members_epoch = current;
        quiet->sent = false; /* a REVOKE said again: our answer to it may not have been heard */
        return;
    }
    if (current == 0) {
        /* A newcomer's working thread waits in its join, and holds nothing. */
        muster_message message = muster_protocol_header(protocol, MUSTER_MESSAGE_QUIET);
        message.epoch = epoch;
        message.u.quiet.blob = protocol->blob;
        (void)muster_outbox_put(&protocol->outbox, &message); /* no memory: the next REVOKE */
    }
}

static bool hear_revoke(muster_protocol *protocol, const muster_message *message)
{
    const muster_death *deaths = message->u.revoke.deaths;
    int32_t death_count = message->u.revoke.death_count;
    protocol_add_deaths(protocol, message->epoch, deaths, death_count);
    muster_outbox_revoked(&protocol->outbox, message->epoch, deaths, death_count);
    protocol_raise_revoked(protocol, message->epoch);
    protocol_quiet_unentered(protocol, message->epoch);
    for (int32_t i = 0; i < death_count; i++) {
        if (protocol_is_self(protocol, deaths[i].slot, deaths[i].incarnation)) {
            char text[MUSTER_NOTE_TEXT_BYTES];
            snprintf(text, sizeof text,
                     "incarnation %u of slot %d was declared dead in epoch %llu (%s)",
                     deaths[i].incarnation, deaths[i].slot, (unsigned long long)message->epoch,
                     muster_evidence_text((muster_evidence)deaths[i].evidence));
            protocol_stand_down(protocol, MUSTER_ERR_FENCED, text);
        }
    }
    return true;
}

static bool protocol_in_members(const muster_protocol *protocol, const muster_message *agreed)
{
    for (int32_t i = 0; i < agreed->u.agreed.member_count; i++) {
        const muster_member *member = &agreed->u.agreed.members[i];
        if (protocol_is_self(protocol, member->slot, member->incarnation)) {
            return true;
        }
    }
    return false;
}

/* Told what has changed: makes it the whole. False: it starts from another epoch than this rank knows, or
 * memory ran out. */
static bool protocol_complete(const muster_protocol *protocol, muster_message *message)
{
    const muster_message *known = &protocol->agreed;
    muster_difference difference = {
        .base_epoch = message->u.agreed.base_epoch,
        .changed_count = message->u.agreed.member_count,
        .changed = message->u.agreed.members,
        .without_count = message->u.agreed.without_count,
        .without = message->u.agreed.without,
        .members_hash = message->u.agreed.members_hash,
    };
    muster_member *members = NULL;
    int32_t member_count = 0;
    if (known->type != MUSTER_MESSAGE_AGREED || known->epoch != difference.base_epoch ||
        muster_difference_apply(known->u.agreed.members, known->u.agreed.member_count, &difference,
                                &members, &member_count) != MUSTER_OK) {
        return false;
    }
    free(message->u.agreed.members);
    free(message->u.agreed.without);
    message->u.agreed.members = members;
    message->u.agreed.member_count = member_count;
    message->u.agreed.without = NULL;
    message->u.agreed.without_count = 0;
    message->u.agreed.base_epoch = 0;
    return true;
}

/* Takes the message over where it is news. */
static bool hear_agreed(muster_protocol *protocol, muster_message *message)
{
    uint64_t current = atomic_load(&protocol->epoch);
    if (message->epoch <= current) {
        return false; /* said again after a rejoin */
    }
    if (message->u.agreed.base_epoch != 0 && !protocol_complete(protocol, message)) {
        protocol_join_again(protocol); /* the answer has all members */
        return false;
    }
    if ((int32_t)atomic_load(&protocol->slot) == MUSTER_SLOT_SPARE_WIRE) {
        atomic_store(&protocol->slot, message->slot);
        atomic_store(&protocol->incarnation, message->incarnation);
    }
    if (!protocol_in_members(protocol, message)) {
        char text[MUSTER_NOTE_TEXT_BYTES];
        snprintf(text, sizeof text, "epoch %llu was agreed without incarnation %u of slot %d",
                 (unsigned long long)message->epoch, (uint32_t)atomic_load(&protocol->incarnation),
                 (int)atomic_load(&protocol->slot));
        return protocol_stand_down(protocol, MUSTER_ERR_FENCED, text);
    }
    if (current > 0) {
        protocol_add_deaths(protocol, current, message->u.agreed.deaths,
                            message->u.agreed.death_count);
        protocol_raise_revoked(protocol, message->epoch - 1);
    }
    protocol->awaited[0] = '\0';
    muster_outbox_agreed(&protocol->outbox, message->epoch);
    muster_message_clean_up(&protocol->agreed);
    protocol->agreed = *message;
    memset(message, 0, sizeof *message);
    if (protocol->agreed.u.agreed.restore.state_lost) {
        muster_activity_forget_committed(&protocol->marks); /* before a heartbeat names the epoch */
    }
    atomic_store(&protocol->epoch, protocol->agreed.epoch);
    return current > 0;
}

static bool hear_established(muster_protocol *protocol, const muster_message *message)
{
    if (message->epoch != atomic_load(&protocol->epoch)) {
        return false;
    }
    protocol->established_epoch = message->epoch;
    protocol->awaited[0] = '\0';
    if (atomic_load(&protocol->revoked_epoch) < message->epoch &&
        muster_protocol_standing(protocol) == MUSTER_OK) {
        protocol->revoke_shown = false;
    }
    return false;
}

static void hear_ping(const muster_protocol *protocol, const muster_message *ping,
                      int64_t received_ns, muster_protocol_heard *heard)
{
    heard->pong_due = true;
    heard->pong = muster_protocol_header(protocol, MUSTER_MESSAGE_PONG);
    heard->pong.u.ping = ping->u.ping;
    heard->pong.u.ping.received_ns = (uint64_t)received_ns;
}

/* Another job's, or a coordinator's that a later one has replaced. A coordinator that refuses a join
 * because it serves another job says so under that job's number. */
static bool protocol_accepts(const muster_protocol *protocol, const muster_message *message)
{
    if (message->job != protocol->identity.job) {
        return message->type == MUSTER_MESSAGE_REFUSED && !protocol->joined;
    }
    return message->term >= atomic_load(&protocol->term);
}

static void protocol_note_term(muster_protocol *protocol, const muster_message *message)
{
    if (message->job != protocol->identity.job || message->term <= atomic_load(&protocol->term)) {
        return;
    }
    atomic_store(&protocol->term, message->term);
    bool is_answer =
        message->type == MUSTER_MESSAGE_WELCOME || message->type == MUSTER_MESSAGE_REFUSED;
    if (protocol->joined && !is_answer) {
        protocol_join_again(protocol);
    }
}

static bool protocol_dispatch(muster_protocol *protocol, muster_message *message, int64_t now_ns,
                              muster_protocol_heard *heard)
{
    switch ((muster_message_type)message->type) {
    case MUSTER_MESSAGE_WELCOME:
        return hear_welcome(protocol, message);
    case MUSTER_MESSAGE_REFUSED:
        return hear_refused(protocol, message);
    case MUSTER_MESSAGE_REVOKE:
        return hear_revoke(protocol, message);
    case MUSTER_MESSAGE_AGREED:
        return hear_agreed(protocol, message);
    case MUSTER_MESSAGE_ESTABLISHED:
        return hear_established(protocol, message);
    case MUSTER_MESSAGE_GAVE_UP:
        return protocol->joined ? hear_gave_up(protocol, message) : hear_refused(protocol, message);
    case MUSTER_MESSAGE_CALLS_DIFFER:
        return message->epoch == atomic_load(&protocol->epoch) &&
               protocol_stand_down(protocol, MUSTER_ERR_CALLS_DIFFER,
                                   "every rank waits, but in different calls");
    case MUSTER_MESSAGE_NOTE:
        memcpy(protocol->awaited, message->u.note.text, sizeof protocol->awaited);
        return false;
    case MUSTER_MESSAGE_PING:
        hear_ping(protocol, message, now_ns, heard);
        return false;
    case MUSTER_MESSAGE_GOODBYE:
        protocol->goodbye = protocol->leaving;
        return false;
    case MUSTER_MESSAGE_REJOIN:
        if (protocol->joined && !protocol->join_pending) {
            protocol_join_again(protocol);
        }
        return false;
    default:
        return false; /* for a launcher, or of a later minor version */
    }
}

void muster_protocol_hear(muster_protocol *protocol, muster_message *message, int64_t now_ns,
                          muster_protocol_heard *heard)
{
    memset(heard, 0, sizeof *heard);
    if (!protocol_accepts(protocol, message)) {
        return;
    }
    heard->news = true;
    protocol->heard = true;
    protocol->contact = true;
    protocol_note_term(protocol, message);
    heard->wake = protocol_dispatch(protocol, message, now_ns, heard);
}

void muster_protocol_hear_reconnect(muster_protocol *protocol)
{
    protocol_join_again(protocol);
}

bool muster_protocol_hear_failure(muster_protocol *protocol, muster_status status,
                                  const muster_error *error, int64_t now_ns)
{
    /* It may have been a verdict: a coordinator tells one who joins again where the job stands. */
    if (protocol->joined && status == MUSTER_ERR_NO_MEMORY && !protocol->join_pending) {
        protocol->join_pending = true;
        protocol->join_due_ns = now_ns + MUSTER_PROTOCOL_NO_MEMORY_RETRY_NS;
    }
    /* In a job that runs, a stray message is nobody's verdict: it is ignored. In a join it is the only
     * answer there will be. What came is no proof of a coordinator unless it speaks our protocol. */
    if (protocol->joined || status != MUSTER_ERR_VERSION) {
        return false;
    }
    protocol->refused = *error;
    protocol->heard = true;
    return true;
}
