/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACK_BYTES 16

static size_t item_bytes(enum nccl_work_kind kind)
{
    switch (kind) {
    case NCCL_WORK_P2P:
        return sizeof(nccl_p2p_work);
    case NCCL_WORK_COLLECTIVE:
        return sizeof(nccl_collective_work);
    case NCCL_WORK_BROADCASTS:
        return sizeof(nccl_broadcast_work);
    default:
        return 0;
    }
}

static int refuse_place(char *message, size_t message_bytes, const char *what, size_t offset,
                        size_t bytes)
{
    (void)snprintf(message, message_bytes,
                   "%s at byte %zu of an argument block of %zu bytes: this is not the layout"
                   " that is known; compare nccl_layout.h with this NCCL's device.h",
                   what, offset, bytes);
    return -1;
}

/* In the ring, work is laid in packs, and wraps between any two of them. */
static int copy_item(const emulated_launch *launch, const nccl_arguments *arguments,
                     uint32_t offset, uint8_t *to, size_t bytes, char *message,
                     size_t message_bytes)
{
    if (arguments->storage == NCCL_STORED_IN_ARGUMENTS) {
        if ((size_t)offset + bytes > launch->argument_bytes)
            return refuse_place(message, message_bytes, "work", offset, launch->argument_bytes);
        memcpy(to, (const uint8_t *)launch->arguments + offset, bytes);
        return 0;
    }
    for (size_t pack = 0; pack < bytes; pack += PACK_BYTES)
        memcpy(to + pack,
               (const uint8_t *)arguments->work +
                   ((offset + (uint32_t)pack) & arguments->ring_mask),
               PACK_BYTES);
    return 0;
}

static int append(kernel_work *work, const emulated_launch *launch, const nccl_batch *batch,
                  char *message, size_t message_bytes)
{
    nccl_arguments arguments;
    size_t bytes = item_bytes(work->kind);
    size_t more = (size_t)__builtin_popcountll(batch->works);
    uint8_t *grown = realloc(work->items.bytes, (work->count + more + 1) * bytes);

    if (grown == NULL) {
        (void)snprintf(message, message_bytes, "no memory for %zu pieces of work",
                       work->count + more);
        return -1;
    }
    work->items.bytes = grown;
    memcpy(&arguments, launch->arguments, sizeof(arguments));
    for (unsigned bit = 0; bit < 64; bit++) {
        if ((batch->works >> bit & 1U) == 0)
            continue;
        if (copy_item(launch, &arguments, batch->first_offset + bit * (uint32_t)bytes,
                      work->items.bytes + work->count * bytes, bytes, message, message_bytes) != 0)
            return -1;
        work->count++;
    }
    return 0;
}

int kernel_work_load(const emulated_launch *launch, int batch_number, kernel_work *work,
                     char *message, size_t message_bytes)
{
    memset(work, 0, sizeof(*work));
    for (;;) {
        nccl_batch batch;
        size_t offset = sizeof(nccl_arguments) + (size_t)batch_number * sizeof(batch);

        if (offset + sizeof(batch) > launch->argument_bytes)
            return refuse_place(message, message_bytes, "batch of work", offset,
                                launch->argument_bytes);
        memcpy(&batch, (const uint8_t *)launch->arguments + offset, sizeof(batch));
        work->kind = (enum nccl_work_kind)NCCL_BATCH_KIND(batch.flags);
        work->function = NCCL_BATCH_FUNCTION(batch.flags);
        if (item_bytes(work->kind) == 0) {
            (void)snprintf(message, message_bytes,
                           "work on registered buffers (function %u): not carried out on the"
                           " CPU; run without buffer registration",
                           work->function);
            return -1;
        }
        if (append(work, launch, &batch, message, message_bytes) != 0)
            return -1;
        work->next_batch = NCCL_BATCH_JUMP(batch.flags) == 0
                               ? -1
                               : batch_number + (int)NCCL_BATCH_JUMP(batch.flags);
        if (NCCL_BATCH_EXTENDS(batch.flags) == 0 || work->next_batch < 0)
            return 0;
        batch_number = work->next_batch;
    }
}

void kernel_work_clear(kernel_work *work)
{
    free(work->items.bytes);
    memset(work, 0, sizeof(*work));
}
