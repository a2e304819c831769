/* SPDX-License-Identifier: Apache-2.0 */
/* The slow round: after a mismatch of digests everyone shows its descriptors, a few in a round, so
 * that the error can name both sides. Nothing has been moved; speed does not matter here. */
#ifndef MUSTER_COMM_COMPARE_H
#define MUSTER_COMM_COMPARE_H

#include "comm/comm.h"

void muster_compare_begin(muster_comm *comm, muster_request *request);
/* True when a round was complete; *done when request->verdict says all there is to say. */
bool muster_compare_progress(muster_comm *comm, muster_request *request, bool *done);
void muster_compare_clean_up(muster_request *request);

#endif
