/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank has to say, and when again. */
#include "agent/protocol.h"

#include <stdlib.h>

#include "base/assert.h"

#include <muster/version.h>

#define PROTOCOL_JOIN_AGAIN_NS ((int64_t)1000000000)
#define PROTOCOL_CONNECTED_AGAIN_NS ((int64_t)1000000000)
#define PROTOCOL_LEAVE_AGAIN_NS ((int64_t)500000000)

static void protocol_due(muster_protocol_turn *turn, int64_t due_ns)
{
    if (due_ns < turn->next_ns) {
        turn->next_ns = due_ns;
    }
}

/* True when message is on its way. */
static bool protocol_send(muster_protocol *protocol, muster_protocol_turn *turn,
                          const muster_message *message)
{
    muster_status status = turn->send(turn->context, message);
    MUSTER_ASSERT(status != MUSTER_ERR_INVALID_ARGUMENT);
    if (status == MUSTER_ERR_TIMEOUT) {
        turn->blocked = true;
        protocol->contact = false;
    } else if (status != MUSTER_OK) {
        protocol_due(turn, turn->now_ns + MUSTER_PROTOCOL_NO_MEMORY_RETRY_NS);
    }
    return status == MUSTER_OK;
}

/* A coordinator without its journal must not take in again whom the last one declared dead. Memory that
 * runs out loses the names; the silence of the dead tells in the end. */
static void protocol_tell_deaths(const muster_protocol *protocol, muster_message *join)
{
    int32_t count = muster_deaths_list(&protocol->deaths, join->epoch, NULL, 0);
    muster_death *deaths = count > 0 ? calloc((size_t)count, sizeof *deaths) : NULL;
    if (deaths) {
        join->u.join.death_count = count;
        join->u.join.deaths = deaths;
        (void)muster_deaths_list(&protocol->deaths, join->epoch, deaths, count);
    }
}

static void protocol_say_join(muster_protocol *protocol, muster_protocol_turn *turn)
{
    if (!protocol->join_pending) {
        return;
    }
    if (turn->now_ns >= protocol->join_due_ns) {
        muster_message join = muster_protocol_header(protocol, MUSTER_MESSAGE_JOIN);
        join.u.join.library_version = MUSTER_VERSION;
        join.u.join.slot_count = protocol->identity.slot_count;
        join.u.join.process_id = protocol->identity.process_id;
        join.u.join.host = protocol->identity.host;
        join.u.join.blob = protocol->blob;
        join.u.join.rejoin = protocol->joined;
        if (protocol->agreed.type == MUSTER_MESSAGE_AGREED) {
            join.u.join.revoked = muster_protocol_revoked(protocol, join.epoch);
            join.u.join.epoch_term = protocol->agreed.term;
            join.u.join.member_count = protocol->agreed.u.agreed.member_count;
            join.u.join.members = protocol->agreed.u.agreed.members; /* borrowed for the send */
            join.u.join.restore = protocol->agreed.u.agreed.restore;
            join.u.join.restore_slots = protocol->agreed.u.agreed.restore_slots; /* likewise */
        }
        protocol_tell_deaths(protocol, &join);
        bool sent = protocol_send(protocol, turn, &join);
        free(join.u.join.deaths);
        if (!sent) {
            return;
        }
        protocol->join_due_ns = turn->now_ns + PROTOCOL_JOIN_AGAIN_NS;
    }
    protocol_due(turn, protocol->join_due_ns);
}

static void protocol_say_heartbeat(muster_protocol *protocol, muster_protocol_turn *turn)
{
    if (turn->now_ns >= protocol->heartbeat_due_ns) {
        muster_message heartbeat = muster_protocol_header(protocol, MUSTER_MESSAGE_HEARTBEAT);
        muster_activity_read(&protocol->marks, &heartbeat.u.heartbeat.activity);
        if (!protocol_send(protocol, turn, &heartbeat)) {
            return;
        }
        protocol->heartbeat_due_ns = turn->now_ns + protocol->policy.deadlines.heartbeat_ns;
    }
    protocol_due(turn, protocol->heartbeat_due_ns);
}

/* Nothing but its answer shows that a CONNECTED was heard, and an epoch waits for each of them. */
static void protocol_repeat_connected(muster_protocol *protocol, muster_protocol_turn *turn)
{
    muster_outbox_entry *entry = muster_outbox_find(&protocol->outbox, MUSTER_MESSAGE_CONNECTED);
    if (!entry || protocol->established_epoch >= entry->message.epoch) {
        return;
    }
    if (!entry->sent || turn->now_ns >= protocol->connected_due_ns) {
        entry->sent = false;
        protocol->connected_due_ns = turn->now_ns + PROTOCOL_CONNECTED_AGAIN_NS;
    }
    protocol_due(turn, protocol->connected_due_ns);
}

static void protocol_say_outbox(muster_protocol *protocol, muster_protocol_turn *turn)
{
    muster_outbox_entry *entry = NULL;
    while ((entry = muster_outbox_next(&protocol->outbox)) != NULL) {
        /* Kept from an earlier term, sent in this one: an old term would be refused. And perhaps from
         * before the answer to the join, which says who this rank is. */
        entry->message.term = atomic_load(&protocol->term);
        entry->message.slot = (int32_t)atomic_load(&protocol->slot);
        entry->message.incarnation = (uint32_t)atomic_load(&protocol->incarnation);
        if (!protocol_send(protocol, turn, &entry->message)) {
            return;
        }
        entry->sent = true;
    }
}

static void protocol_say_leave(muster_protocol *protocol, muster_protocol_turn *turn)
{
    if (!protocol->leaving || protocol->goodbye) {
        return;
    }
    if (turn->now_ns >= protocol->leave_due_ns) {
        muster_message leave = muster_protocol_header(protocol, MUSTER_MESSAGE_LEAVE);
        if (!protocol_send(protocol, turn, &leave)) {
            return;
        }
        protocol->leave_due_ns = turn->now_ns + PROTOCOL_LEAVE_AGAIN_NS;
    }
    protocol_due(turn, protocol->leave_due_ns);
}

/* A rank that is out of the job says nothing more: it would only be told so again. */
static bool protocol_is_out(const muster_protocol *protocol)
{
    muster_status standing = muster_protocol_standing(protocol);
    return standing == MUSTER_ERR_FENCED || standing == MUSTER_ERR_GAVE_UP;
}

void muster_protocol_speak(muster_protocol *protocol, muster_protocol_turn *turn)
{
    if (protocol_is_out(protocol)) {
        return;
    }
    protocol_say_join(protocol, turn);
    if (protocol->joined && !turn->blocked) {
        protocol_say_heartbeat(protocol, turn);
    }
    /* Before the answer to a JOIN the coordinator does not know this connection. */
    if (protocol->joined && !protocol->join_pending && !turn->blocked) {
        protocol_repeat_connected(protocol, turn);
        protocol_say_outbox(protocol, turn);
        if (!turn->blocked) {
            protocol_say_leave(protocol, turn);
        }
    }
}
