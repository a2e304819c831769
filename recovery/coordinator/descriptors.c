/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/descriptors.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

void muster_descriptors_raise(size_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

size_t muster_descriptors_room(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur > MUSTER_DESCRIPTORS_OWN ? limit.rlim_cur - MUSTER_DESCRIPTORS_OWN : 0;
}

void muster_descriptors_text(size_t connections, char *text, size_t text_bytes)
{
    const size_t room = muster_descriptors_room();
    text[0] = '\0';
    if (connections > room)
        snprintf(text, text_bytes,
                 "this process may have %zu descriptors (ulimit -n): room for %zu of %zu "
                 "connections, and the others will not come in; raise its limit (ulimit -n, "
                 "LimitNOFILE= of systemd, --ulimit nofile= of containers)",
                 room + MUSTER_DESCRIPTORS_OWN, room, connections);
}
