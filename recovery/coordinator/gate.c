/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/error.h"
#include "coordinator/descriptors.h"
#include "keys/key_file.h"

/* ZeroMQ looks for this name in its own context. */
#define GATE_ENDPOINT "inproc://zeromq.zap.01"
#define GATE_DOMAIN "muster"
#define GATE_ANSWERS_A_TURN 64
/* A list that is being edited is not looked at for each connection of a storm. */
#define GATE_LOOK_AGAIN_NS ((int64_t)500000000)
/* One that is being written is not whole: it counts once it has been left alone for a while. */
#define GATE_SETTLED_NS ((int64_t)1000000000)
#define GATE_FRAMES 7
#define GATE_FRAME_BYTES 256
#define GATE_PUBLIC_KEY_BYTES 32

/* One request: version, number, domain, address, routing id, mechanism, public key. */
enum { GATE_FRAME_VERSION, GATE_FRAME_NUMBER, GATE_FRAME_MECHANISM = 5, GATE_FRAME_KEY = 6 };

typedef struct gate_frame {
    uint8_t bytes[GATE_FRAME_BYTES];
    size_t byte_count; /* more than fit: it was cut */
} gate_frame;

struct muster_gate {
    void *socket; /* NULL: plain */
    muster_counters *counters;
    muster_allowed allowed;
    uint64_t version;
    char *allowed_path;
    struct timespec allowed_changed;
    ino_t allowed_inode;
    int64_t looked_ns;
    bool said_no_room;
};

/* ---- the list ---- */

static bool gate_list_settled(const struct stat *facts)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t age_ns = ((int64_t)now.tv_sec - facts->st_mtim.tv_sec) * 1000000000 +
                           (now.tv_nsec - facts->st_mtim.tv_nsec);
    return age_ns < 0 || age_ns >= GATE_SETTLED_NS; /* below zero: its clock is not ours */
}

static bool gate_list_changed(const muster_gate *gate, struct stat *facts)
{
    return stat(gate->allowed_path, facts) == 0 &&
           (facts->st_mtim.tv_sec != gate->allowed_changed.tv_sec ||
            facts->st_mtim.tv_nsec != gate->allowed_changed.tv_nsec ||
            facts->st_ino != gate->allowed_inode);
}

static muster_status gate_read_list(muster_gate *gate, const struct stat *facts,
                                    muster_error *error)
{
    muster_allowed allowed;
    gate->allowed_changed = facts->st_mtim;
    gate->allowed_inode = facts->st_ino;
    muster_status status = muster_allowed_read(gate->allowed_path, &allowed, error);
    if (status != MUSTER_OK)
        return status;
    muster_allowed_clean_up(&gate->allowed);
    gate->allowed = allowed;
    gate->version++;
    return status;
}

/* A list that cannot be read any more leaves the last one in force: an edit that went wrong ends no job. */
static void gate_look_at_list(muster_gate *gate, int64_t now_ns)
{
    struct stat facts;
    muster_error error;
    muster_error_init(&error);
    if (now_ns - gate->looked_ns < GATE_LOOK_AGAIN_NS)
        return;
    gate->looked_ns = now_ns;
    if (!gate_list_changed(gate, &facts) || !gate_list_settled(&facts))
        return;
    if (gate_read_list(gate, &facts, &error) == MUSTER_OK)
        fprintf(stderr, "muster coordinator: %zu keys are allowed by now\n", gate->allowed.count);
    else
        fprintf(stderr, "muster coordinator: %s; the keys allowed before stay so\n", error.message);
}

uint64_t muster_gate_version(const muster_gate *gate)
{
    return gate->version;
}

const muster_allowed_key *muster_gate_find(const muster_gate *gate, const muster_key *key)
{
    return muster_allowed_find(&gate->allowed, key);
}

bool muster_gate_asks_for_keys(const muster_gate *gate)
{
    return gate->socket != NULL;
}

/* ---- ZeroMQ asks ---- */

/* False when nothing waits. *frame_count: how many came, also those beyond what is kept. */
static bool gate_receive(muster_gate *gate, gate_frame frames[GATE_FRAMES], size_t *frame_count)
{
    int more = 1;
    size_t more_bytes = sizeof more;
    *frame_count = 0;
    while (more != 0) {
        gate_frame spare;
        gate_frame *frame = *frame_count < GATE_FRAMES ? &frames[*frame_count] : &spare;
        int got = zmq_recv(gate->socket, frame->bytes, sizeof frame->bytes, ZMQ_DONTWAIT);
        if (got < 0)
            return false;
        frame->byte_count = (size_t)got;
        ++*frame_count;
        if (zmq_getsockopt(gate->socket, ZMQ_RCVMORE, &more, &more_bytes) != 0)
            return false;
    }
    return true;
}

static bool gate_frame_is(const gate_frame *frame, const char *text)
{
    return frame->byte_count == strlen(text) && memcmp(frame->bytes, text, frame->byte_count) == 0;
}

static void gate_send(muster_gate *gate, const void *bytes, size_t byte_count, bool last)
{
    /* To a thread of our own process that waits for it: there is room. */
    (void)zmq_send(gate->socket, bytes, byte_count, ZMQ_DONTWAIT | (last ? 0 : ZMQ_SNDMORE));
}

/* The key comes back with each message of the connection, as its user. */
static void gate_answer(muster_gate *gate, const gate_frame *number, const muster_key *key)
{
    const char *code = key != NULL ? "200" : "400";
    const char *text = key != NULL ? "OK" : "this key is not allowed";
    const char *user = key != NULL ? key->text : "";
    gate_send(gate, "1.0", 3, false);
    gate_send(gate, number->bytes, number->byte_count, false);
    gate_send(gate, code, strlen(code), false);
    gate_send(gate, text, strlen(text), false);
    gate_send(gate, user, strlen(user), false);
    gate_send(gate, "", 0, true);
}

void muster_gate_turn(muster_gate *gate, int64_t now_ns)
{
    gate_frame frames[GATE_FRAMES];
    size_t frame_count = 0;
    if (gate->socket == NULL)
        return;
    gate_look_at_list(gate, now_ns);
    for (int i = 0; i < GATE_ANSWERS_A_TURN && gate_receive(gate, frames, &frame_count); i++) {
        muster_key key;
        memset(&key, 0, sizeof key);
        bool sound =
            frame_count == GATE_FRAMES && gate_frame_is(&frames[GATE_FRAME_VERSION], "1.0") &&
            gate_frame_is(&frames[GATE_FRAME_MECHANISM], "CURVE") &&
            frames[GATE_FRAME_KEY].byte_count == GATE_PUBLIC_KEY_BYTES &&
            zmq_z85_encode(key.text, frames[GATE_FRAME_KEY].bytes, GATE_PUBLIC_KEY_BYTES) != NULL;
        bool allowed = sound && muster_gate_find(gate, &key) != NULL;
        if (sound && !allowed)
            gate->counters->unknown_keys++;
        gate_answer(gate, &frames[GATE_FRAME_NUMBER], allowed ? &key : NULL);
    }
}

void muster_gate_count_failure(muster_gate *gate, uint16_t event, uint32_t value)
{
    muster_counters *counters = gate->counters;
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return; /* our own refusal, counted when it was given */
    if (event == ZMQ_EVENT_ACCEPT_FAILED) {
        /* Descriptors ran out, or the filter sent another user away, which is no error of the system's
         * and leaves an older one standing. */
        bool no_room = value == EMFILE || value == ENFILE || value == ENOBUFS || value == ENOMEM;
        (void)atomic_fetch_add(no_room ? &counters->no_room : &counters->other_users, 1);
        if (no_room && !gate->said_no_room) {
            gate->said_no_room = true;
            fprintf(stderr,
                    "muster coordinator: a connection cannot be taken: %s (descriptors of this "
                    "process: room for %zu connections, see ulimit -n); said once, counted as "
                    "no_room\n",
                    strerror((int)value), muster_descriptors_room());
        }
        return;
    }
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
        value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        counters->plain_connections++;
    else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
             value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)
        counters->wrong_keys++;
    else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
             value == ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_SEQUENCE)
        counters->replayed++;
    else
        counters->handshakes_failed++;
}

/* ---- opening ---- */

static muster_status gate_own_users_only(void *router, muster_error *error)
{
    const uid_t own = geteuid();
    const uid_t root = 0;
    if (zmq_setsockopt(router, ZMQ_IPC_FILTER_UID, &own, sizeof own) != 0 ||
        zmq_setsockopt(router, ZMQ_IPC_FILTER_UID, &root, sizeof root) != 0)
        return muster_error_set_errno(error, zmq_errno(), "keeping other users off the socket");
    return muster_error_set_ok(error);
}

static muster_status gate_arm(void *router, const muster_key_pair *pair, const char *keys,
                              muster_error *error)
{
    const int server = 1;
    char derived[MUSTER_KEY_TEXT_LENGTH + 1];
    if (zmq_has("curve") == 0)
        return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_OPTION, 0, 0,
                                "this machine's ZeroMQ was built without CURVE: keys cannot be "
                                "used; install one with libsodium");
    if (zmq_curve_public(derived, pair->secret_key.text) != 0 ||
        strcmp(derived, pair->public_key.text) != 0)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "the key file '%.120s' is damaged: its public key is not that of "
                                "its secret key",
                                keys);
    if (zmq_setsockopt(router, ZMQ_CURVE_SERVER, &server, sizeof server) != 0 ||
        zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, pair->secret_key.text,
                       sizeof pair->secret_key.text) != 0 ||
        zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, GATE_DOMAIN, strlen(GATE_DOMAIN)) != 0)
        return muster_error_set_errno(error, zmq_errno(), "giving the coordinator its key");
    return muster_error_set_ok(error);
}

/* Bound before the router is: where nobody answers, ZeroMQ would let every key in. */
static muster_status gate_listen(muster_gate *gate, void *context, muster_error *error)
{
    const int no_linger = 0;
    gate->socket = zmq_socket(context, ZMQ_REP);
    if (gate->socket == NULL ||
        zmq_setsockopt(gate->socket, ZMQ_LINGER, &no_linger, sizeof no_linger) != 0 ||
        zmq_bind(gate->socket, GATE_ENDPOINT) != 0)
        return muster_error_set_errno(error, zmq_errno(), "making the socket that checks keys");
    return muster_error_set_ok(error);
}

static muster_status gate_read(muster_gate *gate, void *router, const char *keys,
                               muster_error *error)
{
    muster_key_pair pair;
    struct stat facts;
    muster_status status = muster_key_pair_read(keys, &pair, error);
    if (status == MUSTER_OK)
        status = gate_arm(router, &pair, keys, error);
    muster_key_pair_wipe(&pair);
    if (status != MUSTER_OK)
        return status;
    memset(&facts, 0, sizeof facts);
    (void)stat(gate->allowed_path, &facts); /* the reading says why it cannot */
    return gate_read_list(gate, &facts, error);
}

static muster_status gate_set_up(muster_gate *gate, void *context, void *router, const char *keys,
                                 const char *allowed, muster_error *error)
{
    if (keys == NULL && allowed == NULL)
        return gate_own_users_only(router, error);
    if (keys == NULL || allowed == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "--keys and --allowed belong together: %s is missing",
                                keys == NULL ? "--keys, the coordinator's own key file,"
                                             : "--allowed, the list of keys to serve,");
    gate->allowed_path = strdup(allowed);
    if (gate->allowed_path == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a path");
    muster_status status = gate_read(gate, router, keys, error);
    return status == MUSTER_OK ? gate_listen(gate, context, error) : status;
}

muster_status muster_gate_open(void *context, void *router, const char *keys, const char *allowed,
                               muster_counters *counters, muster_gate **gate, muster_error *error)
{
    muster_gate *opened = calloc(1, sizeof *opened);
    *gate = NULL;
    if (opened == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for the coordinator's list of keys");
    opened->counters = counters;
    muster_status status = gate_set_up(opened, context, router, keys, allowed, error);
    if (status == MUSTER_OK)
        *gate = opened;
    else
        muster_gate_close(opened);
    return status;
}

void muster_gate_close(muster_gate *gate)
{
    if (gate == NULL)
        return;
    if (gate->socket != NULL)
        zmq_close(gate->socket);
    muster_allowed_clean_up(&gate->allowed);
    free(gate->allowed_path);
    free(gate);
}

void *muster_gate_socket(muster_gate *gate)
{
    return gate->socket;
}
