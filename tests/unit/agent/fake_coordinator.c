/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_coordinator.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "base/hash.h"
#include "wire/wire.h"

#define FAKE_HEARD_MAX 4096
#define FAKE_TO_SEND_MAX 64
#define FAKE_PEERS_MAX 8
#define FAKE_IDENTITY_BYTES 64

typedef struct fake_peer {
    int32_t slot;
    size_t identity_bytes;
    uint8_t identity[FAKE_IDENTITY_BYTES];
} fake_peer;

typedef struct fake_outgoing {
    int32_t slot;
    void *bytes;
    size_t byte_count;
} fake_outgoing;

struct fake_coordinator {
    char endpoint[256];
    uint64_t term;
    void *context;
    void *socket;
    int wake_fd;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stop;
    bool welcome_all;
    int32_t slot_count;
    muster_message heard[FAKE_HEARD_MAX];
    int heard_count;
    fake_outgoing to_send[FAKE_TO_SEND_MAX];
    int to_send_count;
    fake_peer peers[FAKE_PEERS_MAX];
    int peer_count;
};

int64_t fake_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t fake_deadline(void)
{
    return fake_now() + FAKE_PATIENCE_NS;
}

static void fake_wake(fake_coordinator *fake)
{
    uint64_t one = 1;
    assert_int_equal(write(fake->wake_fd, &one, sizeof one), sizeof one);
}

static fake_peer *fake_find_peer(fake_coordinator *fake, int32_t slot)
{
    for (int i = 0; i < fake->peer_count; i++) {
        if (fake->peers[i].slot == slot) {
            return &fake->peers[i];
        }
    }
    return NULL;
}

static void fake_note_peer(fake_coordinator *fake, int32_t slot, zmq_msg_t *identity)
{
    fake_peer *peer = fake_find_peer(fake, slot);
    if (!peer) {
        if (fake->peer_count == FAKE_PEERS_MAX) {
            return;
        }
        peer = &fake->peers[fake->peer_count++];
        peer->slot = slot;
    }
    peer->identity_bytes = zmq_msg_size(identity);
    memcpy(peer->identity, zmq_msg_data(identity), peer->identity_bytes);
}

/* The mutex is held. */
static void fake_queue(fake_coordinator *fake, int32_t peer_slot, muster_message *message)
{
    if (fake->to_send_count == FAKE_TO_SEND_MAX) {
        abort();
    }
    fake_outgoing *outgoing = &fake->to_send[fake->to_send_count++];
    outgoing->slot = peer_slot;
    if (muster_wire_encode(message, &outgoing->bytes, &outgoing->byte_count) != MUSTER_OK) {
        abort();
    }
    muster_message_clean_up(message);
}

static void fake_answer(fake_coordinator *fake, const muster_message *message)
{
    if (message->type == MUSTER_MESSAGE_JOIN && fake->welcome_all) {
        muster_message welcome =
            fake_message(fake, MUSTER_MESSAGE_WELCOME, message->slot, message->epoch);
        welcome.incarnation = message->incarnation == UINT32_MAX ? 0 : message->incarnation;
        welcome.u.welcome.policy = fake_policy(fake->slot_count);
        fake_queue(fake, welcome.slot, &welcome);
    }
}

static void fake_listen(fake_coordinator *fake)
{
    for (;;) {
        zmq_msg_t identity;
        zmq_msg_t frame;
        zmq_msg_init(&identity);
        if (zmq_msg_recv(&identity, fake->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&identity);
            return;
        }
        zmq_msg_init(&frame);
        muster_message message;
        if (zmq_msg_recv(&frame, fake->socket, 0) < 0 ||
            muster_wire_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &message, NULL) !=
                MUSTER_OK) {
            abort(); /* an agent that says nonsense */
        }
        pthread_mutex_lock(&fake->mutex);
        if (fake->heard_count == FAKE_HEARD_MAX) {
            abort(); /* or does not stop talking */
        }
        fake_note_peer(fake, message.slot, &identity);
        fake_answer(fake, &message);
        fake->heard[fake->heard_count++] = message;
        pthread_cond_broadcast(&fake->changed);
        pthread_mutex_unlock(&fake->mutex);
        zmq_msg_close(&frame);
        zmq_msg_close(&identity);
    }
}

static void fake_speak(fake_coordinator *fake)
{
    pthread_mutex_lock(&fake->mutex);
    for (int i = 0; i < fake->to_send_count; i++) {
        fake_outgoing *outgoing = &fake->to_send[i];
        const fake_peer *peer = fake_find_peer(fake, outgoing->slot);
        if (!peer) {
            abort();
        }
        zmq_send(fake->socket, peer->identity, peer->identity_bytes, ZMQ_SNDMORE);
        zmq_send(fake->socket, outgoing->bytes, outgoing->byte_count, 0);
        free(outgoing->bytes);
    }
    fake->to_send_count = 0;
    pthread_mutex_unlock(&fake->mutex);
}

static void *fake_thread(void *context)
{
    fake_coordinator *fake = context;
    for (;;) {
        zmq_pollitem_t items[2] = {{.socket = fake->socket, .events = ZMQ_POLLIN},
                                   {.fd = fake->wake_fd, .events = ZMQ_POLLIN}};
        zmq_poll(items, 2, -1);
        uint64_t count = 0;
        (void)!read(fake->wake_fd, &count, sizeof count);
        pthread_mutex_lock(&fake->mutex);
        bool stop = fake->stop;
        pthread_mutex_unlock(&fake->mutex);
        if (stop) {
            return NULL;
        }
        fake_listen(fake);
        fake_speak(fake);
    }
}

fake_coordinator *fake_start(const char *endpoint, uint64_t term)
{
    fake_coordinator *fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    fake->term = term;
    fake->context = zmq_ctx_new();
    fake->socket = zmq_socket(fake->context, ZMQ_ROUTER);
    assert_non_null(fake->socket);
    int linger_ms = 0;
    zmq_setsockopt(fake->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    int64_t deadline_ns = fake_deadline();
    int bound = 0;
    while ((bound = zmq_bind(fake->socket, endpoint)) != 0 && errno == EADDRINUSE &&
           fake_now() < deadline_ns) {
        usleep(10000); /* the address of a fake that was stopped just now */
    }
    assert_int_equal(bound, 0);
    size_t endpoint_bytes = sizeof fake->endpoint;
    zmq_getsockopt(fake->socket, ZMQ_LAST_ENDPOINT, fake->endpoint, &endpoint_bytes);
    fake->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&fake->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&fake->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_thread, fake), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return fake;
}

void fake_stop(fake_coordinator *fake)
{
    pthread_mutex_lock(&fake->mutex);
    fake->stop = true;
    pthread_mutex_unlock(&fake->mutex);
    fake_wake(fake);
    pthread_join(fake->thread, NULL);
    zmq_close(fake->socket);
    zmq_ctx_term(fake->context);
    fake_forget(fake);
    for (int i = 0; i < fake->to_send_count; i++) {
        free(fake->to_send[i].bytes);
    }
    close(fake->wake_fd);
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->mutex);
    free(fake);
}

const char *fake_endpoint(const fake_coordinator *fake)
{
    return fake->endpoint;
}

muster_policy fake_policy(int32_t slot_count)
{
    muster_policy policy = {.slot_count = slot_count,
                            .on_loss = MUSTER_ON_LOSS_REPLACE,
                            .min_ranks = slot_count,
                            .max_replacements = 3,
                            .crash_loop_deaths = 3};
    muster_deadlines_defaults(&policy.deadlines);
    policy.deadlines.heartbeat_ns = 20000000;
    return policy;
}

void fake_welcome_all(fake_coordinator *fake, int32_t slot_count)
{
    pthread_mutex_lock(&fake->mutex);
    fake->slot_count = slot_count;
    fake->welcome_all = true;
    pthread_mutex_unlock(&fake->mutex);
}

muster_message fake_message(const fake_coordinator *fake, uint32_t type, int32_t slot,
                            uint64_t epoch)
{
    muster_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    message.job = muster_hash_text(FAKE_JOB);
    message.term = fake->term;
    message.epoch = epoch;
    message.slot = slot;
    return message;
}

static void fake_send_to(fake_coordinator *fake, int32_t peer_slot, muster_message *message)
{
    pthread_mutex_lock(&fake->mutex);
    assert_non_null(fake_find_peer(fake, peer_slot));
    fake_queue(fake, peer_slot, message);
    pthread_mutex_unlock(&fake->mutex);
    fake_wake(fake);
}

void fake_send(fake_coordinator *fake, muster_message *message)
{
    fake_send_to(fake, message->slot, message);
}

void fake_send_bytes(fake_coordinator *fake, int32_t slot, const void *bytes, size_t byte_count)
{
    pthread_mutex_lock(&fake->mutex);
    assert_non_null(fake_find_peer(fake, slot));
    assert_true(fake->to_send_count < FAKE_TO_SEND_MAX);
    fake_outgoing *outgoing = &fake->to_send[fake->to_send_count++];
    outgoing->slot = slot;
    outgoing->bytes = malloc(byte_count);
    assert_non_null(outgoing->bytes);
    memcpy(outgoing->bytes, bytes, byte_count);
    outgoing->byte_count = byte_count;
    pthread_mutex_unlock(&fake->mutex);
    fake_wake(fake);
}

static muster_message fake_agreed(const fake_coordinator *fake, int32_t slot, uint64_t epoch,
                                  int32_t member_count, const uint32_t *incarnations)
{
    muster_message agreed = fake_message(fake, MUSTER_MESSAGE_AGREED, slot, epoch);
    agreed.incarnation = incarnations[slot];
    agreed.u.agreed.member_count = member_count;
    agreed.u.agreed.members = calloc((size_t)member_count, sizeof *agreed.u.agreed.members);
    assert_non_null(agreed.u.agreed.members);
    for (int32_t i = 0; i < member_count; i++) {
        agreed.u.agreed.members[i] = (muster_member){
            .slot = i, .incarnation = incarnations[i], .process_id = 100 + i, .host = 7};
    }
    return agreed;
}

void fake_send_agreed(fake_coordinator *fake, int32_t slot, uint64_t epoch, int32_t member_count,
                      const uint32_t *incarnations)
{
    muster_message agreed = fake_agreed(fake, slot, epoch, member_count, incarnations);
    fake_send(fake, &agreed);
}

void fake_send_agreed_to_spare(fake_coordinator *fake, int32_t slot, uint64_t epoch,
                               int32_t member_count, const uint32_t *incarnations)
{
    muster_message agreed = fake_agreed(fake, slot, epoch, member_count, incarnations);
    fake_send_to(fake, MUSTER_SLOT_SPARE_WIRE, &agreed);
}

void fake_send_established(fake_coordinator *fake, int32_t slot, uint64_t epoch)
{
    muster_message established = fake_message(fake, MUSTER_MESSAGE_ESTABLISHED, slot, epoch);
    fake_send(fake, &established);
}

void fake_send_revoke(fake_coordinator *fake, int32_t slot, uint64_t epoch, int32_t dead_slot,
                      uint32_t dead_incarnation)
{
    muster_message revoke = fake_message(fake, MUSTER_MESSAGE_REVOKE, slot, epoch);
    revoke.u.revoke.death_count = 1;
    revoke.u.revoke.deaths = calloc(1, sizeof *revoke.u.revoke.deaths);
    assert_non_null(revoke.u.revoke.deaths);
    revoke.u.revoke.deaths[0] = (muster_death){.slot = dead_slot,
                                               .incarnation = dead_incarnation,
                                               .evidence = MUSTER_EVIDENCE_EXITED,
                                               .wait_status = 9};
    fake_send(fake, &revoke);
}

static int fake_find_heard(const fake_coordinator *fake, uint32_t type)
{
    for (int i = 0; i < fake->heard_count; i++) {
        if (fake->heard[i].type == type) {
            return i;
        }
    }
    return -1;
}

muster_message fake_take(fake_coordinator *fake, uint32_t type)
{
    int64_t deadline_ns = fake_deadline();
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                             .tv_nsec = (long)(deadline_ns % 1000000000)};
    pthread_mutex_lock(&fake->mutex);
    int at = -1;
    while ((at = fake_find_heard(fake, type)) < 0) {
        if (pthread_cond_timedwait(&fake->changed, &fake->mutex, &until) == ETIMEDOUT) {
            fail_msg("no %s came", muster_message_type_text(type));
        }
    }
    muster_message message = fake->heard[at];
    fake->heard_count--;
    memmove(&fake->heard[at], &fake->heard[at + 1],
            (size_t)(fake->heard_count - at) * sizeof fake->heard[0]);
    pthread_mutex_unlock(&fake->mutex);
    return message;
}

int fake_count(fake_coordinator *fake, uint32_t type)
{
    int count = 0;
    pthread_mutex_lock(&fake->mutex);
    for (int i = 0; i < fake->heard_count; i++) {
        count += fake->heard[i].type == type;
    }
    pthread_mutex_unlock(&fake->mutex);
    return count;
}

void fake_forget(fake_coordinator *fake)
{
    pthread_mutex_lock(&fake->mutex);
    for (int i = 0; i < fake->heard_count; i++) {
        muster_message_clean_up(&fake->heard[i]);
    }
    fake->heard_count = 0;
    pthread_mutex_unlock(&fake->mutex);
}

muster_agent_options fake_options(const char *endpoint, int32_t slot)
{
    muster_agent_options options = {.coordinator = endpoint,
                                    .job_name = FAKE_JOB,
                                    .slot = slot,
                                    .slot_count = 4,
                                    .incarnation = UINT32_MAX,
                                    .contact_timeout_ns = FAKE_PATIENCE_NS,
                                    .deadline_ns = fake_deadline()};
    return options;
}

muster_agent *fake_join(fake_coordinator *fake, int32_t slot)
{
    fake_welcome_all(fake, 4);
    muster_agent_options options = fake_options(fake->endpoint, slot);
    muster_agent *agent = NULL;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_start(&options, &agent, &error), MUSTER_OK);
    assert_non_null(agent);
    muster_message join = fake_take(fake, MUSTER_MESSAGE_JOIN);
    muster_message_clean_up(&join);
    return agent;
}
