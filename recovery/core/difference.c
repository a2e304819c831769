/* SPDX-License-Identifier: Apache-2.0 */
#include "core/difference.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

uint64_t muster_difference_hash(const muster_member *members, int32_t member_count)
{
    uint64_t hash = (uint64_t)member_count;
    for (int32_t i = 0; i < member_count; i++) {
        const muster_member *member = &members[i];
        const uint64_t words[] = {(uint64_t)(int64_t)member->slot, member->incarnation,
                                  (uint64_t)(int64_t)member->process_id, member->host};
        hash = muster_hash_bytes(words, sizeof words, hash);
        hash = muster_hash_bytes(member->blob.data, member->blob.bytes, hash);
    }
    return hash;
}

static bool difference_same(const muster_member *one, const muster_member *other)
{
    return one->slot == other->slot && one->incarnation == other->incarnation &&
           one->process_id == other->process_id && one->host == other->host &&
           one->blob.bytes == other->blob.bytes &&
           memcmp(one->blob.data, other->blob.data, one->blob.bytes) == 0;
}

bool muster_difference_make(const muster_member *base, int32_t base_count,
                            const muster_member *members, int32_t member_count,
                            muster_difference *difference)
{
    memset(difference, 0, sizeof *difference);
    difference->changed = calloc((size_t)member_count + 1, sizeof *difference->changed);
    difference->without = calloc((size_t)base_count + 1, sizeof *difference->without);
    if (!difference->changed || !difference->without) {
        free(difference->changed);
        free(difference->without);
        memset(difference, 0, sizeof *difference);
        return false;
    }
    int32_t at = 0;
    for (int32_t i = 0; i < member_count; i++) {
        while (at < base_count && base[at].slot < members[i].slot) {
            difference->without[difference->without_count++] = base[at++].slot;
        }
        bool there = at < base_count && base[at].slot == members[i].slot;
        if (!there || !difference_same(&base[at], &members[i])) {
            difference->changed[difference->changed_count++] = members[i];
        }
        at += there;
    }
    while (at < base_count) {
        difference->without[difference->without_count++] = base[at++].slot;
    }
    difference->members_hash = muster_difference_hash(members, member_count);
    return true;
}

/* Merges; false where the lists do not ascend, or something is to go that is not there. */
static bool difference_merge(const muster_member *base, int32_t base_count,
                             const muster_difference *difference, muster_member *members,
                             int32_t *member_count)
{
    int32_t changed = 0;
    int32_t without = 0;
    int32_t last = -1;
    *member_count = 0;
    for (int32_t at = 0; at < base_count || changed < difference->changed_count;) {
        const muster_member *next = NULL;
        bool from_base = changed == difference->changed_count ||
                         (at < base_count && base[at].slot < difference->changed[changed].slot);
        if (from_base) {
            next = &base[at++];
            if (without < difference->without_count && difference->without[without] == next->slot) {
                without++;
                continue;
            }
        } else {
            next = &difference->changed[changed++];
            at += at < base_count && base[at].slot == next->slot;
        }
        if (next->slot <= last) {
            return false;
        }
        last = next->slot;
        members[(*member_count)++] = *next;
    }
    return without == difference->without_count;
}

muster_status muster_difference_apply(const muster_member *base, int32_t base_count,
                                      const muster_difference *difference, muster_member **members,
                                      int32_t *member_count)
{
    size_t room = (size_t)base_count + (size_t)difference->changed_count + 1;
    *member_count = 0;
    *members = calloc(room, sizeof **members);
    if (!*members) {
        return MUSTER_ERR_NO_MEMORY;
    }
    if (!difference_merge(base, base_count, difference, *members, member_count) ||
        *member_count > MUSTER_SLOTS_MAX ||
        muster_difference_hash(*members, *member_count) != difference->members_hash) {
        free(*members);
        *members = NULL;
        *member_count = 0;
        return MUSTER_ERR_INVALID_ARGUMENT;
    }
    return MUSTER_OK;
}
