/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin_calls.h"

#include "transport/nccl/device.h"

static muster_nccl_library library;
static plugin_calls *counts;

static ncclResult_t count_initialisation(ncclComm_t *comm, int count, ncclUniqueId id, int rank,
                                         ncclConfig_t *config)
{
    counts->initialisations++;
    return library.ncclCommInitRankConfig(comm, count, id, rank, config);
}

static ncclResult_t count_shrink(ncclComm_t comm, int *excluded, int excluded_count,
                                 ncclComm_t *child, ncclConfig_t *config, int flags)
{
    counts->shrinks++;
    return library.ncclCommShrink(comm, excluded, excluded_count, child, config, flags);
}

/* On the device's thread, which is through before anybody looks. */
static ncclResult_t count_abort(ncclComm_t comm)
{
    counts->aborts++;
    return library.ncclCommAbort(comm);
}

void plugin_calls_count(muster_device *device, plugin_calls *calls)
{
    counts = calls;
    library = device->library;
    device->library.ncclCommInitRankConfig = count_initialisation;
    device->library.ncclCommShrink = count_shrink;
    device->library.ncclCommAbort = count_abort;
}
