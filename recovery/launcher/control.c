/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/host_id.h"
#include "base/hash.h"
#include "keys/key_file.h"

#define CONTROL_JOIN_AGAIN_NS ((int64_t)200000000)
#define CONTROL_TRY_AGAIN_NS ((int64_t)5000000)
#define CONTROL_REJOIN_AGAIN_NS ((int64_t)20000000)

static void control_fill_join(muster_control *control, const muster_control_facts *facts)
{
    muster_message *join = &control->join;
    memset(join, 0, sizeof *join);
    join->type = MUSTER_MESSAGE_LAUNCHER_JOIN;
    join->job = control->job;
    join->slot = MUSTER_SLOT_NONE;
    snprintf(join->u.launcher_join.job_name, sizeof join->u.launcher_join.job_name, "%s",
             facts->job_name);
    join->u.launcher_join.process_id = (int32_t)getpid();
    join->u.launcher_join.host = muster_host_id(getenv("MUSTER_HOST_ID"));
    join->u.launcher_join.first_slot = facts->first_slot;
    join->u.launcher_join.slot_count = facts->slot_count;
    join->u.launcher_join.spare_count = facts->spare_count;
    join->u.launcher_join.policy = *facts->policy;
}

muster_status muster_control_open(muster_control *control, const char *endpoint,
                                  const muster_control_facts *facts, muster_error *error)
{
    sigset_t all;
    sigset_t before;
    memset(control, 0, sizeof *control);
    control->job = muster_hash_text(facts->job_name);
    control->heartbeat_ns = facts->policy->deadlines.heartbeat_ns;
    control_fill_join(control, facts);
    /* ZeroMQ's threads inherit the mask: signals are for the launcher's own thread. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    muster_client_keys keys;
    muster_status status =
        muster_client_keys_read(facts->coordinator_key, facts->key_file, &keys, error);
    if (status == MUSTER_OK)
        status = muster_link_open(&control->link, endpoint, &keys, error);
    muster_client_keys_wipe(&keys);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

static bool control_send(muster_control *control, muster_message *message)
{
    message->job = control->job;
    message->term = control->term;
    message->epoch = control->epoch;
    return control->link.socket != NULL && muster_link_send(&control->link, message) == MUSTER_OK;
}

void muster_control_close(muster_control *control, int linger_ms)
{
    if (control->link.socket == NULL)
        return;
    muster_message leave = {.type = MUSTER_MESSAGE_LAUNCHER_LEAVE, .slot = MUSTER_SLOT_NONE};
    bool said = control->welcomed && control_send(control, &leave);
    muster_link_close(&control->link, said ? linger_ms : 0);
}

static void control_send_join(muster_control *control, int64_t now_ns)
{
    control->join_tried_ns = now_ns;
    if (control_send(control, &control->join)) {
        control->join_sent_ns = now_ns;
        control->reached_ns = now_ns;
    }
}

void muster_control_rejoin(muster_control *control, int64_t now_ns)
{
    control->welcomed = false;
    /* Each of several heartbeats under way brings a REJOIN; one answer is enough. */
    if (now_ns - control->join_sent_ns >= CONTROL_REJOIN_AGAIN_NS)
        control_send_join(control, now_ns);
}

int64_t muster_control_turn(muster_control *control, int64_t now_ns)
{
    (void)muster_link_connections(&control->link); /* for the reason where there is none */
    if (!control->welcomed) {
        if (now_ns - control->join_sent_ns >= CONTROL_JOIN_AGAIN_NS &&
            now_ns - control->join_tried_ns >= CONTROL_TRY_AGAIN_NS)
            control_send_join(control, now_ns);
        return control->join_tried_ns + (control->join_tried_ns == control->join_sent_ns
                                             ? CONTROL_JOIN_AGAIN_NS
                                             : CONTROL_TRY_AGAIN_NS);
    }
    if (now_ns - control->heartbeat_sent_ns >= control->heartbeat_ns) {
        muster_message heartbeat = {.type = MUSTER_MESSAGE_LAUNCHER_HEARTBEAT,
                                    .slot = MUSTER_SLOT_NONE};
        control->heartbeat_sent_ns = now_ns;
        if (control_send(control, &heartbeat))
            control->reached_ns = now_ns;
    }
    return control->heartbeat_sent_ns + control->heartbeat_ns;
}

bool muster_control_send_process(muster_control *control, muster_message_type type, int32_t slot,
                                 uint32_t incarnation, int32_t process_id, int wait_status,
                                 int64_t time_ns)
{
    muster_message message = {.type = type, .slot = slot, .incarnation = incarnation};
    message.u.process.process_id = process_id;
    message.u.process.wait_status = wait_status;
    message.u.process.time_ns = (uint64_t)time_ns;
    return control_send(control, &message);
}

bool muster_control_send_member_exited(muster_control *control, int32_t slot, uint32_t incarnation,
                                       int32_t process_id, int wait_status, int64_t time_ns)
{
    muster_message message = {
        .type = MUSTER_MESSAGE_EXITED, .slot = slot, .incarnation = incarnation};
    message.u.process.process_id = process_id;
    message.u.process.wait_status = wait_status;
    message.u.process.time_ns = (uint64_t)time_ns;
    message.u.process.member = true;
    return control_send(control, &message);
}

bool muster_control_receive(muster_control *control, int64_t now_ns, muster_message *message)
{
    for (;;) {
        muster_error error;
        muster_error_init(&error);
        memset(message, 0, sizeof *message);
        muster_status status = muster_link_receive(&control->link, message, &error);
        if (status == MUSTER_ERR_TIMEOUT)
            return false;
        if (status == MUSTER_ERR_NO_MEMORY)
            return false;
        if (status != MUSTER_OK) {
            snprintf(control->trouble, sizeof control->trouble, "%.*s",
                     (int)sizeof control->trouble - 1, error.message);
            continue;
        }
        if (message->job == control->job && message->term >= control->term) {
            control->term = message->term;
            if (message->epoch > control->epoch)
                control->epoch = message->epoch;
            control->heard_ns = now_ns;
            return true;
        }
        muster_message_clean_up(message);
    }
}
