/* SPDX-License-Identifier: Apache-2.0 */
#include "raw_api.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const unsigned config_magic = 0xcafebeef;

static bool find(void *library, const char *name, void *function, size_t bytes)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL) {
        fprintf(stderr, "libnccl.so.2 has no %s\n", name);
        return false;
    }
    /* C has no cast from an object's address to a function's. */
    memcpy(function, &symbol, bytes);
    return true;
}

const raw_api *raw_api_open(void)
{
    static raw_api api;
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return NULL;
    }
#define RAW_FIND(result, name, parameters) \
    if (!find(library, #name, &api.name, sizeof api.name)) { \
        return NULL; \
    }
    RAW_FUNCTIONS(RAW_FIND)
#undef RAW_FIND
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
