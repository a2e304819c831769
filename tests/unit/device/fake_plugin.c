/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the fake device plane: devices, communicators, aborts. Streams are in fake_stream.c,
 * memory in fake_memory.c. */
#include "fake_plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "fake_memory.h"
#include "fake_stream.h"

#define EXPORT __attribute__((visibility("default")))

fake_controls fake_all_controls;

struct muster_device {
    int32_t index;
    muster_device_options options;
    fake_stream *default_stream;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread; /* the aborter */
    bool closing;
    bool revoked; /* asked for */
    bool keep;    /* healthy comms are left alone */
    bool aborted; /* through */
    bool stuck;   /* late for good */
    int64_t revoked_ns;
    muster_device_comm *comms;
};

struct muster_device_comm {
    muster_device *device;
    muster_device_comm *next;
    char path[MUSTER_DEVICE_ID_BYTES + 32];
    int32_t rank;
    int32_t rank_count;
    fake_wire *wire;
    size_t wire_bytes;
    fake_abort abort; /* shared with its batches */
    atomic_bool ever_lent;
    atomic_bool faulty;
    bool kept; /* over a revoke */
    atomic_int lent;
    atomic_int in_flight;
};

struct muster_device_batch {
    muster_device_comm *comm;
    fake_work work;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void nap_ns(int64_t ns)
{
    struct timespec nap = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    nanosleep(&nap, NULL);
}

/* A failure that a test asked for. */
static muster_status ordered(int32_t status, const char *call, muster_error *error)
{
    if (status == MUSTER_OK)
        return MUSTER_OK;
    muster_error_set(error, (muster_status)status, MUSTER_FIELD_DEVICE, 0, 0,
                     "%s of the fake device failed as told", call);
    if (error != NULL)
        error->native_code = FAKE_NATIVE_CODE;
    return (muster_status)status;
}

/* ---- what a caller hands in ---- */

static muster_status fake_check_memory(muster_device *device, const void *data, size_t bytes,
                                       muster_error *error)
{
    int32_t found = fake_memory_device(data, bytes);
    if (found < 0)
        return muster_error_set(error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_BUFFER, 0, 0,
                                "the buffer is not memory of a device");
    if (found != device->index)
        return muster_error_set(error, MUSTER_ERR_WRONG_DEVICE, MUSTER_FIELD_DEVICE, device->index,
                                found, "the buffer is memory of device %d, this rank's is %d",
                                found, device->index);
    return MUSTER_OK;
}

static muster_status fake_check_stream(muster_device *device, void *stream, muster_error *error)
{
    if (stream == NULL)
        return MUSTER_OK;
    if (fake_stream_capturing(stream) || fake_stream_device(stream) != device->index)
        return muster_error_set(error, MUSTER_ERR_STREAM, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "the stream is being captured, or is of another device");
    return MUSTER_OK;
}

/* ---- the aborter ---- */

static bool comm_can_shrink(muster_device_comm *comm)
{
    return !comm->ever_lent && !comm->faulty && atomic_load(&comm->in_flight) == 0 &&
           !atomic_load(&comm->abort.wanted) &&
           !atomic_load(&fake_all_controls.cannot_shrink[comm->device->index]);
}

static bool any_lent(muster_device *device)
{
    bool lent = false;
    pthread_mutex_lock(&device->lock);
    for (muster_device_comm *comm = device->comms; comm != NULL; comm = comm->next)
        lent = lent || atomic_load(&comm->lent) > 0;
    pthread_mutex_unlock(&device->lock);
    return lent;
}

static void abort_all(muster_device *device)
{
    int64_t until_ns = device->revoked_ns + device->options.bracket_timeout_ns;
    while (any_lent(device) && now_ns() < until_ns)
        nap_ns(1000000);
    nap_ns(atomic_load(&fake_all_controls.abort_delay_ns[device->index]));
    while (atomic_load(&fake_all_controls.abort_stuck[device->index])) {
        pthread_mutex_lock(&device->lock);
        bool closing = device->closing;
        pthread_mutex_unlock(&device->lock);
        if (closing)
            return;
        nap_ns(1000000);
    }
    pthread_mutex_lock(&device->lock);
    for (muster_device_comm *comm = device->comms; comm != NULL; comm = comm->next) {
        comm->kept = device->keep && comm_can_shrink(comm);
        if (!comm->kept && !atomic_exchange(&comm->abort.wanted, true))
            atomic_fetch_add(&fake_all_controls.aborted_comms, 1);
    }
    for (muster_device_comm *comm = device->comms; comm != NULL; comm = comm->next)
        while (!comm->kept && atomic_load(&comm->abort.inside) > 0)
            nap_ns(100000);
    device->aborted = true;
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
}

static void *aborter_main(void *context)
{
    muster_device *device = context;
    pthread_mutex_lock(&device->lock);
    for (;;) {
        while (!device->closing && !(device->revoked && !device->aborted))
            pthread_cond_wait(&device->changed, &device->lock);
        if (device->closing)
            break;
        pthread_mutex_unlock(&device->lock);
        abort_all(device);
        pthread_mutex_lock(&device->lock);
    }
    pthread_mutex_unlock(&device->lock);
    return NULL;
}

static void fake_revoke(muster_device *device, bool keep_healthy)
{
    pthread_mutex_lock(&device->lock);
    if (!device->revoked) {
        device->revoked = true;
        device->keep = keep_healthy;
        device->revoked_ns = now_ns();
        pthread_cond_broadcast(&device->changed);
    }
    pthread_mutex_unlock(&device->lock);
}

static muster_status fake_await_revoked(muster_device *device, muster_error *error)
{
    int64_t late_ns = device->options.abort_timeout_ns + device->options.bracket_timeout_ns;
    pthread_mutex_lock(&device->lock);
    while (!device->aborted && !device->stuck) {
        if (now_ns() - device->revoked_ns > late_ns) {
            device->stuck = true;
            break;
        }
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 5000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&device->changed, &device->lock, &until);
    }
    bool stuck = !device->aborted;
    pthread_mutex_unlock(&device->lock);
    if (stuck && device->options.exit_when_stuck)
        _exit(MUSTER_DEVICE_STUCK_EXIT_CODE);
    return stuck ? muster_error_set(error, MUSTER_ERR_DEVICE_STUCK, MUSTER_FIELD_DEVICE, 0, 0,
                                    "the fake device does not let go; end the process")
                 : MUSTER_OK;
}

static void fake_revive(muster_device *device)
{
    pthread_mutex_lock(&device->lock);
    if (!device->stuck) {
        device->revoked = false;
        device->aborted = false;
    }
    pthread_mutex_unlock(&device->lock);
}

static bool is_revoked(muster_device *device)
{
    pthread_mutex_lock(&device->lock);
    bool revoked = device->revoked;
    pthread_mutex_unlock(&device->lock);
    return revoked;
}

static muster_status say_revoked(muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_RANK_LOST, MUSTER_FIELD_NONE, 0, 0,
                            "the fake device is revoked");
}

/* ---- device ---- */

static muster_status fake_open(const muster_device_options *options, muster_device **device,
                               muster_error *error)
{
    int32_t index = options->device < 0 ? 0 : options->device;
    if (index >= FAKE_DEVICES_MAX)
        return muster_error_set(error, MUSTER_ERR_WRONG_DEVICE, MUSTER_FIELD_DEVICE,
                                FAKE_DEVICES_MAX - 1, index, "there is no fake device %d", index);
    muster_status status =
        ordered(atomic_load(&fake_all_controls.open_status[index]), "open", error);
    if (status != MUSTER_OK)
        return status;
    muster_device *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return MUSTER_ERR_NO_MEMORY;
    made->index = index;
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    made->default_stream = fake_stream_create(index);
    if (made->default_stream == NULL ||
        pthread_create(&made->thread, NULL, aborter_main, made) != 0)
        abort();
    *device = made;
    return MUSTER_OK;
}

static void fake_close(muster_device *device)
{
    pthread_mutex_lock(&device->lock);
    bool stuck = device->stuck;
    device->closing = true;
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
    pthread_join(device->thread, NULL); /* even a stuck fake lets its thread go when it is closed */
    if (stuck)
        return; /* kept for good: the stream may still be at it */
    fake_stream_destroy(device->default_stream);
    pthread_cond_destroy(&device->changed);
    pthread_mutex_destroy(&device->lock);
    free(device);
}

static void fake_facts(const muster_device *device, muster_device_facts *facts)
{
    int32_t version = atomic_load(&fake_all_controls.nccl_version[device->index]);
    facts->device = device->index;
    facts->nccl_version = version != 0 ? version : 22907;
    facts->runtime_version = 13000;
    facts->driver_version = 13000;
}

/* ---- connecting ---- */

static int32_t fake_id_count(const muster_device *device, int32_t rank_count)
{
    (void)device;
    return atomic_load(&fake_all_controls.two_ids) && rank_count > 2 ? 2 : 1;
}

static int32_t fake_id_root(int32_t id, int32_t id_count, int32_t rank_count)
{
    return id * (rank_count / id_count);
}

static muster_status fake_make_id(muster_device *device, muster_device_id *id, muster_error *error)
{
    muster_status status =
        ordered(atomic_load(&fake_all_controls.make_id_status[device->index]), "make_id", error);
    if (status != MUSTER_OK)
        return status;
    /* A name that nobody else has; the file is made by whoever comes first, and an id that is never used
     * leaves nothing behind. */
    static atomic_int counter;
    memset(id, 0, sizeof(*id));
    snprintf((char *)id->data, sizeof(id->data), "/dev/shm/muster-fake-%d-%d-%lld", (int)getpid(),
             atomic_fetch_add(&counter, 1), (long long)now_ns());
    atomic_fetch_add(&fake_all_controls.ids_made, 1);
    return MUSTER_OK;
}

/* The file in which the ranks of one communicator meet. Whoever is connected takes its name away. */
static fake_wire *open_wire(const char *path, int32_t rank_count, size_t *bytes,
                            muster_error *error)
{
    *bytes = fake_wire_bytes(rank_count);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)*bytes) != 0) {
        muster_error_set_errno(error, errno, "opening the fake device's wire");
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    void *wire = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (wire == MAP_FAILED) {
        muster_error_set_errno(error, errno, "mapping the fake device's wire");
        return NULL;
    }
    return wire;
}

static bool all_joined(const muster_device_comm *comm)
{
    for (int32_t rank = 0; rank < comm->rank_count; rank++)
        if (!atomic_load(&comm->wire->joined[rank]))
            return false;
    return true;
}

static muster_status meet(muster_device_comm *comm, const muster_device_connect_options *options,
                          muster_error *error)
{
    int32_t index = comm->device->index;
    int64_t begin_ns = now_ns() + atomic_load(&fake_all_controls.connect_delay_ns[index]);
    for (;;) {
        if (options->cancelled(options->context) || is_revoked(comm->device))
            return say_revoked(error);
        if (now_ns() >= options->deadline_ns)
            return muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT, 0, 0,
                                    "the fake device's peers did not come in time");
        if (now_ns() >= begin_ns)
            atomic_store(&comm->wire->joined[comm->rank], 1);
        if (all_joined(comm))
            return MUSTER_OK;
        nap_ns(200000);
    }
}

static muster_status comm_make(muster_device *device, const char *path,
                               const muster_device_connect_options *options,
                               muster_device_comm **comm, muster_error *error)
{
    muster_device_comm *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return MUSTER_ERR_NO_MEMORY;
    made->device = device;
    made->rank = options->own_rank;
    made->rank_count = options->rank_count;
    snprintf(made->path, sizeof(made->path), "%s", path);
    made->wire = open_wire(path, made->rank_count, &made->wire_bytes, error);
    if (made->wire == NULL) {
        free(made);
        return MUSTER_ERR_SYSTEM;
    }
    muster_status status = meet(made, options, error);
    unlink(path);
    if (status != MUSTER_OK) {
        munmap(made->wire, made->wire_bytes);
        free(made);
        return status;
    }
    pthread_mutex_lock(&device->lock);
    made->next = device->comms;
    device->comms = made;
    pthread_mutex_unlock(&device->lock);
    atomic_fetch_add(&fake_all_controls.comms_alive, 1);
    *comm = made;
    return MUSTER_OK;
}

static muster_status fake_connect(muster_device *device,
                                  const muster_device_connect_options *options,
                                  muster_device_comm **comm, muster_error *error)
{
    if (is_revoked(device))
        return say_revoked(error);
    for (int32_t i = 0; i < options->id_count; i++)
        if (options->ids[i].data[0] != '/')
            return muster_error_set(error, MUSTER_ERR_DEVICE_CALL, MUSTER_FIELD_DEVICE, i, 0,
                                    "id %d is not one", i);
    muster_status status =
        ordered(atomic_load(&fake_all_controls.connect_status[device->index]), "connect", error);
    if (status != MUSTER_OK)
        return status;
    status = comm_make(device, (const char *)options->ids[0].data, options, comm, error);
    if (status == MUSTER_OK)
        atomic_fetch_add(&fake_all_controls.connects, 1);
    return status;
}

static bool fake_can_shrink(muster_device_comm *comm)
{
    return comm_can_shrink(comm);
}

static muster_status fake_shrink(muster_device_comm *parent, const int32_t *excluded,
                                 int32_t excluded_count,
                                 const muster_device_connect_options *options,
                                 muster_device_comm **comm, muster_error *error)
{
    muster_device *device = parent->device;
    int32_t before = 0;
    for (int32_t i = 0; i < excluded_count; i++) {
        if (excluded[i] == parent->rank || (i > 0 && excluded[i] <= excluded[i - 1]))
            abort();
        before += excluded[i] < parent->rank;
    }
    if (options->rank_count != parent->rank_count - excluded_count ||
        options->own_rank != parent->rank - before)
        abort();
    if (is_revoked(device))
        return say_revoked(error);
    muster_status status =
        ordered(atomic_load(&fake_all_controls.shrink_status[device->index]), "shrink", error);
    if (status != MUSTER_OK)
        return status;
    char path[MUSTER_DEVICE_ID_BYTES + 32];
    snprintf(path, sizeof(path), "%.128s.%llu", parent->path, (unsigned long long)options->epoch);
    status = comm_make(device, path, options, comm, error);
    if (status == MUSTER_OK)
        atomic_fetch_add(&fake_all_controls.shrinks, 1);
    return status;
}

static muster_status fake_comm_close(muster_device_comm *comm, muster_error *error)
{
    muster_device *device = comm->device;
    pthread_mutex_lock(&device->lock);
    bool stuck = device->revoked && !device->aborted;
    if (!stuck)
        for (muster_device_comm **link = &device->comms; *link != NULL; link = &(*link)->next)
            if (*link == comm) {
                *link = comm->next;
                break;
            }
    pthread_mutex_unlock(&device->lock);
    if (stuck)
        return muster_error_set(error, MUSTER_ERR_DEVICE_STUCK, MUSTER_FIELD_DEVICE, 0, 0,
                                "the fake device does not let go");
    if (atomic_load(&comm->in_flight) != 0)
        abort(); /* batches are released before */
    while (atomic_load(&comm->abort.inside) > 0)
        nap_ns(100000); /* the stream has told of the last one, and is about to let go */
    munmap(comm->wire, comm->wire_bytes);
    free(comm);
    atomic_fetch_sub(&fake_all_controls.comms_alive, 1);
    return MUSTER_OK;
}

/* ---- data ---- */

static muster_status fake_submit(muster_device_comm *comm, void *stream,
                                 const muster_transport_operation *operations,
                                 size_t operation_count, muster_device_batch **batch,
                                 muster_error *error)
{
    int32_t index = comm->device->index;
    if (is_revoked(comm->device))
        return say_revoked(error);
    if (atomic_load(&comm->lent) > 0)
        abort(); /* nobody else may be inside */
    muster_status status =
        ordered(atomic_load(&fake_all_controls.submit_status[index]), "submit", error);
    if (status != MUSTER_OK) {
        comm->faulty = true;
        return status;
    }
    muster_device_batch *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return MUSTER_ERR_NO_MEMORY;
    made->comm = comm;
    if (!fake_work_init(&made->work, comm->wire, comm->rank, comm->rank_count, &comm->abort,
                        operations, operation_count)) {
        free(made);
        return MUSTER_ERR_NO_MEMORY;
    }
    made->work.delay_ns = atomic_load(&fake_all_controls.batch_delay_ns[index]);
    atomic_fetch_add(&comm->in_flight, 1);
    atomic_fetch_add(&fake_all_controls.batches_alive, 1);
    fake_stream_append(stream != NULL ? stream : comm->device->default_stream, &made->work);
    *batch = made;
    return MUSTER_OK;
}

static muster_status fake_progress(muster_device_batch *batch, bool *enqueued, bool *done,
                                   muster_error *error)
{
    muster_device_comm *comm = batch->comm;
    if (atomic_load(&comm->lent) > 0)
        abort(); /* nobody else may be inside */
    if (is_revoked(comm->device))
        return say_revoked(error);
    muster_status status = ordered(
        atomic_load(&fake_all_controls.batch_status[comm->device->index]), "a batch", error);
    if (status != MUSTER_OK) {
        comm->faulty = true;
        return status;
    }
    *enqueued = fake_work_met(&batch->work);
    *done = atomic_load(&batch->work.state) == FAKE_WORK_DONE;
    return MUSTER_OK;
}

static void fake_release(muster_device_batch *batch)
{
    /* Aborted, but the stream still has to take it out of its queue; stuck, and it never may. */
    if (atomic_load(&batch->work.state) == FAKE_WORK_QUEUED &&
        !atomic_load(&batch->comm->abort.wanted))
        return;
    while (atomic_load(&batch->work.state) == FAKE_WORK_QUEUED)
        nap_ns(100000);
    atomic_fetch_sub(&batch->comm->in_flight, 1);
    atomic_fetch_sub(&fake_all_controls.batches_alive, 1);
    fake_work_clean_up(&batch->work);
    free(batch);
}

/* ---- the bracket ---- */

static muster_status fake_borrow(muster_device_comm *comm, struct ncclComm **native,
                                 muster_error *error)
{
    if (is_revoked(comm->device))
        return say_revoked(error);
    comm->ever_lent = true;
    atomic_fetch_add(&comm->lent, 1);
    *native = (struct ncclComm *)(void *)comm;
    return MUSTER_OK;
}

static muster_status fake_give_back(muster_device_comm *comm)
{
    atomic_fetch_sub(&comm->lent, 1);
    return MUSTER_OK;
}

static const muster_device_table table = {
    .table_version = MUSTER_DEVICE_TABLE_VERSION,
    .name = "nccl",
    .open = fake_open,
    .close = fake_close,
    .facts = fake_facts,
    .check_memory = fake_check_memory,
    .check_stream = fake_check_stream,
    .id_count = fake_id_count,
    .id_root = fake_id_root,
    .make_id = fake_make_id,
    .connect = fake_connect,
    .can_shrink = fake_can_shrink,
    .shrink = fake_shrink,
    .comm_close = fake_comm_close,
    .revoke = fake_revoke,
    .await_revoked = fake_await_revoked,
    .revive = fake_revive,
    .submit = fake_submit,
    .progress = fake_progress,
    .release = fake_release,
    .borrow = fake_borrow,
    .give_back = fake_give_back,
};

EXPORT const muster_device_table *muster_device_plugin(void);
const muster_device_table *muster_device_plugin(void)
{
    return &table;
}

static void *api_stream_create(int32_t device)
{
    return fake_stream_create(device);
}

static void api_stream_set_capturing(void *stream, bool capturing)
{
    fake_stream_set_capturing(stream, capturing);
}

static void api_stream_destroy(void *stream)
{
    fake_stream_destroy(stream);
}

static void api_stream_synchronize(void *stream)
{
    fake_stream_synchronize(stream);
}

EXPORT const fake_device_api *muster_fake_device_api(void);
const fake_device_api *muster_fake_device_api(void)
{
    static const fake_device_api api = {
        .controls = &fake_all_controls,
        .register_memory = fake_memory_register,
        .claim_memory = fake_memory_claim,
        .stream_create = api_stream_create,
        .stream_set_capturing = api_stream_set_capturing,
        .stream_destroy = api_stream_destroy,
        .stream_synchronize = api_stream_synchronize,
    };
    return &api;
}
