/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/session/session.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "tracing/session/daemon.h"
#include "tracing/session/recording.h"
#include "tracing/session/shared_memory.h"

#define DEFAULT_SUBBUFFER_BYTES (UINT64_C(256) * 1024)
#define DEFAULT_SUBBUFFER_COUNT UINT64_C(4)
#define DEFAULT_CALL_TIMEOUT_NS INT64_C(10000000000)
/* A recorded process waits this long for the daemon to tell it what to record. Never in vain: it is
 * set only where a daemon has answered. */
#define REGISTER_TIMEOUT "LTTNG_UST_REGISTER_TIMEOUT=5000"
#define REASON_BYTES 64

typedef enum session_request_kind {
    SESSION_OPEN,
    SESSION_BEGIN,
    SESSION_SNAPSHOT,
    SESSION_END,
    SESSION_CLOSE
} session_request_kind;

typedef struct session_request {
    struct session_request *next;
    session_request_kind kind;
    int32_t slot;
    uint32_t incarnation;
    pid_t process_id;
    char reason[REASON_BYTES];
    bool awaited; /* somebody sleeps until done, and frees it then; else the worker frees it */
    bool done;
    muster_status status;
    muster_error error;
} session_request;

/* A session that was made. Touched by the worker only. */
typedef struct session_entry {
    struct session_entry *next;
    int32_t slot;
    uint32_t incarnation;
    pid_t process_id;
    char name[MUSTER_RECORDING_NAME_BYTES];
    char directory[PATH_MAX];
} session_entry;

struct muster_session_set {
    /* fixed after open */
    char directory[PATH_MAX - 64];
    char job_name[64];
    muster_shared_memory_need need;
    int64_t call_timeout_ns;
    char home[PATH_MAX];
    const char *environment[4];

    pthread_t worker;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    session_request *first;
    session_request **last;
    int holders;   /* the owner and the worker: the last one out frees */
    bool given_up; /* the daemon did not answer in time once */
    int32_t failed_count;
    bool worker_ends;    /* it has nothing more to do that could block */
    uint64_t done_count; /* requests that the worker has been through */
    muster_error first_failure;

    /* worker only */
    muster_place place;
    session_entry *entries;
};

static int64_t session_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- worker ---- */

static void session_place_name(char *text, size_t capacity, int32_t slot, uint32_t incarnation)
{
    if (slot == MUSTER_SESSION_SLOT_COORDINATOR)
        snprintf(text, capacity, "coordinator.incarnation%u", incarnation);
    else if (slot == MUSTER_SESSION_SLOT_SPARE)
        snprintf(text, capacity, "spare%u", incarnation);
    else
        snprintf(text, capacity, "slot%d.incarnation%u", slot, incarnation);
}

static session_entry *session_find(const muster_session_set *set, int32_t slot,
                                   uint32_t incarnation)
{
    session_entry *entry = set->entries;
    while (entry != NULL && (entry->slot != slot || entry->incarnation != incarnation))
        entry = entry->next;
    return entry;
}

static muster_status session_create(const muster_session_set *set, const session_entry *entry,
                                    muster_error *error)
{
    muster_recording_options options = {.name = entry->name,
                                        .process_id = entry->process_id,
                                        .subbuffer_bytes = set->need.subbuffer_bytes,
                                        .subbuffer_count = set->need.subbuffer_count};
    return muster_recording_create(&options, error);
}

/* The daemon ended, and all sessions with it: starts the next one, and sessions for the processes that
 * still run. What their rings held is lost, and said at close. */
static muster_status session_restart(muster_session_set *set, muster_error *error)
{
    int64_t deadline_ns = session_now_ns() + set->call_timeout_ns;
    muster_status status = muster_daemon_acquire(&set->place, deadline_ns, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&set->mutex);
    if (set->failed_count++ == 0)
        muster_error_set(&set->first_failure, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 0, 0,
                         "the LTTng session daemon ended, and with it what was in the rings");
    pthread_mutex_unlock(&set->mutex);
    for (const session_entry *entry = set->entries; entry != NULL; entry = entry->next)
        (void)session_create(set, entry, NULL); /* else its snapshots will fail, and be counted */
    return MUSTER_OK;
}

static session_entry *session_entry_new(const muster_session_set *set,
                                        const session_request *request)
{
    session_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    char place[64];
    entry->slot = request->slot;
    entry->incarnation = request->incarnation;
    entry->process_id = request->process_id;
    session_place_name(place, sizeof place, request->slot, request->incarnation);
    snprintf(entry->name, sizeof entry->name, MUSTER_DAEMON_SESSION_PREFIX "%s-%s-%s",
             set->place.token, set->job_name, place);
    snprintf(entry->directory, sizeof entry->directory, "%s/%s", set->directory, place);
    return entry;
}

static muster_status session_do_begin(muster_session_set *set, session_request *request)
{
    if (session_find(set, request->slot, request->incarnation) != NULL)
        return muster_error_set(&request->error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_SLOT, 0,
                                request->slot,
                                "slot %d incarnation %u is being recorded already: end it first",
                                request->slot, request->incarnation);
    muster_shared_memory_need need = set->need;
    need.session_count = 1;
    muster_status status =
        muster_shared_memory_check(&need, muster_shared_memory_free_bytes(), &request->error);
    if (status != MUSTER_OK)
        return status;
    session_entry *entry = session_entry_new(set, request);
    if (entry == NULL)
        return muster_error_set_errno(&request->error, ENOMEM, "a recording session");
    status = session_create(set, entry, &request->error);
    if (status != MUSTER_OK && !muster_recording_daemon_alive() &&
        session_restart(set, &request->error) == MUSTER_OK)
        status = session_create(set, entry, &request->error);
    if (status != MUSTER_OK) {
        free(entry);
        return status;
    }
    entry->next = set->entries;
    set->entries = entry;
    return MUSTER_OK;
}

static muster_status session_do_end(muster_session_set *set, session_entry *entry,
                                    const char *reason, muster_error *error)
{
    muster_error destroying;
    muster_error_init(&destroying);
    muster_status status = muster_recording_snapshot(entry->name, entry->directory, reason, error);
    muster_status destroyed = muster_recording_destroy(entry->name, &destroying);
    if (status == MUSTER_OK && destroyed != MUSTER_OK) {
        *error = destroying;
        status = destroyed;
    }
    session_entry **at = &set->entries;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    free(entry);
    return status;
}

static muster_status session_do(muster_session_set *set, session_request *request)
{
    session_entry *entry = session_find(set, request->slot, request->incarnation);
    int64_t deadline_ns = session_now_ns() + set->call_timeout_ns;
    switch (request->kind) {
    case SESSION_OPEN: {
        muster_status status = muster_place_open(&set->place, &request->error);
        if (status == MUSTER_OK)
            status = muster_daemon_acquire(&set->place, deadline_ns, &request->error);
        if (status == MUSTER_OK)
            snprintf(set->home, sizeof set->home, "LTTNG_HOME=%s", set->place.home);
        return status;
    }
    case SESSION_BEGIN:
        return session_do_begin(set, request);
    case SESSION_SNAPSHOT:
        return entry == NULL ? MUSTER_OK
                             : muster_recording_snapshot(entry->name, entry->directory,
                                                         request->reason, &request->error);
    case SESSION_END:
        return entry == NULL ? MUSTER_OK
                             : session_do_end(set, entry, request->reason, &request->error);
    case SESSION_CLOSE:
        while (set->entries != NULL)
            session_do_end(set, set->entries, request->reason, &request->error);
        muster_daemon_release(&set->place, deadline_ns);
        return MUSTER_OK;
    }
    return MUSTER_OK;
}

static void session_set_free(muster_session_set *set)
{
    while (set->first != NULL) {
        session_request *request = set->first;
        set->first = request->next;
        free(request);
    }
    while (set->entries != NULL) {
        session_entry *entry = set->entries;
        set->entries = entry->next;
        free(entry);
    }
    muster_place_close(&set->place);
    pthread_cond_destroy(&set->changed);
    pthread_mutex_destroy(&set->mutex);
    free(set);
}

/* Under the mutex, which it gives back. */
static void session_let_go(muster_session_set *set)
{
    bool last = --set->holders == 0;
    pthread_mutex_unlock(&set->mutex);
    if (last)
        session_set_free(set);
}

static void *session_worker(void *context)
{
    muster_session_set *set = context;
    bool closed = false;
    pthread_mutex_lock(&set->mutex);
    while (!closed && !set->given_up) {
        session_request *request = set->first;
        if (request == NULL) {
            pthread_cond_wait(&set->changed, &set->mutex);
            continue;
        }
        set->first = request->next;
        if (set->first == NULL)
            set->last = &set->first;
        pthread_mutex_unlock(&set->mutex);

        muster_error_init(&request->error);
        muster_status status = session_do(set, request);

        pthread_mutex_lock(&set->mutex);
        set->done_count++;
        request->status = status;
        closed = request->kind == SESSION_CLOSE ||
                 (request->kind == SESSION_OPEN && status != MUSTER_OK);
        set->worker_ends = closed;
        if (!request->awaited) {
            if (status != MUSTER_OK && set->failed_count++ == 0)
                set->first_failure = request->error;
            free(request);
        } else {
            request->done = true;
        }
        pthread_cond_broadcast(&set->changed);
    }
    if (!closed) {
        /* Given up while a call hung, and the call came back after all: leave nothing behind. */
        pthread_mutex_unlock(&set->mutex);
        session_do(set, &(session_request){.kind = SESSION_CLOSE, .reason = "late"});
        pthread_mutex_lock(&set->mutex);
    }
    session_let_go(set);
    return NULL;
}

/* ---- owner ---- */

static session_request *session_request_new(session_request_kind kind, int32_t slot,
                                            uint32_t incarnation, const char *reason)
{
    session_request *request = calloc(1, sizeof *request);
    if (request != NULL) {
        request->kind = kind;
        request->slot = slot;
        request->incarnation = incarnation;
        snprintf(request->reason, sizeof request->reason, "%s", reason);
        for (char *at = request->reason; *at != '\0'; at++)
            if (strchr("/ \t\n", *at) != NULL)
                *at = '-'; /* it becomes a folder's name */
    }
    return request;
}

/* Under the mutex. A begin goes first: a process waits for it. */
static void session_queue(muster_session_set *set, session_request *request)
{
    if (request->kind == SESSION_BEGIN) {
        request->next = set->first;
        set->first = request;
        if (request->next == NULL)
            set->last = &request->next;
    } else {
        *set->last = request;
        set->last = &request->next;
    }
    pthread_cond_broadcast(&set->changed);
}

static muster_status session_given_up(muster_session_set *set, muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_TIMEOUT,
                            set->call_timeout_ns, 0,
                            "the LTTng session daemon does not answer within %lld ms: restart "
                            "lttng-sessiond",
                            (long long)(set->call_timeout_ns / 1000000));
}

static struct timespec session_deadline(const muster_session_set *set)
{
    int64_t deadline_ns = session_now_ns() + set->call_timeout_ns;
    return (struct timespec){.tv_sec = deadline_ns / 1000000000,
                             .tv_nsec = deadline_ns % 1000000000};
}

/* Queues and waits: for a close as long as the worker gets on with what was asked for before. On a
 * timeout the set is given up and the request stays the worker's. */
static muster_status session_await(muster_session_set *set, session_request *request,
                                   muster_error *error)
{
    if (request == NULL)
        return muster_error_set_errno(error, ENOMEM, "a request to the session worker");
    struct timespec deadline = session_deadline(set);
    muster_status status;
    pthread_mutex_lock(&set->mutex);
    if (set->given_up) {
        free(request);
        status = session_given_up(set, error);
    } else {
        request->awaited = true;
        session_queue(set, request);
        uint64_t done_count = set->done_count;
        int code = 0;
        while (!request->done && code == 0) {
            code = pthread_cond_timedwait(&set->changed, &set->mutex, &deadline);
            if (request->kind == SESSION_CLOSE && set->done_count != done_count) {
                done_count = set->done_count;
                deadline = session_deadline(set);
                code = 0;
            }
        }
        if (request->done) {
            status = request->status;
            if (error != NULL)
                *error = request->error;
            free(request);
        } else {
            request->awaited = false;
            set->given_up = true;
            pthread_cond_broadcast(&set->changed);
            status = session_given_up(set, error);
        }
    }
    pthread_mutex_unlock(&set->mutex);
    return status;
}

static void session_post(muster_session_set *set, session_request *request)
{
    pthread_mutex_lock(&set->mutex);
    if (request == NULL || set->given_up) {
        set->failed_count++;
        free(request);
    } else {
        session_queue(set, request);
    }
    pthread_mutex_unlock(&set->mutex);
}

static muster_status session_directory(muster_session_set *set, const char *directory,
                                       muster_error *error)
{
    char path[PATH_MAX];
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return muster_error_set_errno(error, errno, directory);
    if (realpath(directory, path) == NULL)
        return muster_error_set_errno(error, errno, directory);
    if (snprintf(set->directory, sizeof set->directory, "%s/traces", path) >=
        (int)sizeof set->directory)
        return muster_error_set_errno(error, ENAMETOOLONG, directory);
    if ((mkdir(set->directory, 0777) != 0 && errno != EEXIST) ||
        access(set->directory, W_OK | X_OK) != 0)
        return muster_error_set_errno(error, errno, set->directory);
    return MUSTER_OK;
}

static bool power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static muster_status session_need(muster_session_set *set, const muster_session_options *options,
                                  muster_error *error)
{
    set->need.subbuffer_bytes =
        options->subbuffer_bytes != 0 ? options->subbuffer_bytes : DEFAULT_SUBBUFFER_BYTES;
    set->need.subbuffer_count =
        options->subbuffer_count != 0 ? options->subbuffer_count : DEFAULT_SUBBUFFER_COUNT;
    set->need.cpu_count = muster_shared_memory_cpu_count();
    set->need.session_count = options->session_count;
    if (!power_of_two(set->need.subbuffer_bytes) || set->need.subbuffer_bytes < 4096 ||
        !power_of_two(set->need.subbuffer_count) || set->need.subbuffer_count < 2 ||
        options->session_count < 1)
        return muster_error_set(
            error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
            "sub-buffers are powers of two, at least 2 of 4096 bytes, and there "
            "is at least one session: got %llu of %llu bytes, %d sessions",
            (unsigned long long)set->need.subbuffer_count,
            (unsigned long long)set->need.subbuffer_bytes, options->session_count);
    return muster_shared_memory_check(&set->need, muster_shared_memory_free_bytes(), error);
}

static void session_job_name(muster_session_set *set, const char *job_name)
{
    snprintf(set->job_name, sizeof set->job_name, "%s", job_name != NULL ? job_name : "job");
    for (char *at = set->job_name; *at != '\0'; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || *at == '_'))
            *at = '_'; /* LTTng refuses slashes and commas in names */
}

/* The owner's last act. A worker that ends is waited for, so that no thread is left over; one that a
 * call of liblttng-ctl may hold for ever is not. */
static void session_leave(muster_session_set *set)
{
    pthread_mutex_lock(&set->mutex);
    bool ends = set->worker_ends;
    set->given_up = true;
    pthread_cond_broadcast(&set->changed);
    pthread_mutex_unlock(&set->mutex);
    if (ends)
        pthread_join(set->worker, NULL);
    else
        pthread_detach(set->worker);
    pthread_mutex_lock(&set->mutex);
    session_let_go(set);
}

static muster_status session_start_worker(muster_session_set *set, muster_error *error)
{
    sigset_t all;
    sigset_t before;
    /* The launcher's signals are for the launcher's thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    set->holders = 2;
    int code = pthread_create(&set->worker, NULL, session_worker, set);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return muster_error_set_errno(error, code, "the session worker's thread");
    return MUSTER_OK;
}

muster_status muster_session_open(const muster_session_options *options, muster_session_set **set,
                                  muster_error *error)
{
    *set = NULL;
    muster_session_set *made = calloc(1, sizeof *made);
    if (made == NULL)
        return muster_error_set_errno(error, ENOMEM, "recording sessions");
    pthread_condattr_t attributes;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    made->place = (muster_place){.directory = -1, .own_lock = -1, .users_lock = -1};
    made->last = &made->first;
    muster_error_init(&made->first_failure);
    made->call_timeout_ns =
        options->call_timeout_ns > 0 ? options->call_timeout_ns : DEFAULT_CALL_TIMEOUT_NS;
    session_job_name(made, options->job_name);

    muster_status status = session_need(made, options, error);
    if (status == MUSTER_OK)
        status = session_directory(made, options->directory, error);
    if (status == MUSTER_OK)
        status = session_start_worker(made, error);
    if (status != MUSTER_OK) {
        session_set_free(made);
        return status;
    }
    status = session_await(made, session_request_new(SESSION_OPEN, 0, 0, ""), error);
    if (status != MUSTER_OK) {
        session_leave(made);
        return status;
    }
    size_t count = 0;
    made->environment[count++] = "MUSTER_TRACE=1";
    made->environment[count++] = REGISTER_TIMEOUT;
    if (strcmp(made->home, "LTTNG_HOME=") != 0)
        made->environment[count++] = made->home;
    *set = made;
    return MUSTER_OK;
}

const char *const *muster_session_environment(const muster_session_set *set)
{
    static const char *const nothing[] = {NULL};
    return set != NULL ? set->environment : nothing;
}

muster_status muster_session_begin(muster_session_set *set, pid_t process_id, int32_t slot,
                                   uint32_t incarnation, muster_error *error)
{
    if (set == NULL)
        return muster_error_set_ok(error);
    session_request *request = session_request_new(SESSION_BEGIN, slot, incarnation, "");
    if (request != NULL)
        request->process_id = process_id;
    return session_await(set, request, error);
}

void muster_session_snapshot(muster_session_set *set, int32_t slot, uint32_t incarnation,
                             const char *reason)
{
    if (set != NULL)
        session_post(set, session_request_new(SESSION_SNAPSHOT, slot, incarnation, reason));
}

void muster_session_end(muster_session_set *set, int32_t slot, uint32_t incarnation,
                        const char *reason)
{
    if (set != NULL)
        session_post(set, session_request_new(SESSION_END, slot, incarnation, reason));
}

muster_status muster_session_close(muster_session_set *set, muster_error *error)
{
    if (set == NULL)
        return muster_error_set_ok(error);
    muster_status status =
        session_await(set, session_request_new(SESSION_CLOSE, 0, 0, "end"), error);
    pthread_mutex_lock(&set->mutex);
    if (status == MUSTER_ERR_UNSUPPORTED)
        status = muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT,
                                  set->call_timeout_ns, 0,
                                  "the LTTng session daemon does not answer: the last snapshots "
                                  "are missing; restart lttng-sessiond");
    else if (status == MUSTER_OK && set->failed_count > 0)
        status = muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 0, set->failed_count,
                                  "%d times something was not recorded; first: %.170s",
                                  set->failed_count, set->first_failure.message);
    pthread_mutex_unlock(&set->mutex);
    session_leave(set);
    return status;
}
