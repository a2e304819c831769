/* SPDX-License-Identifier: Apache-2.0 */
/* Says to a coordinator what nobody should: made-up messages that are nearly right, mutated ones, noise,
 * and on its TCP port the beginnings of handshakes. Whether it serves on is for the caller to see.
 *
 *   flood --endpoint E [--count N] [--seed S] [--fast | --raw] [--keys COORDINATOR.public OWN.secret]
 *
 * As it is, it waits now and then until the coordinator has heard everything, so that all of them are
 * decoded. --fast does not wait: most are dropped then, which is what a flood is. --raw knocks at the
 * port instead. Ends with one line: how many were sent, and how many waits were answered. */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <muster/version.h>

#include "../unit/wire/sample.h"
#include "base/hash.h"
#include "keys/key_file.h"
#include "operator/policy_options.h"
#include "wire/wire.h"

#define FLOOD_PEERS 8
#define FLOOD_JOBS 4
#define FLOOD_SLOTS_MAX 4
#define FLOOD_JOB_MESSAGES 5000
#define FLOOD_BURST 150 /* less than a coordinator keeps of one peer */
#define FLOOD_ANSWER_MS 10000
#define FLOOD_SILENCES_MAX 3
#define FLOOD_WIRE_VERSION_AT 4

typedef struct flood_options {
    const char *endpoint;
    uint64_t count;
    uint64_t seed;
    bool fast;
    bool raw;
    bool has_keys;
    muster_client_keys keys;
} flood_options;

/* What one peer has learned: good lies need truth. */
typedef struct flood_peer {
    void *socket;
    char job[32];
    uint64_t job_number;
    uint64_t term;
    uint64_t epoch;
    int32_t slot;
    uint32_t incarnation;
    uint64_t waits;
    uint64_t answered;
} flood_peer;

typedef struct flood {
    flood_options options;
    void *context;
    uint64_t random;
    flood_peer peers[FLOOD_PEERS];
    uint64_t sent;
    int silences; /* waits without an answer: a connection that was lost is one, too */
} flood;

static uint64_t flood_below(flood *of, uint64_t end)
{
    return sample_random(&of->random) % end;
}

static void flood_fail(const char *what)
{
    fprintf(stderr, "flood: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(2);
}

static void flood_open(flood *of, flood_peer *peer)
{
    const int no_linger = 0;
    const int answer_ms = FLOOD_ANSWER_MS;
    const uint64_t waits = peer->waits;
    const uint64_t answered = peer->answered;
    if (peer->socket != NULL)
        zmq_close(peer->socket);
    *peer = (flood_peer){.waits = waits, .answered = answered};
    /* Jobs end soon under this: others take their place. */
    peer->job_number = of->sent / FLOOD_JOB_MESSAGES * FLOOD_JOBS + flood_below(of, FLOOD_JOBS);
    snprintf(peer->job, sizeof peer->job, "flood-%llu", (unsigned long long)peer->job_number);
    peer->socket = zmq_socket(of->context, ZMQ_DEALER);
    if (peer->socket == NULL)
        flood_fail("socket");
    zmq_setsockopt(peer->socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(peer->socket, ZMQ_SNDTIMEO, &answer_ms, sizeof answer_ms);
    zmq_setsockopt(peer->socket, ZMQ_RCVTIMEO, &answer_ms, sizeof answer_ms);
    if (of->options.has_keys) {
        const muster_client_keys *keys = &of->options.keys;
        zmq_setsockopt(peer->socket, ZMQ_CURVE_SERVERKEY, keys->coordinator.text, 41);
        zmq_setsockopt(peer->socket, ZMQ_CURVE_PUBLICKEY, keys->own.public_key.text, 41);
        zmq_setsockopt(peer->socket, ZMQ_CURVE_SECRETKEY, keys->own.secret_key.text, 41);
    }
    if (zmq_connect(peer->socket, of->options.endpoint) != 0)
        flood_fail(of->options.endpoint);
}

/* ---- what is said ---- */

static void flood_plausible_policy(muster_policy *policy, int32_t slot_count)
{
    muster_policy_defaults(policy);
    policy->slot_count = slot_count;
    policy->on_loss = MUSTER_ON_LOSS_SHRINK;
}

/* Made-up fields give way to those that a coordinator would look at twice. */
static void flood_make_plausible(flood *of, const flood_peer *peer, muster_message *message)
{
    const int32_t slot_count = 1 + (int32_t)(peer->job_number % FLOOD_SLOTS_MAX);
    message->job = muster_hash_text(peer->job);
    message->term = flood_below(of, 20) > 0 ? peer->term : flood_below(of, 3);
    message->epoch = peer->epoch + flood_below(of, 3) - (peer->epoch > 0);
    message->slot = flood_below(of, 3) > 0 ? peer->slot : (int32_t)flood_below(of, 7) - 2;
    message->incarnation =
        flood_below(of, 3) > 0 ? peer->incarnation : (uint32_t)flood_below(of, 4);
    switch ((muster_message_type)message->type) {
    case MUSTER_MESSAGE_JOIN:
        message->u.join.library_version = MUSTER_VERSION;
        message->u.join.slot_count = slot_count;
        message->u.join.process_id = (int32_t)flood_below(of, 40) + 1;
        message->u.join.host = flood_below(of, 2);
        message->u.join.rejoin = message->epoch > 0 && flood_below(of, 3) == 0;
        if (flood_below(of, 4) > 0)
            message->u.join.epoch_term = peer->term;
        if (flood_below(of, 4) == 0)
            message->incarnation = UINT32_MAX;
        for (int32_t i = 0; i < message->u.join.member_count; i++) {
            message->u.join.members[i].slot = i % slot_count;
            message->u.join.members[i].incarnation = (uint32_t)flood_below(of, 3);
        }
        if (message->u.join.member_count > slot_count)
            message->u.join.member_count = slot_count;
        break;
    case MUSTER_MESSAGE_LAUNCHER_JOIN:
        snprintf(message->u.launcher_join.job_name, sizeof message->u.launcher_join.job_name, "%s",
                 peer->job);
        message->u.launcher_join.process_id = (int32_t)flood_below(of, 4) + 1;
        message->u.launcher_join.host = 0;
        message->u.launcher_join.first_slot = (int32_t)flood_below(of, (uint64_t)slot_count);
        message->u.launcher_join.slot_count =
            (int32_t)flood_below(of, (uint64_t)slot_count) + (flood_below(of, 9) == 0);
        message->u.launcher_join.spare_count = (int32_t)flood_below(of, 2);
        flood_plausible_policy(&message->u.launcher_join.policy, slot_count);
        break;
    case MUSTER_MESSAGE_EVIDENCE:
        message->u.evidence.evidence = (uint32_t)flood_below(of, 11);
        message->u.evidence.accused_slot = (int32_t)flood_below(of, 8) - 1;
        message->u.evidence.accused_incarnation = (uint32_t)flood_below(of, 3);
        break;
    case MUSTER_MESSAGE_QUIET:
        for (int32_t i = 0; i < message->u.quiet.holding_count; i++) {
            message->u.quiet.holdings[i].slot = (int32_t)flood_below(of, 7);
            message->u.quiet.holdings[i].epoch = flood_below(of, 4);
            message->u.quiet.holdings[i].step = flood_below(of, 4);
        }
        break;
    case MUSTER_MESSAGE_STARTED:
    case MUSTER_MESSAGE_EXITED:
        message->u.process.process_id = (int32_t)flood_below(of, 40) + 1;
        message->u.process.wait_status = (int32_t)flood_below(of, 3);
        break;
    default:
        break;
    }
}

static void flood_mutate(flood *of, uint8_t **bytes, size_t *byte_count)
{
    const uint64_t how = flood_below(of, 8);
    if (how == 0) {
        *byte_count = (size_t)flood_below(of, *byte_count + 1);
    } else if (how == 1) {
        const size_t more = (size_t)flood_below(of, 300);
        uint8_t *longer = realloc(*bytes, *byte_count + more + 1);
        if (longer == NULL)
            flood_fail("memory");
        memset(longer + *byte_count, (int)flood_below(of, 256), more);
        *bytes = longer;
        *byte_count += more;
    } else {
        for (uint64_t i = 0; i <= flood_below(of, 6) && *byte_count > 0; i++) {
            /* The head and the lengths behind it more often than what is in the middle. */
            const size_t end = how < 5 && *byte_count > 96 ? 96 : *byte_count;
            const size_t at = (size_t)flood_below(of, end);
            if (how % 2 == 0)
                (*bytes)[at] ^= (uint8_t)(1u << flood_below(of, 8));
            else
                (*bytes)[at] = (uint8_t)flood_below(of, 256);
        }
    }
}

/* The caller frees *bytes. */
static void flood_message(flood *of, const flood_peer *peer, uint8_t **bytes, size_t *byte_count)
{
    /* What ranks and launchers say, most of the time. */
    static const uint32_t said[] = {MUSTER_MESSAGE_JOIN,
                                    MUSTER_MESSAGE_HEARTBEAT,
                                    MUSTER_MESSAGE_EVIDENCE,
                                    MUSTER_MESSAGE_QUIET,
                                    MUSTER_MESSAGE_CONNECTED,
                                    MUSTER_MESSAGE_RESUMED,
                                    MUSTER_MESSAGE_COMMITTED,
                                    MUSTER_MESSAGE_LEAVE,
                                    MUSTER_MESSAGE_PONG,
                                    MUSTER_MESSAGE_STARTED,
                                    MUSTER_MESSAGE_LAUNCHER_JOIN,
                                    MUSTER_MESSAGE_EXITED,
                                    MUSTER_MESSAGE_LAUNCHER_HEARTBEAT};
    const uint32_t *types = NULL;
    const int type_count = sample_types(&types);
    const uint64_t kind = flood_below(of, 20);
    if (kind == 0) {
        *byte_count = (size_t)flood_below(of, 400);
        *bytes = malloc(*byte_count + 1);
        for (size_t i = 0; *bytes != NULL && i < *byte_count; i++)
            (*bytes)[i] = (uint8_t)flood_below(of, 256);
        return;
    }
    muster_message message;
    memset(&message, 0, sizeof message);
    const bool plausible = kind < 14;
    uint32_t type = types[flood_below(of, (uint64_t)type_count)];
    if (plausible)
        type = said[flood_below(of, sizeof said / sizeof said[0])];
    /* Or all would leave, one after the other, before anything happens. */
    if (plausible && type == MUSTER_MESSAGE_LEAVE && flood_below(of, 8) > 0)
        type = MUSTER_MESSAGE_JOIN;
    sample_message(&of->random, type, &message);
    if (plausible)
        flood_make_plausible(of, peer, &message);
    if (muster_wire_encode(&message, (void **)bytes, byte_count) != MUSTER_OK) {
        *bytes = calloc(1, 1);
        *byte_count = 0;
    }
    muster_message_clean_up(&message);
    if (kind % 2 == 0)
        flood_mutate(of, bytes, byte_count);
}

/* ---- what is heard ---- */

static void flood_learn(flood_peer *peer, const muster_message *message)
{
    if (message->type == MUSTER_MESSAGE_WELCOME || message->type == MUSTER_MESSAGE_AGREED ||
        message->type == MUSTER_MESSAGE_REVOKE) {
        peer->slot = message->slot;
        peer->incarnation = message->incarnation;
        peer->epoch = message->epoch;
    }
    peer->term = message->term;
}

/* True: it was the answer to a wait. False with *came false: nothing was there. */
static bool flood_hear(flood_peer *peer, int flags, bool *came)
{
    zmq_msg_t frame;
    muster_message message;
    zmq_msg_init(&frame);
    *came = zmq_msg_recv(&frame, peer->socket, flags) >= 0;
    bool answer = false;
    if (*came && muster_wire_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &message, NULL) ==
                     MUSTER_OK) {
        answer = message.type == MUSTER_MESSAGE_REFUSED &&
                 message.u.refused.status == MUSTER_ERR_VERSION && message.slot == 4242;
        if (!answer && message.job == muster_hash_text(peer->job))
            flood_learn(peer, &message);
        muster_message_clean_up(&message);
    }
    zmq_msg_close(&frame);
    return answer;
}

/* A message of another wire version is answered whatever state its job is in. */
static bool flood_wait(flood_peer *peer)
{
    muster_message ask = {.type = MUSTER_MESSAGE_HEARTBEAT, .slot = 4242};
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    if (muster_wire_encode(&ask, (void **)&bytes, &byte_count) != MUSTER_OK)
        return false;
    bytes[FLOOD_WIRE_VERSION_AT] = 99;
    const bool asked = zmq_send(peer->socket, bytes, byte_count, 0) >= 0;
    free(bytes);
    peer->waits++;
    bool came = asked;
    while (came) {
        if (flood_hear(peer, 0, &came)) {
            peer->answered++;
            return true;
        }
    }
    return false;
}

/* ---- how ---- */

static void flood_talk(flood *of)
{
    for (int i = 0; i < FLOOD_PEERS; i++)
        flood_open(of, &of->peers[i]);
    for (uint64_t burst = 0; of->sent < of->options.count; burst++) {
        flood_peer *peer = &of->peers[burst % FLOOD_PEERS];
        bool came = true;
        for (int i = 0; i < FLOOD_BURST && of->sent < of->options.count; i++) {
            uint8_t *bytes = NULL;
            size_t byte_count = 0;
            flood_message(of, peer, &bytes, &byte_count);
            const int flags = flood_below(of, 500) == 0 ? ZMQ_SNDMORE : 0;
            if (zmq_send(peer->socket, bytes, byte_count, flags) >= 0)
                of->sent++;
            free(bytes);
            if (flags != 0)
                zmq_send(peer->socket, "more", 4, 0);
        }
        if (!of->options.fast && !flood_wait(peer)) {
            flood_open(of, peer);
            if (++of->silences == FLOOD_SILENCES_MAX) {
                fprintf(stderr, "flood: nobody answers any more, after %llu messages\n",
                        (unsigned long long)of->sent);
                exit(1);
            }
        }
        while (came)
            flood_hear(peer, ZMQ_DONTWAIT, &came);
        if (flood_below(of, 12) == 0)
            flood_open(of, peer);
    }
}

static void flood_knock(flood *of)
{
    static const char greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE";
    const char *colon = strrchr(of->options.endpoint, ':');
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(colon + 1)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (; of->sent < of->options.count; of->sent++) {
        uint8_t bytes[600];
        const size_t byte_count = (size_t)flood_below(of, sizeof bytes);
        for (size_t i = 0; i < byte_count; i++)
            bytes[i] = (uint8_t)flood_below(of, 256);
        if (flood_below(of, 4) > 0 && byte_count >= sizeof greeting)
            memcpy(bytes, greeting, sizeof greeting);
        /* A command of a plausible length, now and then a HELLO by name. */
        if (flood_below(of, 2) > 0 && byte_count > 280) {
            memcpy(bytes + 64, "\4\xc8\5HELLO\1", 9);
            bytes[73] = 0;
        }
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
            perror("flood: connect");
            exit(1);
        }
        (void)!send(fd, bytes, byte_count, MSG_NOSIGNAL);
        if (flood_below(of, 3) == 0) {
            struct timeval soon = {.tv_usec = 5000};
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
            (void)!recv(fd, bytes, sizeof bytes, 0);
        }
        close(fd);
    }
}

static void flood_parse(flood_options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"endpoint", required_argument, NULL, 'e'},
        {"count", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},
        {"fast", no_argument, NULL, 'f'},
        {"raw", no_argument, NULL, 'r'},
        {"keys", no_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    *options = (flood_options){.count = 10000, .seed = 1};
    for (int option = 0; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (option == 'e')
            options->endpoint = optarg;
        else if (option == 'c')
            options->count = strtoull(optarg, NULL, 10);
        else if (option == 's')
            options->seed = strtoull(optarg, NULL, 10);
        else if (option == 'f')
            options->fast = true;
        else if (option == 'r')
            options->raw = true;
        else if (option == 'k')
            options->has_keys = true;
        else
            exit(2);
    }
    muster_error error = {.struct_bytes = sizeof error};
    const bool keyed = options->has_keys && argc - optind == 2;
    if (options->endpoint == NULL || (options->has_keys && !keyed)) {
        fprintf(stderr, "flood: --endpoint E [--count N] [--seed S] [--fast | --raw] "
                        "[--keys COORDINATOR.public OWN.secret]\n");
        exit(2);
    }
    if (keyed && muster_client_keys_read(argv[optind], argv[optind + 1], &options->keys, &error) !=
                     MUSTER_OK) {
        fprintf(stderr, "flood: %s\n", error.message);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    flood *of = calloc(1, sizeof *of);
    if (of == NULL)
        return 2;
    flood_parse(&of->options, argc, argv);
    of->random = of->options.seed;
    uint64_t waits = 0;
    uint64_t answered = 0;
    of->context = zmq_ctx_new();
    if (of->options.raw)
        flood_knock(of);
    else
        flood_talk(of);
    for (int i = 0; i < FLOOD_PEERS; i++) {
        waits += of->peers[i].waits;
        answered += of->peers[i].answered;
        if (of->peers[i].socket != NULL)
            zmq_close(of->peers[i].socket);
    }
    zmq_ctx_term(of->context);
    printf("%llu sent, %llu of %llu waits answered\n", (unsigned long long)of->sent,
           (unsigned long long)answered, (unsigned long long)waits);
    free(of);
    return 0;
}
