/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that the runtime allocates, so that other ranks of the host can copy straight into and out
 * of it. Where a root's buffer lies in such memory, the other ranks copy in parallel and nothing
 * passes through a ring; any other host memory works too, one copy slower. */
#ifndef MUSTER_MEMORY_H
#define MUSTER_MEMORY_H

#include <muster/status.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* Allocates bytes > 0 of zeroed, populated, page-aligned host memory that ranks of this host can map.
 * Not collective. *memory is the caller's until muster_memory_free or muster_job_leave. Its address
 * stays valid over a rebuild; its contents too, unless a lost process could not be proven gone: then
 * the rebuild puts fresh zeroed memory at the same address. Any thread; does not block on peers.
 * Returns MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_NO_MEMORY (never a SIGBUS later);
 * MUSTER_ERR_SYSTEM; MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_memory_alloc(muster_job *job, size_t bytes, void **memory,
                                             muster_error *error);

/* Frees it. memory NULL is MUSTER_OK. MUSTER_ERR_INVALID_ARGUMENT for an address that
 * muster_memory_alloc of this job did not return. No call may be using it. Any thread. */
MUSTER_API muster_status muster_memory_free(muster_job *job, void *memory);

MUSTER_END_DECLS

#endif
