/* SPDX-License-Identifier: Apache-2.0 */
/* Where a launch's work lies: batches behind the argument block, the work itself in the block too, in a ring of the
 * communicator, or in a buffer of a graph's own. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_WORK_H
#define MUSTER_TESTS_EMULATED_KERNEL_WORK_H

#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "nccl_layout.h"

typedef struct kernel_work {
    enum nccl_work_kind kind;
    unsigned function;
    size_t count;
    int next_batch; /* -1: this was the channel's last one */
    union {
        nccl_p2p_work *p2p;
        nccl_collective_work *collective;
        nccl_broadcast_work *broadcasts;
        uint8_t *bytes;
    } items; /* copies; kernel_work_clear frees them */
} kernel_work;

/* A batch and those that belong to it. 0, or -1 and a sentence. */
int kernel_work_load(const emulated_launch *launch, int batch, kernel_work *work, char *message,
                     size_t message_bytes);
void kernel_work_clear(kernel_work *work);

#endif
