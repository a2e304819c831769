/* SPDX-License-Identifier: Apache-2.0 */
/* Many agents in one process, each with a connection of its own: what the coordinator sees of a large job.
 * They say what an agent says (join, connected, heartbeat, quiet), move no data, and read of a message only
 * what kind it is, so that this machine measures the coordinator and not its clients.
 *
 *   scale_agents ENDPOINT JOB SLOTS FIRST COUNT HEARTBEAT_MS
 *
 * Writes a line when all of its agents have come to a point:
 *   joined | agreed EPOCH | established EPOCH | revoked EPOCH   LAST_NS (CLOCK_MONOTONIC)
 * Reads lines: "lose SLOT BY": agent BY of this process says that SLOT's process is dying (robust futex);
 * an agent that is lost falls silent. "quit". */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <muster/version.h>

#include "base/hash.h"
#include "wire/wire.h"

/* Which agents have to say their heartbeat is looked at so often; what comes in wakes by itself. */
enum { LOOK_MS = 5, CONNECTS_AT_ONCE = 64, WAKES_AT_ONCE = 256 };

/* Where the wire's header, whose layout never changes, has what is read here. */
enum {
    TYPE_AT = 8,
    TERM_AT = 24,
    EPOCH_AT = 32,
    SLOT_AT = 40,
    INCARNATION_AT = 44,
    HEADER_BYTES = 48
};

typedef enum point {
    POINT_JOINED,
    POINT_AGREED,
    POINT_ESTABLISHED,
    POINT_REVOKED,
    POINT_COUNT
} point;
static const char *const point_names[] = {"joined", "agreed", "established", "revoked"};

typedef struct agent {
    void *socket;
    int32_t slot;
    uint32_t incarnation;
    uint64_t term;
    uint64_t epoch; /* of its last AGREED */
    int64_t beat_ns;
    bool silent;
} agent;

typedef struct crowd {
    agent *agents;
    int count;
    int next_beat; /* heartbeats fall due in the agents' order, round and round */
    int epoll;
    int alive;
    uint64_t job;
    int32_t slot_count;
    int64_t heartbeat_ns;
    int reached[POINT_COUNT]; /* agents, since the line was last written */
} crowd;

static void fail(const char *what)
{
    fprintf(stderr, "scale_agents: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t number_at(const uint8_t *bytes, size_t at, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value |= (uint64_t)bytes[at + i] << (8 * i);
    return value;
}

static void say(const crowd *all, agent *one, muster_message *message)
{
    message->job = all->job;
    message->term = one->term;
    message->epoch = one->epoch;
    message->slot = one->slot;
    message->incarnation = one->incarnation;
    void *bytes = NULL;
    size_t byte_count = 0;
    if (muster_wire_encode(message, &bytes, &byte_count) != MUSTER_OK ||
        zmq_send(one->socket, bytes, byte_count, 0) < 0)
        fail("a message could not be sent");
    free(bytes);
}

static void join(const crowd *all, agent *one)
{
    muster_message message = {.type = MUSTER_MESSAGE_JOIN};
    message.u.join.library_version = MUSTER_VERSION;
    message.u.join.slot_count = all->slot_count;
    message.u.join.process_id = 100000 + one->slot;
    message.u.join.host = 1 + (uint64_t)one->slot / 8;
    message.u.join.blob.bytes = MUSTER_BLOB_BYTES;
    say(all, one, &message);
}

static void reach(crowd *all, point which, uint64_t epoch)
{
    if (++all->reached[which] < all->alive)
        return;
    all->reached[which] = 0;
    printf("%s %llu %lld\n", point_names[which], (unsigned long long)epoch, (long long)now_ns());
    fflush(stdout);
}

static void answer(crowd *all, agent *one, muster_message_type type)
{
    muster_message message = {.type = type};
    if (type == MUSTER_MESSAGE_QUIET) {
        message.u.quiet.blob.bytes = MUSTER_BLOB_BYTES;
        message.u.quiet.members_epoch = one->epoch;
    }
    say(all, one, &message);
}

static void hear(crowd *all, agent *one, const uint8_t *bytes, size_t byte_count)
{
    if (byte_count < HEADER_BYTES) {
        fprintf(stderr, "scale_agents: a message of %zu bytes came\n", byte_count);
        exit(1);
    }
    uint64_t epoch = number_at(bytes, EPOCH_AT, 8);
    uint32_t type = (uint32_t)number_at(bytes, TYPE_AT, 4);
    one->term = number_at(bytes, TERM_AT, 8);
    switch (type) {
    case MUSTER_MESSAGE_WELCOME:
        one->incarnation = (uint32_t)number_at(bytes, INCARNATION_AT, 4);
        reach(all, POINT_JOINED, 0);
        return;
    case MUSTER_MESSAGE_AGREED:
        one->epoch = epoch;
        answer(all, one, MUSTER_MESSAGE_CONNECTED);
        reach(all, POINT_AGREED, epoch);
        return;
    case MUSTER_MESSAGE_ESTABLISHED:
        reach(all, POINT_ESTABLISHED, epoch);
        return;
    case MUSTER_MESSAGE_REVOKE:
        reach(all, POINT_REVOKED, epoch);
        answer(all, one, MUSTER_MESSAGE_QUIET);
        return;
    case MUSTER_MESSAGE_PING:
    case MUSTER_MESSAGE_NOTE:
        return;
    default:
        if (!one->silent) {
            fprintf(stderr, "scale_agents: slot %d was told %s: %.*s\n", one->slot,
                    muster_message_type_text(type), (int)(byte_count - HEADER_BYTES) - 8,
                    byte_count > HEADER_BYTES + 8 ? (const char *)bytes + HEADER_BYTES + 8 : "");
            exit(1);
        }
    }
}

static void listen(crowd *all, agent *one)
{
    for (;;) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, one->socket, ZMQ_DONTWAIT) < 0) {
            if (zmq_errno() != EAGAIN && zmq_errno() != EINTR)
                fail("receiving");
            zmq_msg_close(&message);
            return;
        }
        hear(all, one, zmq_msg_data(&message), zmq_msg_size(&message));
        zmq_msg_close(&message);
    }
}

static void beat(const crowd *all, agent *one)
{
    if (one->silent || one->incarnation == UINT32_MAX)
        return;
    muster_message message = {.type = MUSTER_MESSAGE_HEARTBEAT};
    message.u.heartbeat.activity.waiting = true;
    message.u.heartbeat.activity.communicator = 1;
    message.u.heartbeat.activity.sequence = 7;
    say(all, one, &message);
}

static void lose(crowd *all, int32_t slot, int32_t by)
{
    for (int i = 0; i < all->count; i++) {
        agent *one = &all->agents[i];
        if (one->slot == slot && !one->silent) {
            one->silent = true;
            all->alive--;
        }
        if (one->slot == by) {
            muster_message message = {.type = MUSTER_MESSAGE_EVIDENCE};
            message.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
            message.u.evidence.accused_slot = slot;
            say(all, one, &message);
            listen(all, one);
        }
    }
}

/* False: it is over. */
static bool command(crowd *all)
{
    char line[64];
    int slot;
    int by;
    if (fgets(line, sizeof(line), stdin) == NULL)
        return false;
    if (sscanf(line, "lose %d %d", &slot, &by) == 2)
        lose(all, slot, by);
    return strncmp(line, "quit", 4) != 0;
}

static void beat_who_must(crowd *all)
{
    int64_t now = now_ns();
    for (agent *one = &all->agents[all->next_beat]; one->beat_ns <= now;
         one = &all->agents[all->next_beat]) {
        one->beat_ns += all->heartbeat_ns;
        if (one->beat_ns < now) /* this process was held up: not everything at once afterwards */
            one->beat_ns = now + all->heartbeat_ns;
        beat(all, one);
        /* Sending takes in what ZeroMQ had to say, so that its descriptor is quiet about it. */
        listen(all, one);
        all->next_beat = (all->next_beat + 1) % all->count;
    }
}

/* Whoever has something to hear, for at most so long. False: standard input has. */
static bool look(crowd *all, int timeout_ms)
{
    struct epoll_event events[WAKES_AT_ONCE];
    bool input = false;
    int count = epoll_wait(all->epoll, events, WAKES_AT_ONCE, timeout_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL)
            input = true;
        else
            listen(all, events[i].data.ptr);
    }
    return !input;
}

static void watch(const crowd *all, int fd, agent *one)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = one}};
    if (epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("scale_agents: epoll");
        exit(1);
    }
}

static void open_agents(crowd *all, const char *endpoint, int32_t first)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    /* A socket of ZeroMQ takes an eventfd and its connection. */
    if (limit.rlim_max < 3 * (rlim_t)all->count + 64) {
        fprintf(
            stderr,
            "scale_agents: %d agents want %d descriptors, and a process may have %llu (ulimit -n); "
            "spread them over more processes\n",
            all->count, 3 * all->count + 64, (unsigned long long)limit.rlim_max);
        exit(1);
    }
    void *context = zmq_ctx_new();
    if (context == NULL || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, all->count + 16) != 0)
        fail("a context");
    int64_t began_ns = now_ns();
    for (int i = 0; i < all->count; i++) {
        agent *one = &all->agents[i];
        const int no_linger = 0;
        int fd = -1;
        size_t fd_bytes = sizeof(fd);
        one->slot = first + i;
        one->socket = zmq_socket(context, ZMQ_DEALER);
        if (one->socket == NULL ||
            zmq_setsockopt(one->socket, ZMQ_LINGER, &no_linger, sizeof(int)) != 0 ||
            zmq_getsockopt(one->socket, ZMQ_FD, &fd, &fd_bytes) != 0 ||
            zmq_connect(one->socket, endpoint) != 0)
            fail("a connection");
        watch(all, fd, one);
        join(all, one);
        listen(all, one);
        /* Spread over the period, as the heartbeats of processes that started at different times are. */
        one->beat_ns = began_ns + all->heartbeat_ns + all->heartbeat_ns * i / all->count;
        if (i % CONNECTS_AT_ONCE == 0)
            (void)look(all, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: scale_agents ENDPOINT JOB SLOTS FIRST COUNT HEARTBEAT_MS\n");
        return 2;
    }
    crowd all = {.job = muster_hash_text(argv[2]),
                 .slot_count = atoi(argv[3]),
                 .count = atoi(argv[5]),
                 .heartbeat_ns = atoll(argv[6]) * 1000000};
    all.alive = all.count;
    all.agents = calloc((size_t)all.count, sizeof(*all.agents));
    if (all.agents == NULL)
        fail("memory");
    for (int i = 0; i < all.count; i++)
        all.agents[i].incarnation = UINT32_MAX; /* to be assigned */
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all.epoll < 0) {
        perror("scale_agents: epoll");
        exit(1);
    }
    open_agents(&all, argv[1], atoi(argv[4]));
    watch(&all, STDIN_FILENO, NULL);
    for (bool going = true; going;) {
        if (!look(&all, LOOK_MS))
            going = command(&all);
        beat_who_must(&all);
    }
    _exit(0); /* thousands of sockets need not be taken down one by one */
}
