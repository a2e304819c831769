/* SPDX-License-Identifier: Apache-2.0 */
/* Overviews made by hand. */
#ifndef MUSTER_TEST_STATUS_SAMPLE_H
#define MUSTER_TEST_STATUS_SAMPLE_H

#include "status/overview.h"

/* One job that runs, whose slots are filled by ranks that compute. */
muster_overview *sample_overview(const char *job, int32_t slot_count);
void sample_waits(muster_view *view, int32_t slot, uint64_t communicator, uint64_t sequence,
                  int64_t for_ms);
void sample_has_completed(muster_view *view, int32_t slot, uint64_t communicator,
                          uint64_t sequence);

#endif
