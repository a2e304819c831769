/* SPDX-License-Identifier: Apache-2.0 */
/* How much of /dev/shm the rings of recording sessions take, and whether it is there. LTTng finds out
 * only when a process registers, and then says so to nobody but its own log: hence before. */
#ifndef MUSTER_TRACING_SESSION_SHARED_MEMORY_H
#define MUSTER_TRACING_SESSION_SHARED_MEMORY_H

#include <stdint.h>

#include <muster/status.h>

typedef struct muster_shared_memory_need {
    uint64_t subbuffer_bytes;
    uint64_t subbuffer_count;
    int32_t cpu_count;
    int32_t session_count;
} muster_shared_memory_need;

/* Bytes; UINT64_MAX where the product overflows. Pure. */
uint64_t muster_shared_memory_bytes(const muster_shared_memory_need *need);

/* MUSTER_OK, or MUSTER_ERR_NO_MEMORY with what is needed, what is free and what to do. Pure. */
muster_status muster_shared_memory_check(const muster_shared_memory_need *need, uint64_t free_bytes,
                                         muster_error *error);

/* CPUs that the kernel could ever bring up: LTTng makes a ring for each of them. */
int32_t muster_shared_memory_cpu_count(void);

/* Free bytes of /dev/shm for this user; UINT64_MAX where that cannot be asked. */
uint64_t muster_shared_memory_free_bytes(void);

#endif
