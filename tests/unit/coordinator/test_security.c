/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator that asks for keys: who is refused, is it counted, and are the others served on? */
#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/hash.h"
#include "keys/key_file.h"
#include "relay.h"

typedef struct secured {
    stage on;
    muster_key_pair coordinator;
    muster_client_keys train; /* may do all */
    muster_client_keys other; /* likewise, another user's */
    muster_client_keys guest; /* in job "guests" only */
    muster_client_keys thief; /* is not in the list */
} secured;

static muster_client_keys client_of(const secured *of)
{
    muster_client_keys keys;
    memset(&keys, 0, sizeof keys);
    keys.coordinator = of->coordinator.public_key;
    assert_int_equal(zmq_curve_keypair(keys.own.public_key.text, keys.own.secret_key.text), 0);
    return keys;
}

static void write_list(const secured *of, bool with_other)
{
    FILE *list = fopen(of->on.allowed, "w");
    assert_non_null(list);
    fprintf(list, "# who may\n%s train\n%s guest jobs=guests,visitors\n",
            of->train.own.public_key.text, of->guest.own.public_key.text);
    if (with_other)
        fprintf(list, "%s\n", of->other.own.public_key.text);
    fclose(list);
}

static int set_up(void **state)
{
    secured *of = calloc(1, sizeof *of);
    stage *on = &of->on;
    snprintf(on->folder, sizeof on->folder, "/tmp/muster-security-XXXXXX");
    assert_non_null(mkdtemp(on->folder));
    snprintf(on->endpoint, sizeof on->endpoint, "tcp://127.0.0.1:*");
    snprintf(on->journal, sizeof on->journal, "%s/journal", on->folder);
    snprintf(on->keys, sizeof on->keys, "%s/coordinator.secret", on->folder);
    snprintf(on->allowed, sizeof on->allowed, "%s/allowed", on->folder);
    assert_int_equal(
        zmq_curve_keypair(of->coordinator.public_key.text, of->coordinator.secret_key.text), 0);
    assert_int_equal(
        muster_key_pair_write(on->folder, "coordinator", &of->coordinator, false, NULL), MUSTER_OK);
    of->train = client_of(of);
    of->other = client_of(of);
    of->guest = client_of(of);
    of->thief = client_of(of);
    write_list(of, true);
    pthread_mutex_init(&on->mutex, NULL);
    pthread_cond_init(&on->changed, NULL);
    assert_int_equal(stage_start(on, NULL), MUSTER_OK);
    /* The port that it took is the one to come back to. */
    snprintf(on->endpoint, sizeof on->endpoint, "%s", muster_coordinator_endpoint(on->coordinator));
    *state = of;
    return 0;
}

static int tear_down(void **state)
{
    secured *of = *state;
    char public[128];
    snprintf(public, sizeof public, "%s/coordinator.public", of->on.folder);
    unlink(public);
    unlink(of->on.keys);
    unlink(of->on.allowed);
    return stage_tear_down(state); /* frees it: the stage is its first field */
}

static stage_peer open_as(const secured *of, const muster_client_keys *keys)
{
    return stage_peer_open_keyed(of->on.endpoint, keys);
}

typedef uint64_t (*counter)(const muster_refusals *refusals);

#define COUNTER(name) \
    static uint64_t name(const muster_refusals *refusals) \
    { \
        return refusals->name; \
    }
COUNTER(plain_connections)
COUNTER(wrong_keys)
COUNTER(unknown_keys)
COUNTER(replayed)
COUNTER(foreign_jobs)
COUNTER(stolen_slots)

static void await_count(const secured *of, counter which, uint64_t least)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < STAGE_WAIT_MS / 2; i++) {
        muster_refusals refusals = muster_coordinator_refusals(of->on.coordinator);
        if (which(&refusals) >= least)
            return;
        nanosleep(&pause, NULL);
    }
    fail_msg("it was not counted");
}

static uint64_t count_now(const secured *of, counter which)
{
    muster_refusals refusals = muster_coordinator_refusals(of->on.coordinator);
    return which(&refusals);
}

/* A launcher of the key's joins, whatever happened before. */
static void assert_serves(const secured *of, const muster_client_keys *keys, const char *job)
{
    stage_peer launcher = open_as(of, keys);
    muster_message message = stage_launcher_join(job, 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    stage_peer_close(&launcher);
}

/* ---- */

static void those_with_keys_are_served(void **state)
{
    secured *of = *state;
    char text[512];
    assert_serves(of, &of->train, "train");
    assert_serves(of, &of->other, "another");
    assert_serves(of, &of->guest, "guests");
    muster_refusals refusals = muster_coordinator_refusals(of->on.coordinator);
    muster_refusals_text(&refusals, text, sizeof text);
    assert_string_equal(text, "");
}

/* The first words of a peer that knows no keys. ZeroMQ's own would be gone as soon as it has read the
 * coordinator's, perhaps before the coordinator has read these. */
static int say_plain_greeting(const secured *of)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port =
                                      htons((uint16_t)atoi(strrchr(of->on.endpoint, ':') + 1)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
    return fd;
}

static void a_plain_connection_is_refused(void **state)
{
    secured *of = *state;
    char answer[256];
    int fd = say_plain_greeting(of);
    await_count(of, plain_connections, 1);
    while (recv(fd, answer, sizeof answer, 0) > 0) {
    } /* its own greeting, then the end */
    close(fd);
    /* A peer of ours: refused, whichever side notices first. */
    stage_peer plain = open_as(of, NULL);
    int soon_ms = 300;
    zmq_setsockopt(plain.socket, ZMQ_RCVTIMEO, &soon_ms, sizeof soon_ms);
    muster_message message = stage_launcher_join("train", 1);
    stage_peer_send(&plain, &message);
    assert_int_equal(zmq_recv(plain.socket, answer, sizeof answer, 0), -1);
    assert_serves(of, &of->train, "train");
    stage_peer_close(&plain);
}

static void a_wrong_key_is_refused(void **state)
{
    secured *of = *state;
    stage_peer thief = open_as(of, &of->thief);
    muster_message message = stage_launcher_join("train", 1);
    stage_peer_send(&thief, &message);
    await_count(of, unknown_keys, 1);
    /* Right key, meant for another coordinator. */
    muster_client_keys lost = of->train;
    lost.coordinator = of->other.own.public_key;
    stage_peer stray = open_as(of, &lost);
    await_count(of, wrong_keys, 1);
    /* Another's public key without its secret. */
    muster_client_keys forged = of->thief;
    forged.own.public_key = of->train.own.public_key;
    uint64_t wrong = count_now(of, wrong_keys);
    stage_peer forger = open_as(of, &forged);
    await_count(of, wrong_keys, wrong + 1);
    assert_serves(of, &of->train, "train");
    stage_peer_close(&forger);
    stage_peer_close(&stray);
    stage_peer_close(&thief);
}

static void a_slot_cannot_be_stolen(void **state)
{
    secured *of = *state;
    stage_peer launcher = open_as(of, &of->train);
    stage_peer rank = open_as(of, &of->train);
    stage_peer thief = open_as(of, &of->other); /* allowed, but another user */
    muster_message message = stage_launcher_join("train", 2);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    uint64_t term = message.term;
    message = stage_rank_join("train", 1, 2);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_WELCOME);

    /* The very same words, from another key. */
    message = stage_rank_join("train", 1, 2);
    stage_peer_send(&thief, &message);
    message = stage_peer_await(&thief, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_SLOT_TAKEN);
    assert_int_equal(count_now(of, stolen_slots), 1);
    message = stage_rank_join("train", 1, 2);
    message.incarnation = UINT32_MAX;
    stage_peer_send(&thief, &message);
    message = stage_peer_await(&thief, MUSTER_MESSAGE_REFUSED);
    message = stage_rank_join("train", 1, 2);
    message.epoch = 7;
    message.incarnation = 3;
    message.u.join.rejoin = true;
    stage_peer_send(&thief, &message);
    message = stage_peer_await(&thief, MUSTER_MESSAGE_REFUSED);

    /* A leave in its name, an exit of its process, its launcher's place. */
    message = (muster_message){
        .type = MUSTER_MESSAGE_LEAVE, .job = muster_hash_text("train"), .term = term, .slot = 1};
    stage_peer_send(&thief, &message);
    await_count(of, stolen_slots, 4);
    message.type = MUSTER_MESSAGE_EXITED;
    stage_peer_send(&thief, &message);
    message = stage_peer_await(&thief, MUSTER_MESSAGE_REJOIN);
    message = stage_launcher_join("train", 2);
    stage_peer_send(&thief, &message);
    message = stage_peer_await(&thief, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(count_now(of, stolen_slots), 5);

    /* The rank is who it was. */
    message = (muster_message){
        .type = MUSTER_MESSAGE_LEAVE, .job = muster_hash_text("train"), .term = term, .slot = 1};
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_GOODBYE);
    stage_peer_close(&thief);
    stage_peer_close(&rank);
    stage_peer_close(&launcher);
}

static stage_peer rank_as(const secured *of, int32_t slot, uint64_t *term, uint64_t *epoch)
{
    stage_peer rank = open_as(of, &of->train);
    muster_message message = stage_rank_join("train", slot, 2);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_WELCOME);
    *term = message.term;
    *epoch = 1;
    return rank;
}

static void rank_says(stage_peer *rank, uint32_t type, int32_t slot, uint64_t term, uint64_t epoch)
{
    muster_message message = {
        .type = type, .job = muster_hash_text("train"), .term = term, .epoch = epoch, .slot = slot};
    stage_peer_send(rank, &message);
}

/* Whoever knows of a higher term, or epoch, is believed where the job is its own: another key's word ends no job, and
 * takes none. */
static void another_key_brings_no_news(void **state)
{
    secured *of = *state;
    uint64_t term = 0;
    uint64_t epoch = 0;
    stage_peer ranks[] = {rank_as(of, 0, &term, &epoch), rank_as(of, 1, &term, &epoch)};
    for (int32_t slot = 0; slot < 2; slot++) {
        muster_message agreed = stage_peer_await(&ranks[slot], MUSTER_MESSAGE_AGREED);
        assert_int_equal(agreed.epoch, epoch);
        muster_message_clean_up(&agreed);
        rank_says(&ranks[slot], MUSTER_MESSAGE_CONNECTED, slot, term, epoch);
    }
    (void)stage_peer_await(&ranks[0], MUSTER_MESSAGE_ESTABLISHED);
    rank_says(&ranks[1], MUSTER_MESSAGE_LEAVE, 1, term, epoch); /* its slot is nobody's */
    (void)stage_peer_await(&ranks[1], MUSTER_MESSAGE_GOODBYE);

    stage_peer thief = open_as(of, &of->other);
    rank_says(&thief, MUSTER_MESSAGE_HEARTBEAT, 1, term + 1000, epoch);
    await_count(of, stolen_slots, 1);
    muster_member alone[] = {{.slot = 1, .incarnation = 5, .process_id = 2001}};
    muster_message message = stage_rank_join("train", 1, 2);
    message.term = term;
    message.epoch = epoch + 50;
    message.incarnation = 5;
    message.u.join.rejoin = true;
    message.u.join.epoch_term = term;
    message.u.join.member_count = 1;
    message.u.join.members = alone;
    stage_peer_send(&thief, &message);
    await_count(of, stolen_slots, 2);
    message = stage_launcher_join("train", 2);
    message.term = term;
    message.epoch = epoch + 50;
    message.u.launcher_join.slot_count = 0;
    stage_peer_send(&thief, &message);
    await_count(of, stolen_slots, 3);

    /* The job is as it was. */
    rank_says(&ranks[0], MUSTER_MESSAGE_LEAVE, 0, term, epoch);
    message = stage_peer_await(&ranks[0], MUSTER_MESSAGE_GOODBYE);
    assert_int_equal(message.epoch, epoch);
    stage_peer_close(&thief);
    stage_peer_close(&ranks[1]);
    stage_peer_close(&ranks[0]);
}

static void a_restart_is_no_moment_to_steal_a_slot(void **state)
{
    secured *of = *state;
    stage_peer launcher = open_as(of, &of->train);
    stage_peer rank = open_as(of, &of->train);
    muster_message message = stage_launcher_join("train", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    message = stage_rank_join("train", 0, 1);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_AGREED);
    uint64_t epoch = message.epoch;
    uint64_t term = message.term;
    muster_message_clean_up(&message);
    muster_coordinator_stop(of->on.coordinator);
    of->on.coordinator = NULL;
    assert_int_equal(stage_start(&of->on, NULL), MUSTER_OK);
    stage_peer thief = open_as(of, &of->other);
    message = stage_rank_join("train", 0, 1);
    message.epoch = epoch;
    message.u.join.rejoin = true;
    message.u.join.epoch_term = term;
    stage_peer_send(&thief, &message);
    message = stage_peer_await(&thief, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_SLOT_TAKEN);
    message = stage_launcher_join("train", 1);
    stage_peer_send(&thief, &message);
    message = stage_peer_await(&thief, MUSTER_MESSAGE_REFUSED);
    message = stage_rank_join("train", 0, 1);
    message.epoch = epoch;
    message.u.join.rejoin = true;
    message.u.join.epoch_term = term;
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_WELCOME);
    assert_int_equal(count_now(of, stolen_slots), 2);
    stage_peer_close(&thief);
    stage_peer_close(&rank);
    stage_peer_close(&launcher);
}

static void a_replayed_message_is_refused(void **state)
{
    secured *of = *state;
    char endpoint[64];
    relay *between = relay_start(atoi(strrchr(of->on.endpoint, ':') + 1));
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", relay_port(between));
    stage_peer rank = stage_peer_open_keyed(endpoint, &of->train);
    muster_message message = stage_rank_join("train", 0, 2);
    stage_peer_send(&rank, &message);
    message = stage_peer_await(&rank, MUSTER_MESSAGE_WELCOME);
    relay_repeat(between);
    message = (muster_message){
        .type = MUSTER_MESSAGE_HEARTBEAT, .job = muster_hash_text("train"), .term = message.term};
    stage_peer_send(&rank, &message);
    await_count(of, replayed, 1);
    assert_serves(of, &of->other, "another");
    stage_peer_close(&rank);
    relay_stop(between);
}

static void another_job_is_refused(void **state)
{
    secured *of = *state;
    stage_peer guest = open_as(of, &of->guest);
    muster_message message = stage_launcher_join("train", 1);
    stage_peer_send(&guest, &message);
    message = stage_peer_await(&guest, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_FOREIGN);
    assert_int_equal(count_now(of, foreign_jobs), 1);
    /* And who is in one job says nothing in another. */
    message = stage_launcher_join("guests", 1);
    stage_peer_send(&guest, &message);
    message = stage_peer_await(&guest, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    message = stage_launcher_join("visitors", 1);
    stage_peer_send(&guest, &message);
    message = stage_peer_await(&guest, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(count_now(of, foreign_jobs), 2);
    stage_peer_close(&guest);
}

/* The list's new state is looked at when somebody connects. */
static void a_key_that_was_taken_out_is_refused_without_a_restart(void **state)
{
    secured *of = *state;
    stage_peer launcher = open_as(of, &of->other);
    muster_message message = stage_launcher_join("another", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_LAUNCHER_WELCOME);
    write_list(of, false);
    uint64_t unknown = count_now(of, unknown_keys);
    for (int i = 0; count_now(of, unknown_keys) == unknown && i < 200; i++) {
        const struct timespec pause = {.tv_nsec = 100000000};
        stage_peer again = open_as(of, &of->other);
        nanosleep(&pause, NULL);
        stage_peer_close(&again);
    }
    assert_true(count_now(of, unknown_keys) > unknown);
    message = stage_launcher_join("another", 1);
    stage_peer_send(&launcher, &message);
    message = stage_peer_await(&launcher, MUSTER_MESSAGE_REFUSED);
    assert_int_equal(message.u.refused.status, MUSTER_ERR_FOREIGN);
    assert_serves(of, &of->train, "train");
    stage_peer_close(&launcher);
}

static void a_list_that_went_wrong_leaves_the_last_in_force(void **state)
{
    secured *of = *state;
    const struct timespec pause = {.tv_sec = 1, .tv_nsec = 700000000};
    FILE *list = fopen(of->on.allowed, "w");
    assert_non_null(list);
    fclose(list);            /* empty, as one is that is being written */
    nanosleep(&pause, NULL); /* long enough to be looked at */
    assert_serves(of, &of->train, "train");
    list = fopen(of->on.allowed, "w");
    assert_non_null(list);
    fprintf(list, "rubbish\n");
    fclose(list);
    nanosleep(&pause, NULL);
    assert_serves(of, &of->train, "train");
    stage_peer thief = open_as(of, &of->thief);
    await_count(of, unknown_keys, 1);
    stage_peer_close(&thief);
}

static void unusable_keys_are_told(void **state)
{
    secured *of = *state;
    muster_coordinator_options options;
    muster_coordinator *second = NULL;
    muster_error error;
    char path[128];
    muster_error_init(&error);
    muster_coordinator_options_init(&options);
    options.endpoint = "tcp://127.0.0.1:*";
    options.keys = of->on.keys;
    assert_int_equal(muster_coordinator_open(&options, &second, &error),
                     MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "--allowed"));
    options.allowed = "/nowhere/allowed";
    assert_int_equal(muster_coordinator_open(&options, &second, &error), MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "/nowhere/allowed"));
    options.allowed = of->on.allowed;
    /* Two halves of different pairs. */
    muster_key_pair mixed = of->coordinator;
    mixed.public_key = of->train.own.public_key;
    assert_int_equal(muster_key_pair_write(of->on.folder, "mixed", &mixed, false, NULL), MUSTER_OK);
    snprintf(path, sizeof path, "%s/mixed.secret", of->on.folder);
    options.keys = path;
    assert_int_equal(muster_coordinator_open(&options, &second, &error), MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "damaged"));
    unlink(path);
    snprintf(path, sizeof path, "%s/mixed.public", of->on.folder);
    unlink(path);
    assert_null(second);
}

int main(void)
{
#define SECURED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SECURED(those_with_keys_are_served),
        SECURED(a_plain_connection_is_refused),
        SECURED(a_wrong_key_is_refused),
        SECURED(a_slot_cannot_be_stolen),
        SECURED(another_key_brings_no_news),
        SECURED(a_restart_is_no_moment_to_steal_a_slot),
        SECURED(a_replayed_message_is_refused),
        SECURED(another_job_is_refused),
        SECURED(a_key_that_was_taken_out_is_refused_without_a_restart),
        SECURED(a_list_that_went_wrong_leaves_the_last_in_force),
        SECURED(unusable_keys_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
