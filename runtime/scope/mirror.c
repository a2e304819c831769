/* SPDX-License-Identifier: Apache-2.0 */
#include "scope/mirror.h"

#include <stdlib.h>

typedef struct mirror_place {
    uint64_t host;
    int32_t rank;
} mirror_place;

static int compare_places(const void *left, const void *right)
{
    const mirror_place *a = left;
    const mirror_place *b = right;
    if (a->host != b->host)
        return a->host < b->host ? -1 : 1;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

/* How far a state goes in the list of ranks that is sorted by host: by as many places as the largest host has,
 * whoever stands there is on another host. */
static int32_t stride(const mirror_place *places, int32_t count)
{
    int32_t largest = 0;
    int32_t run = 0;
    for (int32_t i = 0; i < count; i++) {
        run = i > 0 && places[i].host == places[i - 1].host ? run + 1 : 1;
        largest = run > largest ? run : largest;
    }
    return largest == count ? 1 : largest;
}

bool muster_mirror_plan(const muster_member *members, int32_t member_count, int32_t *mirrored,
                        int32_t *holders)
{
    mirror_place *places = calloc((size_t)member_count, sizeof(*places));
    if (places == NULL)
        return false;
    for (int32_t rank = 0; rank < member_count; rank++)
        places[rank] = (mirror_place){.host = members[rank].host, .rank = rank};
    qsort(places, (size_t)member_count, sizeof(*places), compare_places);
    int32_t step = stride(places, member_count);
    for (int32_t i = 0; i < member_count; i++) {
        int32_t holder = places[(int32_t)(((int64_t)i + step) % member_count)].rank;
        mirrored[holder] = places[i].rank;
        holders[places[i].rank] = holder;
    }
    free(places);
    return true;
}
