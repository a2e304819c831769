/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void muster_output_init(muster_output *output, int fd)
{
    output->fd = fd;
    output->start = 0;
    output->used = 0;
    output->broken = false;
}

bool muster_output_has_room(const muster_output *output, size_t bytes)
{
    return output->broken ||
           output->used + bytes + MUSTER_OUTPUT_RESERVE_BYTES <= MUSTER_OUTPUT_BYTES;
}

bool muster_output_put(muster_output *output, const char *bytes, size_t count)
{
    if (output->broken)
        return true;
    if (count > MUSTER_OUTPUT_BYTES - output->used)
        return false;
    size_t end = (output->start + output->used) % MUSTER_OUTPUT_BYTES;
    size_t first = MUSTER_OUTPUT_BYTES - end;
    if (first > count)
        first = count;
    memcpy(output->queue + end, bytes, first);
    memcpy(output->queue, bytes + first, count - first);
    output->used += count;
    return true;
}

/* The descriptor is shared with whoever started us, so it is not made non-blocking: poll promises
 * that PIPE_BUF bytes can be written to a pipe, so no more are written at a time. */
static bool output_writable(const muster_output *output)
{
    struct pollfd ready = {.fd = output->fd, .events = POLLOUT};
    return poll(&ready, 1, 0) == 1;
}

void muster_output_flush(muster_output *output)
{
    while (output->used > 0 && !output->broken && output_writable(output)) {
        size_t part = MUSTER_OUTPUT_BYTES - output->start;
        if (part > output->used)
            part = output->used;
        if (part > PIPE_BUF)
            part = PIPE_BUF;
        ssize_t written = write(output->fd, output->queue + output->start, part);
        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        if (written <= 0) {
            output->broken = true;
            output->used = 0;
            return;
        }
        output->start = (output->start + (size_t)written) % MUSTER_OUTPUT_BYTES;
        output->used -= (size_t)written;
    }
}
