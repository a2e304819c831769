/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks of a test with the fake device plane: how they join, their memory, and the controls of the fake. */
#ifndef MUSTER_TESTS_DEVICE_RANK_H
#define MUSTER_TESTS_DEVICE_RANK_H

#include "unit/device/fake_plugin.h"
#include "unit/harness/harness.h"

/* Every rank joins with the device plane, on the device of its slot; its aborts are over soon. */
void device_options_init(harness_options *options, int32_t slot_count);
/* What device_options_init lets each rank do with its options, for tests that add to it. */
void device_adapt(muster_job_options *join, void *argument);

/* The fake's; loads it where no rank has yet. */
const fake_device_api *device_api(void);

/* A tensor of the rank's device in memory that is registered with it. */
muster_tensor device_tensor(const harness_rank *rank, void *data, muster_dtype dtype, int64_t rows,
                            int64_t features);

#endif
