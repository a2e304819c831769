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

/* What a rank waits for before it dies, so that the others have returned from the call before: a place that
 * processes pass. Made before they are started. */
typedef _Atomic int32_t device_place;
device_place *device_place_make(void);
void device_place_end(device_place *place);
void device_place_pass(device_place *place);
/* Until so many have passed; gives up after a minute, so that a rank that failed does not hang the test. */
void device_place_await(device_place *place, int32_t count);

#endif
