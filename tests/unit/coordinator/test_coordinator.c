/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator in a thread, and peers over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <muster/version.h>

#include "base/hash.h"
#include "coordinator/coordinator.h"
#include "operator/policy_options.h"
#include "wire/wire.h"

#define WAIT_MS 20000
#define NOTES_MAX 20000

typedef struct stage {
    char folder[64];
    char endpoint[96];
    char journal[96];
    muster_coordinator *coordinator;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    muster_note notes[NOTES_MAX];
    size_t note_count;
} stage;

static void on_note(void *context, uint64_t job, const muster_note *note)
{
    stage *on = context;
    (void)job;
    pthread_mutex_lock(&on->mutex);
    if (on->note_count < NOTES_MAX)
        on->notes[on->note_count++] = *note;
    pthread_cond_broadcast(&on->changed);
    pthread_mutex_unlock(&on->mutex);
}

/* Waits until a note of this kind and evidence has come. */
static void await_note(stage *on, uint32_t kind, uint32_t evidence)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
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

static muster_status start(stage *on, muster_error *error)
{
    muster_coordinator_options options;
    muster_coordinator_options_init(&options);
    options.endpoint = on->endpoint;
    options.journal = on->journal;
    options.on_note = on_note;
    options.on_note_context = on;
    return muster_coordinator_start(&options, &on->coordinator, error);
}

static int set_up(void **state)
{
    stage *on = calloc(1, sizeof *on);
    snprintf(on->folder, sizeof on->folder, "/tmp/muster-coordinator-XXXXXX");
    assert_non_null(mkdtemp(on->folder));
    snprintf(on->endpoint, sizeof on->endpoint, "ipc://%s/socket", on->folder);
    snprintf(on->journal, sizeof on->journal, "%s/journal", on->folder);
    pthread_mutex_init(&on->mutex, NULL);
    pthread_cond_init(&on->changed, NULL);
    assert_int_equal(start(on, NULL), MUSTER_OK);
    *state = on;
    return 0;
}

static int tear_down(void **state)
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

typedef struct peer {
    void *context;
    void *socket;
} peer;

static peer peer_open(const stage *on)
{
    peer opened = {.context = zmq_ctx_new()};
    int no_linger = 0;
    int timeout_ms = WAIT_MS;
    opened.socket = zmq_socket(opened.context, ZMQ_DEALER);
    zmq_setsockopt(opened.socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(opened.socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    assert_int_equal(zmq_connect(opened.socket, on->endpoint), 0);
    return opened;
}

static void peer_close(peer *closed)
{
    zmq_close(closed->socket);
    zmq_ctx_term(closed->context);
}

static void peer_send(peer *from, const muster_message *message)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    assert_int_equal(muster_wire_encode(message, &bytes, &byte_count), MUSTER_OK);
    assert_int_equal(zmq_send(from->socket, bytes, byte_count, 0), (int)byte_count);
    free(bytes);
}

/* The next message of this type; others are passed over. */
static muster_message peer_await(peer *to, uint32_t type)
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

static muster_message launcher_join(const char *job, int32_t slot_count)
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

static muster_message rank_join(const char *job, int32_t slot, int32_t slot_count)
{
    muster_message message = {
        .type = MUSTER_MESSAGE_JOIN, .job = muster_hash_text(job), .slot = slot};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = slot_count;
    message.u.join.process_id = 2000 + slot;
    return message;
}

/* ---- */

static void a_launcher_is_welcomed_and_hears_notes(void **state)
{
    stage *on = *state;
    peer launcher = peer_open(on);
    peer rank = peer_open(on);
    muster_message message = launcher_join("train", 2);
    peer_send(&launcher, &message);
    message = peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    assert_int_equal(message.u.welcome.policy.slot_count, 2);
    assert_true(message.term >= muster_coordinator_term(on->coordinator));
    message = rank_join("train", 1, 2);
    peer_send(&rank, &message);
    message = peer_await(&rank, MUSTER_MESSAGE_WELCOME);
    assert_int_equal(message.slot, 1);
    for (;;) {
        message = peer_await(&launcher, MUSTER_MESSAGE_NOTE);
        if (message.u.note.kind == MUSTER_NOTE_JOINED)
            break;
    }
    assert_int_equal(message.u.note.slot, 1);
    peer_close(&rank);
    peer_close(&launcher);
}

static void a_closed_socket_is_a_lost_connection_at_once(void **state)
{
    stage *on = *state;
    peer launcher = peer_open(on);
    muster_message message = launcher_join("train", 2);
    peer_send(&launcher, &message);
    message = peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    /* Many after one another, so that the kernel gives descriptors again. */
    for (int i = 0; i < 20; i++) {
        peer rank = peer_open(on);
        message = rank_join("train", i % 2, 2);
        message.incarnation = UINT32_MAX;
        message.u.join.process_id = 3000 + i % 2;
        peer_send(&rank, &message);
        message = peer_await(&rank, MUSTER_MESSAGE_WELCOME);
        pthread_mutex_lock(&on->mutex);
        on->note_count = 0;
        pthread_mutex_unlock(&on->mutex);
        peer_close(&rank);
        /* Silence takes ten seconds here and is other evidence. */
        await_note(on, MUSTER_NOTE_SUSPECTED, MUSTER_EVIDENCE_CONNECTION_LOST);
    }
    peer_close(&launcher);
}

static void a_taken_endpoint_is_refused_and_lives_on(void **state)
{
    stage *on = *state;
    muster_coordinator_options options;
    muster_coordinator *second = NULL;
    muster_error error;
    muster_error_init(&error);
    muster_coordinator_options_init(&options);
    options.endpoint = on->endpoint;
    assert_int_equal(muster_coordinator_open(&options, &second, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_null(second);
    assert_non_null(strstr(error.message, "taken"));
    /* The first one still has its path. */
    peer launcher = peer_open(on);
    muster_message message = launcher_join("train", 1);
    peer_send(&launcher, &message);
    message = peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    peer_close(&launcher);

    options.endpoint = "tcp://127.0.0.1:*";
    assert_int_equal(muster_coordinator_open(&options, &second, &error), MUSTER_OK);
    char bound[128];
    snprintf(bound, sizeof bound, "%s", muster_coordinator_endpoint(second));
    assert_null(strchr(bound, '*'));
    muster_coordinator *third = NULL;
    options.endpoint = bound;
    assert_int_equal(muster_coordinator_open(&options, &third, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "taken"));
    muster_coordinator_stop(second);

    options.endpoint = "tcp://no.such.interface.invalid:1";
    assert_int_equal(muster_coordinator_open(&options, &third, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    options.endpoint = "carrier-pigeon";
    assert_int_equal(muster_coordinator_open(&options, &third, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_null(third);
}

static void a_journal_in_use_is_refused(void **state)
{
    stage *on = *state;
    muster_coordinator_options options;
    muster_coordinator *second = NULL;
    muster_error error;
    muster_error_init(&error);
    muster_coordinator_options_init(&options);
    options.endpoint = "tcp://127.0.0.1:*";
    options.journal = on->journal;
    assert_int_equal(muster_coordinator_open(&options, &second, &error), MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "held"));
}

static void a_restart_has_a_higher_term_and_asks_who_is_there(void **state)
{
    stage *on = *state;
    peer launcher = peer_open(on);
    muster_message message = launcher_join("train", 1);
    peer_send(&launcher, &message);
    message = peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    uint64_t term = message.term;
    muster_coordinator_stop(on->coordinator);
    on->coordinator = NULL;
    assert_int_equal(start(on, NULL), MUSTER_OK);
    assert_true(muster_coordinator_term(on->coordinator) > term);
    message = (muster_message){.type = MUSTER_MESSAGE_LAUNCHER_HEARTBEAT,
                               .job = muster_hash_text("train"),
                               .term = term,
                               .slot = MUSTER_SLOT_NONE};
    peer_send(&launcher, &message); /* queued until it has connected again */
    message = peer_await(&launcher, MUSTER_MESSAGE_REJOIN);
    assert_true(message.term > term);
    peer_close(&launcher);
}

static void an_unknown_job_is_answered(void **state)
{
    stage *on = *state;
    peer rank = peer_open(on);
    muster_message message = rank_join("nobody", 0, 0);
    peer_send(&rank, &message);
    message = peer_await(&rank, MUSTER_MESSAGE_REFUSED);
    assert_non_null(strstr(message.u.refused.text, "no job of this name"));
    message = (muster_message){.type = MUSTER_MESSAGE_HEARTBEAT, .job = muster_hash_text("nobody")};
    peer_send(&rank, &message);
    message = peer_await(&rank, MUSTER_MESSAGE_REJOIN);
    message = (muster_message){.type = MUSTER_MESSAGE_LEAVE, .job = muster_hash_text("nobody")};
    peer_send(&rank, &message);
    message = peer_await(&rank, MUSTER_MESSAGE_GOODBYE);
    /* A rank that says how many there are brings the job. */
    message = rank_join("nobody", 0, 3);
    peer_send(&rank, &message);
    message = peer_await(&rank, MUSTER_MESSAGE_WELCOME);
    assert_int_equal(message.u.welcome.policy.slot_count, 3);
    peer_close(&rank);
}

static void a_name_that_does_not_fit_is_refused(void **state)
{
    stage *on = *state;
    peer launcher = peer_open(on);
    muster_message message = launcher_join("train", 1);
    message.job++;
    peer_send(&launcher, &message);
    message = peer_await(&launcher, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_INVALID_ARGUMENT);
    peer_close(&launcher);
}

static void rubbish_and_other_versions_do_no_harm(void **state)
{
    stage *on = *state;
    peer stranger = peer_open(on);
    peer launcher = peer_open(on);
    char rubbish[500];
    for (size_t i = 0; i < sizeof rubbish; i++) {
        memset(rubbish, (int)i, sizeof rubbish);
        zmq_send(stranger.socket, rubbish, i, i % 7 == 0 ? ZMQ_SNDMORE : 0);
    }
    zmq_send(stranger.socket, rubbish, 1, 0);
    muster_message message = launcher_join("train", 1);
    void *bytes = NULL;
    size_t byte_count = 0;
    assert_int_equal(muster_wire_encode(&message, &bytes, &byte_count), MUSTER_OK);
    ((uint8_t *)bytes)[4]++; /* the version */
    zmq_send(launcher.socket, bytes, byte_count, 0);
    free(bytes);
    message = peer_await(&launcher, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_VERSION);
    message = launcher_join("train", 1);
    peer_send(&launcher, &message);
    message = peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    peer_close(&launcher);
    peer_close(&stranger);
}

static void jobs_do_not_mix(void **state)
{
    stage *on = *state;
    peer one = peer_open(on);
    peer other = peer_open(on);
    muster_message message = launcher_join("one", 2);
    peer_send(&one, &message);
    message = peer_await(&one, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    uint64_t term = message.term;
    message = launcher_join("other", 5);
    peer_send(&other, &message);
    message = peer_await(&other, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    assert_int_equal(message.u.welcome.policy.slot_count, 5);
    assert_true(message.term > term); /* each job's epochs are told apart by their term */
    /* A connection belongs to one job. */
    message = launcher_join("other", 5);
    peer_send(&one, &message);
    message = peer_await(&one, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_FOREIGN);
    peer_close(&other);
    peer_close(&one);
}

/* A peer that asks and never reads: its answers pile up, and nobody waits for it. */
static void a_peer_that_does_not_read_stops_nobody(void **state)
{
    stage *on = *state;
    peer stuck = {.context = zmq_ctx_new()};
    peer launcher = peer_open(on);
    int one = 1;
    int no_linger = 0;
    stuck.socket = zmq_socket(stuck.context, ZMQ_DEALER);
    zmq_setsockopt(stuck.socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(stuck.socket, ZMQ_RCVHWM, &one, sizeof one);
    zmq_setsockopt(stuck.socket, ZMQ_RCVBUF, &one, sizeof one);
    assert_int_equal(zmq_connect(stuck.socket, on->endpoint), 0);
    /* Each is refused, with a sentence. */
    muster_message message = rank_join("nobody", 0, 0);
    for (int i = 0; i < 20000; i++)
        peer_send(&stuck, &message);
    message = launcher_join("train", 1);
    peer_send(&launcher, &message);
    message = peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    peer_close(&launcher);
    peer_close(&stuck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_launcher_is_welcomed_and_hears_notes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_socket_is_a_lost_connection_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_taken_endpoint_is_refused_and_lives_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_journal_in_use_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_has_a_higher_term_and_asks_who_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_job_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_does_not_fit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rubbish_and_other_versions_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(jobs_do_not_mix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_does_not_read_stops_nobody, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
