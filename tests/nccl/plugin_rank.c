/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin_rank.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "public_api.h"
#include "raw_rank.h"

#define SECOND_NS ((int64_t)1000000000)

enum { PATIENCE_S = PLUGIN_PATIENCE_S };

typedef struct plugin_shared {
    atomic_bool lost[PLUGIN_PROCESSES_MAX];
    atomic_bool summoned[PLUGIN_PROCESSES_MAX];
    atomic_bool dismissed[PLUGIN_PROCESSES_MAX];
    atomic_bool gone[PLUGIN_PROCESSES_MAX];
    atomic_int marks[PLUGIN_MARKS_MAX];
    atomic_bool id_there[PLUGIN_EPOCHS_MAX];
    muster_device_id ids[PLUGIN_EPOCHS_MAX];
} plugin_shared;

static plugin_shared *shared;

const muster_device_table *muster_device_plugin(void);

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

void plugin_rank_pause_ms(int ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

void plugin_rank_check(const plugin_rank *self, bool holds, const char *condition, const char *file,
                       int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: process %d, rank %d of %d, epoch %d: %s; last error: %s\n", file, line,
            self->process, self->rank, self->size, self->epoch, condition, self->error.message);
    fflush(NULL); /* what it told before */
    _exit(1);
}

bool plugin_rank_is_lost(int process)
{
    return atomic_load(&shared->lost[process]);
}

void plugin_rank_await_gone(const plugin_rank *self, int process)
{
    const int64_t end_ns = now_ns() + PATIENCE_S * SECOND_NS;
    while (!atomic_load(&shared->gone[process])) {
        PLUGIN_CHECK(self, now_ns() < end_ns);
        plugin_rank_pause_ms(1);
    }
}

bool plugin_rank_is_revoked(const plugin_rank *self)
{
    for (int i = 0; i < self->size; i++) {
        if (plugin_rank_is_lost(self->members[i]))
            return true;
    }
    return false;
}

static bool is_cancelled(void *context)
{
    return plugin_rank_is_revoked(context);
}

void plugin_rank_mark(int mark)
{
    atomic_fetch_add(&shared->marks[mark], 1);
}

int plugin_rank_marks(int mark)
{
    return atomic_load(&shared->marks[mark]);
}

void plugin_rank_await_marks(plugin_rank *self, int mark, int times)
{
    const int64_t end_ns = now_ns() + PATIENCE_S * SECOND_NS;
    while (plugin_rank_marks(mark) < times) {
        PLUGIN_CHECK(self, now_ns() < end_ns);
        plugin_rank_pause_ms(1);
    }
}

/* ---- communicators ---- */

static void set_members(plugin_rank *self, const int *members, int size, int epoch)
{
    self->epoch = epoch;
    self->size = size;
    self->rank = -1;
    for (int i = 0; i < size; i++) {
        self->members[i] = members[i];
        if (members[i] == self->process)
            self->rank = i;
    }
    PLUGIN_CHECK(self, self->rank >= 0);
}

static muster_device_connect_options connect_options(plugin_rank *self)
{
    return (muster_device_connect_options){.epoch = (uint64_t)self->epoch,
                                           .communicator = 1,
                                           .ids = &shared->ids[self->epoch],
                                           .id_count = 1,
                                           .own_rank = self->rank,
                                           .rank_count = self->size,
                                           .deadline_ns = now_ns() + PATIENCE_S * SECOND_NS,
                                           .cancelled = is_cancelled,
                                           .context = self};
}

muster_status plugin_rank_connect(plugin_rank *self, const int *members, int size, int epoch)
{
    set_members(self, members, size, epoch);
    if (self->rank == 0) {
        PLUGIN_CHECK(self, self->table->make_id(self->device, &shared->ids[epoch], &self->error) ==
                               MUSTER_OK);
        atomic_store(&shared->id_there[epoch], true);
    }
    while (!atomic_load(&shared->id_there[epoch])) {
        if (plugin_rank_is_revoked(self))
            return MUSTER_ERR_RANK_LOST;
        plugin_rank_pause_ms(1);
    }
    const muster_device_connect_options options = connect_options(self);
    return self->table->connect(self->device, &options, &self->comm, &self->error);
}

int plugin_rank_survivors(const plugin_rank *self, int *survivors)
{
    int count = 0;
    for (int i = 0; i < self->size; i++) {
        if (!plugin_rank_is_lost(self->members[i]))
            survivors[count++] = self->members[i];
    }
    return count;
}

void plugin_rank_recover(plugin_rank *self, bool keep)
{
    self->table->revoke(self->device, keep);
    PLUGIN_CHECK(self, self->table->await_revoked(self->device, &self->error) == MUSTER_OK);
    if (self->comm != NULL && !(keep && self->table->can_shrink(self->comm)))
        plugin_rank_close(self);
    self->table->revive(self->device);
}

muster_status plugin_rank_shrink(plugin_rank *self, const int *survivors, int count, int epoch)
{
    int excluded[PLUGIN_RANKS_MAX], excluded_count = 0;
    for (int i = 0, next = 0; i < self->size; i++) {
        if (next < count && survivors[next] == self->members[i])
            next++;
        else
            excluded[excluded_count++] = i;
    }
    set_members(self, survivors, count, epoch);
    const muster_device_connect_options options = connect_options(self);
    muster_device_comm *parent = self->comm;
    self->comm = NULL;
    const muster_status status =
        self->table->shrink(parent, excluded, excluded_count, &options, &self->comm, &self->error);
    muster_error ignored;
    muster_error_init(&ignored);
    PLUGIN_CHECK(self, self->table->comm_close(parent, &ignored) == MUSTER_OK);
    return status;
}

void plugin_rank_close(plugin_rank *self)
{
    if (self->comm != NULL)
        PLUGIN_CHECK(self, self->table->comm_close(self->comm, &self->error) == MUSTER_OK);
    self->comm = NULL;
}

/* ---- data ---- */

muster_status plugin_rank_finish(plugin_rank *self, muster_device_batch *batch)
{
    const int64_t end_ns = now_ns() + PATIENCE_S * SECOND_NS;
    for (;;) {
        bool enqueued = false, done = false;
        const muster_status status = self->table->progress(batch, &enqueued, &done, &self->error);
        if (status != MUSTER_OK || done)
            return status;
        if (plugin_rank_is_revoked(self))
            return MUSTER_ERR_RANK_LOST;
        PLUGIN_CHECK(self, now_ns() < end_ns);
        plugin_rank_pause_ms(0);
    }
}

/* An error that NCCL found before the parent told of the loss: the loss follows. */
static muster_status as_loss(plugin_rank *self, muster_status status)
{
    const int64_t end_ns = now_ns() + PATIENCE_S * SECOND_NS;
    if (status != MUSTER_ERR_DEVICE_CALL)
        return status;
    while (!plugin_rank_is_revoked(self)) {
        PLUGIN_CHECK(self, now_ns() < end_ns);
        plugin_rank_pause_ms(1);
    }
    return MUSTER_ERR_RANK_LOST;
}

static muster_status run_batch(plugin_rank *self, const muster_transport_operation *operations,
                               size_t count)
{
    muster_device_batch *batch = NULL;
    muster_status status =
        self->table->submit(self->comm, NULL, operations, count, &batch, &self->error);
    if (status == MUSTER_OK)
        status = plugin_rank_finish(self, batch);
    if (status != MUSTER_OK && batch != NULL) {
        /* As the contract wants it: aborted before it is let go. */
        self->table->revoke(self->device, false);
        PLUGIN_CHECK(self, self->table->await_revoked(self->device, &self->error) == MUSTER_OK);
    }
    self->table->release(batch);
    return as_loss(self, status);
}

static uint64_t seed_of(const plugin_rank *self, int rank)
{
    return (uint64_t)self->epoch * 1000 + (uint64_t)rank;
}

/* Rank r moves bytes + r; the root's part lies first. */
static size_t offset_of(size_t bytes, int rank)
{
    return (size_t)rank * bytes + (size_t)rank * ((size_t)rank - 1) / 2 * (rank > 0);
}

static muster_status move(plugin_rank *self, bool gather, unsigned char *mine, unsigned char *all,
                          size_t bytes)
{
    muster_transport_operation operations[PLUGIN_RANKS_MAX];
    size_t count = 0;
    if (self->rank != 0) {
        operations[count++] = (muster_transport_operation){
            .kind = gather ? MUSTER_TRANSPORT_SEND : MUSTER_TRANSPORT_RECEIVE,
            .peer = 0,
            .data = mine,
            .bytes = bytes + (size_t)self->rank};
        return run_batch(self, operations, count);
    }
    for (int i = 0; i < self->size; i++) {
        unsigned char *place = all + offset_of(bytes, i);
        muster_transport_operation operation = {.peer = i, .data = place, .bytes = bytes + i};
        operation.kind = gather ? MUSTER_TRANSPORT_RECEIVE : MUSTER_TRANSPORT_SEND;
        if (i == 0) {
            operation.kind = MUSTER_TRANSPORT_COPY;
            operation.data = gather ? place : mine;
            operation.source = gather ? mine : place;
        }
        if (operation.bytes > 0) /* as the layers above skip it */
            operations[count++] = operation;
    }
    return run_batch(self, operations, count);
}

void *plugin_rank_memory(const plugin_rank *self, size_t bytes)
{
    void *memory = NULL;
    PLUGIN_CHECK(self, cudaMalloc(&memory, bytes) == CUDA_SUCCESS);
    PLUGIN_CHECK(self, self->table->check_memory(self->device, memory, bytes, NULL) == MUSTER_OK);
    return memory;
}

static void copy(const plugin_rank *self, void *to, const void *from, size_t bytes, int kind)
{
    if (bytes > 0)
        PLUGIN_CHECK(self, cudaMemcpy(to, from, bytes, kind) == CUDA_SUCCESS);
}

void plugin_rank_free(const plugin_rank *self, void *memory)
{
    PLUGIN_CHECK(self, cudaFree(memory) == CUDA_SUCCESS);
}

void plugin_rank_fill(const plugin_rank *self, void *memory, size_t bytes, uint64_t seed)
{
    unsigned char *host = malloc(bytes + 1);
    PLUGIN_CHECK(self, host != NULL);
    raw_rank_fill(host, bytes, seed);
    copy(self, memory, host, bytes, CUDA_COPY_HOST_TO_DEVICE);
    free(host);
}

bool plugin_rank_holds(const plugin_rank *self, const void *memory, size_t bytes, uint64_t seed)
{
    unsigned char *host = malloc(bytes + 1);
    PLUGIN_CHECK(self, host != NULL);
    copy(self, host, memory, bytes, CUDA_COPY_DEVICE_TO_HOST);
    const bool holds = raw_rank_first_wrong(host, bytes, seed) == bytes;
    free(host);
    return holds;
}

/* What a rank holds for one exchange; all that is read or written here goes through host. */
typedef struct exchange {
    size_t own_bytes;
    size_t all_bytes;
    unsigned char *mine; /* on the device */
    unsigned char *all;  /* on the device; the root's */
    unsigned char *host;
} exchange;

static void check_gathered(const plugin_rank *self, const exchange *of, size_t bytes)
{
    if (self->rank != 0)
        return;
    copy(self, of->host, of->all, of->all_bytes, CUDA_COPY_DEVICE_TO_HOST);
    for (int i = 0; i < self->size; i++) {
        const size_t part = bytes + (size_t)i;
        PLUGIN_CHECK(self, raw_rank_first_wrong(of->host + offset_of(bytes, i), part,
                                                seed_of(self, i)) == part);
    }
}

static muster_status there_and_back(plugin_rank *self, const exchange *of, size_t bytes)
{
    raw_rank_fill(of->host, of->own_bytes, seed_of(self, self->rank));
    copy(self, of->mine, of->host, of->own_bytes, CUDA_COPY_HOST_TO_DEVICE);
    muster_status status = move(self, true, of->mine, of->all, bytes);
    if (status != MUSTER_OK)
        return status;
    check_gathered(self, of, bytes);
    memset(of->host, 0, of->own_bytes);
    copy(self, of->mine, of->host, of->own_bytes, CUDA_COPY_HOST_TO_DEVICE);
    status = move(self, false, of->mine, of->all, bytes);
    if (status != MUSTER_OK)
        return status;
    copy(self, of->host, of->mine, of->own_bytes, CUDA_COPY_DEVICE_TO_HOST);
    PLUGIN_CHECK(self, raw_rank_first_wrong(of->host, of->own_bytes, seed_of(self, self->rank)) ==
                           of->own_bytes);
    return MUSTER_OK;
}

muster_status plugin_rank_exchange(plugin_rank *self, size_t bytes)
{
    exchange of = {.own_bytes = bytes + (size_t)self->rank,
                   .all_bytes = offset_of(bytes, self->size)};
    of.mine = plugin_rank_memory(self, of.own_bytes + 1);
    of.all = plugin_rank_memory(self, of.all_bytes + 1);
    of.host = malloc(of.all_bytes + 1);
    PLUGIN_CHECK(self, of.host != NULL);
    const muster_status status = there_and_back(self, &of, bytes);
    free(of.host);
    plugin_rank_free(self, of.mine);
    plugin_rank_free(self, of.all);
    return status;
}

/* ---- processes ---- */

int plugin_rank_devices(void)
{
    const char *text = getenv("MUSTER_EMULATED_DEVICES");
    if (text == NULL)
        text = getenv("MUSTER_TEST_DEVICES");
    return text != NULL ? atoi(text) : 16;
}

/* Those of a later epoch take turns, but not with the first ones, who live through all of them. */
static int32_t own_device(const plugin_rank *self)
{
    const int devices = plugin_rank_devices(), kept = devices > 3 ? 2 : 1;
    if (self->process < kept || devices == 1)
        return self->process % devices;
    return kept + (self->process - kept) % (devices - kept);
}

void plugin_rank_open(plugin_rank *self)
{
    const muster_device_options options = {.device = own_device(self),
                                           .abort_timeout_ns = PATIENCE_S * SECOND_NS,
                                           .bracket_timeout_ns = PATIENCE_S * SECOND_NS};
    /* Ranks that take each other for hosts of their own talk over sockets. */
    const char *over = getenv("MUSTER_EMULATED_OVER");
    if (over != NULL && strcmp(over, "net") == 0) {
        char host[64];
        snprintf(host, sizeof(host), "emulated-host-%d-%d", (int)getppid(), self->process);
        setenv("NCCL_HOSTID", host, 1);
    }
    PLUGIN_CHECK(self, self->table->open(&options, &self->device, &self->error) == MUSTER_OK);
    PLUGIN_CHECK(self, cudaSetDevice(options.device) == CUDA_SUCCESS);
    plugin_calls_count(self->device, &self->calls);
}

/* Never returns: what the libraries' destructors would do is not what is tested. */
static void be_process(int process, plugin_body body)
{
    plugin_rank self = {.process = process, .table = muster_device_plugin()};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    muster_error_init(&self.error);
    body(&self);
    plugin_rank_close(&self);
    self.table->close(self.device);
    fflush(NULL);
    _exit(0);
}

static bool judge(const char *name, int process, int status, bool killed)
{
    const bool by_kill = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (killed ? by_kill : WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    printf("%s: process %d %s %d\n", name, process,
           WIFSIGNALED(status) ? "was ended by signal" : "ended with",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

/* ---- the parent ---- */

typedef struct parent {
    const char *name;
    int count;
    plugin_body body;
    bool (*falls)(int process);
    pid_t processes[PLUGIN_PROCESSES_MAX]; /* 0: not forked, or reaped */
    int running;
    int others; /* of those, who are to end well */
    bool well;
} parent;

static bool is_to_fall(const parent *of, int process)
{
    return of->falls != NULL && of->falls(process);
}

static void fork_summoned(parent *of)
{
    for (int i = 0; i < of->count; i++) {
        if (!atomic_exchange(&shared->summoned[i], false))
            continue;
        of->processes[i] = fork();
        if (of->processes[i] == 0)
            be_process(i, of->body);
        of->running++;
        of->others += !is_to_fall(of, i);
    }
}

/* True: a process has told of itself. */
static bool look_at_one(parent *of)
{
    int status, i = 0;
    const pid_t found = waitpid(-1, &status, WNOHANG | WUNTRACED);
    if (found <= 0)
        return false;
    while (i < of->count && of->processes[i] != found)
        i++;
    if (i == of->count) {
        printf("%s: an orphan of a rank ended\n", of->name);
        of->well = false;
        return true;
    }
    atomic_store(&shared->lost[i], true);
    if (WIFSTOPPED(status))
        return true;
    atomic_store(&shared->gone[i], true);
    of->processes[i] = 0;
    of->running--;
    of->others -= !is_to_fall(of, i);
    of->well = judge(of->name, i, status, is_to_fall(of, i)) && of->well;
    return true;
}

/* Who was stopped goes when nobody needs it any more. */
static void kill_some(const parent *of, bool everybody)
{
    for (int i = 0; i < of->count; i++) {
        const bool stopped =
            plugin_rank_is_lost(i) && (of->others == 0 || atomic_load(&shared->dismissed[i]));
        if (of->processes[i] > 0 && (everybody || stopped))
            kill(of->processes[i], SIGKILL);
    }
}

static void watch(parent *of)
{
    int64_t end_ns = now_ns() + 3 * PATIENCE_S * SECOND_NS;
    bool in_time = true;
    do {
        fork_summoned(of);
        if (look_at_one(of)) {
            end_ns = now_ns() + 3 * PATIENCE_S * SECOND_NS;
            continue;
        }
        if (in_time && now_ns() > end_ns) {
            printf("%s: %d processes did not end\n", of->name, of->running);
            in_time = false;
            of->well = false;
        }
        kill_some(of, !of->well);
        plugin_rank_pause_ms(1);
    } while (of->running > 0);
}

void plugin_rank_summon(int process)
{
    atomic_store(&shared->summoned[process], true);
}

void plugin_rank_dismiss(int process)
{
    atomic_store(&shared->dismissed[process], true);
}

bool plugin_rank_run_later(const char *name, int first, int count, plugin_body body,
                           bool (*falls)(int process))
{
    parent of = {.name = name, .count = count, .body = body, .falls = falls, .well = true};
    const int64_t began_ns = now_ns();
    fflush(NULL);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return false;
    }
    /* Whoever a rank started and left behind becomes this process's. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int i = 0; i < first; i++)
        plugin_rank_summon(i);
    watch(&of);
    munmap(shared, sizeof(*shared));
    printf("%-60s %s (%.1f s)\n", name, of.well ? "ok" : "FAILED",
           (double)(now_ns() - began_ns) / 1e9);
    fflush(stdout);
    return of.well;
}

bool plugin_rank_run(const char *name, int count, plugin_body body, bool (*falls)(int process))
{
    return plugin_rank_run_later(name, count, count, body, falls);
}
