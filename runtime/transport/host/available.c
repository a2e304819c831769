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

/* File pages that the kernel would drop first; they count as used. */
static uint64_t reclaimable_bytes(const char *folder, const char *key)
{
    char path[PATH_MAX];
    char line[LINE_BYTES];
    size_t key_bytes = strlen(key);
    uint64_t bytes = 0;
    FILE *file;

    if (snprintf(path, sizeof path, "%s/memory.stat", folder) >= (int)sizeof path)
        return 0;
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, key_bytes) == 0 && line[key_bytes] == ' ') {
            bytes = strtoull(line + key_bytes, NULL, 10);
            break;
        }
    fclose(file);
    return bytes;
}

uint64_t muster_host_available_in_group(const muster_host_group_files *files, const char *root,
                                        const char *group)
{
    char folder[PATH_MAX];
    size_t root_bytes = strlen(root);
    uint64_t least = UINT64_MAX;

    if (snprintf(folder, sizeof folder, "%s%s", root, group) >= (int)sizeof folder)
        return UINT64_MAX;
    for (;;) {
        uint64_t limit, used;
        char *slash;

        if (read_number(folder, files->limit, &limit) && read_number(folder, files->used, &used)) {
            uint64_t reclaimable = reclaimable_bytes(folder, files->reclaimable);
            uint64_t left;

            used -= reclaimable < used ? reclaimable : used;
            left = used < limit ? limit - used : 0;
            if (left < least)
                least = left;
        }
        slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < root_bytes)
            return least;
        *slash = '\0';
    }
}

const muster_host_group_files muster_host_group_files_v2 = {
    .limit = "memory.max", .used = "memory.current", .reclaimable = "inactive_file"};
const muster_host_group_files muster_host_group_files_v1 = {.limit = "memory.limit_in_bytes",
                                                            .used = "memory.usage_in_bytes",
                                                            .reclaimable = "total_inactive_file"};

/* Lines of /proc/self/cgroup: "0::PATH" is version 2, "N:memory:PATH" version 1. */
static uint64_t groups_available_bytes(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX + LINE_BYTES];
    uint64_t least = UINT64_MAX;

    if (file == NULL)
        return UINT64_MAX;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *memory = strstr(line, ":memory:/");
        uint64_t left = UINT64_MAX;

        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0)
            left = muster_host_available_in_group(&muster_host_group_files_v2, "/sys/fs/cgroup",
                                                  line + 3);
        else if (memory != NULL)
            left = muster_host_available_in_group(&muster_host_group_files_v1,
                                                  "/sys/fs/cgroup/memory", memory + 8);
        if (left < least)
            least = left;
    }
    fclose(file);
    return least;
}

uint64_t muster_host_available_bytes(void)
{
    uint64_t machine = machine_available_bytes();
    uint64_t groups = groups_available_bytes();

    return machine < groups ? machine : groups;
}
