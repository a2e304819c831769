/* SPDX-License-Identifier: Apache-2.0 */
/* A job as one rank holds it: join, leave, and what can be asked in between. */
#include <muster/job.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "comm/clock.h"
#include "comm/comm.h"
#include "comm/membership.h"
#include "comm/progress_thread.h"
#include "comm/refusal.h"
#include "core/message.h"
#include "scope/step_store.h"
#include "transport/plane/plane.h"

#define JOIN_TIMEOUT_DEFAULT_NS INT64_C(120000000000)
/* A coordinator that is there answers at once; one that is being restarted needs a moment. */
#define CONTACT_TIMEOUT_NS INT64_C(10000000000)

static muster_status check_options(const muster_job_options *options, muster_error *error)
{
    if (options->struct_bytes != sizeof(*options))
        return muster_error_set(error, MUSTER_ERR_STRUCT_SIZE, MUSTER_FIELD_STRUCT_BYTES,
                                (int64_t)sizeof(*options), (int64_t)options->struct_bytes,
                                "options->struct_bytes is not sizeof(muster_job_options); fill it "
                                "with muster_job_options_init");
    if (memchr(options->coordinator, '\0', sizeof(options->coordinator)) == NULL ||
        options->coordinator[0] == '\0')
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "options->coordinator is no endpoint; give tcp://HOST:PORT or "
                                "ipc://PATH");
    if (memchr(options->host_address, '\0', sizeof(options->host_address)) == NULL ||
        memchr(options->host_id, '\0', sizeof(options->host_id)) == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "options->host_address and host_id take at most %d characters",
                                MUSTER_NAME_BYTES - 1);
    if (memchr(options->job_name, '\0', sizeof(options->job_name)) == NULL ||
        options->job_name[0] == '\0')
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_JOB, 0, 0,
                                "options->job_name is empty or too long; give 1 to %d characters",
                                MUSTER_NAME_BYTES - 1);
    if (memchr(options->coordinator_key, '\0', sizeof(options->coordinator_key)) == NULL ||
        memchr(options->key_file, '\0', sizeof(options->key_file)) == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "options->coordinator_key or options->key_file has no end; give "
                                "paths of at most %d bytes, or leave both empty",
                                MUSTER_PATH_BYTES - 1);
    if (options->slot_count < 1 || options->slot_count > MUSTER_SLOTS_MAX)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_SLOT,
                                MUSTER_SLOTS_MAX, options->slot_count,
                                "options->slot_count must be 1 to %d", MUSTER_SLOTS_MAX);
    if (options->slot != MUSTER_SLOT_SPARE &&
        (options->slot < 0 || options->slot >= options->slot_count))
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_SLOT,
                                options->slot_count - 1, options->slot,
                                "options->slot must be 0 to %d, or MUSTER_SLOT_SPARE",
                                options->slot_count - 1);
    muster_status device = muster_device_plane_check(options, error);
    if (device != MUSTER_OK)
        return device;
    if (options->join_timeout_ns < 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_TIMEOUT, 0,
                                options->join_timeout_ns,
                                "options->join_timeout_ns must be >= 0 (0: the default)");
    return MUSTER_OK;
}

/* One byte that reads 1 here and 0 in every forked child: cheaper than getpid in each call. */
static muster_status make_fork_mark(muster_job *job, muster_error *error)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *page =
        mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return muster_error_set_errno(error, ENOMEM, "mapping the mark against forks");
    if (madvise(page, page_bytes, MADV_WIPEONFORK) != 0) {
        muster_status status =
            muster_error_set_errno(error, errno, "marking a page to be wiped on fork");
        munmap(page, page_bytes);
        return status;
    }
    *page = 1;
    job->not_forked = page;
    return MUSTER_OK;
}

/* On the agent thread, at the moment at which the rank hears of it: so with an identity of its own,
 * since the working thread may be changing the job's. */
static void trace_revoke(muster_job *job)
{
    uint64_t epoch = atomic_load(&job->epoch);
    if (job->tracer.table == NULL || job->revoke_traced == epoch ||
        !muster_agent_revoked(job->agent, epoch))
        return;
    job->revoke_traced = epoch;
    const muster_trace_identity who = {.job = job->hash,
                                       .slot = muster_agent_slot(job->agent),
                                       .incarnation = muster_agent_incarnation(job->agent),
                                       .epoch = epoch};
    job->tracer.table->recovery(&who, MUSTER_NOTE_REVOKED, epoch, who.slot, who.incarnation,
                                MUSTER_EVIDENCE_NONE, 0);
}

static bool device_epoch_is_over(void *context, uint64_t epoch)
{
    const muster_job *job = context;
    return muster_agent_revoked(job->agent, epoch) ||
           muster_agent_standing(job->agent) != MUSTER_OK;
}

static void wake_sleepers(void *context)
{
    muster_job *job = context;
    muster_device_plane_revoke_epoch(&job->device, muster_job_keeps_devices(job),
                                     device_epoch_is_over, job);
    pthread_mutex_lock(&job->comms_lock);
    for (muster_comm *comm = job->comms; comm != NULL; comm = comm->next)
        if (comm->transport != NULL)
            job->table->wake(comm->transport);
    pthread_mutex_unlock(&job->comms_lock);
    trace_revoke(job);
}

static void report_dying(void *context, int32_t slot, uint32_t incarnation)
{
    muster_job *job = context;
    muster_agent *agent = atomic_load(&job->agent_for_watch);
    if (agent != NULL)
        muster_agent_report_dying(agent, slot, incarnation);
}

static void report_unreachable(void *context, int32_t slot, uint32_t incarnation)
{
    muster_job *job = context;
    muster_agent *agent = atomic_load(&job->agent_for_watch);
    if (agent != NULL)
        muster_agent_report_unreachable(agent, slot, incarnation);
}

static muster_status open_endpoint(muster_job *job, muster_error *error)
{
    job->table = muster_plane_table();
    muster_transport_endpoint_options options = {
        .job = job->hash,
        .slot = job->options.slot,
        .incarnation = job->options.incarnation,
        .on_peer_dying = report_dying,
        .context = job,
        .host_id = job->options.host_id,
        .host_address = job->options.host_address,
        .coordinator = job->options.coordinator,
        .on_peer_unreachable = report_unreachable,
    };
    return job->table->endpoint_open(&options, &job->endpoint, error);
}

static muster_status start_agent(muster_job *job, int64_t deadline_ns, muster_error *error)
{
    muster_transport_blob blob;
    job->table->endpoint_blob(job->endpoint, &blob);
    int64_t timeout_ns = deadline_ns - muster_clock_now_ns();
    muster_agent_options options = {
        .coordinator = job->options.coordinator,
        .coordinator_key = job->options.coordinator_key,
        .key_file = job->options.key_file,
        .job_name = job->options.job_name,
        .slot = job->options.slot,
        .slot_count = job->options.slot_count,
        .incarnation = job->options.incarnation,
        .host_id = job->options.host_id,
        .contact_timeout_ns = timeout_ns < CONTACT_TIMEOUT_NS ? timeout_ns : CONTACT_TIMEOUT_NS,
        .deadline_ns = deadline_ns,
    };
    options.blob.bytes = blob.bytes;
    memcpy(options.blob.data, blob.data, sizeof(options.blob.data));
    muster_status status = muster_agent_start(&options, &job->agent, error);
    if (status != MUSTER_OK)
        return status;
    job->policy = muster_agent_policy(job->agent);
    atomic_store(&job->agent_for_watch, job->agent);
    return MUSTER_OK;
}

static void open_tracer(muster_job *job)
{
    muster_trace_identity who = {.job = job->hash,
                                 .slot = muster_agent_slot(job->agent),
                                 .incarnation = muster_agent_incarnation(job->agent)};
    /* Untraced is no error: the launcher says so once, and everything works. */
    (void)muster_tracer_open(&job->tracer, job->options.trace, &who, NULL);
}

/* A survivor's abort is part of its rebuild. */
static muster_status check_abort_timeout(const muster_job *job, muster_error *error)
{
    int64_t abort_ns = muster_device_plane_abort_ns(&job->options);
    int64_t rebuild_ns = job->policy.deadlines.rebuild_ns;
    if (job->device.table == NULL || abort_ns < rebuild_ns)
        return MUSTER_OK;
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_TIMEOUT, rebuild_ns,
                            abort_ns,
                            "an abort of the device plane may take %lld ms (MUSTER_DEVICE_ABORT_MS "
                            "and MUSTER_DEVICE_BRACKET_MS), but a rebuild only %lld ms",
                            (long long)(abort_ns / 1000000), (long long)(rebuild_ns / 1000000));
}

/* The rest of a join, once there is a struct to hold it. */
static muster_status join(muster_job *job, int64_t deadline_ns, muster_error *error)
{
    muster_status status = make_fork_mark(job, error);
    if (status == MUSTER_OK)
        status = open_endpoint(job, error);
    /* Before a word to the coordinator: a rank without its library or device has not joined. */
    if (status == MUSTER_OK)
        status = muster_device_plane_load(&job->device, &job->options, error);
    if (status == MUSTER_OK && !muster_device_plane_waits_for_slot(&job->options))
        status = muster_device_plane_open(&job->device, &job->options, job->options.slot, error);
    if (status == MUSTER_OK)
        status = start_agent(job, deadline_ns, error);
    if (status == MUSTER_OK)
        status = check_abort_timeout(job, error);
    if (status != MUSTER_OK)
        return status;
    open_tracer(job);
    muster_agent_set_wake(job->agent, wake_sleepers, job); /* it traces, too */
    status = muster_comm_new(job, MUSTER_COMMUNICATOR_WORLD, &job->world, error);
    if (status != MUSTER_OK)
        return status;
    job->world->is_world = true;
    bool spare = job->options.slot == MUSTER_SLOT_SPARE;
    status = muster_membership_enter(job, 0, spare ? INT64_MAX : deadline_ns, NULL, error);
    if (status != MUSTER_OK)
        return status;
    if (job->options.progress_thread)
        status = muster_progress_thread_start(job, &job->progress, error);
    muster_agent_report_resumed(job->agent, (uint64_t)muster_clock_now_ns(), 0);
    return status;
}

/* Everything but the agent, which the caller has stopped or let leave. */
static void job_free(muster_job *job)
{
    muster_progress_thread_stop(job->progress);
    while (job->comms != NULL)
        muster_comm_delete(job->comms);
    if (job->agent != NULL)
        muster_agent_set_wake(job->agent, NULL, NULL); /* it may be revoking the device */
    muster_device_plane_clean_up(&job->device);
    if (job->endpoint != NULL)
        job->table->endpoint_close(job->endpoint);
    if (job->tracer.table != NULL)
        muster_tracer_close(&job->tracer);
    if (job->agent != NULL)
        muster_agent_stop(job->agent);
    muster_step_store_free(job->steps);
    if (job->not_forked != NULL)
        munmap((void *)(uintptr_t)job->not_forked, (size_t)sysconf(_SC_PAGESIZE));
    pthread_mutex_destroy(&job->comms_lock);
    free(job);
}

muster_status muster_job_join(const muster_job_options *options, muster_job **job,
                              muster_error *error)
{
    if (job == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "muster_job_join: job is NULL; pass where the handle goes");
    *job = NULL;
    muster_job_options from_environment;
    if (options == NULL) {
        muster_status read = muster_job_options_from_environment(&from_environment, error);
        if (read != MUSTER_OK)
            return read;
        options = &from_environment;
    }
    muster_status status = check_options(options, error);
    if (status != MUSTER_OK)
        return status;
    muster_job *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return muster_error_set_errno(error, ENOMEM, "joining a job");
    made->options = *options;
    made->hash = muster_hash_text(options->job_name);
    pthread_mutex_init(&made->comms_lock, NULL);
    muster_device_plane_init(&made->device);
    made->steps = muster_step_store_new();
    int64_t timeout_ns =
        options->join_timeout_ns > 0 ? options->join_timeout_ns : JOIN_TIMEOUT_DEFAULT_NS;
    status = made->steps == NULL ? muster_error_set_errno(error, ENOMEM, "joining a job")
                                 : join(made, muster_clock_deadline_ns(timeout_ns), error);
    if (status != MUSTER_OK) {
        job_free(made);
        return status;
    }
    *job = made;
    return muster_error_set_ok(error);
}

muster_status muster_job_leave(muster_job *job, muster_error *error)
{
    if (job == NULL)
        return muster_error_set_ok(error);
    if (!muster_job_is_ours(job))
        return muster_error_set(error, MUSTER_ERR_FORKED, MUSTER_FIELD_JOB, 0, 0,
                                "a job of the parent process is left in a forked child");
    muster_status closed = muster_job_close_transports(job, MUSTER_ERR_LEFT);
    muster_agent_set_wake(job->agent, NULL, NULL);
    atomic_store(&job->agent_for_watch, NULL);
    /* The watcher may be inside report_dying; closing the endpoint joins it before the agent goes. */
    while (job->comms != NULL) {
        muster_progress_thread_stop(job->progress);
        job->progress = NULL;
        muster_comm_delete(job->comms);
    }
    job->table->endpoint_close(job->endpoint);
    job->endpoint = NULL;
    muster_status status = muster_agent_leave(job->agent, error);
    job->agent = NULL;
    job_free(job);
    if (status == MUSTER_OK && closed == MUSTER_ERR_DEVICE_STUCK)
        return muster_error_set(error, closed, MUSTER_FIELD_DEVICE, 0, 0, "%s",
                                muster_status_text(closed));
    return status;
}

muster_comm *muster_job_world(muster_job *job)
{
    return job->world;
}

int32_t muster_job_slot(const muster_job *job)
{
    return muster_agent_slot(job->agent);
}

int32_t muster_job_slot_count(const muster_job *job)
{
    return job->policy.slot_count;
}

uint32_t muster_job_incarnation(const muster_job *job)
{
    return muster_agent_incarnation(job->agent);
}

muster_epoch muster_job_epoch(const muster_job *job)
{
    return (muster_epoch){atomic_load(&job->epoch)};
}

void muster_progress(muster_job *job)
{
    muster_agent_progress(job->agent);
}

int muster_job_revoke_fd(const muster_job *job)
{
    return muster_agent_revoke_fd(job->agent);
}

bool muster_job_revoked(const muster_job *job)
{
    return muster_agent_revoked(job->agent, atomic_load(&job->epoch));
}

muster_status muster_job_fence_token(const muster_job *job, muster_fence_token *token)
{
    if (job == NULL || token == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    if (token->struct_bytes != sizeof(*token))
        return MUSTER_ERR_STRUCT_SIZE;
    if (!muster_job_is_ours(job))
        return MUSTER_ERR_FORKED;
    if (muster_agent_standing(job->agent) == MUSTER_ERR_FENCED)
        return MUSTER_ERR_FENCED;
    if (muster_job_revoked(job))
        return MUSTER_ERR_RANK_LOST;
    token->term = muster_agent_term(job->agent);
    token->epoch = atomic_load(&job->epoch);
    token->slot = muster_agent_slot(job->agent);
    token->incarnation = muster_agent_incarnation(job->agent);
    return MUSTER_OK;
}
