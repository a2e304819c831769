/* SPDX-License-Identifier: Apache-2.0 */
/* The number in a batch that says what is to be done with its work. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_FUNCTION_H
#define MUSTER_TESTS_EMULATED_KERNEL_FUNCTION_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel_reduce.h"
#include "nccl_layout.h"

typedef enum kernel_kind {
    KERNEL_ALL_GATHER,
    KERNEL_BROADCASTS, /* of one group, together */
    KERNEL_ALL_REDUCE,
    KERNEL_BROADCAST,
    KERNEL_REDUCE,
    KERNEL_REDUCE_SCATTER,
    KERNEL_SEND_RECEIVE,
    KERNEL_KINDS
} kernel_kind;

typedef struct kernel_function {
    kernel_kind kind;
    kernel_operation operation; /* of the three reducing kinds, as is type */
    kernel_type type;
    const char *algorithm; /* NCCL's word; "RING" is the one carried out here */
    enum nccl_protocol protocol;
} kernel_function;

/* False: no such function. */
bool kernel_function_find(unsigned number, kernel_function *function);
bool kernel_function_reduces(kernel_kind kind);
const char *kernel_function_kind_name(kernel_kind kind);
const char *kernel_function_protocol_name(enum nccl_protocol protocol);

#endif
