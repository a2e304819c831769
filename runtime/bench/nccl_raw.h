/* SPDX-License-Identifier: Apache-2.0 */
/* The same gather as Muster's, by bare calls of NCCL and CUDA: what Muster is measured beside.
 *
 * The libraries are those that the plug-in has loaded, by their names; the few prototypes are written down
 * here, since their headers belong to the plug-in alone. */
#ifndef MUSTER_RUNTIME_BENCH_NCCL_RAW_H
#define MUSTER_RUNTIME_BENCH_NCCL_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ncclComm;

typedef struct muster_nccl_raw {
    void *nccl_handle;
    void *cuda_handle;
    void *event;
    int (*group_start)(void);
    int (*group_end)(void);
    int (*send)(const void *, size_t, int, int, struct ncclComm *, void *);
    int (*receive)(void *, size_t, int, int, struct ncclComm *, void *);
    int (*async_error)(struct ncclComm *, int *);
    int (*set_device)(int);
    int (*malloc)(void **, size_t);
    int (*free)(void *);
    int (*copy)(void *, const void *, size_t, int, void *);
    int (*event_create)(void **, unsigned);
    int (*event_record)(void *, void *);
    int (*event_query)(void *);
    int (*event_destroy)(void *);
} muster_nccl_raw;

/* Makes `device` the calling thread's. Names NULL: as the plug-in looks for them. False, and a line on
 * stderr. */
bool muster_nccl_raw_open(muster_nccl_raw *raw, const char *nccl_name, const char *cuda_name,
                          int32_t device);
void muster_nccl_raw_close(muster_nccl_raw *raw);

/* Device memory of `bytes`, or NULL. */
void *muster_nccl_raw_alloc(const muster_nccl_raw *raw, size_t bytes);

/* A gather of `bytes` a rank to rank 0, waited for until it is done; *enqueue_ns: until NCCL was through
 * with enqueueing it. False where a call failed. */
bool muster_nccl_raw_gather(const muster_nccl_raw *raw, struct ncclComm *comm, int32_t rank,
                            int32_t size, void *mine, void *whole, size_t bytes,
                            int64_t *enqueue_ns);

#endif
