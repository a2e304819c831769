/* SPDX-License-Identifier: Apache-2.0 */
/* Copying: plain, or past the caches where the data is larger than what they can hold. */
#ifndef MUSTER_TRANSPORT_HOST_COPY_H
#define MUSTER_TRANSPORT_HOST_COPY_H

#include <stdbool.h>
#include <stddef.h>

/* From here on a destination would push everything else out of the caches before anyone reads it. */
#define MUSTER_HOST_COPY_STREAM_BYTES ((size_t)3 << 19)

/* stream: the whole transfer, of which this may be a piece, is large. The ranges do not overlap. What was
 * copied is visible before anything the caller stores afterwards. */
void muster_host_copy(void *to, const void *from, size_t bytes, bool stream);

#endif
