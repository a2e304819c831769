/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's own stdout or stderr, behind a queue: a reader that has stopped reading must not stop
 * the launcher, or a rank's death would go unnoticed behind a pager. When the queue is full, ranks wait
 * in their writes, as they would without a launcher; the launcher's own lines keep a reserve. */
#ifndef MUSTER_LAUNCHER_OUTPUT_H
#define MUSTER_LAUNCHER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#define MUSTER_OUTPUT_BYTES ((size_t)256 << 10)
#define MUSTER_OUTPUT_RESERVE_BYTES ((size_t)64 << 10)

typedef struct muster_output {
    int fd;
    size_t start;
    size_t used;
    bool broken; /* nobody reads any more: everything is dropped */
    char queue[MUSTER_OUTPUT_BYTES];
} muster_output;

void muster_output_init(muster_output *output, int fd);

/* Whether a rank's output of this many bytes is to be read now. */
bool muster_output_has_room(const muster_output *output, size_t bytes);

/* Queues all or, where there is no room at all, nothing (false). Writes nothing. */
bool muster_output_put(muster_output *output, const char *bytes, size_t count);

/* Writes what can be written without waiting: what poll(2) promises of a descriptor at a time. */
void muster_output_flush(muster_output *output);

#endif
