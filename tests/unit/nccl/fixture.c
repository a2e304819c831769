/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

const muster_device_table *muster_device_plugin(void);

static void *symbol(const char *file, const char *name)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    void *found = dlsym(handle, name);
    assert_non_null(found);
    dlclose(handle); /* the plug-in's own handle, or the reset below, keeps it */
    return found;
}

/* A function's address out of dlsym, as POSIX has it. */
#define CALL(type, file, name) (*(type *)&(void *){symbol(file, name)})

void fixture_reset(fixture *f)
{
    CALL(stub_reset_function, STUB_NCCL, "stub_nccl_reset")();
    CALL(stub_reset_function, STUB_CUDA, "stub_cuda_reset")();
    f->nccl = CALL(stub_nccl_function, STUB_NCCL, "stub_nccl_control")();
    f->cuda = CALL(stub_cuda_function, STUB_CUDA, "stub_cuda_control")();
    atomic_store(&f->order, 0);
    f->nccl->order = &f->order;
    f->cuda->order = &f->order;
}

int fixture_set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    /* For the whole test: what is seen must outlive the device. */
    assert_non_null(dlopen(STUB_NCCL, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
    assert_non_null(dlopen(STUB_CUDA, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
    fixture_reset(f);
    f->table = muster_device_plugin();
    f->options = (muster_device_options){.device = -1,
                                         .abort_timeout_ns = LONG_NS,
                                         .bracket_timeout_ns = LONG_NS,
                                         .nccl_library = STUB_NCCL,
                                         .cuda_library = STUB_CUDA};
    muster_error_init(&f->error);
    *state = f;
    return 0;
}

static void check_nothing_left(const fixture *f)
{
    typedef int (*depth_function)(void);
    typedef cudaError_t (*last_error_function)(void);
    if (atomic_load(&f->nccl->violations) > 0)
        fail_msg("%s", f->nccl->violation);
    assert_int_equal(f->nccl->live_comms, 0);
    assert_int_equal(f->cuda->events_live, 0);
    assert_int_equal(CALL(depth_function, STUB_NCCL, "stub_nccl_depth")(), 0);
    assert_int_equal(CALL(last_error_function, STUB_CUDA, "cudaGetLastError")(), cudaSuccess);
}

int fixture_tear_down(void **state)
{
    fixture *f = *state;
    fixture_close(f);
    check_nothing_left(f);
    fixture_reset(f);
    free(f);
    return 0;
}

muster_status fixture_open(fixture *f)
{
    return f->table->open(&f->options, &f->device, &f->error);
}

static bool is_cancelled(void *context)
{
    const fixture *f = context;
    return atomic_load(&f->cancel);
}

muster_device_connect_options fixture_connect_options(fixture *f, int32_t rank_count)
{
    return (muster_device_connect_options){.epoch = 3,
                                           .communicator = 1,
                                           .ids = f->ids,
                                           .id_count = 1,
                                           .own_rank = 1,
                                           .rank_count = rank_count,
                                           .deadline_ns = fixture_now_ns() + LONG_NS,
                                           .cancelled = is_cancelled,
                                           .context = f};
}

void fixture_connect(fixture *f)
{
    if (f->device == NULL)
        assert_int_equal(fixture_open(f), MUSTER_OK);
    assert_int_equal(f->table->make_id(f->device, &f->ids[0], &f->error), MUSTER_OK);
    const muster_device_connect_options options = fixture_connect_options(f, 4);
    assert_int_equal(f->table->connect(f->device, &options, &f->comm, &f->error), MUSTER_OK);
    assert_non_null(f->comm);
}

void fixture_close(fixture *f)
{
    if (f->comm != NULL)
        (void)f->table->comm_close(f->comm, NULL);
    f->comm = NULL;
    if (f->device != NULL)
        f->table->close(f->device);
    f->device = NULL;
}

void *fixture_memory(int device, size_t bytes)
{
    return CALL(stub_memory_function, STUB_CUDA, "stub_cuda_memory")(device, bytes);
}

muster_status fixture_finish(fixture *f, muster_device_batch *batch)
{
    bool enqueued = false, done = false;
    for (;;) {
        const muster_status status = f->table->progress(batch, &enqueued, &done, &f->error);
        if (status != MUSTER_OK)
            return status;
        if (done) {
            assert_true(enqueued);
            return MUSTER_OK;
        }
        fixture_nap(20000);
    }
}

int64_t fixture_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void fixture_nap(int64_t nap_ns)
{
    const struct timespec nap = {.tv_sec = nap_ns / 1000000000, .tv_nsec = nap_ns % 1000000000};
    nanosleep(&nap, NULL);
}

int fixture_count(const stub_entry *log, int log_count, const char *name)
{
    int count = 0;
    for (int i = 0; i < log_count; i++)
        count += strcmp(log[i].name, name) == 0;
    return count;
}

const stub_entry *fixture_find(const stub_entry *log, int log_count, const char *name, int nth)
{
    for (int i = 0; i < log_count; i++) {
        if (strcmp(log[i].name, name) == 0 && nth-- == 0)
            return &log[i];
    }
    return NULL;
}
