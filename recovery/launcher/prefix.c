/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/prefix.h"

#include <stdio.h>
#include <string.h>

void muster_prefix_set_label(muster_prefix *prefix, int32_t slot, uint32_t incarnation)
{
    int length = slot >= 0
                     ? snprintf(prefix->label, sizeof prefix->label, "[%d.%u] ", slot, incarnation)
                     : snprintf(prefix->label, sizeof prefix->label, "[spare] ");
    prefix->label_bytes = (size_t)length;
}

static void prefix_emit(muster_prefix *prefix, muster_prefix_sink sink, void *context)
{
    /* The label goes right before the text, wherever its length changed meanwhile. */
    char *start = prefix->piece + MUSTER_PREFIX_LABEL_BYTES - prefix->label_bytes;
    memcpy(start, prefix->label, prefix->label_bytes);
    prefix->piece[MUSTER_PREFIX_LABEL_BYTES + prefix->used] = '\n';
    sink(context, start, prefix->label_bytes + prefix->used + 1);
    prefix->used = 0;
}

void muster_prefix_feed(muster_prefix *prefix, const char *bytes, size_t count,
                        muster_prefix_sink sink, void *context)
{
    while (count > 0) {
        const char *end = memchr(bytes, '\n', count);
        size_t part = end != NULL ? (size_t)(end - bytes) : count;
        size_t room = MUSTER_PREFIX_PIECE_BYTES - prefix->used;
        size_t taken = part < room ? part : room;
        memcpy(prefix->piece + MUSTER_PREFIX_LABEL_BYTES + prefix->used, bytes, taken);
        prefix->used += taken;
        bytes += taken;
        count -= taken;
        if (taken == part && end != NULL) {
            prefix_emit(prefix, sink, context);
            bytes++;
            count--;
        } else if (prefix->used == MUSTER_PREFIX_PIECE_BYTES && count > 0) {
            prefix_emit(prefix, sink, context);
        }
    }
}

void muster_prefix_finish(muster_prefix *prefix, muster_prefix_sink sink, void *context)
{
    if (prefix->used > 0)
        prefix_emit(prefix, sink, context);
}
