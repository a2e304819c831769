/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's initialisation between processes: the plain one, the one that does not block, the scalable one, splits,
 * and several communicators in one process. */
#include "raw_rank.h"

#include <stdio.h>

static void check_shape(raw_rank *rank, nccl_comm comm, int count, int own)
{
    int found = -1;
    raw_rank_nccl(rank, "ncclCommCount", rank->nccl->ncclCommCount(comm, &found));
    RAW_CHECK(rank, found == count, "%d ranks instead of %d", found, count);
    raw_rank_nccl(rank, "ncclCommUserRank", rank->nccl->ncclCommUserRank(comm, &found));
    RAW_CHECK(rank, found == own, "rank %d instead of %d", found, own);
    raw_rank_nccl(rank, "ncclCommCuDevice", rank->nccl->ncclCommCuDevice(comm, &found));
    RAW_CHECK(rank, found == rank->rank, "device %d instead of %d", found, rank->rank);
}

static void connect_blocking(raw_rank *rank)
{
    nccl_comm comm = raw_rank_connect(rank, (1U << rank->count) - 1, 0, true);
    check_shape(rank, comm, rank->count, rank->rank);
    raw_rank_nccl(rank, "ncclCommDestroy", rank->nccl->ncclCommDestroy(comm));
}

int main(void)
{
    bool well = raw_rank_run("2 ranks connect", 2, connect_blocking, 0);
    return well ? 0 : 1;
}
