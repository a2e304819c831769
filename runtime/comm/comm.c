/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators: their making and their end, and what can be asked of them. */
#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "comm/flight.h"
#include "comm/progress_thread.h"
#include "comm/refusal.h"
#include "scope/mirror.h"

muster_status muster_comm_new(muster_job *job, uint64_t id, muster_comm **comm, muster_error *error)
{
    *comm = calloc(1, sizeof(**comm));
    if (*comm == NULL || !muster_rank_set_init(&(*comm)->missing, job->policy.slot_count)) {
        free(*comm);
        *comm = NULL;
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a communicator");
    }
    pthread_mutex_init(&(*comm)->lock, NULL);
    (*comm)->job = job;
    (*comm)->id = id;
    (*comm)->timeout_ns = job->policy.deadlines.batch_ns;
    (*comm)->failed = MUSTER_ERR_COMM_FAILED; /* until it is connected */
    muster_error_init(&(*comm)->device.fault);
    muster_progress_thread_pause(job->progress);
    pthread_mutex_lock(&job->comms_lock);
    (*comm)->next = job->comms;
    job->comms = *comm;
    pthread_mutex_unlock(&job->comms_lock);
    muster_progress_thread_resume(job->progress);
    return MUSTER_OK;
}

/* Fails what is queued and lets go of the device and the transport; the agent thread may be waking it
 * meanwhile. keep: the device side may be kept for a shrink. */
static void disconnect(muster_comm *comm, muster_status status, bool keep)
{
    muster_job *job = comm->job;
    pthread_mutex_lock(&comm->lock);
    muster_comm_fail(comm, status);
    muster_device_side_close(comm, keep);
    pthread_mutex_lock(&job->comms_lock);
    muster_transport *transport = comm->transport;
    comm->transport = NULL;
    pthread_mutex_unlock(&job->comms_lock);
    pthread_mutex_unlock(&comm->lock);
    if (transport != NULL)
        job->table->close(transport);
}

void muster_comm_delete(muster_comm *comm)
{
    if (comm == NULL)
        return;
    muster_job *job = comm->job;
    (void)muster_device_side_end_bracket(comm);
    disconnect(comm, MUSTER_ERR_LEFT, false);
    muster_flight_clean_up(comm);
    muster_progress_thread_pause(job->progress);
    pthread_mutex_lock(&job->comms_lock);
    for (muster_comm **link = &job->comms; *link != NULL; link = &(*link)->next)
        if (*link == comm) {
            *link = comm->next;
            break;
        }
    pthread_mutex_unlock(&job->comms_lock);
    muster_progress_thread_resume(job->progress);
    while (comm->newest != NULL)
        muster_request_drop(comm->newest);
    if (comm->spare_request != NULL) {
        muster_operation_list_clean_up(&comm->spare_request->operations);
        free(comm->spare_request);
    }
    muster_rank_set_clean_up(&comm->missing);
    pthread_mutex_destroy(&comm->lock);
    free(comm->members);
    free(comm->mirrored);
    free(comm);
}

bool muster_job_keeps_devices(const muster_job *job)
{
    return job->policy.on_loss == MUSTER_ON_LOSS_SHRINK;
}

/* True where a device may still touch a buffer of this rank: something is in the air. */
static bool any_flight(muster_job *job)
{
    bool any = false;
    for (muster_comm *comm = job->comms; comm != NULL && !any; comm = comm->next) {
        pthread_mutex_lock(&comm->lock);
        (void)muster_flight_progress(comm); /* what is complete need not be aborted */
        any = muster_flight_polls(comm) || comm->device.stale != NULL;
        pthread_mutex_unlock(&comm->lock);
    }
    return any;
}

muster_status muster_job_close_transports(muster_job *job, muster_status status)
{
    /* Only this thread adds or removes communicators, so the list may be walked without its lock. */
    for (muster_comm *comm = job->comms; comm != NULL; comm = comm->next)
        (void)muster_device_side_end_bracket(comm);
    /* Who leaves a healthy job takes its leave of the device in peace; else nobody may be waited for. */
    bool leaving = status == MUSTER_ERR_LEFT;
    bool keep = !leaving && muster_job_keeps_devices(job);
    if (!leaving || any_flight(job))
        (void)muster_device_plane_abort(&job->device, keep, NULL);
    for (muster_comm *comm = job->comms; comm != NULL; comm = comm->next)
        disconnect(comm, status, keep && comm->is_world);
    return atomic_load(&job->device.stuck) ? MUSTER_ERR_DEVICE_STUCK : MUSTER_OK;
}

typedef struct connect_watch {
    const muster_agent *agent;
    uint64_t epoch;
} connect_watch;

static bool connect_cancelled(void *context)
{
    const connect_watch *watch = context;
    return muster_agent_revoked(watch->agent, watch->epoch) ||
           muster_agent_standing(watch->agent) != MUSTER_OK;
}

/* Before a batch passes its deadline for want of a connection, that should be known to be the reason. */
static int64_t unreachable_after_ns(const muster_job *job)
{
    const muster_deadlines *deadlines = &job->policy.deadlines;
    return deadlines->batch_ns / 2 < deadlines->silence_ns ? deadlines->batch_ns / 2
                                                           : deadlines->silence_ns;
}

muster_status muster_comm_connect(muster_comm *comm, uint64_t epoch, const muster_member *members,
                                  int32_t member_count, int32_t own_rank, int64_t deadline_ns,
                                  muster_error *error)
{
    muster_job *job = comm->job;
    MUSTER_ASSERT(comm->transport == NULL && comm->head == NULL);
    size_t count = (size_t)member_count;
    muster_transport_member *places = calloc(count, sizeof(*places));
    muster_member *copies = calloc(count, sizeof(*copies));
    int32_t *mirrors = calloc(2 * count, sizeof(*mirrors));
    if (places == NULL || copies == NULL || mirrors == NULL ||
        !muster_mirror_plan(members, member_count, mirrors, mirrors + count)) {
        free(places);
        free(copies);
        free(mirrors);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for %d members of a communicator", member_count);
    }
    memcpy(copies, members, count * sizeof(*copies));
    for (size_t i = 0; i < count; i++) {
        places[i].slot = members[i].slot;
        places[i].incarnation = members[i].incarnation;
        places[i].blob.bytes = members[i].blob.bytes;
        memcpy(places[i].blob.data, members[i].blob.data, sizeof(places[i].blob.data));
    }
    connect_watch watch = {.agent = job->agent, .epoch = epoch};
    muster_transport_connect_options options = {
        .epoch = epoch,
        .communicator = comm->id,
        .members = places,
        .member_count = member_count,
        .own_rank = own_rank,
        .watch_peers = comm->is_world,
        .deadline_ns = deadline_ns,
        .silence_ns = unreachable_after_ns(job),
        .cancelled = connect_cancelled,
        .context = &watch,
    };
    muster_transport *transport = NULL;
    muster_status status = job->table->connect(job->endpoint, &options, &transport, error);
    free(places);
    if (status != MUSTER_OK) {
        free(copies);
        free(mirrors);
        return status;
    }
    pthread_mutex_lock(&comm->lock);
    free(comm->members);
    free(comm->mirrored);
    comm->members = copies;
    comm->mirrored = mirrors;
    comm->mirror_holders = mirrors + count;
    comm->epoch = epoch;
    comm->size = member_count;
    comm->rank = own_rank;
    comm->may_spin = sysconf(_SC_NPROCESSORS_ONLN) >= member_count;
    comm->sequence = 0;
    comm->round = 0;
    comm->innermost_scope = NULL;
    comm->open_scopes = 0;
    muster_error_init(&comm->device.fault);
    pthread_mutex_lock(&job->comms_lock);
    comm->transport = transport;
    pthread_mutex_unlock(&job->comms_lock);
    pthread_mutex_unlock(&comm->lock);
    /* Still marked as failed, so that nobody calls; but a revoke wakes it from here on. */
    if (comm->is_world)
        muster_device_plane_enter(&job->device, epoch);
    muster_device_side_options device_options = {
        .deadline_ns = deadline_ns, .cancelled = connect_cancelled, .context = &watch};
    status = muster_device_side_connect(comm, &device_options, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&comm->lock);
    comm->failed = MUSTER_OK;
    pthread_mutex_unlock(&comm->lock);
    return MUSTER_OK;
}

int32_t muster_comm_rank(const muster_comm *comm)
{
    return comm->rank;
}

int32_t muster_comm_size(const muster_comm *comm)
{
    return comm->size;
}

int32_t muster_comm_slot_of_rank(const muster_comm *comm, int32_t rank)
{
    return rank < 0 || rank >= comm->size ? MUSTER_SLOT_NONE : comm->members[rank].slot;
}

int32_t muster_comm_rank_of_slot(const muster_comm *comm, int32_t slot)
{
    for (int32_t rank = 0; rank < comm->size; rank++)
        if (comm->members[rank].slot == slot)
            return rank;
    return MUSTER_RANK_NONE;
}

muster_epoch muster_comm_epoch(const muster_comm *comm)
{
    return (muster_epoch){comm->epoch};
}

void muster_comm_set_tag(muster_comm *comm, uint64_t tag)
{
    comm->tag = tag;
}

void muster_comm_use_phase(muster_comm *comm, const muster_phase_context *context)
{
    comm->phase = context;
}

muster_status muster_comm_set_timeout(muster_comm *comm, int64_t timeout_ns)
{
    if (comm == NULL || timeout_ns <= 0)
        return MUSTER_ERR_INVALID_ARGUMENT;
    comm->timeout_ns = timeout_ns;
    return MUSTER_OK;
}

static int compare_slots(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left;
    int32_t b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

muster_status muster_comm_dead_slots(const muster_comm *comm, int32_t *slots, int32_t capacity,
                                     int32_t *count)
{
    if (comm == NULL || count == NULL || capacity < 0 || (slots == NULL && capacity > 0))
        return MUSTER_ERR_INVALID_ARGUMENT;
    if (!muster_job_is_ours(comm->job))
        return MUSTER_ERR_FORKED; /* the fork may have caught the agent with its lock held */
    int32_t known = muster_agent_deaths(comm->job->agent, comm->epoch, NULL, 0);
    muster_death *deaths = known == 0 ? NULL : calloc((size_t)known, sizeof(*deaths));
    int32_t *dead = known == 0 ? NULL : calloc((size_t)known, sizeof(*dead));
    if (known > 0 && (deaths == NULL || dead == NULL)) {
        free(deaths);
        free(dead);
        return MUSTER_ERR_NO_MEMORY;
    }
    int32_t read = muster_agent_deaths(comm->job->agent, comm->epoch, deaths, known);
    *count = 0;
    for (int32_t i = 0; i < known && i < read; i++)
        if (muster_comm_rank_of_slot(comm, deaths[i].slot) != MUSTER_RANK_NONE)
            dead[(*count)++] = deaths[i].slot;
    if (*count > 1)
        qsort(dead, (size_t)*count, sizeof(*dead), compare_slots);
    for (int32_t i = 0; i < *count && i < capacity; i++)
        slots[i] = dead[i];
    free(deaths);
    free(dead);
    return MUSTER_OK;
}

muster_status muster_comm_missing_ranks(const muster_comm *comm, int32_t *ranks, int32_t capacity,
                                        int32_t *count)
{
    if (comm == NULL || count == NULL || capacity < 0 || (ranks == NULL && capacity > 0))
        return MUSTER_ERR_INVALID_ARGUMENT;
    *count = muster_rank_set_list(&comm->missing, ranks, capacity);
    return MUSTER_OK;
}

muster_status muster_comm_free(muster_comm *comm)
{
    if (comm == NULL)
        return MUSTER_OK;
    if (!muster_job_is_ours(comm->job))
        return MUSTER_ERR_FORKED;
    if (comm->is_world)
        return MUSTER_ERR_INVALID_ARGUMENT;
    if (comm->device.borrowed)
        return MUSTER_ERR_BORROWED;
    pthread_mutex_lock(&comm->lock);
    /* A revoked communicator's requests fail here rather than hold the handle for ever. */
    (void)muster_comm_progress(comm);
    /* A request that is complete refers to its communicator until it is freed. */
    bool busy = comm->newest != NULL || comm->device.first != NULL || comm->device.stale != NULL;
    pthread_mutex_unlock(&comm->lock);
    if (busy)
        return MUSTER_ERR_IN_FLIGHT;
    muster_comm_delete(comm);
    return MUSTER_OK;
}
