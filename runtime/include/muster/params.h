/* SPDX-License-Identifier: Apache-2.0 */
/* Gathered parameters (ZeRO stage 3): a parameter lives as one shard a rank and becomes a full tensor
 * for the length of a scope. Shards are padded to equal size: shard_elements =
 * ceil(element_count / size); rank r owns elements r*shard_elements .. and the tail is padding. */
#ifndef MUSTER_PARAMS_H
#define MUSTER_PARAMS_H

#include <muster/status.h>
#include <muster/tensor.h>
#include <muster/types.h>

MUSTER_BEGIN_DECLS

/* Elements of every rank's shard. element_count >= 0, comm_size >= 1; else 0. Pure. */
MUSTER_API int64_t muster_param_shard_elements(int64_t element_count, int32_t comm_size);

/* Describes a sharded parameter of element_count elements. shard: host memory of
 * muster_param_shard_elements(...) elements, the caller's, which must outlive the parameter. Local.
 * *param is the caller's (muster_param_free). After a rebuild that changed the size of the
 * communicator the parameter is stale: free it and make it anew over the new shards.
 * MUSTER_OK; MUSTER_ERR_INVALID_ARGUMENT; MUSTER_ERR_NULL_BUFFER; MUSTER_ERR_MISALIGNED;
 * MUSTER_ERR_DTYPE; MUSTER_ERR_OVERFLOW; MUSTER_ERR_MEMORY_KIND (device memory); MUSTER_ERR_NO_MEMORY;
 * MUSTER_ERR_FORKED. */
MUSTER_API muster_status muster_param_create(muster_comm *comm, muster_dtype dtype,
                                             int64_t element_count, void *shard,
                                             muster_param **param, muster_error *error);
/* MUSTER_ERR_IN_FLIGHT while a scope holds it; NULL is MUSTER_OK. */
MUSTER_API muster_status muster_param_free(muster_param *param);

/* Makes the parameters full for the length of a scope, all in one batch. Collective: every rank names
 * the same parameters in the same order, and the same modifier: the rank whose changes count, or
 * MUSTER_RANK_NONE (edits are dropped at release). param_count 0 is "nothing to do": still agreed.
 * Scopes nest when their parameters are disjoint. *scope is the caller's, ended with
 * muster_params_release. The rules and errors of <muster/collective.h>, and the same on every rank:
 * MUSTER_ERR_SCOPE_OVERLAP (a parameter is gathered already), MUSTER_ERR_SCOPE (only some ranks
 * enter: the others are in another call), MUSTER_ERR_MODIFIER, MUSTER_ERR_EPOCH (stale parameter). */
MUSTER_API muster_status muster_params_gather(muster_comm *comm, muster_param *const *params,
                                              int32_t param_count, int32_t modifier,
                                              muster_params_scope **scope, muster_error *error);

/* The full tensor of params[index] of the scope: element_count elements, valid until release. NULL
 * where index is none. The thread that serialises calls on the communicator; does not block. */
MUSTER_API void *muster_params_full(muster_params_scope *scope, int32_t index);

/* Ends the innermost scope: with a modifier its full tensors are broadcast and every shard is written
 * anew from them; without one the shards stay as they were. Collective. Where the call is refused
 * (MUSTER_ERR_UNBALANCED: not the innermost one; any other code whose advice is to fix the call;
 * MUSTER_ERR_NO_MEMORY) all ranks refuse, nothing was moved, and the scope stays open. Otherwise the
 * handle is gone. After MUSTER_ERR_RANK_LOST the shards of a scope with a modifier are undefined:
 * restore the step. A scope of an earlier epoch is refused with MUSTER_ERR_EPOCH: abandon it. */
MUSTER_API muster_status muster_params_release(muster_params_scope *scope, muster_error *error);

/* Drops a scope without a word to anybody: for scopes that a lost rank left open. Shards stay as they
 * were. Before its communicator is freed or the job is left. NULL is fine. */
MUSTER_API void muster_params_abandon(muster_params_scope *scope);

MUSTER_END_DECLS

#endif
