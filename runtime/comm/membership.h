/* SPDX-License-Identifier: Apache-2.0 */
/* Entering an epoch: the part that a join and a rebuild share. */
#ifndef MUSTER_COMM_MEMBERSHIP_H
#define MUSTER_COMM_MEMBERSHIP_H

#include "comm/comm.h"

/* Waits for an AGREED after after_epoch, connects world, waits until it is established; an epoch
 * that is revoked meanwhile is left and the next one awaited. result may be NULL. */
muster_status muster_membership_enter(muster_job *job, uint64_t after_epoch, int64_t deadline_ns,
                                      muster_rebuild_result *result, muster_error *error);

/* Says QUIET for epoch: nothing of this rank touches anyone's memory. */
void muster_membership_quiet(muster_job *job, uint64_t epoch);

#endif
