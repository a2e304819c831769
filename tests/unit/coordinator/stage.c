/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <muster/version.h>

#include "base/hash.h"
#include "operator/policy_options.h"
#include "wire/wire.h"

static void stage_on_note(void *context, uint64_t job, const muster_note *note)
{
    stage *on = context;
    (void)job;
    pthread_mutex_lock(&on->mutex);
    if (on->note_count < STAGE_NOTES_MAX)
        on->notes[on->note_count++] = *note;
    pthread_cond_broadcast(&on->changed);
    pthread_mutex_unlock(&on->mutex);
}

/* Waits until a note of this kind and evidence has come. */
void stage_await_note(stage *on, uint32_t kind, uint32_t evidence)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STAGE_WAIT_MS / 1000;
    bool found = false;
    pthread_mutex_lock(&on->mutex);
    for (size_t i = 0; !found;) {
        for (; i < on->note_count && !found; i++)
            found = on->notes[i].kind == kind && on->notes[i].evidence == evidence;
        if (!found && pthread_cond_timedwait(&on->changed, &on->mutex, &until) != 0)
            break;
    }
    pthread_mutex_unlock(&on->mutex);
    assert_true(found);
}

muster_status stage_start(stage *on, muster_error *error)
{
    muster_coordinator_options options;
    muster_coordinator_options_init(&options);
    options.endpoint = on->endpoint;
    options.journal = on->journal;
    options.keys = on->keys[0] != '\0' ? on->keys : NULL;
    options.allowed = on->allowed[0] != '\0' ? on->allowed : NULL;
    options.on_note = stage_on_note;
    options.on_note_context = on;
    return muster_coordinator_start(&options, &on->coordinator, error);
}

int stage_set_up(void **state)
{
    stage *on = calloc(1, sizeof *on);
    snprintf(on->folder, sizeof on->folder, "/tmp/muster-coordinator-XXXXXX");
    assert_non_null(mkdtemp(on->folder));
    snprintf(on->endpoint, sizeof on->endpoint, "ipc://%s/socket", on->folder);
    snprintf(on->journal, sizeof on->journal, "%s/journal", on->folder);
    pthread_mutex_init(&on->mutex, NULL);
    pthread_cond_init(&on->changed, NULL);
    assert_int_equal(stage_start(on, NULL), MUSTER_OK);
    *state = on;
    return 0;
}

int stage_tear_down(void **state)
{
    stage *on = *state;
    muster_coordinator_stop(on->coordinator);
    unlink(on->journal);
    assert_int_equal(rmdir(on->folder), 0); /* the socket's file is gone, too */
    pthread_cond_destroy(&on->changed);
    pthread_mutex_destroy(&on->mutex);
    free(on);
    return 0;
}

stage_peer stage_peer_open(const stage *on)
{
    return stage_peer_open_keyed(on->endpoint, NULL);
}

stage_peer stage_peer_open_keyed(const char *endpoint, const muster_client_keys *keys)
{
    stage_peer opened = {.context = zmq_ctx_new()};
    int no_linger = 0;
    int timeout_ms = STAGE_WAIT_MS;
    opened.socket = zmq_socket(opened.context, ZMQ_DEALER);
    zmq_setsockopt(opened.socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(opened.socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    if (keys != NULL) {
        zmq_setsockopt(opened.socket, ZMQ_CURVE_SERVERKEY, keys->coordinator.text, 41);
        zmq_setsockopt(opened.socket, ZMQ_CURVE_PUBLICKEY, keys->own.public_key.text, 41);
        zmq_setsockopt(opened.socket, ZMQ_CURVE_SECRETKEY, keys->own.secret_key.text, 41);
    }
    assert_int_equal(zmq_connect(opened.socket, endpoint), 0);
    return opened;
}

void stage_peer_close(stage_peer *closed)
{
    zmq_close(closed->socket);
    zmq_ctx_term(closed->context);
}

void stage_peer_send(stage_peer *from, const muster_message *message)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    assert_int_equal(muster_wire_encode(message, &bytes, &byte_count), MUSTER_OK);
    assert_int_equal(zmq_send(from->socket, bytes, byte_count, 0), (int)byte_count);
    free(bytes);
}

/* The next message of this type; others are passed over. */
muster_message stage_peer_await(stage_peer *to, uint32_t type)
{
    for (;;) {
        zmq_msg_t frame;
        muster_message message;
        zmq_msg_init(&frame);
        assert_true(zmq_msg_recv(&frame, to->socket, 0) >= 0);
        assert_int_equal(
            muster_wire_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &message, NULL),
            MUSTER_OK);
        zmq_msg_close(&frame);
        if (message.type == type)
            return message;
        muster_message_clean_up(&message);
    }
}

muster_message stage_launcher_join(const char *job, int32_t slot_count)
{
    muster_message message = {.type = MUSTER_MESSAGE_LAUNCHER_JOIN,
                              .job = muster_hash_text(job),
                              .slot = MUSTER_SLOT_NONE};
    muster_policy_defaults(&message.u.launcher_join.policy);
    message.u.launcher_join.policy.slot_count = slot_count;
    snprintf(message.u.launcher_join.job_name, sizeof message.u.launcher_join.job_name, "%s", job);
    message.u.launcher_join.process_id = 1000;
    message.u.launcher_join.slot_count = slot_count;
    return message;
}

muster_message stage_rank_join(const char *job, int32_t slot, int32_t slot_count)
{
    muster_message message = {
        .type = MUSTER_MESSAGE_JOIN, .job = muster_hash_text(job), .slot = slot};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = slot_count;
    message.u.join.process_id = 2000 + slot;
    return message;
}
