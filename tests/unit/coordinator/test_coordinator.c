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
#include "coordinator/jobs.h"
#include "core/core.h"
#include "stage.h"
#include "wire/wire.h"

typedef uint64_t (*counter)(const muster_refusals *refusals);

#define COUNTER(name) \
    static uint64_t name(const muster_refusals *refusals) \
    { \
        return refusals->name; \
    }
COUNTER(malformed)
COUNTER(no_room)
COUNTER(other_versions)
COUNTER(foreign_jobs)

/* What comes faster than it is looked at is over its sender's share, whatever it is. */
static uint64_t malformed_or_over_budget(const muster_refusals *refusals)
{
    return refusals->malformed + refusals->over_budget;
}

static void await_count(const stage *on, counter which, uint64_t least)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < STAGE_WAIT_MS / 2; i++) {
        muster_refusals refusals = muster_coordinator_refusals(on->coordinator);
        if (which(&refusals) >= least)
            return;
        nanosleep(&pause, NULL);
    }
    fail_msg("it was not counted");
}

/* ---- */

static void a_launcher_is_welcomed_and_hears_notes(void **state)
{
    stage *on = *state;
    stage_peer launcher = stage_peer_open(on);
    stage_peer rank = stage_peer_open(on);
    muster_message message = stage_launcher_join("train", 2);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    assert_int_equal(message.u.welcome.policy.slot_count, 2);
    assert_true(message.term >= muster_coordinator_term(on->coordinator));
    message = stage_rank_join("train", 1, 2);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_WELCOME);
    assert_int_equal(message.slot, 1);
    for (;;) {
        message = stage_peer_await(&launcher, MUSTER_MESSAGE_NOTE);
        if (message.u.note.kind == MUSTER_NOTE_JOINED)
            break;
    }
    assert_int_equal(message.u.note.slot, 1);
    stage_peer_close(&rank);
    stage_peer_close(&launcher);
}

static void a_closed_socket_is_a_lost_connection_at_once(void **state)
{
    stage *on = *state;
    stage_peer launcher = stage_peer_open(on);
    muster_message message = stage_launcher_join("train", 2);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    /* Many after one another, so that the kernel gives descriptors again. */
    for (int i = 0; i < 20; i++) {
        stage_peer rank = stage_peer_open(on);
        message = stage_rank_join("train", i % 2, 2);
        message.incarnation = UINT32_MAX;
        message.u.join.process_id = 3000 + i % 2;
        stage_peer_send(&rank, &message);
        message = stage_peer_await(&rank, MUSTER_MESSAGE_WELCOME);
        pthread_mutex_lock(&on->mutex);
        on->note_count = 0;
        pthread_mutex_unlock(&on->mutex);
        stage_peer_close(&rank);
        /* Silence takes ten seconds here and is other evidence. */
        stage_await_note(on, MUSTER_NOTE_SUSPECTED, MUSTER_EVIDENCE_CONNECTION_LOST);
    }
    stage_peer_close(&launcher);
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
    stage_peer launcher = stage_peer_open(on);
    muster_message message = stage_launcher_join("train", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    stage_peer_close(&launcher);

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
    stage_peer launcher = stage_peer_open(on);
    muster_message message = stage_launcher_join("train", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    uint64_t term = message.term;
    muster_coordinator_stop(on->coordinator);
    on->coordinator = NULL;
    assert_int_equal(stage_start(on, NULL), MUSTER_OK);
    assert_true(muster_coordinator_term(on->coordinator) > term);
    message = (muster_message){.type = MUSTER_MESSAGE_LAUNCHER_HEARTBEAT,
                               .job = muster_hash_text("train"),
                               .term = term,
                               .slot = MUSTER_SLOT_NONE};
    stage_peer_send(&launcher, &message); /* queued until it has connected again */
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_REJOIN);
    assert_true(message.term > term);
    stage_peer_close(&launcher);
}

/* ---- a job that ended as its coordinator came back ---- */

static void restart(stage *on)
{
    muster_coordinator_stop(on->coordinator);
    on->coordinator = NULL;
    assert_int_equal(stage_start(on, NULL), MUSTER_OK);
}

/* The only rank of epoch 1 of "train", which term began, comes back and takes its leave. */
static void it_comes_back_and_leaves(stage_peer *rank, uint64_t term)
{
    muster_message message = stage_rank_join("train", 0, 1);
    muster_member member = {.slot = 0, .process_id = message.u.join.process_id};
    message.term = term;
    message.epoch = 1;
    message.u.join.rejoin = true;
    message.u.join.epoch_term = term;
    message.u.join.members = &member;
    message.u.join.member_count = 1;
    stage_peer_send(rank, &message);
    message = stage_peer_await(rank, MUSTER_MESSAGE_ESTABLISHED);
    message = (muster_message){.type = MUSTER_MESSAGE_LEAVE,
                               .job = muster_hash_text("train"),
                               .epoch = 1,
                               .term = message.term};
    stage_peer_send(rank, &message);
    stage_peer_await(rank, MUSTER_MESSAGE_GOODBYE);
}

/* Afterwards the coordinator has noticed that they are closed: it notices in order. */
static void close_and_be_noticed(stage *on, stage_peer *closed)
{
    stage_peer last = stage_peer_open(on);
    muster_message message = stage_rank_join("another", 0, 2);
    stage_peer_send(&last, &message);
    stage_peer_await(&last, MUSTER_MESSAGE_WELCOME);
    stage_peer_close(closed);
    stage_peer_close(&last);
    stage_await_note(on, MUSTER_NOTE_SUSPECTED, MUSTER_EVIDENCE_CONNECTION_LOST);
}

/* To the launcher, which comes last, the job is over, and not a new one whose process has died. */
static void a_job_taken_over_from_its_rank_waits_for_its_launcher(void **state)
{
    stage *on = *state;
    stage_peer launcher = stage_peer_open(on);
    muster_message join = stage_launcher_join("train", 1);
    stage_peer_send(&launcher, &join);
    join.term = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME).term;
    stage_peer_close(&launcher);
    assert_int_equal(unlink(on->journal), 0);
    restart(on);
    stage_peer rank = stage_peer_open(on);
    it_comes_back_and_leaves(&rank, join.term);
    close_and_be_noticed(on, &rank);

    launcher = stage_peer_open(on);
    stage_peer_send(&launcher, &join);
    stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    stage_peer_await(&launcher, MUSTER_MESSAGE_GAVE_UP);
    /* It has not heard of the epoch, or it would say that its rank was in one. */
    muster_message exited = {.type = MUSTER_MESSAGE_EXITED,
                             .job = muster_hash_text("train"),
                             .term = muster_coordinator_term(on->coordinator)};
    exited.u.process.process_id = 2000;
    stage_peer_send(&launcher, &exited);
    exited.type = MUSTER_MESSAGE_HEARTBEAT; /* for an answer: what came before was heard */
    stage_peer_send(&launcher, &exited);
    stage_peer_await(&launcher, MUSTER_MESSAGE_GAVE_UP);
    pthread_mutex_lock(&on->mutex);
    for (size_t i = 0; i < on->note_count; i++)
        assert_int_not_equal(on->notes[i].kind, MUSTER_NOTE_STARTING);
    pthread_mutex_unlock(&on->mutex);
    stage_peer_close(&launcher);
}

/* Nobody launched the ranks of the last job of this name, nor this one's. */
static void a_rank_of_the_next_job_need_not_wait(void **state)
{
    stage *on = *state;
    stage_peer rank = stage_peer_open(on);
    muster_message message = stage_rank_join("train", 0, 1);
    message.incarnation = UINT32_MAX;
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_AGREED);
    uint64_t term = message.term;
    muster_message_clean_up(&message);
    message = (muster_message){.type = MUSTER_MESSAGE_CONNECTED,
                               .job = muster_hash_text("train"),
                               .epoch = 1,
                               .term = term};
    stage_peer_send(&rank, &message);
    stage_peer_await(&rank, MUSTER_MESSAGE_ESTABLISHED);
    restart(on);
    it_comes_back_and_leaves(&rank, term);
    close_and_be_noticed(on, &rank);

    rank = stage_peer_open(on);
    message = stage_rank_join("train", 0, 1);
    message.incarnation = UINT32_MAX;
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_AGREED);
    assert_true(message.term > term);
    muster_message_clean_up(&message);
    stage_peer_close(&rank);
}

static void an_unknown_job_is_answered(void **state)
{
    stage *on = *state;
    stage_peer rank = stage_peer_open(on);
    muster_message message = stage_rank_join("nobody", 0, 0);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_REFUSED);
    assert_non_null(strstr(message.u.refused.text, "no job of this name"));
    message = (muster_message){.type = MUSTER_MESSAGE_HEARTBEAT, .job = muster_hash_text("nobody")};
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_REJOIN);
    message = (muster_message){.type = MUSTER_MESSAGE_LEAVE, .job = muster_hash_text("nobody")};
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_GOODBYE);
    /* A rank that says how many there are brings the job. */
    message = stage_rank_join("nobody", 0, 3);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_WELCOME);
    assert_int_equal(message.u.welcome.policy.slot_count, 3);
    stage_peer_close(&rank);
}

static void a_name_that_does_not_fit_is_refused(void **state)
{
    stage *on = *state;
    stage_peer launcher = stage_peer_open(on);
    muster_message message = stage_launcher_join("train", 1);
    message.job++;
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_INVALID_ARGUMENT);
    stage_peer_close(&launcher);
}

static void rubbish_and_other_versions_do_no_harm(void **state)
{
    stage *on = *state;
    stage_peer stranger = stage_peer_open(on);
    stage_peer launcher = stage_peer_open(on);
    char rubbish[500];
    for (size_t i = 0; i < sizeof rubbish; i++) {
        memset(rubbish, (int)i, sizeof rubbish);
        zmq_send(stranger.socket, rubbish, i, i % 7 == 0 ? ZMQ_SNDMORE : 0);
    }
    zmq_send(stranger.socket, rubbish, 1, 0);
    muster_message message = stage_launcher_join("train", 1);
    void *bytes = NULL;
    size_t byte_count = 0;
    assert_int_equal(muster_wire_encode(&message, &bytes, &byte_count), MUSTER_OK);
    ((uint8_t *)bytes)[4]++; /* the version */
    zmq_send(launcher.socket, bytes, byte_count, 0);
    free(bytes);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_VERSION);
    message = stage_launcher_join("train", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    await_count(on, malformed_or_over_budget, 400);
    await_count(on, other_versions, 1);
    stage_peer_close(&launcher);
    stage_peer_close(&stranger);
}

static void jobs_do_not_mix(void **state)
{
    stage *on = *state;
    stage_peer one = stage_peer_open(on);
    stage_peer other = stage_peer_open(on);
    muster_message message = stage_launcher_join("one", 2);
    stage_peer_send(&one, &message);
    message = stage_peer_await(&one, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    uint64_t term = message.term;
    message = stage_launcher_join("other", 5);
    stage_peer_send(&other, &message);
    message = stage_peer_await(&other, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    assert_int_equal(message.u.welcome.policy.slot_count, 5);
    assert_true(message.term > term); /* each job's epochs are told apart by their term */
    /* A connection belongs to one job. */
    message = stage_launcher_join("other", 5);
    stage_peer_send(&one, &message);
    message = stage_peer_await(&one, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_FOREIGN);
    stage_peer_close(&other);
    stage_peer_close(&one);
}

/* A stage_peer that asks and never reads: its answers pile up, and nobody waits for it. */
static void a_peer_that_does_not_read_stops_nobody(void **state)
{
    stage *on = *state;
    stage_peer stuck = {.context = zmq_ctx_new()};
    stage_peer launcher = stage_peer_open(on);
    int one = 1;
    int no_linger = 0;
    stuck.socket = zmq_socket(stuck.context, ZMQ_DEALER);
    zmq_setsockopt(stuck.socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(stuck.socket, ZMQ_RCVHWM, &one, sizeof one);
    zmq_setsockopt(stuck.socket, ZMQ_RCVBUF, &one, sizeof one);
    assert_int_equal(zmq_connect(stuck.socket, on->endpoint), 0);
    /* Each is refused, with a sentence. */
    muster_message message = stage_rank_join("nobody", 0, 0);
    for (int i = 0; i < 20000; i++)
        stage_peer_send(&stuck, &message);
    message = stage_launcher_join("train", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    stage_peer_close(&launcher);
    stage_peer_close(&stuck);
}

/* More launchers than are told of every rank. */
static void of_many_launchers_each_is_told_of_its_own(void **state)
{
    enum { LAUNCHERS = MUSTER_CORE_LAUNCHERS_OF_ALL + 1 };
    stage_peer launchers[LAUNCHERS];
    stage_peer ranks = stage_peer_open(*state);
    for (int32_t i = 0; i < LAUNCHERS; i++) {
        launchers[i] = stage_peer_open(*state);
        muster_message join = stage_launcher_join("wide", LAUNCHERS);
        join.u.launcher_join.first_slot = i;
        join.u.launcher_join.slot_count = 1;
        /* However slow this machine is: nobody here says heartbeats. */
        join.u.launcher_join.policy.deadlines.suspect_ns = INT64_C(200000000000);
        join.u.launcher_join.policy.deadlines.silence_ns = INT64_C(300000000000);
        stage_peer_send(&launchers[i], &join);
        (void)stage_peer_await(&launchers[i], MUSTER_MESSAGE_LAUNCHER_WELCOME);
    }
    for (int32_t i = 0; i < LAUNCHERS; i++) {
        const muster_message join = stage_rank_join("wide", i, LAUNCHERS);
        stage_peer_send(&ranks, &join);
    }
    for (int32_t i = 0; i < LAUNCHERS; i++) {
        int32_t joined = 0;
        muster_message note = stage_peer_await(&launchers[i], MUSTER_MESSAGE_NOTE);
        for (; note.u.note.kind != MUSTER_NOTE_AGREED;
             note = stage_peer_await(&launchers[i], MUSTER_MESSAGE_NOTE)) {
            joined += note.u.note.kind == MUSTER_NOTE_JOINED;
            assert_true(note.u.note.kind != MUSTER_NOTE_JOINED || note.u.note.slot == i);
        }
        assert_int_equal(joined, 1);
        assert_int_equal(note.u.note.value, LAUNCHERS); /* what is the job's all hear */
        stage_peer_close(&launchers[i]);
    }
    stage_peer_close(&ranks);
}

/* One more would be none. */
static void numbers_at_the_end_of_their_range_are_refused(void **state)
{
    stage *on = *state;
    stage_peer launcher = stage_peer_open(on);
    stage_peer rank = stage_peer_open(on);
    muster_message message = stage_launcher_join("train", 2);
    message.epoch = UINT64_MAX;
    stage_peer_send(&launcher, &message);
    await_count(on, malformed, 1);
    message = stage_rank_join("train", 0, 1);
    message.epoch = UINT64_MAX;
    message.u.join.rejoin = true;
    stage_peer_send(&launcher, &message);
    await_count(on, malformed, 2);
    message.epoch = 1;
    message.term = UINT64_MAX;
    stage_peer_send(&launcher, &message);
    await_count(on, malformed, 3);
    message = stage_launcher_join("train", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    message = stage_rank_join("train", 0, 1);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_AGREED);
    assert_int_equal(message.epoch, 1);
    muster_message_clean_up(&message);
    stage_peer_close(&rank);
    stage_peer_close(&launcher);
}

static void a_job_too_many_finds_no_room(void **state)
{
    enum { JOBS = MUSTER_COORDINATOR_SLOTS_MAX / MUSTER_SLOTS_MAX };
    stage *on = *state;
    stage_peer launchers[JOBS + 1];
    char name[32];
    for (int i = 0; i <= JOBS; i++) {
        snprintf(name, sizeof name, "large%d", i);
        launchers[i] = stage_peer_open(on);
        muster_message message = stage_launcher_join(name, MUSTER_SLOTS_MAX);
        stage_peer_send(&launchers[i], &message);
        message = stage_peer_await(&launchers[i], i < JOBS ? MUSTER_MESSAGE_LAUNCHER_WELCOME
                                                           : MUSTER_MESSAGE_REFUSED);
        if (i == JOBS)
            assert_int_equal(message.u.refused.status, MUSTER_ERR_NO_MEMORY);
    }
    await_count(on, no_room, 1);
    /* One that is left by all, and never formed, gives way. */
    stage_peer_close(&launchers[0]);
    const struct timespec pause = {.tv_nsec = 20000000};
    bool welcome = false;
    for (int i = 0; i < STAGE_WAIT_MS / 20 && !welcome; i++) {
        char bytes[4096];
        muster_message message = stage_launcher_join(name, MUSTER_SLOTS_MAX);
        stage_peer_send(&launchers[JOBS], &message);
        int got = zmq_recv(launchers[JOBS].socket, bytes, sizeof bytes, 0);
        assert_in_range(got, 1, sizeof bytes);
        assert_int_equal(muster_wire_decode(bytes, (size_t)got, &message, NULL), MUSTER_OK);
        welcome = message.type == MUSTER_MESSAGE_LAUNCHER_WELCOME;
        muster_message_clean_up(&message);
        nanosleep(&pause, NULL);
    }
    assert_true(welcome);
    for (int i = 1; i <= JOBS; i++)
        stage_peer_close(&launchers[i]);
}

static stage_peer rank_in_first_epoch(const stage *on, uint64_t *term)
{
    stage_peer rank = stage_peer_open(on);
    muster_message message = stage_rank_join("train", 0, 1);
    message.incarnation = UINT32_MAX;
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_AGREED);
    assert_int_equal(message.epoch, 1);
    *term = message.term;
    muster_message_clean_up(&message);
    message = (muster_message){.type = MUSTER_MESSAGE_CONNECTED,
                               .job = muster_hash_text("train"),
                               .term = *term,
                               .epoch = 1};
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_ESTABLISHED);
    return rank;
}

/* The name is used again: a rank that was cut off from the job before comes back when nobody runs, when the next
 * one forms and when it runs. Each time it would have been the one to know of the highest epoch. */
static void a_rank_of_the_job_before_disturbs_nobody(void **state)
{
    stage *on = *state;
    uint64_t term = 0;
    stage_peer rank = rank_in_first_epoch(on, &term);
    muster_message message = {
        .type = MUSTER_MESSAGE_LEAVE, .job = muster_hash_text("train"), .term = term, .epoch = 1};
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_GOODBYE);
    stage_peer_close(&rank);

    muster_member members[] = {{.slot = 0, .process_id = 2000}};
    muster_message late = stage_rank_join("train", 0, 1);
    late.term = term;
    late.epoch = 7;
    late.u.join.rejoin = true;
    late.u.join.epoch_term = term;
    late.u.join.member_count = 1;
    late.u.join.members = members;
    stage_peer launcher = stage_peer_open(on);
    uint64_t next_term = 0;
    for (uint64_t i = 0; i < 3; i++) {
        stage_peer cut_off = stage_peer_open(on);
        stage_peer_send(&cut_off, &late);
        message = stage_peer_await(&cut_off, MUSTER_MESSAGE_REFUSED);
        assert_int_equal(message.u.refused.status, MUSTER_ERR_FENCED);
        await_count(on, foreign_jobs, i + 1);
        stage_peer_close(&cut_off);
        if (i == 0) {
            message = stage_launcher_join("train", 1);
            stage_peer_send(&launcher, &message);
            message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
            assert_false(message.u.welcome.begun);
        } else if (i == 1) {
            rank = rank_in_first_epoch(on, &next_term);
            assert_true(next_term > term);
        }
    }
    /* Of the second job, before the third: it is told in a term that it listens to. */
    message = (muster_message){.type = MUSTER_MESSAGE_LEAVE,
                               .job = muster_hash_text("train"),
                               .term = next_term,
                               .epoch = 1};
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_GOODBYE);
    stage_peer_close(&rank);
    stage_peer_close(&launcher);
    late.term = next_term;
    late.u.join.epoch_term = next_term;
    stage_peer cut_off = stage_peer_open(on);
    stage_peer_send(&cut_off, &late);
    message = stage_peer_await(&cut_off, MUSTER_MESSAGE_REFUSED);
    assert_true(message.term >= next_term);
    stage_peer_close(&cut_off);
}

/* Another coordinator serves the job: what this one's journal says of it stays as it is. */
static void who_fences_itself_leaves_the_journal_alone(void **state)
{
    stage *on = *state;
    uint64_t term = 0;
    stage_peer rank = rank_in_first_epoch(on, &term);
    muster_message message = {.type = MUSTER_MESSAGE_HEARTBEAT,
                              .job = muster_hash_text("train"),
                              .term = term + 1000,
                              .epoch = 1};
    stage_peer_send(&rank, &message);
    /* It says nothing to that; what follows on the connection is answered when it is done with it. */
    message = stage_launcher_join("other", 1);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_FOREIGN);
    stage_peer_close(&rank);
    muster_coordinator_stop(on->coordinator);
    on->coordinator = NULL;
    assert_int_equal(stage_start(on, NULL), MUSTER_OK);
    /* It knows who has the slot. */
    stage_peer other = stage_peer_open(on);
    message = stage_rank_join("train", 0, 1);
    message.incarnation = UINT32_MAX;
    message.u.join.process_id = 77;
    stage_peer_send(&other, &message);
    message = stage_peer_await(&other, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_SLOT_TAKEN);
    stage_peer_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_launcher_is_welcomed_and_hears_notes, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(a_closed_socket_is_a_lost_connection_at_once, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(a_taken_endpoint_is_refused_and_lives_on, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(a_journal_in_use_is_refused, stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(a_restart_has_a_higher_term_and_asks_who_is_there,
                                        stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(a_job_taken_over_from_its_rank_waits_for_its_launcher,
                                        stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(a_rank_of_the_next_job_need_not_wait, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_job_is_answered, stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_does_not_fit_is_refused, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(rubbish_and_other_versions_do_no_harm, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(jobs_do_not_mix, stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_does_not_read_stops_nobody, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(of_many_launchers_each_is_told_of_its_own, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(numbers_at_the_end_of_their_range_are_refused, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(a_job_too_many_finds_no_room, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(a_rank_of_the_job_before_disturbs_nobody, stage_set_up,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(who_fences_itself_leaves_the_journal_alone, stage_set_up,
                                        stage_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
