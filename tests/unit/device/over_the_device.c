/* SPDX-License-Identifier: Apache-2.0 */
#define MUSTER_TESTS_OVER_THE_DEVICE_ITSELF
#include "unit/device/over_the_device.h"

#include <dlfcn.h>
#include <string.h>

#include "comm/batch_builder.h"
#include "unit/device/fake_plugin.h"

/* Set by what runs a program with real NCCL on the emulated device: shm or net. */
#define EMULATED_OVER "MUSTER_EMULATED_OVER"

#define PATIENT_SILENCE_NS INT64_C(6000000000)

enum { RANKS_MOST = 64 };

/* Ranks are threads: the device of the one that is running. */
static _Thread_local int32_t own_device;

/* The emulated CUDA runtime's own: takes [data, data + bytes) for memory of device. */
typedef void (*claim_function)(void *data, size_t bytes, int32_t device);
typedef const fake_device_api *(*api_function)(void);

static void adapt(muster_job_options *join, void *argument)
{
    const char *nccl = getenv("MUSTER_NCCL_LIBRARY");
    const char *cuda = getenv("MUSTER_CUDA_LIBRARY");
    (void)argument;
    snprintf(join->device_plane, sizeof(join->device_plane), "nccl");
    snprintf(join->nccl_library, sizeof(join->nccl_library), "%s", nccl != NULL ? nccl : "");
    snprintf(join->cuda_library, sizeof(join->cuda_library), "%s", cuda != NULL ? cuda : "");
    own_device = join->device = join->slot;
    const char *over = getenv(EMULATED_OVER);
    if (over == NULL || strcmp(over, "net") != 0)
        return;
    /* Each process a host of its own to NCCL, which reads this when it is loaded. */
    char host[32];
    snprintf(host, sizeof(host), "host-%d", (int)getpid());
    setenv("NCCL_HOSTID", host, 1);
}

void over_the_device_options_init(harness_options *options, int32_t slot_count)
{
    harness_options_init(options, slot_count);
    options->adapt = adapt;
}

void over_the_device_run_processes(const harness_options *options, harness_body body,
                                   void *argument,
                                   void (*meanwhile)(const pid_t *pids, void *argument),
                                   int *exit_statuses)
{
    harness_options patient = *options;
    muster_deadlines *deadlines = &patient.policy.deadlines;
    if (getenv(EMULATED_OVER) != NULL && deadlines->silence_ns < PATIENT_SILENCE_NS) {
        deadlines->suspect_ns = PATIENT_SILENCE_NS / 4;
        deadlines->silence_ns = PATIENT_SILENCE_NS;
    }
    harness_run_processes(&patient, body, argument, meanwhile, exit_statuses);
}

void over_the_device_run(const harness_options *options, harness_body body, void *argument)
{
    if (getenv(EMULATED_OVER) == NULL) {
        harness_run_threads(options, body, argument);
        return;
    }
    int statuses[RANKS_MOST];
    CHECK(options->slot_count <= RANKS_MOST);
    over_the_device_run_processes(options, body, argument, NULL, statuses);
    for (int32_t slot = 0; slot < options->slot_count; slot++)
        CHECK(statuses[slot] == 0);
}

/* The symbol of a library that is loaded already; NULL where it is not. */
static void *symbol_of(const char *library, const char *name)
{
    void *handle = library == NULL ? NULL : dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    void *symbol = handle == NULL ? NULL : dlsym(handle, name);
    if (handle != NULL)
        dlclose(handle);
    return symbol;
}

/* A test's buffers lie anywhere; the device, which is a make-believe one, is told that they are its own. */
static void claim(void *data, size_t bytes)
{
    void *fake = symbol_of(FAKE_PLUGIN, FAKE_DEVICE_API_SYMBOL);
    void *emulated = symbol_of(getenv(EMULATED_OVER) != NULL ? "libcudart.so.13" : NULL,
                               "emulated_device_claim");
    CHECK(fake != NULL || emulated != NULL);
    if (fake != NULL) {
        api_function api;
        memcpy(&api, &fake, sizeof(api));
        api()->claim_memory(data, bytes, own_device);
    } else {
        claim_function take;
        memcpy(&take, &emulated, sizeof(take));
        take(data, bytes, own_device);
    }
}

muster_tensor over_the_device_tensor(void *data, muster_dtype dtype, int64_t rows, int64_t features)
{
    if (data != NULL && rows > 0 && features > 0)
        claim(data, (size_t)rows * (size_t)features * muster_dtype_bytes(dtype));
    return muster_tensor_device(data, dtype, rows, features, own_device);
}

static muster_status land(muster_comm *comm, muster_status status, muster_error *error)
{
    return status == MUSTER_OK ? muster_comm_synchronize(comm, error) : status;
}

muster_status over_the_device_gatherv(muster_comm *comm, const muster_tensor *rows,
                                      const int64_t *lengths, int32_t lengths_count, int32_t root,
                                      const muster_root_rows *root_rows, muster_error *error)
{
    return land(comm, muster_gatherv(comm, rows, lengths, lengths_count, root, root_rows, error),
                error);
}

muster_status over_the_device_scatterv(muster_comm *comm, const muster_root_rows *root_rows,
                                       const int64_t *lengths, int32_t lengths_count, int32_t root,
                                       const muster_tensor *rows, muster_error *error)
{
    return land(comm, muster_scatterv(comm, root_rows, lengths, lengths_count, root, rows, error),
                error);
}

muster_status over_the_device_broadcast(muster_comm *comm, const muster_tensor *rows, int32_t root,
                                        muster_error *error)
{
    return land(comm, muster_broadcast(comm, rows, root, error), error);
}

muster_status over_the_device_allgatherv(muster_comm *comm, const muster_tensor *rows,
                                         const int64_t *lengths, int32_t lengths_count,
                                         const muster_tensor *all, muster_error *error)
{
    return land(comm, muster_allgatherv(comm, rows, lengths, lengths_count, all, error), error);
}

muster_status over_the_device_batch_run(muster_batch *batch, muster_error *error)
{
    muster_comm *comm = batch != NULL ? batch->comm : NULL;
    return land(comm, muster_batch_run(batch, error), error);
}
