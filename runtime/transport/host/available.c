/* SPDX-License-Identifier: Apache-2.0 */
/* fallocate on a memfd has no quota of its own: asked for more than there is, it fills the machine until
 * the out-of-memory killer picks a process. So the question is asked before. */
#include "transport/host/available.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define LINE_BYTES 512

static uint64_t machine_available_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[LINE_BYTES];
    uint64_t total_kib = 0;
    bool found = false;

    if (file == NULL)
        return UINT64_MAX;
    while (fgets(line, sizeof line, file) != NULL) {
        uint64_t kib = 0;

        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
            found = true;
        else if (sscanf(line, "SwapFree: %" SCNu64, &kib) != 1)
            continue;
        total_kib += kib;
    }
    fclose(file);
    return found ? total_kib * 1024 : UINT64_MAX;
}

/* The number in a one-line file; false where there is none ("max"). */
static bool read_number(const char *folder, const char *name, uint64_t *number)
{
    char path[PATH_MAX];
    FILE *file;
    bool ok;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    ok = fscanf(file, "%" SCNu64, number) == 1;
    fclose(file);
    return ok;
}

/* File pages that the kernel would drop first; they count as used in memory.current. */
static uint64_t reclaimable_bytes(const char *folder)
{
    char path[PATH_MAX];
    char line[LINE_BYTES];
    uint64_t bytes = 0;
    FILE *file;

    if (snprintf(path, sizeof path, "%s/memory.stat", folder) >= (int)sizeof path)
        return 0;
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "inactive_file %" SCNu64, &bytes) == 1)
            break;
    fclose(file);
    return bytes;
}

/* cgroup v2: the tightest limit on the way up from this process's group. */
static uint64_t cgroup_available_bytes(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[LINE_BYTES];
    char folder[PATH_MAX];
    uint64_t least = UINT64_MAX;
    bool found = false;

    if (file == NULL)
        return UINT64_MAX;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, "0::/", 4) == 0;
    fclose(file);
    if (!found)
        return UINT64_MAX;
    line[strcspn(line, "\n")] = '\0';
    if (snprintf(folder, sizeof folder, CGROUP_ROOT "%s", line + 3) >= (int)sizeof folder)
        return UINT64_MAX;
    for (;;) {
        uint64_t limit, used;
        char *slash;

        if (read_number(folder, "memory.max", &limit) &&
            read_number(folder, "memory.current", &used)) {
            uint64_t reclaimable = reclaimable_bytes(folder);
            uint64_t left;

            used -= reclaimable < used ? reclaimable : used;
            left = used < limit ? limit - used : 0;
            if (left < least)
                least = left;
        }
        slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < sizeof CGROUP_ROOT - 1)
            return least;
        *slash = '\0';
    }
}

uint64_t muster_host_available_bytes(void)
{
    uint64_t machine = machine_available_bytes();
    uint64_t cgroup = cgroup_available_bytes();

    return machine < cgroup ? machine : cgroup;
}
