/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL itself, without Muster: its public functions, found in libnccl.so.2 when a rank's process starts. Declared
 * here and not included, so that these tests are built on every machine and skipped where there is no NCCL. */
#ifndef MUSTER_TESTS_NCCL_RAW_API_H
#define MUSTER_TESTS_NCCL_RAW_API_H

#include <stdbool.h>
#include <stddef.h>

#include "public_api.h"

typedef struct nccl_comm *nccl_comm;
typedef struct nccl_id {
    char bytes[128];
} nccl_id;
enum {
    NCCL_SUCCESS = 0,
    NCCL_INVALID_ARGUMENT = 4,
    NCCL_REMOTE_ERROR = 6,
    NCCL_IN_PROGRESS = 7,
};
enum { NCCL_CHAR = 0, NCCL_INT32 = 2, NCCL_INT64 = 4, NCCL_FLOAT32 = 7 };
enum { NCCL_SUM = 0 };
enum { NCCL_SHRINK_DEFAULT = 0, NCCL_SHRINK_ABORT = 1 };
enum { NCCL_NO_COLOR = -1 };

typedef struct nccl_config {
    size_t size;
    unsigned magic;
    unsigned version;
    int blocking;
    int cluster_size;
    int blocks_min;
    int blocks_max;
    const char *net_name;
    int split_share;
    int traffic_class;
    const char *comm_name;
    int collnet;
    int policy;
    int shrink_share;
    int nvls_blocks;
    int channels_per_peer;
    int nvlink_schedule;
    int graph_usage;
    int rma_contexts;
} nccl_config;

/* Every function that these tests call, under its own name. */
typedef struct raw_api {
    int (*ncclGetVersion)(int *version);
    int (*ncclGetUniqueId)(nccl_id *id);
    const char *(*ncclGetErrorString)(int result);
    const char *(*ncclGetLastError)(nccl_comm comm);
    int (*ncclCommInitRank)(nccl_comm *comm, int count, nccl_id id, int rank);
    int (*ncclCommInitRankConfig)(nccl_comm *comm, int count, nccl_id id, int rank,
                                  nccl_config *config);
    int (*ncclCommInitRankScalable)(nccl_comm *comm, int count, int rank, int id_count,
                                    nccl_id *ids, nccl_config *config);
    int (*ncclCommFinalize)(nccl_comm comm);
    int (*ncclCommDestroy)(nccl_comm comm);
    int (*ncclCommAbort)(nccl_comm comm);
    int (*ncclCommSplit)(nccl_comm comm, int color, int key, nccl_comm *child, nccl_config *config);
    int (*ncclCommShrink)(nccl_comm comm, int *without, int without_count, nccl_comm *child,
                          nccl_config *config, int flags);
    int (*ncclCommGetAsyncError)(nccl_comm comm, int *result);
    int (*ncclCommCount)(nccl_comm comm, int *count);
    int (*ncclCommUserRank)(nccl_comm comm, int *rank);
    int (*ncclCommCuDevice)(nccl_comm comm, int *device);
    int (*ncclGroupStart)(void);
    int (*ncclGroupEnd)(void);
    int (*ncclSend)(const void *from, size_t count, int type, int peer, nccl_comm comm,
                    cuda_stream stream);
    int (*ncclRecv)(void *to, size_t count, int type, int peer, nccl_comm comm, cuda_stream stream);
    int (*ncclAllGather)(const void *from, void *to, size_t count, int type, nccl_comm comm,
                         cuda_stream stream);
    int (*ncclAllReduce)(const void *from, void *to, size_t count, int type, int operation,
                         nccl_comm comm, cuda_stream stream);
    int (*ncclBroadcast)(const void *from, void *to, size_t count, int type, int root,
                         nccl_comm comm, cuda_stream stream);
    int (*ncclReduce)(const void *from, void *to, size_t count, int type, int operation, int root,
                      nccl_comm comm, cuda_stream stream);
    int (*ncclReduceScatter)(const void *from, void *to, size_t count, int type, int operation,
                             nccl_comm comm, cuda_stream stream);
} raw_api;

/* Opens libnccl.so.2; NULL, and the reason on stderr, where it cannot be. */
const raw_api *raw_api_open(void);
/* A configuration with every choice left to NCCL, and the one for calls that do not block. */
nccl_config raw_api_config(int version, bool blocking);

#endif
