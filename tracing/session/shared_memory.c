/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/session/shared_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"

/* Control structures of one ring, and the metadata and bookkeeping of one session: measured 6 KiB and
 * 40 KiB with LTTng 2.13, doubled. */
#define RING_CONTROL_BYTES UINT64_C(12288)
#define SESSION_CONTROL_BYTES UINT64_C(81920)

uint64_t muster_shared_memory_bytes(const muster_shared_memory_need *need)
{
    uint64_t bytes;
    /* One sub-buffer more than asked for: the reader swaps it in when it reads an overwrite ring. */
    if (__builtin_mul_overflow(need->subbuffer_bytes, need->subbuffer_count + 1, &bytes) ||
        __builtin_add_overflow(bytes, RING_CONTROL_BYTES, &bytes) ||
        __builtin_mul_overflow(bytes, (uint64_t)need->cpu_count, &bytes) ||
        __builtin_add_overflow(bytes, SESSION_CONTROL_BYTES, &bytes) ||
        __builtin_mul_overflow(bytes, (uint64_t)need->session_count, &bytes))
        return UINT64_MAX;
    return bytes;
}

static uint64_t mebibytes(uint64_t bytes)
{
    return bytes / (1024 * 1024) + (bytes % (1024 * 1024) != 0);
}

muster_status muster_shared_memory_check(const muster_shared_memory_need *need, uint64_t free_bytes,
                                         muster_error *error)
{
    uint64_t bytes = muster_shared_memory_bytes(need);
    if (bytes <= free_bytes)
        return muster_error_set_ok(error);
    return muster_error_set(
        error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES,
        bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes, (int64_t)free_bytes,
        "/dev/shm is too small for the trace rings: %d sessions on %d CPUs need %" PRIu64
        " MiB, %" PRIu64 " MiB are free; enlarge it (mount -o remount,size=..., "
        "docker --shm-size)",
        need->session_count, need->cpu_count, mebibytes(bytes), free_bytes / (1024 * 1024));
}

int32_t muster_shared_memory_cpu_count(void)
{
    /* The last number of "0-7" or "0,2-5" is the highest CPU. */
    int32_t count = 0;
    FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
    if (file != NULL) {
        char line[256];
        if (fgets(line, sizeof line, file) != NULL) {
            char *last = line;
            for (char *at = line; *at != '\0'; at++)
                if (*at == '-' || *at == ',')
                    last = at + 1;
            count = (int32_t)strtol(last, NULL, 10) + 1;
        }
        fclose(file);
    }
    long configured = sysconf(_SC_NPROCESSORS_CONF);
    if (configured > count)
        count = (int32_t)configured;
    return count > 0 ? count : 1;
}

uint64_t muster_shared_memory_free_bytes(void)
{
    struct statvfs space;
    /* No such mount, or one without a bound: let LTTng try. */
    if (statvfs("/dev/shm", &space) != 0 || space.f_blocks == 0)
        return UINT64_MAX;
    return (uint64_t)space.f_bavail * space.f_frsize;
}
