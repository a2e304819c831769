/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coordinator.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/error.h"
#include "coordinator/publish.h"
#include "coordinator/serving.h"
#include "operator/endpoint.h"
#include "operator/policy_options.h"

#define NS_PER_MS ((int64_t)1000000)
#define COORDINATOR_SLEEP_MS_MAX 60000
/* Bytes that a coordinator still sends when it ends. */
#define COORDINATOR_LINGER_MS 200
#define COORDINATOR_QUEUE_MESSAGES 1000
/* What waits for us of one peer, in ZeroMQ: little, because it may be large. The kernel's buffers and the
 * peer's own queue hold the rest back. */
#define COORDINATOR_RECEIVE_MESSAGES 64
/* The longest that a peer has to say: the members of the largest job, when it joins again. */
#define COORDINATOR_MESSAGE_BYTES_MAX ((int64_t)MUSTER_SLOTS_MAX * (MUSTER_BLOB_BYTES + 64) + 65536)
/* All ranks of the largest job at once; the kernel takes the less of this and net.core.somaxconn. */
#define COORDINATOR_BACKLOG MUSTER_SLOTS_MAX
#define COORDINATOR_TERM_CHANCE_BITS 10

/* The wall clock, so that a coordinator that lost its journal still comes with a higher term; and some
 * bits of chance, so that two that start in the same millisecond do not come with the same. What comes
 * out is a whole number in every reader's JSON for the next 200 years. */
static uint64_t coordinator_term_floor(void)
{
    struct timespec now;
    uint32_t chance = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    (void)!getrandom(&chance, sizeof chance, GRND_NONBLOCK); /* none: then without */
    uint64_t wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return (wall_ms << COORDINATOR_TERM_CHANCE_BITS) |
           (chance & ((1u << COORDINATOR_TERM_CHANCE_BITS) - 1));
}

void muster_coordinator_options_init(muster_coordinator_options *options)
{
    memset(options, 0, sizeof *options);
    muster_policy_defaults(&options->policy);
    options->stop_fd = -1;
}

static bool coordinator_set(void *router, int option, int value)
{
    return zmq_setsockopt(router, option, &value, sizeof value) == 0;
}

static muster_status coordinator_make_router(muster_coordinator *coordinator, muster_error *error)
{
    const int64_t message_bytes_max = COORDINATOR_MESSAGE_BYTES_MAX;
    coordinator->context = zmq_ctx_new();
    if (coordinator->context != NULL)
        coordinator->router = zmq_socket(coordinator->context, ZMQ_ROUTER);
    void *router = coordinator->router;
    if (router == NULL || !coordinator_set(router, ZMQ_LINGER, COORDINATOR_LINGER_MS) ||
        !coordinator_set(router, ZMQ_ROUTER_MANDATORY, 1) ||
        !coordinator_set(router, ZMQ_SNDHWM, COORDINATOR_QUEUE_MESSAGES) ||
        !coordinator_set(router, ZMQ_RCVHWM, COORDINATOR_RECEIVE_MESSAGES) ||
        !coordinator_set(router, ZMQ_BACKLOG, COORDINATOR_BACKLOG) ||
        !coordinator_set(router, ZMQ_TCP_KEEPALIVE, 1) ||
        zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &message_bytes_max, sizeof message_bytes_max) != 0)
        return muster_error_set_errno(error, zmq_errno(), "making the coordinator's socket");
    muster_status status = muster_gate_open(coordinator->context, router, coordinator->options.keys,
                                            coordinator->options.allowed, &coordinator->counters,
                                            &coordinator->gate, error);
    if (status != MUSTER_OK)
        return status;
    return muster_peers_open(coordinator->context, router, coordinator->gate, &coordinator->peers,
                             error);
}

static muster_status coordinator_bind(muster_coordinator *coordinator, const char *endpoint,
                                      muster_error *error)
{
    const char *path = muster_endpoint_ipc_path(endpoint);
    size_t bytes = sizeof coordinator->endpoint;
    int reason = 0;
    if (path != NULL && muster_endpoint_ipc_taken(path))
        reason = EADDRINUSE;
    else if (zmq_bind(coordinator->router, endpoint) != 0)
        reason = zmq_errno();
    if (reason == EADDRINUSE)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "endpoint '%.120s' is taken: another coordinator or program "
                                "listens there; stop it or choose another endpoint",
                                endpoint);
    if (reason != 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "endpoint '%.120s' cannot be bound: %s", endpoint,
                                zmq_strerror(reason));
    if (zmq_getsockopt(coordinator->router, ZMQ_LAST_ENDPOINT, coordinator->endpoint, &bytes) != 0)
        return muster_error_set_errno(error, zmq_errno(), "asking for the bound endpoint");
    return muster_error_set_ok(error);
}

static void coordinator_open_tracer(muster_coordinator *coordinator)
{
    const muster_trace_identity who = {.slot = MUSTER_SLOT_NONE};
    muster_error error;
    muster_error_init(&error);
    if (muster_tracer_open(&coordinator->tracer, coordinator->options.trace, &who, &error) !=
        MUSTER_OK)
        fprintf(stderr, "muster coordinator: %s\n", error.message);
}

static muster_status coordinator_set_up(muster_coordinator *coordinator, muster_error *error)
{
    const muster_coordinator_options *options = &coordinator->options;
    muster_status status = muster_endpoint_check(options->endpoint, true, error);
    if (status == MUSTER_OK)
        status = muster_policy_check(&options->policy, error);
    if (status == MUSTER_OK)
        status = muster_event_log_open(&coordinator->events, options->events, error);
    if (status == MUSTER_OK) {
        coordinator->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (coordinator->wake_fd < 0)
            status = muster_error_set_errno(error, errno, "making an eventfd");
    }
    if (status == MUSTER_OK)
        status = coordinator_make_router(coordinator, error);
    /* The journal before the bind: nobody is served under an old term. */
    const muster_journal_options journal = {.path = options->journal,
                                            .no_sync = options->journal_no_sync,
                                            .copied = options->journal_copied,
                                            .term_floor = coordinator_term_floor()};
    if (status == MUSTER_OK)
        status = muster_journal_open(&coordinator->journal, &journal, error);
    if (status == MUSTER_OK) {
        if (coordinator->journal.cut_bytes > 0)
            fprintf(stderr,
                    "muster coordinator: the last %llu bytes of the journal were not written to "
                    "their end, and are left out: nobody had heard of them\n",
                    (unsigned long long)coordinator->journal.cut_bytes);
        coordinator->term = coordinator->journal.content.term;
        status = muster_serving_restore(coordinator, error);
    }
    if (status == MUSTER_OK)
        status = coordinator_bind(coordinator, options->endpoint, error);
    /* Last: whoever asks whether it is alive is answered by one that serves. */
    if (status == MUSTER_OK)
        status = muster_http_open(options->http, options->http_count, &coordinator->http, error);
    return status;
}

muster_status muster_coordinator_open(const muster_coordinator_options *options,
                                      muster_coordinator **coordinator, muster_error *error)
{
    muster_coordinator *opened = calloc(1, sizeof *opened);
    *coordinator = NULL;
    if (opened == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a coordinator");
    opened->options = *options;
    opened->wake_fd = -1;
    opened->started_ns = muster_serving_clock_ns();
    opened->journal.fd = -1;
    muster_error_init(&opened->failure);
    muster_core_actions_init(&opened->actions);
    muster_status status = coordinator_set_up(opened, error);
    /* The caller's strings are not read any more. */
    opened->options.endpoint = NULL;
    opened->options.journal = NULL;
    opened->options.keys = NULL;
    opened->options.allowed = NULL;
    opened->options.events = NULL;
    opened->options.http_count = 0;
    if (status != MUSTER_OK) {
        muster_coordinator_stop(opened);
        return status;
    }
    coordinator_open_tracer(opened);
    *coordinator = opened;
    return muster_error_set_ok(error);
}

/* How long to sleep: rounded up, so that a deadline has passed when we wake. */
static long coordinator_sleep_ms(const muster_coordinator *coordinator, int64_t now_ns)
{
    int64_t deadline_ns = muster_jobs_deadline(&coordinator->jobs);
    if (deadline_ns <= now_ns || !muster_inbox_empty(&coordinator->inbox))
        return 0;
    int64_t left_ns = deadline_ns - now_ns;
    if (left_ns > COORDINATOR_SLEEP_MS_MAX * NS_PER_MS)
        return COORDINATOR_SLEEP_MS_MAX;
    return (long)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
}

muster_status muster_coordinator_serve(muster_coordinator *coordinator, muster_error *error)
{
    zmq_pollitem_t items[6] = {
        {.fd = coordinator->wake_fd, .events = ZMQ_POLLIN},
        {.socket = coordinator->router, .events = ZMQ_POLLIN},
        {.socket = muster_peers_monitor(coordinator->peers), .events = ZMQ_POLLIN},
    };
    int item_count = 3;
    int stop_at = 0; /* as if woken */
    if (coordinator->options.stop_fd >= 0) {
        stop_at = item_count++;
        items[stop_at] = (zmq_pollitem_t){.fd = coordinator->options.stop_fd, .events = ZMQ_POLLIN};
    }
    if (muster_gate_socket(coordinator->gate) != NULL)
        items[item_count++] =
            (zmq_pollitem_t){.socket = muster_gate_socket(coordinator->gate), .events = ZMQ_POLLIN};
    if (coordinator->http != NULL)
        items[item_count++] =
            (zmq_pollitem_t){.fd = muster_http_wanted_fd(coordinator->http), .events = ZMQ_POLLIN};
    for (;;) {
        muster_serving_turn(coordinator);
        muster_publish_turn(coordinator);
        if (coordinator->failure.status != MUSTER_OK) {
            if (error != NULL)
                *error = coordinator->failure;
            return coordinator->failure.status;
        }
        if (zmq_poll(items, item_count,
                     coordinator_sleep_ms(coordinator, muster_serving_clock_ns())) < 0 &&
            zmq_errno() != EINTR)
            return muster_error_set_errno(error, zmq_errno(), "waiting for messages");
        if (items[0].revents != 0 || items[stop_at].revents != 0)
            return muster_error_set_ok(error);
    }
}

static void *coordinator_thread(void *argument)
{
    muster_coordinator *coordinator = argument;
    muster_error error;
    muster_error_init(&error);
    if (muster_coordinator_serve(coordinator, &error) != MUSTER_OK)
        fprintf(stderr, "muster coordinator: %s\n", error.message);
    return NULL;
}

muster_status muster_coordinator_start(const muster_coordinator_options *options,
                                       muster_coordinator **coordinator, muster_error *error)
{
    muster_coordinator *opened = NULL;
    *coordinator = NULL;
    muster_status status = muster_coordinator_open(options, &opened, error);
    if (status != MUSTER_OK)
        return status;
    MUSTER_ASSERT(opened != NULL);
    int reason = pthread_create(&opened->thread, NULL, coordinator_thread, opened);
    if (reason != 0) {
        muster_coordinator_stop(opened);
        return muster_error_set_errno(error, reason, "starting the coordinator's thread");
    }
    opened->has_thread = true;
    *coordinator = opened;
    return muster_error_set_ok(error);
}

void muster_coordinator_stop(muster_coordinator *coordinator)
{
    if (coordinator == NULL)
        return;
    if (coordinator->has_thread) {
        const uint64_t one = 1;
        ssize_t written = write(coordinator->wake_fd, &one, sizeof one);
        (void)written; /* an eventfd that was never read takes it */
        pthread_join(coordinator->thread, NULL);
    }
    muster_serving_write_refusals(coordinator, muster_serving_clock_ns(), true);
    muster_http_close(coordinator->http);
    muster_inbox_clean_up(&coordinator->inbox);
    muster_jobs_clean_up(&coordinator->jobs);
    muster_core_actions_clean_up(&coordinator->actions);
    muster_peers_close(coordinator->peers);
    muster_gate_close(coordinator->gate);
    /* ZeroMQ leaves the file of its socket behind. It is ours as long as we listen: whoever wants the
     * path asks first. */
    const char *path = muster_endpoint_ipc_path(coordinator->endpoint);
    if (path != NULL)
        unlink(path);
    if (coordinator->router != NULL)
        zmq_close(coordinator->router);
    if (coordinator->context != NULL)
        zmq_ctx_term(coordinator->context);
    muster_journal_close(&coordinator->journal);
    muster_event_log_close(&coordinator->events);
    muster_tracer_close(&coordinator->tracer);
    if (coordinator->wake_fd >= 0)
        close(coordinator->wake_fd);
    free(coordinator);
}

const char *muster_coordinator_endpoint(const muster_coordinator *coordinator)
{
    return coordinator->endpoint;
}

const char *muster_coordinator_http(const muster_coordinator *coordinator, size_t index)
{
    return muster_http_address_at(coordinator->http, index);
}

uint64_t muster_coordinator_term(const muster_coordinator *coordinator)
{
    return coordinator->term;
}

muster_refusals muster_coordinator_refusals(const muster_coordinator *coordinator)
{
    muster_refusals refusals;
#define COUNTER_READ(name, sentence) refusals.name = atomic_load(&coordinator->counters.name);
    MUSTER_COUNTER_LIST(COUNTER_READ)
#undef COUNTER_READ
    return refusals;
}

void muster_refusals_text(const muster_refusals *refusals, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
#define COUNTER_TEXT(name, sentence) \
    if (refusals->name > 0 && used < text_bytes) \
        used += \
            (size_t)snprintf(text + used, text_bytes - used, "%s%llu %s", used > 0 ? "; " : "", \
                             (unsigned long long)refusals->name, sentence);
    MUSTER_COUNTER_LIST(COUNTER_TEXT)
#undef COUNTER_TEXT
}
