/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the headers, and of the library that is loaded. */
#ifndef MUSTER_VERSION_H
#define MUSTER_VERSION_H

#include <stdint.h>

#include <muster/export.h>

MUSTER_BEGIN_DECLS

#define MUSTER_VERSION_MAJOR 0
#define MUSTER_VERSION_MINOR 1
#define MUSTER_VERSION_PATCH 0
/* One number that grows: major * 1000000 + minor * 1000 + patch. */
#define MUSTER_VERSION \
    (MUSTER_VERSION_MAJOR * 1000000 + MUSTER_VERSION_MINOR * 1000 + MUSTER_VERSION_PATCH)

/* Version of the loaded library, in the form of MUSTER_VERSION. Any thread; does not block. */
MUSTER_API uint32_t muster_version(void);

MUSTER_END_DECLS

#endif
