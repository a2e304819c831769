/* SPDX-License-Identifier: Apache-2.0 */
/* The agent thread: takes in what came, says what is due, sleeps until either changes. It never
 * blocks but in its poll, so that a verdict is heard at once. */
#include "agent/agent_state.h"

#include <unistd.h>

#include "base/assert.h"

#include <muster/version.h>

#define AGENT_JOIN_AGAIN_NS ((int64_t)1000000000)
#define AGENT_CONNECTED_AGAIN_NS ((int64_t)1000000000)
#define AGENT_LEAVE_AGAIN_NS ((int64_t)500000000)
#define AGENT_SLEEP_MAX_NS ((int64_t)3600 * 1000000000)
#define AGENT_RECEIVE_AT_ONCE 64

/* What a turn of speaking came to. */
typedef struct agent_turn {
    int64_t now_ns;
    int64_t next_ns; /* when something is due again */
    bool blocked;    /* something due found no room: wait for room */
} agent_turn;

static void agent_due(agent_turn *turn, int64_t due_ns)
{
    if (due_ns < turn->next_ns) {
        turn->next_ns = due_ns;
    }
}

/* True when message is on its way. */
static bool agent_send(muster_agent *agent, agent_turn *turn, const muster_message *message)
{
    muster_status status = muster_link_send(&agent->link, message);
    MUSTER_ASSERT(status != MUSTER_ERR_INVALID_ARGUMENT);
    if (status == MUSTER_ERR_TIMEOUT) {
        turn->blocked = true;
        agent->contact = false;
    } else if (status != MUSTER_OK) {
        agent_due(turn, turn->now_ns + AGENT_NO_MEMORY_RETRY_NS);
    }
    return status == MUSTER_OK;
}

static void agent_say_join(muster_agent *agent, agent_turn *turn)
{
    if (!agent->join_pending) {
        return;
    }
    if (turn->now_ns >= agent->join_due_ns) {
        muster_message join = muster_agent_header(agent, MUSTER_MESSAGE_JOIN);
        join.u.join.library_version = MUSTER_VERSION;
        join.u.join.slot_count = agent->slot_count;
        join.u.join.process_id = agent->process_id;
        join.u.join.host = agent->host;
        join.u.join.blob = agent->blob;
        join.u.join.rejoin = agent->joined;
        if (agent->agreed.type == MUSTER_MESSAGE_AGREED) {
            join.u.join.revoked = muster_agent_revoked(agent, join.epoch);
            join.u.join.member_count = agent->agreed.u.agreed.member_count;
            join.u.join.members = agent->agreed.u.agreed.members; /* borrowed for the send */
        }
        if (!agent_send(agent, turn, &join)) {
            return;
        }
        agent->join_due_ns = turn->now_ns + AGENT_JOIN_AGAIN_NS;
    }
    agent_due(turn, agent->join_due_ns);
}

static void agent_say_heartbeat(muster_agent *agent, agent_turn *turn)
{
    if (turn->now_ns >= agent->heartbeat_due_ns) {
        muster_message heartbeat = muster_agent_header(agent, MUSTER_MESSAGE_HEARTBEAT);
        muster_activity_read(&agent->marks, &heartbeat.u.heartbeat.activity);
        if (!agent_send(agent, turn, &heartbeat)) {
            return;
        }
        agent->heartbeat_due_ns = turn->now_ns + agent->policy.deadlines.heartbeat_ns;
    }
    agent_due(turn, agent->heartbeat_due_ns);
}

/* Nothing but its answer shows that a CONNECTED was heard, and an epoch waits for each of them. */
static void agent_repeat_connected(muster_agent *agent, agent_turn *turn)
{
    muster_outbox_entry *entry = muster_outbox_find(&agent->outbox, MUSTER_MESSAGE_CONNECTED);
    if (!entry || agent->established_epoch >= entry->message.epoch) {
        return;
    }
    if (!entry->sent || turn->now_ns >= agent->connected_due_ns) {
        entry->sent = false;
        agent->connected_due_ns = turn->now_ns + AGENT_CONNECTED_AGAIN_NS;
    }
    agent_due(turn, agent->connected_due_ns);
}

static void agent_say_outbox(muster_agent *agent, agent_turn *turn)
{
    muster_outbox_entry *entry = NULL;
    while ((entry = muster_outbox_next(&agent->outbox)) != NULL) {
        /* Kept from an earlier term, sent in this one: an old term would be refused. */
        entry->message.term = atomic_load(&agent->term);
        if (!agent_send(agent, turn, &entry->message)) {
            return;
        }
        entry->sent = true;
    }
}

static void agent_say_leave(muster_agent *agent, agent_turn *turn)
{
    if (!agent->leaving || agent->goodbye) {
        return;
    }
    if (turn->now_ns >= agent->leave_due_ns) {
        muster_message leave = muster_agent_header(agent, MUSTER_MESSAGE_LEAVE);
        if (!agent_send(agent, turn, &leave)) {
            return;
        }
        agent->leave_due_ns = turn->now_ns + AGENT_LEAVE_AGAIN_NS;
    }
    agent_due(turn, agent->leave_due_ns);
}

/* A rank that is out of the job says nothing more: it would only be told so again. */
static bool agent_is_out(const muster_agent *agent)
{
    muster_status standing = muster_agent_standing(agent);
    return standing == MUSTER_ERR_FENCED || standing == MUSTER_ERR_GAVE_UP;
}

/* Everything that is due, in order; the mutex is held. */
static void agent_speak(muster_agent *agent, agent_turn *turn)
{
    if (agent_is_out(agent)) {
        return;
    }
    agent_say_join(agent, turn);
    if (agent->joined && !turn->blocked) {
        agent_say_heartbeat(agent, turn);
    }
    /* Before the answer to a JOIN the coordinator does not know this connection. */
    if (agent->joined && !agent->join_pending && !turn->blocked) {
        agent_repeat_connected(agent, turn);
        agent_say_outbox(agent, turn);
        if (!turn->blocked) {
            agent_say_leave(agent, turn);
        }
    }
}

static void agent_listen(muster_agent *agent)
{
    int connections = muster_link_connections(&agent->link);
    pthread_mutex_lock(&agent->mutex);
    agent->trouble = muster_link_trouble(&agent->link);
    pthread_mutex_unlock(&agent->mutex);
    if (connections > (agent->connected_once ? 0 : 1)) {
        muster_agent_hear_reconnect(agent);
    }
    agent->connected_once = agent->connected_once || connections > 0;
    for (int i = 0; i < AGENT_RECEIVE_AT_ONCE; i++) {
        muster_message message;
        muster_error error;
        muster_error_init(&error);
        muster_status status = muster_link_receive(&agent->link, &message, &error);
        if (status == MUSTER_ERR_TIMEOUT) {
            return;
        }
        if (status == MUSTER_OK) {
            muster_agent_hear(agent, &message, muster_agent_now_ns());
        } else {
            muster_agent_hear_failure(agent, status, &error);
        }
    }
    muster_agent_nudge(agent); /* the rest after a turn of speaking: heartbeats must not starve */
}

static long agent_sleep_ms(const agent_turn *turn)
{
    int64_t sleep_ns = turn->next_ns - muster_agent_now_ns();
    if (sleep_ns <= 0) {
        return 0;
    }
    if (sleep_ns > AGENT_SLEEP_MAX_NS) {
        sleep_ns = AGENT_SLEEP_MAX_NS;
    }
    return (long)((sleep_ns + 999999) / 1000000);
}

void *muster_agent_thread(void *context)
{
    muster_agent *agent = context;
    pthread_setname_np(pthread_self(), "muster-agent");
    for (;;) {
        agent_listen(agent);
        agent_turn turn = {.now_ns = muster_agent_now_ns(), .next_ns = INT64_MAX};
        pthread_mutex_lock(&agent->mutex);
        bool stop = agent->stop;
        if (!stop) {
            agent_speak(agent, &turn);
        }
        pthread_mutex_unlock(&agent->mutex);
        if (stop) {
            return NULL;
        }
        muster_link_wait(&agent->link, agent->wake_fd, turn.blocked, agent_sleep_ms(&turn));
        uint64_t nudges = 0;
        (void)!read(agent->wake_fd, &nudges, sizeof nudges); /* not blocking: empty is fine */
    }
}
