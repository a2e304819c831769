/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { RANGES_MAX = 4096 };

static pthread_mutex_t ranges_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uintptr_t begin;
    uintptr_t end;
    int32_t device;
} ranges[RANGES_MAX];
static size_t range_count;

void fake_memory_register(const void *data, size_t bytes, int32_t device)
{
    pthread_mutex_lock(&ranges_lock);
    size_t place = 0;
    while (place < range_count && ranges[place].begin != (uintptr_t)data)
        place++;
    if (place == range_count && range_count < RANGES_MAX)
        range_count++;
    if (place < RANGES_MAX) {
        ranges[place].begin = (uintptr_t)data;
        ranges[place].end = (uintptr_t)data + bytes;
        ranges[place].device = device;
    }
    pthread_mutex_unlock(&ranges_lock);
}

void fake_memory_claim(const void *data, size_t bytes, int32_t device)
{
    uintptr_t begin = (uintptr_t)data;
    uintptr_t end = begin + bytes;
    pthread_mutex_lock(&ranges_lock);
    for (size_t i = 0; i < range_count;) {
        bool same = ranges[i].device == device;
        if (ranges[i].end + same <= begin || ranges[i].begin >= end + same) {
            i++;
            continue;
        }
        if (same) {
            begin = ranges[i].begin < begin ? ranges[i].begin : begin;
            end = ranges[i].end > end ? ranges[i].end : end;
        }
        ranges[i] = ranges[--range_count];
    }
    if (range_count == RANGES_MAX)
        abort();
    ranges[range_count].begin = begin;
    ranges[range_count].end = end;
    ranges[range_count++].device = device;
    pthread_mutex_unlock(&ranges_lock);
}

int32_t fake_memory_device(const void *data, size_t bytes)
{
    uintptr_t begin = (uintptr_t)data;
    int32_t found = -1;
    pthread_mutex_lock(&ranges_lock);
    for (size_t i = 0; i < range_count && found < 0; i++)
        if (ranges[i].begin <= begin && begin + bytes <= ranges[i].end)
            found = ranges[i].device;
    pthread_mutex_unlock(&ranges_lock);
    return found;
}
