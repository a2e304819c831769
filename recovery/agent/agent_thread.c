/* SPDX-License-Identifier: Apache-2.0 */
/* The agent thread: takes in what came, says what is due, sleeps until either changes. It never
 * blocks but in its poll, so that a verdict is heard at once. */
#include "agent/agent_state.h"

#include <unistd.h>

#include "base/error.h"

#define AGENT_SLEEP_MAX_NS ((int64_t)3600 * 1000000000)
#define AGENT_RECEIVE_AT_ONCE 64

/* The descriptor shows what the protocol says; the mutex is held. */
static void agent_show_revoke(muster_agent *agent, bool shown_before)
{
    uint64_t count = 1;
    if (agent->protocol.revoke_shown && !shown_before) {
        (void)!write(agent->revoke_fd, &count, sizeof count); /* full means readable already */
    } else if (!agent->protocol.revoke_shown && shown_before) {
        (void)!read(agent->revoke_fd, &count, sizeof count);
    }
}

/* One message, at its arrival; takes *message over. */
static void agent_hear(muster_agent *agent, muster_message *message, int64_t now_ns)
{
    muster_protocol_heard heard;
    pthread_mutex_lock(&agent->mutex);
    bool shown_before = agent->protocol.revoke_shown;
    muster_protocol_hear(&agent->protocol, message, now_ns, &heard);
    agent_show_revoke(agent, shown_before);
    if (heard.pong_due) {
        heard.pong.u.ping.answered_ns = (uint64_t)muster_agent_now_ns();
        (void)muster_link_send(&agent->link, &heard.pong);
    }
    if (heard.news) {
        pthread_cond_broadcast(&agent->changed);
    }
    pthread_mutex_unlock(&agent->mutex);
    muster_message_clean_up(message);
    if (heard.wake) {
        pthread_mutex_lock(&agent->wake_mutex);
        if (agent->wake) {
            agent->wake(agent->wake_context);
        }
        pthread_mutex_unlock(&agent->wake_mutex);
    }
}

static void agent_hear_failure(muster_agent *agent, muster_status status, const muster_error *error)
{
    pthread_mutex_lock(&agent->mutex);
    if (muster_protocol_hear_failure(&agent->protocol, status, error, muster_agent_now_ns())) {
        pthread_cond_broadcast(&agent->changed);
    }
    pthread_mutex_unlock(&agent->mutex);
}

static muster_status agent_send(void *context, const muster_message *message)
{
    muster_agent *agent = context;
    return muster_link_send(&agent->link, message);
}

static void agent_listen(muster_agent *agent)
{
    int connections = muster_link_connections(&agent->link);
    pthread_mutex_lock(&agent->mutex);
    agent->trouble = muster_link_trouble(&agent->link);
    pthread_mutex_unlock(&agent->mutex);
    if (connections > (agent->connected_once ? 0 : 1)) {
        pthread_mutex_lock(&agent->mutex);
        muster_protocol_hear_reconnect(&agent->protocol);
        pthread_mutex_unlock(&agent->mutex);
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
            agent_hear(agent, &message, muster_agent_now_ns());
        } else {
            agent_hear_failure(agent, status, &error);
        }
    }
    muster_agent_nudge(agent); /* the rest after a turn of speaking: heartbeats must not starve */
}

static long agent_sleep_ms(const muster_protocol_turn *turn)
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
        muster_protocol_turn turn = {.now_ns = muster_agent_now_ns(),
                                     .next_ns = INT64_MAX,
                                     .send = agent_send,
                                     .context = agent};
        pthread_mutex_lock(&agent->mutex);
        bool stop = agent->stop;
        if (!stop) {
            muster_protocol_speak(&agent->protocol, &turn);
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
