/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/nccl_raw.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "comm/clock.h"

/* Values of nccl.h and driver_types.h. */
enum {
    NCCL_SUCCESS = 0,
    NCCL_IN_PROGRESS = 7,
    NCCL_INT8 = 0,
    CUDA_SUCCESS = 0,
    CUDA_NOT_READY = 600,
    CUDA_DEVICE_TO_DEVICE = 3,
    CUDA_EVENT_DISABLE_TIMING = 2
};

static void *load(const char *name, const char *const *names)
{
    const char *const only[] = {name, NULL};
    for (const char *const *each = name != NULL ? only : names; *each != NULL; each++) {
        void *handle = dlopen(*each, RTLD_NOW | RTLD_LOCAL);
        if (handle != NULL)
            return handle;
    }
    fprintf(stderr, "muster bench: %s\n", dlerror());
    return NULL;
}

static bool find(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof(symbol));
    if (symbol == NULL)
        fprintf(stderr, "muster bench: there is no %s\n", name);
    return symbol != NULL;
}

bool muster_nccl_raw_open(muster_nccl_raw *raw, const char *nccl_name, const char *cuda_name,
                          int32_t device)
{
    static const char *const nccl_names[] = {"libnccl.so.2", NULL};
    static const char *const cuda_names[] = {"libcudart.so.13", "libcudart.so.12", NULL};
    memset(raw, 0, sizeof(*raw));
    raw->cuda_handle = load(cuda_name, cuda_names);
    raw->nccl_handle = load(nccl_name, nccl_names);
    if (raw->cuda_handle == NULL || raw->nccl_handle == NULL)
        return false;
    return find(raw->nccl_handle, "ncclGroupStart", &raw->group_start) &&
           find(raw->nccl_handle, "ncclGroupEnd", &raw->group_end) &&
           find(raw->nccl_handle, "ncclSend", &raw->send) &&
           find(raw->nccl_handle, "ncclRecv", &raw->receive) &&
           find(raw->nccl_handle, "ncclCommGetAsyncError", &raw->async_error) &&
           find(raw->cuda_handle, "cudaSetDevice", &raw->set_device) &&
           find(raw->cuda_handle, "cudaMalloc", &raw->malloc) &&
           find(raw->cuda_handle, "cudaFree", &raw->free) &&
           find(raw->cuda_handle, "cudaMemcpyAsync", &raw->copy) &&
           find(raw->cuda_handle, "cudaEventCreateWithFlags", &raw->event_create) &&
           find(raw->cuda_handle, "cudaEventRecord", &raw->event_record) &&
           find(raw->cuda_handle, "cudaEventQuery", &raw->event_query) &&
           find(raw->cuda_handle, "cudaEventDestroy", &raw->event_destroy) &&
           raw->set_device(device) == CUDA_SUCCESS &&
           raw->event_create(&raw->event, CUDA_EVENT_DISABLE_TIMING) == CUDA_SUCCESS;
}

void muster_nccl_raw_close(muster_nccl_raw *raw)
{
    if (raw->event != NULL)
        (void)raw->event_destroy(raw->event);
    if (raw->nccl_handle != NULL)
        dlclose(raw->nccl_handle);
    if (raw->cuda_handle != NULL)
        dlclose(raw->cuda_handle);
    memset(raw, 0, sizeof(*raw));
}

void *muster_nccl_raw_alloc(const muster_nccl_raw *raw, size_t bytes)
{
    void *memory = NULL;
    return raw->malloc(&memory, bytes) == CUDA_SUCCESS ? memory : NULL;
}

static bool enqueue(const muster_nccl_raw *raw, struct ncclComm *comm, int32_t rank, int32_t size,
                    void *mine, void *whole, size_t bytes)
{
    bool well = true;
    if (rank == 0)
        well = raw->copy(whole, mine, bytes, CUDA_DEVICE_TO_DEVICE, NULL) == CUDA_SUCCESS;
    well = well && raw->group_start() == NCCL_SUCCESS;
    if (!well)
        return false;
    for (int32_t peer = 1; rank == 0 && peer < size; peer++)
        well = raw->receive((char *)whole + (size_t)peer * bytes, bytes, NCCL_INT8, peer, comm,
                            NULL) == NCCL_SUCCESS &&
               well;
    if (rank != 0)
        well = raw->send(mine, bytes, NCCL_INT8, 0, comm, NULL) == NCCL_SUCCESS;
    int state = raw->group_end();
    while (well && state == NCCL_IN_PROGRESS)
        well = raw->async_error(comm, &state) == NCCL_SUCCESS;
    return well && state == NCCL_SUCCESS;
}

bool muster_nccl_raw_gather(const muster_nccl_raw *raw, struct ncclComm *comm, int32_t rank,
                            int32_t size, void *mine, void *whole, size_t bytes,
                            int64_t *enqueue_ns)
{
    const int64_t began_ns = muster_clock_now_ns();
    if (!enqueue(raw, comm, rank, size, mine, whole, bytes))
        return false;
    *enqueue_ns = muster_clock_now_ns() - began_ns;
    int code = raw->event_record(raw->event, NULL);
    if (code != CUDA_SUCCESS)
        return false;
    while ((code = raw->event_query(raw->event)) == CUDA_NOT_READY)
        continue;
    return code == CUDA_SUCCESS;
}
