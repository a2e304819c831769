/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deaths.h"

#include <stdlib.h>
#include <string.h>

void muster_deaths_init(muster_deaths *deaths)
{
    memset(deaths, 0, sizeof *deaths);
}

void muster_deaths_clean_up(muster_deaths *deaths)
{
    free(deaths->entries);
    muster_deaths_init(deaths);
}

static bool deaths_reserve(muster_deaths *deaths)
{
    if (deaths->count < deaths->capacity) {
        return true;
    }
    size_t capacity = deaths->capacity ? 2 * deaths->capacity : 8;
    muster_deaths_entry *entries = realloc(deaths->entries, capacity * sizeof *entries);
    if (!entries) {
        return false;
    }
    deaths->entries = entries;
    deaths->capacity = capacity;
    return true;
}

bool muster_deaths_add(muster_deaths *deaths, uint64_t epoch, const muster_death *death)
{
    size_t at = deaths->count;
    for (size_t i = 0; i < deaths->count; i++) {
        muster_deaths_entry *entry = &deaths->entries[i];
        if (entry->death.slot == death->slot && entry->death.incarnation == death->incarnation) {
            bool proven_gone = entry->death.proven_gone || death->proven_gone;
            int32_t wait_status = entry->death.wait_status;
            entry->death = *death;
            entry->death.proven_gone = proven_gone;
            if (death->wait_status == -1) {
                entry->death.wait_status = wait_status;
            }
            return true;
        }
        bool after =
            entry->epoch > epoch || (entry->epoch == epoch && entry->death.slot > death->slot);
        if (after && i < at) {
            at = i;
        }
    }
    if (!deaths_reserve(deaths)) {
        return false;
    }
    memmove(&deaths->entries[at + 1], &deaths->entries[at],
            (deaths->count - at) * sizeof deaths->entries[0]);
    deaths->entries[at] = (muster_deaths_entry){.epoch = epoch, .death = *death};
    deaths->count++;
    return true;
}

int32_t muster_deaths_list(const muster_deaths *deaths, uint64_t epoch, muster_death *list,
                           int32_t capacity)
{
    int32_t count = 0;
    for (size_t i = 0; i < deaths->count; i++) {
        if (deaths->entries[i].epoch != epoch) {
            continue;
        }
        if (count < capacity) {
            list[count] = deaths->entries[i].death;
        }
        count++;
    }
    return count;
}
