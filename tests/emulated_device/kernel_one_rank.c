/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_one_rank.h"

#include <stdio.h>
#include <string.h>

#include "kernel_reduce.h"

/* The type of the elements is in the name alone, as C++ compilers write it. */
static const char mark[] = "oneRankReduceI13FuncPreMulSumI";
static const struct {
    const char *written;
    kernel_type type;
} types[] = {
    {"aE", KERNEL_INT8},          {"hE", KERNEL_UINT8},
    {"iE", KERNEL_INT32},         {"jE", KERNEL_UINT32},
    {"lE", KERNEL_INT64},         {"mE", KERNEL_UINT64},
    {"6__halfE", KERNEL_FLOAT16}, {"fE", KERNEL_FLOAT32},
    {"dE", KERNEL_FLOAT64},       {"13__nv_bfloat16E", KERNEL_BFLOAT16},
};

bool kernel_one_rank_is(const char *kernel_name)
{
    return strstr(kernel_name, mark) != NULL;
}

static bool find_type(const char *kernel_name, kernel_type *type)
{
    const char *rest = strstr(kernel_name, mark) + sizeof(mark) - 1;

    for (size_t at = 0; at < sizeof(types) / sizeof(types[0]); at++) {
        if (strncmp(rest, types[at].written, strlen(types[at].written)) != 0)
            continue;
        *type = types[at].type;
        return true;
    }
    return false;
}

int kernel_one_rank_run(const emulated_launch *launch, char *message, size_t message_bytes)
{
    kernel_one_rank arguments;
    kernel_reduction reduction;
    kernel_type type;

    if (launch->argument_bytes != sizeof(arguments)) {
        (void)snprintf(message, message_bytes, "an argument block of %zu bytes, %zu expected",
                       launch->argument_bytes, sizeof(arguments));
        return -1;
    }
    memcpy(&arguments, launch->arguments, sizeof(arguments));
    if (!find_type(launch->kernel_name, &type) ||
        !kernel_reduction_init(&reduction, KERNEL_SCALED_SUM, type, 0)) {
        (void)snprintf(message, message_bytes, "elements of a type that is not reduced on the CPU");
        return -1;
    }
    if (arguments.argument_is_address)
        memcpy(&reduction.argument, (const void *)(uintptr_t)arguments.argument,
               reduction.element_bytes);
    else
        reduction.argument = arguments.argument;
    kernel_reduce_begin(&reduction, arguments.destination, arguments.source, arguments.count);
    return 0;
}

size_t emulated_kernel_pack(const char *kernel_name, void *const *arguments, void *block,
                            size_t block_bytes)
{
    kernel_one_rank packed;

    if (kernel_name == NULL || !kernel_one_rank_is(kernel_name) || block_bytes < sizeof(packed))
        return 0;
    memset(&packed, 0, sizeof(packed));
    memcpy(&packed.destination, arguments[0], sizeof(packed.destination));
    memcpy(&packed.source, arguments[1], sizeof(packed.source));
    memcpy(&packed.count, arguments[2], sizeof(packed.count));
    memcpy(&packed.argument, arguments[3], sizeof(packed.argument));
    memcpy(&packed.argument_is_address, arguments[4], sizeof(packed.argument_is_address));
    memcpy(block, &packed, sizeof(packed));
    return sizeof(packed);
}
