/* SPDX-License-Identifier: Apache-2.0 */
/* Put in front of a test of the host plane (-include), this makes it a test of the device plane, unchanged:
 * ranks join with a device plane, host tensors become tensors of the rank's device, and a blocking call returns
 * when its rows are there and not when it is enqueued. The wrong kind of memory is then the host's. */
#ifndef MUSTER_TESTS_OVER_THE_DEVICE_H
#define MUSTER_TESTS_OVER_THE_DEVICE_H

#include "unit/harness/harness.h"

void over_the_device_options_init(harness_options *options, int32_t slot_count);
/* Ranks as threads; with real NCCL as processes, which is how it is used. */
void over_the_device_run(const harness_options *options, harness_body body, void *argument);
/* As processes; with real NCCL, whose emulation takes whole cores, silence counts later. */
void over_the_device_run_processes(const harness_options *options, harness_body body,
                                   void *argument,
                                   void (*meanwhile)(const pid_t *pids, void *argument),
                                   int *exit_statuses);
muster_tensor over_the_device_tensor(void *data, muster_dtype dtype, int64_t rows,
                                     int64_t features);
muster_status over_the_device_gatherv(muster_comm *comm, const muster_tensor *rows,
                                      const int64_t *lengths, int32_t lengths_count, int32_t root,
                                      const muster_root_rows *root_rows, muster_error *error);
muster_status over_the_device_scatterv(muster_comm *comm, const muster_root_rows *root_rows,
                                       const int64_t *lengths, int32_t lengths_count, int32_t root,
                                       const muster_tensor *rows, muster_error *error);
muster_status over_the_device_broadcast(muster_comm *comm, const muster_tensor *rows, int32_t root,
                                        muster_error *error);
muster_status over_the_device_allgatherv(muster_comm *comm, const muster_tensor *rows,
                                         const int64_t *lengths, int32_t lengths_count,
                                         const muster_tensor *all, muster_error *error);
muster_status over_the_device_batch_run(muster_batch *batch, muster_error *error);

#ifndef MUSTER_TESTS_OVER_THE_DEVICE_ITSELF
#define harness_options_init over_the_device_options_init
#define harness_run_threads over_the_device_run
#define harness_run_processes over_the_device_run_processes
#define muster_tensor_host over_the_device_tensor
#define muster_gatherv over_the_device_gatherv
#define muster_scatterv over_the_device_scatterv
#define muster_broadcast over_the_device_broadcast
#define muster_allgatherv over_the_device_allgatherv
#define muster_batch_run over_the_device_batch_run
#define MUSTER_MEMORY_DEVICE MUSTER_MEMORY_HOST
#endif

#endif
