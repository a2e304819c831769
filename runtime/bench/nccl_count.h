/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what callgrind counted. */
#ifndef MUSTER_RUNTIME_BENCH_NCCL_COUNT_H
#define MUSTER_RUNTIME_BENCH_NCCL_COUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Instructions in a callgrind file: those of objects whose name holds `without` are left out of *own and
 * counted in *others. False where the file cannot be read. */
bool muster_nccl_count_read(const char *path, const char *without, uint64_t *own, uint64_t *others);

#endif
