/* SPDX-License-Identifier: Apache-2.0 */
/* A sharded parameter of one communicator; only runtime/scope looks inside. */
#ifndef MUSTER_SCOPE_PARAM_H
#define MUSTER_SCOPE_PARAM_H

#include <muster/params.h>

struct muster_param {
    muster_comm *comm;     /* compared, and never followed: it may be freed before */
    uint64_t communicator; /* its id: another communicator may come to lie at the same address */
    int32_t rank;          /* of the communicator when the parameter was made */
    int32_t comm_size;
    muster_dtype dtype;
    int64_t element_count;
    void *shard;
    size_t shard_bytes;
    size_t full_bytes;          /* padding included */
    muster_params_scope *scope; /* that holds it; NULL: none */
};

/* Whether comm can gather it now: of this communicator (MUSTER_ERR_FOREIGN), and sharded as the
 * communicator is now (MUSTER_ERR_EPOCH). */
muster_status muster_param_check(const muster_param *param, const muster_comm *comm,
                                 muster_error *error);

#endif
