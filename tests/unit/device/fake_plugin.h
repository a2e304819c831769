/* SPDX-License-Identifier: Apache-2.0 */
/* A device plane without a device, for tests: ranks are threads or processes of one machine, device memory is
 * host memory that was registered, a stream is a queue on a thread. It keeps the table's promises, and can be
 * told to break what a real one may break: calls that fail, batches that take their time, aborts that come late
 * or never.
 *
 * It is built as libmuster-nccl.so.0 in a folder of its own, beside the tests that are to find it. */
#ifndef MUSTER_TESTS_FAKE_PLUGIN_H
#define MUSTER_TESTS_FAKE_PLUGIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/device.h"

#define FAKE_DEVICES_MAX 8
#define FAKE_NATIVE_CODE 6 /* as a remote error has it */

/* All zero: a device that works. Read when the thing concerned happens; by device index, so that ranks that are
 * threads of one process can differ. */
typedef struct fake_controls {
    _Atomic int32_t open_status[FAKE_DEVICES_MAX]; /* muster_status of the next opens */
    _Atomic int32_t nccl_version[FAKE_DEVICES_MAX];
    _Atomic int32_t make_id_status[FAKE_DEVICES_MAX];
    _Atomic int32_t connect_status[FAKE_DEVICES_MAX];
    _Atomic int32_t shrink_status[FAKE_DEVICES_MAX];
    _Atomic int32_t submit_status[FAKE_DEVICES_MAX];
    _Atomic int32_t batch_status[FAKE_DEVICES_MAX]; /* progress of the batches in flight */
    _Atomic int64_t connect_delay_ns[FAKE_DEVICES_MAX];
    _Atomic int64_t batch_delay_ns[FAKE_DEVICES_MAX]; /* before a batch runs */
    _Atomic int64_t abort_delay_ns[FAKE_DEVICES_MAX];
    atomic_bool abort_stuck[FAKE_DEVICES_MAX];
    atomic_bool hold_batches[FAKE_DEVICES_MAX]; /* none runs while this is set */
    atomic_bool cannot_shrink[FAKE_DEVICES_MAX];
    atomic_bool two_ids;      /* communicators of more than two ranks take two */
    _Atomic int32_t connects; /* counts, over all devices of this process */
    _Atomic int32_t shrinks;
    _Atomic int32_t aborted_comms;
    _Atomic int32_t comms_alive;
    _Atomic int32_t batches_alive;
    _Atomic int32_t ids_made;
} fake_controls;

/* What the plug-in exports beside muster_device_plugin; found with dlsym. */
typedef struct fake_device_api {
    fake_controls *controls;
    /* [data, data + bytes) is memory of device from now on (until unregistered: bytes 0 forgets data). */
    void (*register_memory)(const void *data, size_t bytes, int32_t device);
    /* The same for memory that may have been claimed before, in other pieces or for another device. */
    void (*claim_memory)(const void *data, size_t bytes, int32_t device);
    void *(*stream_create)(int32_t device);
    void (*stream_set_capturing)(void *stream, bool capturing);
    void (*stream_destroy)(void *stream);
    /* Waits until everything on the stream is through; what the application's own synchronize would do. */
    void (*stream_synchronize)(void *stream);
} fake_device_api;

#define FAKE_DEVICE_API_SYMBOL "muster_fake_device_api"

#endif
