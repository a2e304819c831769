/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for libnccl.so.2 and libcudart.so: they do what a test tells them, write down what they were
 * asked, and notice what the real ones would crash at. */
#ifndef MUSTER_TESTS_NCCL_STUB_H
#define MUSTER_TESTS_NCCL_STUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <netinet/in.h>
#include <stddef.h>

#include <cuda_runtime_api.h>
#include <nccl.h>

#define STUB_LOG_MAX 2048

typedef struct stub_entry {
    const char *name;
    ncclComm_t comm;
    const void *buffer;
    size_t bytes;
    int peer;
    void *stream;
    int device; /* that was current */
    int order;  /* among the calls of both libraries */
} stub_entry;

/* "The n-th call of that name (NULL: of any) fails with that code." */
typedef struct stub_failure {
    const char *name;
    int countdown; /* 0: never */
    int code;
    const char *failed; /* the name of the call that did */
    int calls;          /* how many came, of any name */
} stub_failure;

typedef struct stub_nccl {
    atomic_bool hold_abort; /* the end of a group with an abort in it waits */
    atomic_bool hold_poll;  /* ncclCommGetAsyncError waits inside */
    atomic_bool hold_destroy;
    int version;
    int polls;              /* "in progress" so many times after each thing begun; < 0: for ever */
    int async_error;        /* what the poll says after that, if not success */
    const char *last_words; /* NULL: it has nothing to say */
    struct sockaddr_in id_address; /* of the ids, where the real ones have it; port 0: none */
    bool no_child;                 /* a shrink that says success and gives no communicator */
    stub_failure failure;
    atomic_int *order; /* the count of calls of both; NULL: none kept */
    /* What was seen. */
    stub_entry log[STUB_LOG_MAX];
    atomic_int log_count;  /* raised once its entry is written */
    atomic_int inside;     /* threads in ncclCommGetAsyncError */
    atomic_int violations; /* of NCCL's rules */
    char violation[160];   /* the first one */
    atomic_int live_comms;
    atomic_int groups;
    int id_count;        /* of the last scalable initialisation */
    ncclConfig_t config; /* of the last initialisation or shrink */
} stub_nccl;

typedef struct stub_cuda {
    int runtime_version;
    int driver_version;
    int device_count;
    bool
        captures_elsewhere; /* a thread captures in the global mode: who is not relaxed may not ask */
    int queries;            /* "not ready" so many times after each record; < 0: for ever */
    enum cudaStreamCaptureStatus capture;
    int stream_device;
    stub_failure failure;
    atomic_int *order; /* the count of calls of both; NULL: none kept */
    /* What was seen. */
    stub_entry log[STUB_LOG_MAX];
    atomic_int log_count;
    int events_made;
    int events_live;
    int copies;
} stub_cuda;

typedef struct stub_nccl *(*stub_nccl_function)(void);
typedef struct stub_cuda *(*stub_cuda_function)(void);
typedef void (*stub_reset_function)(void);
/* Memory of a device; freed at the next reset. device -1: pinned host memory; -2: managed. */
typedef void *(*stub_memory_function)(int device, size_t bytes);

#endif
