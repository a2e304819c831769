/* SPDX-License-Identifier: Apache-2.0 */
/* The one kernel of NCCL's that is launched with arguments of its own: a communicator of one rank scales its values
 * where it reduces by a scaled sum, which is what an average of floats is. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_ONE_RANK_H
#define MUSTER_TESTS_EMULATED_KERNEL_ONE_RANK_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel.h"

/* The arguments as emulated_kernel_pack puts them one behind the other. */
typedef struct kernel_one_rank {
    void *destination;
    const void *source;
    size_t count;
    uint64_t argument;
    bool argument_is_address;
} kernel_one_rank;

bool kernel_one_rank_is(const char *kernel_name);
int kernel_one_rank_run(const emulated_launch *launch, char *message, size_t message_bytes);

#endif
