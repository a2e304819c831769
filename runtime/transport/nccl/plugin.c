/* SPDX-License-Identifier: Apache-2.0 */
/* The one symbol of libmuster-nccl. */
#include "transport/device.h"
#include "transport/nccl/batch.h"
#include "transport/nccl/check.h"
#include "transport/nccl/comm.h"
#include "transport/nccl/connect.h"
#include "transport/nccl/device.h"
#include "transport/nccl/revoke.h"

static const muster_device_table table = {
    .table_version = MUSTER_DEVICE_TABLE_VERSION,
    .name = "nccl",
    .open = muster_nccl_device_open,
    .close = muster_nccl_device_close,
    .facts = muster_nccl_device_facts,
    .check_memory = muster_nccl_check_memory,
    .check_stream = muster_nccl_check_stream,
    .id_count = muster_nccl_connect_id_count,
    .id_root = muster_nccl_connect_id_root,
    .make_id = muster_nccl_connect_make_id,
    .connect = muster_nccl_connect,
    .can_shrink = muster_nccl_comm_can_shrink,
    .shrink = muster_nccl_connect_shrink,
    .comm_close = muster_nccl_comm_close,
    .revoke = muster_nccl_revoke,
    .await_revoked = muster_nccl_revoke_await,
    .revive = muster_nccl_revoke_revive,
    .submit = muster_nccl_batch_submit,
    .progress = muster_nccl_batch_progress,
    .release = muster_nccl_batch_release,
    .borrow = muster_nccl_comm_borrow,
    .give_back = muster_nccl_comm_give_back,
};

__attribute__((visibility("default"))) const muster_device_table *muster_device_plugin(void);

const muster_device_table *muster_device_plugin(void)
{
    return &table;
}
