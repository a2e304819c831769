/* SPDX-License-Identifier: Apache-2.0 */
/* What one call moves: a part within the host, and a part between hosts. */
#ifndef MUSTER_TRANSPORT_PLANE_BATCH_H
#define MUSTER_TRANSPORT_PLANE_BATCH_H

#include "transport/plane/connection.h"

muster_status muster_plane_batch_reserve(muster_transport *transport, size_t operation_count,
                                         muster_error *error);
muster_status muster_plane_batch_submit(muster_transport *transport,
                                        const muster_transport_operation *operations,
                                        size_t operation_count, muster_transport_batch **batch,
                                        muster_error *error);
muster_status muster_plane_batch_progress(muster_transport_batch *batch, bool *done, bool *moved,
                                          muster_error *error);
void muster_plane_batch_missing(muster_transport_batch *batch, muster_rank_set *missing);
void muster_plane_batch_release(muster_transport_batch *batch);

/* Adds the ranks of this host that locals names by their numbers there. */
void muster_plane_batch_translate(const muster_plane_connection *connection,
                                  muster_rank_set *ranks);

#endif
