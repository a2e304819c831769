/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent_state.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/host_id.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "keys/key_file.h"

#define AGENT_LINGER_MS 200
#define AGENT_WAIT_MAX_NS ((int64_t)3600 * 1000000000)

void muster_membership_clean_up(muster_membership *membership)
{
    muster_message_clean_up(&membership->agreed);
    memset(membership, 0, sizeof *membership);
}

void muster_agent_nudge(muster_agent *agent)
{
    uint64_t one = 1;
    (void)!write(agent->wake_fd, &one, sizeof one); /* full means that it wakes anyway */
}

/* Waits for a change with the mutex held; false when deadline_ns has passed. */
static bool agent_await_change(muster_agent *agent, int64_t deadline_ns)
{
    int64_t now_ns = muster_agent_now_ns();
    if (now_ns >= deadline_ns) {
        return false;
    }
    if (deadline_ns - now_ns > AGENT_WAIT_MAX_NS) {
        deadline_ns = now_ns + AGENT_WAIT_MAX_NS;
    }
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                             .tv_nsec = (long)(deadline_ns % 1000000000)};
    (void)pthread_cond_timedwait(&agent->changed, &agent->mutex, &until);
    return true;
}

static muster_agent *agent_new(const muster_agent_options *options)
{
    muster_agent *agent = calloc(1, sizeof *agent);
    if (!agent) {
        return NULL;
    }
    agent->coordinator = strdup(options->coordinator);
    if (!agent->coordinator) {
        free(agent);
        return NULL;
    }
    const muster_protocol_identity identity = {
        .coordinator = agent->coordinator,
        .job = muster_hash_text(options->job_name),
        .slot = options->slot,
        .slot_count = options->slot_count,
        .incarnation = options->incarnation,
        .process_id = (int32_t)getpid(),
        .host = muster_host_id(options->host_id),
        .blob = options->blob,
    };
    muster_protocol_init(&agent->protocol, &identity);
    agent->wake_fd = -1;
    agent->revoke_fd = -1;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&agent->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&agent->mutex, NULL);
    pthread_mutex_init(&agent->wake_mutex, NULL);
    return agent;
}

static void agent_free(muster_agent *agent)
{
    if (agent->wake_fd >= 0) {
        close(agent->wake_fd);
    }
    if (agent->revoke_fd >= 0) {
        close(agent->revoke_fd);
    }
    pthread_mutex_destroy(&agent->wake_mutex);
    pthread_mutex_destroy(&agent->mutex);
    pthread_cond_destroy(&agent->changed);
    muster_protocol_clean_up(&agent->protocol);
    free(agent->coordinator);
    free(agent);
}

static void agent_finish(muster_agent *agent, int linger_ms)
{
    pthread_mutex_lock(&agent->mutex);
    agent->stop = true;
    pthread_mutex_unlock(&agent->mutex);
    muster_agent_nudge(agent);
    pthread_join(agent->thread, NULL);
    muster_link_close(&agent->link, linger_ms);
    agent_free(agent);
}

/* Descriptors, link and thread. All signals are blocked around it, so that neither this thread nor
 * ZeroMQ's ever takes one that is meant for the application. */
static muster_status agent_run(muster_agent *agent, const muster_agent_options *options,
                               muster_error *error)
{
    muster_client_keys keys;
    muster_status read =
        muster_client_keys_read(options->coordinator_key, options->key_file, &keys, error);
    if (read != MUSTER_OK) {
        return read;
    }
    agent->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    agent->revoke_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (agent->wake_fd < 0 || agent->revoke_fd < 0) {
        muster_client_keys_wipe(&keys);
        return muster_error_set_errno(error, errno, "creating an eventfd for the agent");
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    muster_status status = muster_link_open(&agent->link, agent->coordinator, &keys, error);
    muster_client_keys_wipe(&keys);
    if (status == MUSTER_OK) {
        int failure = pthread_create(&agent->thread, NULL, muster_agent_thread, agent);
        if (failure != 0) {
            muster_link_close(&agent->link, 0);
            status = muster_error_set_errno(error, failure, "starting the agent thread");
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static muster_status agent_no_coordinator(const muster_agent *agent, const char *meanwhile,
                                          muster_error *error)
{
    if (agent->trouble != NULL) {
        return muster_error_set(error, MUSTER_ERR_NO_COORDINATOR, MUSTER_FIELD_TIMEOUT, 0, 0,
                                "the coordinator at %.100s does not talk to us%s: %s",
                                agent->coordinator, meanwhile, agent->trouble);
    }
    return muster_error_set(error, MUSTER_ERR_NO_COORDINATOR, MUSTER_FIELD_TIMEOUT, 0, 0,
                            "no coordinator answers at %.100s%s; check that it runs there (muster "
                            "coordinator, or muster run) and that MUSTER_COORDINATOR names it",
                            agent->coordinator, meanwhile);
}

/* Blocks until the first JOIN is answered. */
static muster_status agent_await_welcome(muster_agent *agent, const muster_agent_options *options,
                                         muster_error *error)
{
    int64_t contact_deadline_ns = options->deadline_ns;
    if (options->contact_timeout_ns > 0) {
        int64_t now_ns = muster_agent_now_ns();
        if (options->contact_timeout_ns < contact_deadline_ns - now_ns) {
            contact_deadline_ns = now_ns + options->contact_timeout_ns;
        }
    }
    muster_status status = MUSTER_OK;
    pthread_mutex_lock(&agent->mutex);
    for (;;) {
        if (agent->protocol.refused.status != MUSTER_OK) {
            status = agent->protocol.refused.status;
            if (error) {
                size_t struct_bytes = error->struct_bytes;
                *error = agent->protocol.refused;
                error->struct_bytes = struct_bytes;
            }
            break;
        }
        if (agent->protocol.joined) {
            break;
        }
        if (!agent_await_change(agent, agent->protocol.heard ? options->deadline_ns
                                                             : contact_deadline_ns)) {
            status = agent->protocol.heard
                         ? muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT, 0, 0,
                                            "the coordinator at %.100s did not answer the join in "
                                            "time: it is busy, or the job has no place yet; give a "
                                            "longer MUSTER_JOIN_TIMEOUT_MS",
                                            agent->coordinator)
                         : agent_no_coordinator(agent, "", error);
            break;
        }
    }
    pthread_mutex_unlock(&agent->mutex);
    return status;
}

muster_status muster_agent_start(const muster_agent_options *options, muster_agent **agent_out,
                                 muster_error *error)
{
    MUSTER_ASSERT(options->coordinator && options->job_name);
    MUSTER_ASSERT(options->slot >= MUSTER_SLOT_SPARE_WIRE && options->slot < MUSTER_SLOTS_MAX);
    *agent_out = NULL;
    muster_agent *agent = agent_new(options);
    if (!agent) {
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "memory ran out for the agent");
    }
    muster_status status = agent_run(agent, options, error);
    if (status != MUSTER_OK) {
        agent_free(agent);
        return status;
    }
    status = agent_await_welcome(agent, options, error);
    if (status != MUSTER_OK) {
        agent_finish(agent, 0);
        return status;
    }
    *agent_out = agent;
    return muster_error_set_ok(error);
}

int32_t muster_agent_slot(const muster_agent *agent)
{
    return (int32_t)atomic_load(&agent->protocol.slot);
}

uint32_t muster_agent_incarnation(const muster_agent *agent)
{
    return (uint32_t)atomic_load(&agent->protocol.incarnation);
}

muster_policy muster_agent_policy(const muster_agent *agent)
{
    return agent->protocol.policy;
}

uint64_t muster_agent_term(const muster_agent *agent)
{
    return atomic_load(&agent->protocol.term);
}

void muster_agent_set_wake(muster_agent *agent, void (*wake)(void *context), void *context)
{
    pthread_mutex_lock(&agent->wake_mutex);
    agent->wake = wake;
    agent->wake_context = context;
    pthread_mutex_unlock(&agent->wake_mutex);
}

bool muster_agent_revoked(const muster_agent *agent, uint64_t epoch)
{
    return muster_protocol_revoked(&agent->protocol, epoch);
}

muster_status muster_agent_standing(const muster_agent *agent)
{
    return muster_protocol_standing(&agent->protocol);
}

int muster_agent_revoke_fd(const muster_agent *agent)
{
    return agent->revoke_fd;
}

int32_t muster_agent_deaths(const muster_agent *agent, uint64_t epoch, muster_death *deaths,
                            int32_t capacity)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)&agent->mutex; /* asking changes nothing else */
    pthread_mutex_lock(mutex);
    int32_t count = muster_deaths_list(&agent->protocol.deaths, epoch, deaths, capacity);
    pthread_mutex_unlock(mutex);
    return count;
}

static muster_status agent_standing_error(const muster_agent *agent, muster_error *error)
{
    if (muster_agent_standing(agent) == MUSTER_OK) {
        return MUSTER_OK;
    }
    return muster_error_set(error, agent->protocol.ending, MUSTER_FIELD_EPOCH, 0,
                            (int64_t)atomic_load(&agent->protocol.epoch), "%s: %s",
                            muster_status_text(agent->protocol.ending),
                            agent->protocol.standing_text);
}

/* The deadline of a wait has passed: says whose fault it was. */
static muster_status agent_wait_failed(const muster_agent *agent, const char *what, uint64_t epoch,
                                       muster_error *error)
{
    if (!agent->protocol.contact || agent->protocol.join_pending) {
        return agent_no_coordinator(agent, " any more", error);
    }
    const char *awaited = agent->protocol.awaited;
    if (awaited[0] != '\0') {
        return muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_EPOCH, (int64_t)epoch,
                                (int64_t)atomic_load(&agent->protocol.epoch),
                                "the deadline passed before %s: the job waits for %.120s; see that "
                                "all are started and live",
                                what, awaited);
    }
    return muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_EPOCH, (int64_t)epoch,
                            (int64_t)atomic_load(&agent->protocol.epoch),
                            "the deadline passed before %s; the coordinator at %.80s is there, so "
                            "other ranks are missing: see that all are started and live",
                            what, agent->coordinator);
}

static muster_status agent_copy_membership(const muster_agent *agent, muster_membership *membership,
                                           muster_error *error)
{
    memset(membership, 0, sizeof *membership);
    if (!muster_message_copy(&membership->agreed, &agent->protocol.agreed)) {
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "memory ran out for the members of epoch %llu",
                                (unsigned long long)agent->protocol.agreed.epoch);
    }
    membership->epoch = agent->protocol.agreed.epoch;
    membership->term = agent->protocol.agreed.term;
    return muster_error_set_ok(error);
}

muster_status muster_agent_await_agreed(muster_agent *agent, uint64_t after_epoch,
                                        int64_t deadline_ns, muster_membership *membership,
                                        muster_error *error)
{
    pthread_mutex_lock(&agent->mutex);
    muster_status status = MUSTER_OK;
    bool over = muster_protocol_agreed(&agent->protocol, after_epoch, &status);
    while (!over && agent_await_change(agent, deadline_ns)) {
        over = muster_protocol_agreed(&agent->protocol, after_epoch, &status);
    }
    if (!over) {
        status = agent_wait_failed(agent, "the next epoch was agreed", after_epoch + 1, error);
    } else if (status == MUSTER_OK) {
        status = agent_copy_membership(agent, membership, error);
    } else {
        status = agent_standing_error(agent, error);
    }
    pthread_mutex_unlock(&agent->mutex);
    return status;
}

static muster_status agent_lost_while_connecting(const muster_agent *agent, uint64_t epoch,
                                                 muster_error *error)
{
    muster_death death = {.slot = MUSTER_SLOT_NONE};
    (void)muster_deaths_list(&agent->protocol.deaths, epoch, &death, 1);
    return muster_error_set(error, MUSTER_ERR_RANK_LOST, MUSTER_FIELD_SLOT, 0, death.slot,
                            "epoch %llu was revoked before all its ranks were connected (slot %d: "
                            "%s); take part in the next rebuild",
                            (unsigned long long)epoch, death.slot,
                            muster_evidence_text((muster_evidence)death.evidence));
}

muster_status muster_agent_await_established(muster_agent *agent, uint64_t epoch,
                                             int64_t deadline_ns, muster_error *error)
{
    muster_protocol *protocol = &agent->protocol;
    pthread_mutex_lock(&agent->mutex);
    muster_status status = MUSTER_OK;
    bool over = muster_protocol_established(protocol, epoch, &status);
    bool said = over || muster_protocol_connected(protocol, epoch);
    muster_agent_nudge(agent);
    while (said && !over && agent_await_change(agent, deadline_ns)) {
        over = muster_protocol_established(protocol, epoch, &status);
    }
    if (!said) {
        status = muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                  "memory ran out for a message to the coordinator");
    } else if (!over) {
        status = agent_wait_failed(agent, "every rank was connected", epoch, error);
    } else if (muster_protocol_standing(protocol) != MUSTER_OK) {
        status = agent_standing_error(agent, error);
    } else if (status == MUSTER_ERR_RANK_LOST) {
        status = agent_lost_while_connecting(agent, epoch, error);
    } else {
        muster_error_set_ok(error);
    }
    pthread_mutex_unlock(&agent->mutex);
    return status;
}

/* Takes over *message. */
static void agent_report(muster_agent *agent, muster_message *message)
{
    pthread_mutex_lock(&agent->mutex);
    muster_protocol_report(&agent->protocol, message);
    pthread_mutex_unlock(&agent->mutex);
    muster_agent_nudge(agent);
}

void muster_agent_quiet(muster_agent *agent, uint64_t epoch, uint64_t released_ns,
                        const muster_blob *blob, const muster_holding *holdings,
                        int32_t holding_count)
{
    pthread_mutex_lock(&agent->mutex);
    muster_protocol_quiet(&agent->protocol, epoch, released_ns, blob, holdings, holding_count);
    pthread_mutex_unlock(&agent->mutex);
    muster_agent_nudge(agent);
}

static void agent_accuse(muster_agent *agent, muster_evidence evidence, int32_t slot,
                         uint32_t incarnation)
{
    muster_message message = muster_protocol_header(&agent->protocol, MUSTER_MESSAGE_EVIDENCE);
    message.u.evidence.evidence = evidence;
    message.u.evidence.accused_slot = slot;
    message.u.evidence.accused_incarnation = incarnation;
    agent_report(agent, &message);
}

void muster_agent_report_dying(muster_agent *agent, int32_t slot, uint32_t incarnation)
{
    agent_accuse(agent, MUSTER_EVIDENCE_ROBUST_FUTEX, slot, incarnation);
}

void muster_agent_report_unreachable(muster_agent *agent, int32_t slot, uint32_t incarnation)
{
    agent_accuse(agent, MUSTER_EVIDENCE_CONNECTION_LOST, slot, incarnation);
}

void muster_agent_report_batch_deadline(muster_agent *agent, int32_t slot, uint32_t incarnation,
                                        uint64_t communicator, uint64_t sequence, uint32_t call)
{
    muster_message message = muster_protocol_header(&agent->protocol, MUSTER_MESSAGE_EVIDENCE);
    message.u.evidence.evidence = MUSTER_EVIDENCE_BATCH_DEADLINE;
    message.u.evidence.accused_slot = slot;
    message.u.evidence.accused_incarnation = incarnation;
    message.u.evidence.communicator = communicator;
    message.u.evidence.sequence = sequence;
    message.u.evidence.call = call;
    agent_report(agent, &message);
}

void muster_agent_report_committed(muster_agent *agent, uint64_t step)
{
    muster_activity_committed(&agent->protocol.marks, step);
    muster_message message = muster_protocol_header(&agent->protocol, MUSTER_MESSAGE_COMMITTED);
    message.u.committed.step = step;
    agent_report(agent, &message);
}

void muster_agent_report_resumed(muster_agent *agent, uint64_t returned_ns, uint64_t first_batch_ns)
{
    muster_message message = muster_protocol_header(&agent->protocol, MUSTER_MESSAGE_RESUMED);
    message.u.resumed.returned_ns = returned_ns;
    message.u.resumed.first_batch_ns = first_batch_ns;
    agent_report(agent, &message);
}

void muster_agent_progress(muster_agent *agent)
{
    muster_activity_progress(&agent->protocol.marks);
}

void muster_agent_waiting(muster_agent *agent, uint64_t communicator, uint64_t sequence,
                          uint32_t call, uint64_t since_ns)
{
    muster_activity_waiting(&agent->protocol.marks, communicator, sequence, call, since_ns);
}

void muster_agent_not_waiting(muster_agent *agent)
{
    muster_activity_not_waiting(&agent->protocol.marks);
}

void muster_agent_completed(muster_agent *agent, uint64_t communicator, uint64_t sequence,
                            uint32_t call)
{
    muster_activity_completed(&agent->protocol.marks, communicator, sequence, call);
}

muster_status muster_agent_leave(muster_agent *agent, muster_error *error)
{
    int64_t deadline_ns = muster_agent_now_ns() + agent->protocol.policy.deadlines.leave_ns;
    pthread_mutex_lock(&agent->mutex);
    muster_protocol_leave(&agent->protocol);
    muster_agent_nudge(agent);
    while (!muster_protocol_left(&agent->protocol) && agent_await_change(agent, deadline_ns)) {
    }
    bool heard = muster_protocol_left(&agent->protocol);
    pthread_mutex_unlock(&agent->mutex);
    muster_status status =
        heard ? muster_error_set_ok(error)
              : agent_no_coordinator(agent, ", so that it will take this leave for a death", error);
    agent_finish(agent, heard ? 0 : AGENT_LINGER_MS);
    return status;
}

void muster_agent_stop(muster_agent *agent)
{
    agent_finish(agent, 0);
}
