/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL numbers its device functions in the alphabetical order of kind, operation, type, algorithm and protocol, and
 * leaves out what is never built: signed integers share the functions of unsigned ones, except with NVLS; only integers
 * are divided; only ring and tree speak LL and LL128. Counting is simpler than a table of 673 rows. */
#include "kernel_function.h"

#include <string.h>

static const char *const kind_names[KERNEL_KINDS] = {
    "AllGather", "AllGatherV", "AllReduce", "Broadcast", "Reduce", "ReduceScatter", "SendRecv"};
static const char *const protocol_names[NCCL_PROTOCOLS] = {"LL", "LL128", "SIMPLE"};

static const kernel_operation operations[] = {KERNEL_MINIMUM_OR_MAXIMUM, KERNEL_SCALED_SUM,
                                              KERNEL_PRODUCT, KERNEL_SUM, KERNEL_DIVIDED_SUM};
static const kernel_type types[] = {KERNEL_BFLOAT16, KERNEL_FLOAT16,    KERNEL_FLOAT32,
                                    KERNEL_FLOAT64,  KERNEL_FLOAT8E4M3, KERNEL_FLOAT8E5M2,
                                    KERNEL_INT32,    KERNEL_INT64,      KERNEL_INT8,
                                    KERNEL_UINT32,   KERNEL_UINT64,     KERNEL_UINT8};
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

#define ALGORITHMS_MAX 6
static const char *const algorithms[KERNEL_KINDS][ALGORITHMS_MAX + 1] = {
    [KERNEL_ALL_GATHER] = {"COLLNET_DIRECT", "NVLS", "PAT", "RING"},
    [KERNEL_BROADCASTS] = {"RING"},
    [KERNEL_ALL_REDUCE] = {"COLLNET_CHAIN", "COLLNET_DIRECT", "NVLS", "NVLS_TREE", "RING", "TREE"},
    [KERNEL_BROADCAST] = {"RING"},
    [KERNEL_REDUCE] = {"RING"},
    [KERNEL_REDUCE_SCATTER] = {"COLLNET_DIRECT", "NVLS", "PAT", "RING"},
};

bool kernel_function_reduces(kernel_kind kind)
{
    return kind == KERNEL_ALL_REDUCE || kind == KERNEL_REDUCE || kind == KERNEL_REDUCE_SCATTER;
}

const char *kernel_function_kind_name(kernel_kind kind)
{
    return kind_names[kind];
}

const char *kernel_function_protocol_name(enum nccl_protocol protocol)
{
    return protocol_names[protocol];
}

static bool type_is_signed(kernel_type type)
{
    return type == KERNEL_INT8 || type == KERNEL_INT32 || type == KERNEL_INT64;
}

static bool type_is_integer(kernel_type type)
{
    return type <= KERNEL_UINT64;
}

static bool built(const kernel_function *function)
{
    const char *algorithm = function->algorithm;
    bool nvls = strncmp(algorithm, "NVLS", 4) == 0;
    kernel_operation operation = function->operation;
    kernel_type type = function->type;

    if (function->protocol != NCCL_SIMPLE && strcmp(algorithm, "RING") != 0 &&
        strcmp(algorithm, "TREE") != 0)
        return false;
    if (!kernel_function_reduces(function->kind))
        return true;
    if (operation == KERNEL_DIVIDED_SUM && !type_is_integer(type))
        return false;
    if (nvls) {
        bool wide = type_is_integer(type) && type != KERNEL_INT8 && type != KERNEL_UINT8;
        bool half = type == KERNEL_FLOAT16 || type == KERNEL_BFLOAT16;

        if (operation == KERNEL_SUM
                ? !(wide || half || type == KERNEL_FLOAT32 || type == KERNEL_FLOAT64)
                : !(operation == KERNEL_MINIMUM_OR_MAXIMUM && (wide || half)))
            return false;
    }
    return !type_is_signed(type) || (nvls && operation == KERNEL_MINIMUM_OR_MAXIMUM);
}

/* Counts down from left over what follows in the order; true where it arrives. */
static bool count_protocols(kernel_function *function, unsigned *left)
{
    for (int protocol = 0; protocol < NCCL_PROTOCOLS; protocol++) {
        function->protocol = (enum nccl_protocol)protocol;
        if (!built(function))
            continue;
        if (*left == 0)
            return true;
        (*left)--;
    }
    return false;
}

static bool count_algorithms(kernel_function *function, unsigned *left)
{
    for (const char *const *name = algorithms[function->kind]; *name != NULL; name++) {
        function->algorithm = *name;
        if (count_protocols(function, left))
            return true;
    }
    return false;
}

static bool count_reductions(kernel_function *function, unsigned *left)
{
    for (size_t operation = 0; operation < KERNEL_OPERATIONS; operation++) {
        for (size_t type = 0; type < TYPE_COUNT; type++) {
            function->operation = operations[operation];
            function->type = types[type];
            if (count_algorithms(function, left))
                return true;
        }
    }
    return false;
}

bool kernel_function_find(unsigned number, kernel_function *function)
{
    unsigned left = number;

    memset(function, 0, sizeof(*function));
    for (int kind = 0; kind < KERNEL_SEND_RECEIVE; kind++) {
        function->kind = (kernel_kind)kind;
        function->type = KERNEL_UINT8;
        if (kernel_function_reduces(function->kind) ? count_reductions(function, &left)
                                                    : count_algorithms(function, &left))
            return true;
    }
    /* Send and receive say in each piece of work which protocol they speak. */
    *function = (kernel_function){
        .kind = KERNEL_SEND_RECEIVE, .algorithm = "RING", .protocol = NCCL_SIMPLE};
    return left == 0;
}
