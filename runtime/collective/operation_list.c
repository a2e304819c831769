/* SPDX-License-Identifier: Apache-2.0 */
#include "collective/pattern.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16

void muster_operation_list_init(muster_operation_list *list)
{
    list->operations = NULL;
    list->count = 0;
    list->capacity = 0;
}

void muster_operation_list_clean_up(muster_operation_list *list)
{
    free(list->operations);
    muster_operation_list_init(list);
}

void muster_operation_list_clear(muster_operation_list *list)
{
    list->count = 0;
}

bool muster_operation_list_reserve(muster_operation_list *list, size_t more)
{
    if (more <= list->capacity - list->count)
        return true;
    if (more > SIZE_MAX / sizeof(*list->operations) / 2 - list->count)
        return false;
    size_t capacity = list->capacity > 0 ? list->capacity : FIRST_CAPACITY;
    while (capacity < list->count + more)
        capacity *= 2;
    muster_transport_operation *operations =
        realloc(list->operations, capacity * sizeof(*operations));
    if (operations == NULL)
        return false;
    list->operations = operations;
    list->capacity = capacity;
    return true;
}

bool muster_operation_list_append(muster_operation_list *list,
                                  const muster_transport_operation *operation)
{
    if (operation->bytes == 0)
        return true;
    if (operation->kind == MUSTER_TRANSPORT_COPY && operation->data == operation->source)
        return true;
    if (!muster_operation_list_reserve(list, 1))
        return false;
    list->operations[list->count] = *operation;
    list->count++;
    return true;
}

void muster_operation_list_bytes(const muster_operation_list *list, uint64_t *bytes_out,
                                 uint64_t *bytes_in)
{
    uint64_t out = 0;
    uint64_t in = 0;
    for (size_t i = 0; i < list->count; i++) {
        const muster_transport_operation *operation = &list->operations[i];
        switch (operation->kind) {
        case MUSTER_TRANSPORT_SEND:
        case MUSTER_TRANSPORT_WRITE:
        case MUSTER_TRANSPORT_EXPECT_READ:
            out += operation->bytes;
            break;
        case MUSTER_TRANSPORT_RECEIVE:
        case MUSTER_TRANSPORT_READ:
        case MUSTER_TRANSPORT_EXPECT_WRITE:
            in += operation->bytes;
            break;
        case MUSTER_TRANSPORT_COPY:
            break;
        }
    }
    *bytes_out = out;
    *bytes_in = in;
}
