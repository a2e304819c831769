/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_job.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"

#define ROUNDS_KEPT 4

atomic_int fake_failures;

/* One send that waits for its receive. */
typedef struct letter {
    struct letter *next;
    size_t bytes;
    unsigned char data[];
} letter;

struct muster_agent {
    fake_job *fake;
    _Atomic uint32_t waiting_in; /* muster_call; 0: not waiting */
    atomic_bool finished;
    _Atomic uint64_t reported_step;
};

struct muster_transport_endpoint {
    fake_job *fake;
};

struct muster_transport {
    fake_job *fake;
    int32_t rank;
};

struct muster_transport_batch {
    muster_transport *transport;
    muster_transport_operation *operations; /* receives that are open */
    size_t count;
};

struct fake_job {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t changes;
    int32_t rank_count;
    uint64_t epoch;
    atomic_bool revoked;
    int32_t withheld; /* rank whose sends stay on their way; -1 */
    unsigned char payloads[ROUNDS_KEPT][FAKE_RANKS_MAX][MUSTER_ROUND_BYTES];
    uint64_t posted[FAKE_RANKS_MAX];
    letter *first[FAKE_RANKS_MAX][FAKE_RANKS_MAX]; /* from, to */
    fake_counts counts;
    fake_rank *ranks[FAKE_RANKS_MAX];
    muster_agent agents[FAKE_RANKS_MAX]; /* by slot */
    muster_transport_endpoint endpoint;
    void (*body)(fake_rank *self);
};

/* ---- the agent: linked in place of the real one ---- */

void muster_agent_progress(muster_agent *agent)
{
    (void)agent;
}

void muster_agent_waiting(muster_agent *agent, uint64_t communicator, uint64_t sequence,
                          uint32_t call, uint64_t since_ns)
{
    (void)communicator;
    (void)sequence;
    (void)since_ns;
    atomic_store(&agent->waiting_in, call);
}

void muster_agent_not_waiting(muster_agent *agent)
{
    atomic_store(&agent->waiting_in, 0);
}

void muster_agent_completed(muster_agent *agent, uint64_t communicator, uint64_t sequence,
                            uint32_t call)
{
    (void)agent;
    (void)communicator;
    (void)sequence;
    (void)call;
}

bool muster_agent_revoked(const muster_agent *agent, uint64_t epoch)
{
    return epoch == agent->fake->epoch && atomic_load(&agent->fake->revoked);
}

muster_status muster_agent_standing(const muster_agent *agent)
{
    (void)agent;
    return MUSTER_OK;
}

int32_t muster_agent_deaths(const muster_agent *agent, uint64_t epoch, muster_death *deaths,
                            int32_t capacity)
{
    (void)agent;
    (void)epoch;
    (void)deaths;
    (void)capacity;
    return 0;
}

void muster_agent_report_batch_deadline(muster_agent *agent, int32_t slot, uint32_t incarnation,
                                        uint64_t communicator, uint64_t sequence, uint32_t call)
{
    (void)agent;
    (void)slot;
    (void)incarnation;
    (void)communicator;
    (void)sequence;
    (void)call;
}

void muster_agent_report_resumed(muster_agent *agent, uint64_t returned_ns, uint64_t first_batch_ns)
{
    (void)agent;
    (void)returned_ns;
    (void)first_batch_ns;
}

void muster_agent_report_committed(muster_agent *agent, uint64_t step)
{
    atomic_store(&agent->reported_step, step);
    atomic_fetch_add(&agent->fake->counts.commits_reported, 1);
}

/* ---- the transport ---- */

static void note_change(fake_job *fake)
{
    fake->changes++;
    pthread_cond_broadcast(&fake->changed);
}

static muster_status fake_connect(muster_transport_endpoint *endpoint,
                                  const muster_transport_connect_options *options,
                                  muster_transport **transport, muster_error *error)
{
    (void)error;
    *transport = calloc(1, sizeof(**transport));
    MUSTER_ASSERT(*transport != NULL);
    (*transport)->fake = endpoint->fake;
    (*transport)->rank = options->own_rank;
    return MUSTER_OK;
}

static void fake_close(muster_transport *transport)
{
    free(transport);
}

static void fake_round_post(muster_transport *transport, uint64_t round, const void *payload)
{
    fake_job *fake = transport->fake;
    pthread_mutex_lock(&fake->lock);
    memcpy(fake->payloads[round % ROUNDS_KEPT][transport->rank], payload, MUSTER_ROUND_BYTES);
    fake->posted[transport->rank] = round;
    note_change(fake);
    pthread_mutex_unlock(&fake->lock);
}

static const void *fake_round_poll(muster_transport *transport, uint64_t round)
{
    fake_job *fake = transport->fake;
    bool all = true;
    pthread_mutex_lock(&fake->lock);
    for (int32_t rank = 0; rank < fake->rank_count; rank++)
        all = all && fake->posted[rank] >= round;
    pthread_mutex_unlock(&fake->lock);
    return all ? fake->payloads[round % ROUNDS_KEPT] : NULL;
}

static void fake_round_missing(muster_transport *transport, uint64_t round,
                               muster_rank_set *missing)
{
    fake_job *fake = transport->fake;
    muster_rank_set_clear(missing);
    pthread_mutex_lock(&fake->lock);
    for (int32_t rank = 0; rank < fake->rank_count; rank++)
        if (fake->posted[rank] < round)
            muster_rank_set_add(missing, rank);
    pthread_mutex_unlock(&fake->lock);
}

static void post_letter(fake_job *fake, int32_t from, int32_t to,
                        const muster_transport_operation *operation)
{
    letter *sent = malloc(sizeof(*sent) + operation->bytes);
    MUSTER_ASSERT(sent != NULL);
    sent->next = NULL;
    sent->bytes = operation->bytes;
    memcpy(sent->data, operation->data, operation->bytes);
    letter **end = &fake->first[from][to];
    while (*end != NULL)
        end = &(*end)->next;
    *end = sent;
    atomic_fetch_add(&fake->counts.bytes_sent, operation->bytes);
}

static muster_status fake_reserve(muster_transport *transport, size_t operation_count,
                                  muster_error *error)
{
    (void)transport;
    (void)operation_count;
    (void)error;
    return MUSTER_OK;
}

static muster_status fake_submit(muster_transport *transport,
                                 const muster_transport_operation *operations,
                                 size_t operation_count, muster_transport_batch **batch,
                                 muster_error *error)
{
    (void)error;
    fake_job *fake = transport->fake;
    *batch = calloc(1, sizeof(**batch));
    MUSTER_ASSERT(*batch != NULL);
    (*batch)->transport = transport;
    (*batch)->operations = calloc(operation_count, sizeof(*operations));
    MUSTER_ASSERT((*batch)->operations != NULL);
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < operation_count; i++) {
        const muster_transport_operation *operation = &operations[i];
        MUSTER_ASSERT(operation->bytes > 0);
        if (operation->kind == MUSTER_TRANSPORT_COPY) {
            memcpy(operation->data, operation->source, operation->bytes);
        } else if (operation->kind == MUSTER_TRANSPORT_SEND) {
            if (fake->withheld != transport->rank)
                post_letter(fake, transport->rank, operation->peer, operation);
        } else {
            MUSTER_ASSERT(operation->kind == MUSTER_TRANSPORT_RECEIVE);
            (*batch)->operations[(*batch)->count++] = *operation;
        }
    }
    note_change(fake);
    pthread_mutex_unlock(&fake->lock);
    return MUSTER_OK;
}

static muster_status fake_progress(muster_transport_batch *batch, bool *done, bool *moved,
                                   muster_error *error)
{
    (void)error;
    fake_job *fake = batch->transport->fake;
    size_t left = 0;
    *moved = false;
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < batch->count; i++) {
        const muster_transport_operation operation = batch->operations[i];
        letter **first = &fake->first[operation.peer][batch->transport->rank];
        letter *come = *first;
        if (come == NULL) {
            batch->operations[left++] = operation;
            continue;
        }
        MUSTER_ASSERT(come->bytes == operation.bytes);
        memcpy(operation.data, come->data, come->bytes);
        *first = come->next;
        free(come);
        *moved = true;
    }
    pthread_mutex_unlock(&fake->lock);
    batch->count = left;
    *done = left == 0;
    return MUSTER_OK;
}

static void fake_batch_missing(muster_transport_batch *batch, muster_rank_set *missing)
{
    muster_rank_set_clear(missing);
    for (size_t i = 0; i < batch->count; i++)
        muster_rank_set_add(missing, batch->operations[i].peer);
}

static void fake_release(muster_transport_batch *batch)
{
    free(batch->operations);
    free(batch);
}

static uint32_t fake_arm(muster_transport *transport)
{
    pthread_mutex_lock(&transport->fake->lock);
    uint32_t ticket = transport->fake->changes;
    pthread_mutex_unlock(&transport->fake->lock);
    return ticket;
}

static void fake_sleep(muster_transport *transport, uint32_t ticket, int64_t max_ns)
{
    fake_job *fake = transport->fake;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    /* Short: the waker may be a test that sets a flag and knows no doorbell. */
    int64_t nap_ns = max_ns < 5000000 ? max_ns : 5000000;
    int64_t end_ns = until.tv_nsec + nap_ns;
    until.tv_sec += end_ns / 1000000000;
    until.tv_nsec = (long)(end_ns % 1000000000);
    pthread_mutex_lock(&fake->lock);
    if (fake->changes == ticket)
        pthread_cond_timedwait(&fake->changed, &fake->lock, &until);
    pthread_mutex_unlock(&fake->lock);
}

static void fake_disarm(muster_transport *transport)
{
    (void)transport;
}

static const muster_transport_table fake_table = {
    .table_version = MUSTER_TRANSPORT_TABLE_VERSION,
    .name = "fake",
    .memory_kind = MUSTER_MEMORY_HOST,
    .connect = fake_connect,
    .close = fake_close,
    .round_post = fake_round_post,
    .round_poll = fake_round_poll,
    .round_missing = fake_round_missing,
    .reserve = fake_reserve,
    .submit = fake_submit,
    .progress = fake_progress,
    .batch_missing = fake_batch_missing,
    .release = fake_release,
    .arm = fake_arm,
    .sleep = fake_sleep,
    .disarm = fake_disarm,
};

/* ---- the trace provider; job is the fake_job's address ---- */

static fake_counts *counts_of(const muster_trace_identity *who)
{
    return &((fake_job *)(uintptr_t)who->job)->counts;
}

static void on_batch_begin(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    (void)batch;
    atomic_fetch_add(&counts_of(who)->batches_begun, 1);
}

static void on_batch_op(const muster_trace_identity *who, const muster_trace_batch *batch,
                        uint32_t kind, int32_t peer, uint64_t bytes)
{
    (void)who;
    (void)batch;
    (void)kind;
    (void)peer;
    (void)bytes;
}

static void on_batch(const muster_trace_identity *who, const muster_trace_batch *batch)
{
    (void)who;
    (void)batch;
}

static void on_batch_failed(const muster_trace_identity *who, const muster_trace_batch *batch,
                            int32_t status, int32_t failing_rank, uint32_t field)
{
    (void)batch;
    (void)status;
    (void)failing_rank;
    (void)field;
    atomic_fetch_add(&counts_of(who)->batches_failed, 1);
}

static void on_params_begin(const muster_trace_identity *who, uint64_t sequence,
                            int32_t param_count, int32_t modifier, uint64_t bytes)
{
    (void)sequence;
    (void)param_count;
    (void)modifier;
    (void)bytes;
    atomic_fetch_add(&counts_of(who)->params_begun, 1);
}

static void on_params_end(const muster_trace_identity *who, uint64_t sequence, int32_t param_count,
                          int32_t modifier, int32_t status)
{
    (void)sequence;
    (void)param_count;
    (void)modifier;
    (void)status;
    atomic_fetch_add(&counts_of(who)->params_ended, 1);
}

static void on_step_staged(const muster_trace_identity *who, uint64_t sequence, uint64_t step,
                           uint64_t bytes)
{
    (void)sequence;
    (void)step;
    (void)bytes;
    atomic_fetch_add(&counts_of(who)->steps_staged, 1);
}

static void on_step_committed(const muster_trace_identity *who, uint64_t sequence, uint64_t step)
{
    (void)sequence;
    (void)step;
    atomic_fetch_add(&counts_of(who)->steps_committed, 1);
}

static void on_recovery(const muster_trace_identity *who, uint32_t kind, uint64_t epoch,
                        int32_t slot, uint32_t incarnation, uint32_t evidence, int64_t value)
{
    (void)who;
    (void)kind;
    (void)epoch;
    (void)slot;
    (void)incarnation;
    (void)evidence;
    (void)value;
}

static void on_phase(const muster_trace_identity *who, int32_t phase, int32_t depth)
{
    (void)who;
    (void)phase;
    (void)depth;
}

static const muster_trace_table counting = {
    .table_version = MUSTER_TRACE_TABLE_VERSION,
    .batch_begin = on_batch_begin,
    .batch_op = on_batch_op,
    .batch_submitted = on_batch,
    .batch_complete = on_batch,
    .batch_failed = on_batch_failed,
    .phase_begin = on_phase,
    .phase_end = on_phase,
    .params_begin = on_params_begin,
    .params_end = on_params_end,
    .step_staged = on_step_staged,
    .step_committed = on_step_committed,
    .recovery = on_recovery,
};

/* ---- the job ---- */

typedef struct connecting {
    fake_job *fake;
    const muster_member *members;
    int32_t rank;
} connecting;

static void *connect_one(void *context)
{
    const connecting *self = context;
    fake_job *fake = self->fake;
    muster_status status =
        muster_comm_connect(fake->ranks[self->rank]->world, fake->epoch, self->members,
                            fake->rank_count, self->rank, INT64_MAX, NULL);
    MUSTER_ASSERT(status == MUSTER_OK);
    return NULL;
}

/* Connecting has a round of its own, so all do it at once. */
static void connect_all(fake_job *fake)
{
    muster_member members[FAKE_RANKS_MAX] = {{0}};
    connecting contexts[FAKE_RANKS_MAX];
    pthread_t threads[FAKE_RANKS_MAX];
    for (int32_t rank = 0; rank < fake->rank_count; rank++)
        members[rank].slot = fake->ranks[rank]->slot;
    for (int32_t rank = 0; rank < fake->rank_count; rank++) {
        contexts[rank] = (connecting){fake, members, rank};
        int failed = pthread_create(&threads[rank], NULL, connect_one, &contexts[rank]);
        MUSTER_ASSERT(failed == 0);
    }
    for (int32_t rank = 0; rank < fake->rank_count; rank++)
        pthread_join(threads[rank], NULL);
}

static const unsigned char not_forked = 1;

static fake_rank *rank_new(fake_job *fake, int32_t slot)
{
    fake_rank *rank = calloc(1, sizeof(*rank));
    MUSTER_ASSERT(rank != NULL);
    rank->fake = fake;
    rank->slot = slot;
    rank->job.not_forked = &not_forked;
    rank->job.policy.slot_count = FAKE_RANKS_MAX;
    rank->job.policy.deadlines.batch_ns = INT64_C(20000000000);
    rank->job.agent = &fake->agents[slot];
    fake->agents[slot].fake = fake;
    rank->job.table = &fake_table;
    rank->job.endpoint = &fake->endpoint;
    rank->job.tracer.table = &counting;
    rank->job.tracer.who.job = (uintptr_t)fake;
    rank->job.steps = muster_step_store_new();
    MUSTER_ASSERT(rank->job.steps != NULL);
    pthread_mutex_init(&rank->job.comms_lock, NULL);
    muster_status status = muster_comm_new(&rank->job, 1, &rank->world, NULL);
    MUSTER_ASSERT(status == MUSTER_OK);
    rank->world->is_world = true;
    rank->job.world = rank->world;
    return rank;
}

static void rank_free(fake_rank *rank)
{
    muster_comm_delete(rank->world);
    muster_step_store_free(rank->job.steps);
    pthread_mutex_destroy(&rank->job.comms_lock);
    free(rank);
}

static void drop_letters(fake_job *fake)
{
    for (int32_t from = 0; from < FAKE_RANKS_MAX; from++)
        for (int32_t to = 0; to < FAKE_RANKS_MAX; to++)
            while (fake->first[from][to] != NULL) {
                letter *first = fake->first[from][to];
                fake->first[from][to] = first->next;
                free(first);
            }
}

fake_job *fake_job_new(int32_t rank_count)
{
    fake_job *fake = calloc(1, sizeof(*fake));
    MUSTER_ASSERT(fake != NULL && rank_count <= FAKE_RANKS_MAX);
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
    fake->rank_count = rank_count;
    fake->epoch = 1;
    fake->withheld = -1;
    fake->endpoint.fake = fake;
    atomic_store(&fake_failures, 0);
    for (int32_t rank = 0; rank < rank_count; rank++)
        fake->ranks[rank] = rank_new(fake, rank);
    connect_all(fake);
    return fake;
}

void fake_job_free(fake_job *fake)
{
    for (int32_t rank = 0; rank < fake->rank_count; rank++)
        rank_free(fake->ranks[rank]);
    drop_letters(fake);
    pthread_mutex_destroy(&fake->lock);
    pthread_cond_destroy(&fake->changed);
    free(fake);
}

int32_t fake_job_size(const fake_job *fake)
{
    return fake->rank_count;
}

fake_rank *fake_job_rank(fake_job *fake, int32_t rank)
{
    return fake->ranks[rank];
}

fake_counts *fake_job_counts(fake_job *fake)
{
    return &fake->counts;
}

static void *rank_main(void *context)
{
    fake_rank *self = context;
    self->fake->body(self);
    atomic_store(&self->job.agent->finished, true);
    return NULL;
}

static void nap(void)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};
    nanosleep(&millisecond, NULL);
}

static bool all_there(const fake_job *fake, int32_t absent, const muster_call *calls)
{
    for (int32_t rank = 0; rank < fake->rank_count; rank++) {
        const muster_agent *agent = fake->ranks[rank]->job.agent;
        if (rank != absent && !atomic_load(&agent->finished) &&
            atomic_load(&agent->waiting_in) != (uint32_t)calls[rank])
            return false;
    }
    return true;
}

void fake_job_run_and_lose(fake_job *fake, void (*body)(fake_rank *self), int32_t absent,
                           const muster_call *calls)
{
    pthread_t threads[FAKE_RANKS_MAX];
    fake->body = body;
    for (int32_t rank = 0; rank < fake->rank_count; rank++) {
        atomic_store(&fake->ranks[rank]->job.agent->finished, false);
        if (rank == absent)
            continue;
        int failed = pthread_create(&threads[rank], NULL, rank_main, fake->ranks[rank]);
        MUSTER_ASSERT(failed == 0);
    }
    if (calls != NULL) {
        while (!all_there(fake, absent, calls))
            nap();
        atomic_store(&fake->revoked, true);
    }
    for (int32_t rank = 0; rank < fake->rank_count; rank++)
        if (rank != absent)
            pthread_join(threads[rank], NULL);
}

void fake_job_run(fake_job *fake, void (*body)(fake_rank *self))
{
    fake_job_run_and_lose(fake, body, -1, NULL);
}

void fake_job_withhold_sends_of(fake_job *fake, int32_t rank)
{
    fake->withheld = rank;
}

void fake_job_rebuild(fake_job *fake, int32_t lost_rank, bool replace,
                      const muster_restore *restore, const int32_t *slots)
{
    for (int32_t rank = 0; rank < fake->rank_count; rank++)
        muster_job_close_transports(&fake->ranks[rank]->job, MUSTER_ERR_RANK_LOST);
    if (lost_rank >= 0) {
        int32_t slot = fake->ranks[lost_rank]->slot;
        rank_free(fake->ranks[lost_rank]);
        if (replace) {
            fake->ranks[lost_rank] = rank_new(fake, slot);
        } else {
            fake->rank_count--;
            for (int32_t rank = lost_rank; rank < fake->rank_count; rank++)
                fake->ranks[rank] = fake->ranks[rank + 1];
        }
    }
    drop_letters(fake);
    memset(fake->posted, 0, sizeof(fake->posted));
    fake->withheld = -1;
    fake->epoch++;
    atomic_store(&fake->revoked, false);
    for (int32_t rank = 0; rank < fake->rank_count; rank++) {
        bool ok = muster_step_store_set_restore(fake->ranks[rank]->job.steps, restore, slots);
        MUSTER_ASSERT(ok);
    }
    connect_all(fake);
}
