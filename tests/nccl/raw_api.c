/* SPDX-License-Identifier: Apache-2.0 */
#include "raw_api.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const unsigned config_magic = 0xcafebeef;

/* Where each function of the table lies in it. */
#define MEMBER(name) \
    { \
#name, offsetof(raw_api, name) \
    }
static const struct {
    const char *name;
    size_t offset;
} members[] = {
    MEMBER(ncclGetVersion),
    MEMBER(ncclGetUniqueId),
    MEMBER(ncclGetErrorString),
    MEMBER(ncclGetLastError),
    MEMBER(ncclCommInitRank),
    MEMBER(ncclCommInitRankConfig),
    MEMBER(ncclCommInitRankScalable),
    MEMBER(ncclCommFinalize),
    MEMBER(ncclCommDestroy),
    MEMBER(ncclCommAbort),
    MEMBER(ncclCommSplit),
    MEMBER(ncclCommShrink),
    MEMBER(ncclCommGetAsyncError),
    MEMBER(ncclCommCount),
    MEMBER(ncclCommUserRank),
    MEMBER(ncclCommCuDevice),
    MEMBER(ncclGroupStart),
    MEMBER(ncclGroupEnd),
    MEMBER(ncclSend),
    MEMBER(ncclRecv),
    MEMBER(ncclAllGather),
    MEMBER(ncclAllReduce),
    MEMBER(ncclBroadcast),
    MEMBER(ncclReduce),
    MEMBER(ncclReduceScatter),
};

const raw_api *raw_api_open(void)
{
    static raw_api api;
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return NULL;
    }
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        void *symbol = dlsym(library, members[i].name);
        if (symbol == NULL) {
            fprintf(stderr, "libnccl.so.2 has no %s\n", members[i].name);
            return NULL;
        }
        /* C has no cast from an object's address to a function's. */
        memcpy((char *)&api + members[i].offset, &symbol, sizeof symbol);
    }
    return &api;
}

nccl_config raw_api_config(int version, bool blocking)
{
    const int unset = INT_MIN;
    return (nccl_config){
        .size = sizeof(nccl_config),
        .magic = config_magic,
        .version = (unsigned)version,
        .blocking = blocking ? 1 : 0,
        .cluster_size = unset,
        .blocks_min = unset,
        .blocks_max = unset,
        .split_share = unset,
        .traffic_class = unset,
        .collnet = unset,
        .policy = unset,
        .shrink_share = unset,
        .nvls_blocks = unset,
        .channels_per_peer = unset,
        .nvlink_schedule = unset,
        .graph_usage = unset,
        .rma_contexts = unset,
    };
}
