/* SPDX-License-Identifier: Apache-2.0 */
#include "size_queue.h"

#include <stdlib.h>

#include "base/assert.h"

static bool event_before(const size_event *one, const size_event *other)
{
    return one->at_ns != other->at_ns ? one->at_ns < other->at_ns : one->order < other->order;
}

void size_queue_push(size_queue *it, size_event what)
{
    if (it->count == it->capacity) {
        it->capacity = it->capacity ? 2 * it->capacity : 1024;
        it->heap = realloc(it->heap, it->capacity * sizeof *it->heap);
        MUSTER_ASSERT(it->heap);
    }
    what.order = it->order++;
    size_t at = it->count++;
    while (at > 0 && event_before(&what, &it->heap[(at - 1) / 2])) {
        it->heap[at] = it->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    it->heap[at] = what;
}

size_event size_queue_pop(size_queue *it)
{
    size_event first = it->heap[0];
    size_event last = it->heap[--it->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < it->count && event_before(&it->heap[child + 1], &it->heap[child])) {
            child++;
        }
        if (child >= it->count || !event_before(&it->heap[child], &last)) {
            break;
        }
        it->heap[at] = it->heap[child];
        at = child;
    }
    it->heap[at] = last;
    return first;
}
